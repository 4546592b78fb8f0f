"""Training in float16, where losses are scaled so that their gradients are not rounded to zero."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_colorize
from keras_colorize import build
from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import Recipe, load_recipe
from keras_colorize.training.colorizer import Batch, Colorizer
from keras_colorize.training.run import Run
from keras_colorize.training.state import Progress, load_state, save_state

FLOAT16 = "training.precision=mixed_float16"
SMALL = ["generator.filters=4", "generator.dropout=0.0"]
DISCRIMINATOR = ["discriminator.filters=4"]
# Features of a random encoder vanish in float16.
ENCODER = ["generator.decoder_filters=[8, 8, 8, 8]"]
ENCODER += ["data.source=painted_scenes", "data.image_size=64"]
RECIPES = {
    "plain": ("paintings_cnn", SMALL),
    "batch": ("paintings_gan_batch_norm", [*SMALL, *DISCRIMINATOR]),
    "spectral": ("paintings_gan_spectral_norm", [*SMALL, *DISCRIMINATOR]),
    "instance": (
        "paintings_gan_batch_norm",
        [
            *SMALL,
            *DISCRIMINATOR,
            "generator.normalization=instance",
            "discriminator.normalization=instance",
        ],
    ),
    "classifying": ("paintings_and_photos", ENCODER),
}
# Steps as long as gradients show what was lost of these; Adam's are as long for any.
SGD = ["optimizers.name=sgd", "optimizers.weight_decay=0.0", "schedule.shape=constant"]
SGD += ["schedule.warmup_steps=0", "optimizers.encoder_learning_rate_factor=1.0"]
SGD += ["optimizers.generator_learning_rate=0.1", "optimizers.discriminator_learning_rate=0.01"]


def recipe_of(kind: str, *overrides: str) -> Recipe:
    name, settings = RECIPES[kind]
    return load_recipe(name, [*settings, "training.seed=1", *overrides])


def batch_of(recipe: Recipe) -> Batch:
    random = np.random.default_rng(0)
    size = recipe.data.image_size
    lightness = random.uniform(-1, 1, (4, size, size, 1)).astype("float32")
    ab = random.uniform(-0.5, 0.5, (4, size // 8, size // 8, 2)).astype("float32")
    return tf.constant(lightness), tf.constant(ab.repeat(8, 1).repeat(8, 2))


def colorizer_of(recipe: Recipe, batch: Batch) -> Colorizer:
    return build.build_colorizer(recipe, tf.data.Dataset.from_tensors(batch))


def weights_of(network: keras.Model) -> np.ndarray:
    return np.concatenate([variable.numpy().ravel() for variable in network.trainable_variables])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind in ("plain", "instance")))
        for kind in RECIPES
    ],
)
def test_three_steps_are_near_those_in_float32(kind: str) -> None:
    moves: list[dict[str, np.ndarray]] = []
    for precision in ("float32", "mixed_float16"):
        recipe = recipe_of(kind, *SGD, f"training.precision={precision}")
        batch = batch_of(recipe)
        colorizer = colorizer_of(recipe, batch)
        networks = {name: network for name, (network, _) in colorizer.networks.items()}
        for _, optimizer in colorizer.networks.values():
            if precision == "mixed_float16":
                optimizer.dynamic_scale.assign(2.0**12)  # None of these steps is left out.
        before = {name: weights_of(network) for name, network in networks.items()}
        step = tf.function(colorizer.train_step)
        for _ in range(3):
            logs = step(batch)
        assert all(np.isfinite(value) for value in logs.values())
        assert all(int(optimizer.iterations) == 3 for _, optimizer in colorizer.networks.values())
        moves.append({name: weights_of(n) - before[name] for name, n in networks.items()})
    for name, expected in moves[0].items():
        error = np.linalg.norm(moves[1][name] - expected) / np.linalg.norm(expected)
        assert error < 0.15, name


@pytest.mark.parametrize("kind", ["spectral", "classifying"])
def test_networks_compute_in_float16_and_end_in_float32(kind: str) -> None:
    recipe = recipe_of(kind, FLOAT16)
    batch = batch_of(recipe)
    colorizer = colorizer_of(recipe, batch)
    for network, optimizer in colorizer.networks.values():
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
        assert {output.dtype for output in network.outputs} == {"float32"}
        assert sum(layer.compute_dtype == "float16" for layer in network.layers) > 5
    assert colorizer(batch[0]).dtype == tf.float32
    assert keras.config.dtype_policy().name == "float32"


def test_the_pretrained_encoder_keeps_its_own_rate() -> None:
    recipe = recipe_of("classifying", FLOAT16, "optimizers.encoder_learning_rate_factor=0.5")
    colorizer = colorizer_of(recipe, batch_of(recipe))
    factors = colorizer.generator_optimizer.inner_optimizer._factors
    assert set(factors.values()) == {0.5}


def scaling_sgd(optimizers: object, learning_rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(learning_rate))


def test_callbacks_set_the_learning_rate_and_own_optimizers_scale_once() -> None:
    own = f"optimizers.name={__name__}:scaling_sgd"
    recipe = recipe_of("plain", FLOAT16, own, "schedule.shape=constant")
    colorizer = colorizer_of(recipe, batch_of(recipe))
    colorizer.optimizer.learning_rate = 0.5
    inner = colorizer.generator_optimizer.inner_optimizer
    assert isinstance(inner, keras.optimizers.SGD)
    assert float(inner.learning_rate) == 0.5


def overflowing(loss: tf.Tensor) -> tf.Tensor:
    """The same value, with gradients beyond float16."""
    return loss * 1e7 - tf.stop_gradient(loss * 1e7 - loss)


class TestOverflow:
    """A step whose gradients are not finite is left out, and the next is scaled by half."""

    @pytest.fixture
    def colorizer(self) -> Colorizer:
        recipe = recipe_of("batch", FLOAT16, "training.weight_average=0.5")
        colorizer = colorizer_of(recipe, batch_of(recipe))
        for _, optimizer in colorizer.networks.values():
            optimizer.dynamic_scale.assign(2.0**12)  # None of its steps is left out yet.
        return colorizer

    def step(self, colorizer: Colorizer) -> None:
        tf.function(colorizer.train_step)(batch_of(recipe_of("batch")))

    @pytest.mark.parametrize("skips", ["generator", "discriminator"])
    def test_each_network_skips_steps_of_its_own(self, colorizer: Colorizer, skips: str) -> None:
        self.step(colorizer)
        averages = weights_of(colorizer.output_generator)
        before = {name: weights_of(network) for name, (network, _) in colorizer.networks.items()}
        if skips == "generator":
            reconstruction = colorizer.reconstruction_loss
            colorizer.reconstruction_loss = lambda *ab: overflowing(reconstruction(*ab))
        else:
            adversarial = colorizer.adversarial_discriminator_loss
            colorizer.adversarial_discriminator_loss = lambda *logits: tuple(
                overflowing(loss) for loss in adversarial(*logits)
            )
        self.step(colorizer)
        for name, (network, optimizer) in colorizer.networks.items():
            is_skipped = name == skips
            assert int(optimizer.iterations) == (1 if is_skipped else 2), name
            assert float(optimizer.dynamic_scale) == 2.0 ** (11 if is_skipped else 12), name
            assert np.array_equal(weights_of(network), before[name]) == is_skipped, name
            assert all(np.isfinite(variable).all() for variable in network.variables)
            assert all(np.isfinite(variable).all() for variable in optimizer.variables)
        # Weights that did not move are no more of the average than before.
        is_average_left = np.array_equal(weights_of(colorizer.output_generator), averages)
        assert is_average_left == (skips == "generator")

    def test_the_scale_grows_again(self, colorizer: Colorizer) -> None:
        optimizer = colorizer.generator_optimizer
        optimizer.step_counter.assign(optimizer.dynamic_growth_steps - 1)
        self.step(colorizer)
        assert float(optimizer.dynamic_scale) == 2.0**13

    def test_the_state_keeps_the_scale(self, colorizer: Colorizer, tmp_path: Path) -> None:
        for scale, (_, optimizer) in zip((2.0, 4.0), colorizer.networks.values(), strict=True):
            optimizer.dynamic_scale.assign(scale)
            optimizer.step_counter.assign(int(scale))
        save_state(tmp_path / "state.npz", colorizer, Progress("images"))
        recipe = recipe_of("batch", FLOAT16, "training.weight_average=0.5")
        other = colorizer_of(recipe, batch_of(recipe))
        load_state(tmp_path / "state.npz", other)
        for scale, (_, optimizer) in zip((2.0, 4.0), other.networks.values(), strict=True):
            assert (float(optimizer.dynamic_scale), int(optimizer.step_counter)) == (scale, scale)


FIT = [*SMALL, *DISCRIMINATOR, FLOAT16, "data.train_images=20", "data.validation_images=4"]
FIT += ["data.test_images=0", "training.batch_size=4", "generator.dropout=0.5"]
FIT += ["training.weight_average=0.9", "training.epochs=2"]


class StopAfter(keras.callbacks.Callback):
    """Stops a training in its second epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if (self.epoch, batch) == (1, 1):
            self.model.stop_training = True


class Overflow(keras.callbacks.Callback):
    """Makes the first steps skip: the scale begins beyond float16."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        for _, optimizer in self.model.networks.values():
            if not int(optimizer.iterations):
                optimizer.dynamic_scale.assign(2.0**20)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.taken = [int(optimizer.iterations) for _, optimizer in self.model.networks.values()]


def fit(runs: Path, name: str, *callbacks: keras.callbacks.Callback) -> Run:
    return keras_colorize.fit(
        "quickstart", name=name, runs=runs, overrides=FIT, callbacks=callbacks, verbose=0
    )


def state(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.state_file) as arrays:
        return {name: arrays[name] for name in set(arrays.files) - {"progress"}}


@pytest.fixture(scope="module")
def skipping(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[int]]:
    """A run that skips its first steps, and how many each network has taken."""
    overflow = Overflow()
    run = fit(tmp_path_factory.mktemp("runs"), "skipping", overflow)
    return run, overflow.taken


def test_a_stopped_run_resumes_exactly(skipping: tuple[Run, list[int]]) -> None:
    whole, _ = skipping
    runs = whole.path.parent
    assert not fit(runs, "stopped", Overflow(), StopAfter()).is_finished
    stopped = fit(runs, "stopped")
    assert stopped.is_finished
    expected, found = state(whole), state(stopped)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    for row, other in zip(whole.history, stopped.history, strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}


def test_a_run_that_skips_steps(skipping: tuple[Run, list[int]]) -> None:
    run, taken = skipping
    first, last = run.history
    steps = 2 * 5
    for network, count in zip(("generator", "discriminator"), taken, strict=True):
        assert 0 < count < steps
        # Halved in each step that was left out.
        assert last[f"{network}_loss_scale"] == 2.0 ** (20 - (steps - count))
        assert first[f"{network}_loss_scale"] >= last[f"{network}_loss_scale"]
        # The schedule counts the steps that were taken.
        rate = getattr(run.recipe.optimizers, f"{network}_learning_rate")
        schedule = run.recipe.schedule
        expected = rate * schedule.decay_rate ** ((count + 1) / schedule.decay_steps)
        assert last[f"{network}_learning_rate"] == pytest.approx(expected)


def half_generator(image_size: int, **_: object) -> keras.Model:
    lightness = keras.Input((image_size, image_size, 1))
    return keras.Model(lightness, keras.layers.Conv2D(2, 1)(lightness))


def test_own_networks_must_end_in_float32() -> None:
    own = f"generator.network={__name__}:half_generator"
    recipe = load_recipe("paintings_cnn", [own, FLOAT16])
    with pytest.raises(ColorizeError, match=r"must end in float32 \(got float16\); give its last"):
        build.build_colorizer(recipe)
    build.build_colorizer(load_recipe(recipe, ["training.precision=float32"]))
