import tempfile
from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_colorize import build, tables
from keras_colorize.data.pipeline import validation_batches
from keras_colorize.models.efficientnet.encoder import encoder_layers
from keras_colorize.models.layers import SpectralConv2D
from keras_colorize.recipe import Recipe, load_recipe
from keras_colorize.training.classifying import ClassifyingColorizer
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.optimizers import Adam
from tests.lab_caches import cache_lab


def small(name: str, *overrides: str) -> Recipe:
    recipe = load_recipe(name)
    filters = ["generator.filters=2"]
    if recipe.discriminator is not None:
        filters.append("discriminator.filters=2")
    return load_recipe(recipe, [*filters, *overrides])


@pytest.mark.parametrize(
    ("name", "rates", "steps", "weight", "real_target"),
    [
        ("paintings_gan_batch_norm", (3e-4, 6e-5), 60_000, 0.99, 0.9),
        ("cifar10_gan_spectral_norm", (2e-4, 2e-4), 40_000, 0.985, 1.0),
    ],
)
def test_the_originals_settings_reach_keras(name, rates, steps, weight, real_target):
    colorizer = build.build_colorizer(small(name))
    assert type(colorizer) is AdversarialColorizer
    optimizers = (colorizer.generator_optimizer, colorizer.discriminator_optimizer)
    for rate, optimizer in zip(rates, optimizers, strict=True):
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
        assert float(optimizer.learning_rate) == pytest.approx(rate * 0.1 ** (1 / steps))
        optimizer.iterations.assign(steps - 1)
        assert float(optimizer.learning_rate) == pytest.approx(rate / 10)
        optimizer.iterations.assign(10 * steps)
        assert float(optimizer.learning_rate) == pytest.approx(1e-6)
    assert colorizer.reconstruction_weight == weight
    assert colorizer.real_target == real_target
    spectral = [isinstance(layer, SpectralConv2D) for layer in colorizer.discriminator.layers]
    assert sum(spectral) == (3 if "spectral" in name else 0)
    kernel = colorizer.generator.get_layer("down5_convolution").kernel.numpy()
    deviation = 0.02 if "batch" in name else np.sqrt(2 / (16 * 16 * 2))  # Glorot's, 16 to 16
    assert kernel.std() == pytest.approx(deviation, rel=0.05)
    assert colorizer.generator.get_layer("up1_dropout").rate == 0.5


def test_without_a_discriminator_it_is_a_plain_cnn():
    colorizer = build.build_colorizer(small("paintings_cnn"))
    assert type(colorizer) is Colorizer
    assert float(colorizer.generator_optimizer.learning_rate) == pytest.approx(3e-4, rel=1e-4)


@pytest.mark.parametrize("names", ["SOURCES", "RECONSTRUCTION_LOSSES", "OPTIMIZERS", "SCHEDULES"])
def test_recipes_name_what_can_be_built(names):
    assert getattr(tables, names) == tuple(getattr(build, names))


def test_recipes_name_the_networks_that_can_be_built():
    networks = tuple(build.GENERATORS)
    assert networks == tuple(tables.DOWNSAMPLING)
    assert (*networks, "own") == tables.NETWORK_TAGS["generator"]
    assert (*build.DISCRIMINATORS, "own") == tables.NETWORK_TAGS["discriminator"]


def test_recipes_name_the_adversarial_losses():
    names = get_args(tables.Losses.model_fields["adversarial"].annotation)
    assert names == tuple(build.ADVERSARIAL_LOSSES)
    for name, losses in build.ADVERSARIAL_LOSSES.items():
        colorizer = build.build_colorizer(small("quickstart", f"losses.adversarial={name}"))
        pair = (colorizer.adversarial_generator_loss, colorizer.adversarial_discriminator_loss)
        assert pair == losses


def test_a_pretrained_encoder_with_a_decoder():
    recipe = load_recipe("paintings_and_photos", ["training.epochs=3"])
    # Between common and rare colors; 70 images are three batches of an epoch.
    images = np.random.default_rng(0).integers(0, 256, (70, 128, 128, 3), np.uint8)
    batches = validation_batches(cache_lab(images), recipe.training.batch_size)
    colorizer = build.build_colorizer(recipe, batches)
    assert type(colorizer) is ClassifyingColorizer
    optimizer = colorizer.generator_optimizer
    assert (optimizer.beta_1, optimizer.weight_decay) == (0.9, 0.02)
    optimizer.iterations.assign(8)
    assert optimizer.learning_rate.numpy() < recipe.optimizers.generator_learning_rate
    assert colorizer.output_generator is not colorizer.generator
    assert len(colorizer.pretrained_layers) == 48 - len(encoder_layers(colorizer.generator, 3))
    variables = colorizer.generator.trainable_variables
    factors = {
        variable.path.partition("_")[0]: optimizer._factors.get(index, 1.0)
        for index, variable in enumerate(variables)
    }
    assert factors["encoder"] == recipe.optimizers.encoder_learning_rate_factor
    assert factors["decoder"] == 1.0
    with pytest.raises(ValueError, match="batches=None"):
        build.build_colorizer(recipe)


@pytest.mark.parametrize(
    ("overrides", "kind", "settings"),
    [
        ([], Adam, {"beta_1": 0.5, "weight_decay": None}),
        (["name=adamw", "weight_decay=0.1"], Adam, {"beta_1": 0.5, "weight_decay": 0.1}),
        (["name=sgd", "momentum=0.8"], keras.optimizers.SGD, {"momentum": 0.8}),
        (["name=lion", "weight_decay=0.1"], keras.optimizers.Lion, {"weight_decay": 0.1}),
    ],
)
def test_optimizers(overrides, kind, settings):
    overrides = ["schedule.shape=constant", *(f"optimizers.{one}" for one in overrides)]
    optimizer = build.build_colorizer(small("paintings_cnn", *overrides)).generator_optimizer
    assert type(optimizer) is kind
    assert {name: getattr(optimizer, name) for name in settings} == settings
    if optimizer.weight_decay:
        decayed = [v.name for v in optimizer._trainable_variables if optimizer._use_weight_decay(v)]
        assert set(decayed) == {"kernel"}
    optimizer.learning_rate = 0.5
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("exponential", 3e-4 * 0.1 ** (5 / 60_000)),
        ("constant", 3e-4),
    ],
)
def test_warmup(shape, expected):
    overrides = [f"schedule.shape={shape}", "schedule.warmup_steps=10"]
    optimizer = build.build_colorizer(small("paintings_cnn", *overrides)).generator_optimizer
    optimizer.iterations.assign(4)
    assert float(optimizer.learning_rate) == pytest.approx(expected / 2)
    optimizer.iterations.assign(9)
    assert float(optimizer.learning_rate) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("reconstruction", list(build.RECONSTRUCTION_LOSSES))
def test_reconstruction_losses(reconstruction):
    recipe = small("paintings_cnn", f"losses.reconstruction={reconstruction}")
    loss = build.build_colorizer(recipe).reconstruction_loss
    assert loss.__name__ == f"{reconstruction}_loss"


def test_seeds():
    """Another seed, other weights; and the two networks don't draw the same."""

    def kernels(seed: int) -> list[np.ndarray]:
        colorizer = build.build_colorizer(small("quickstart", f"training.seed={seed}"))
        networks = (colorizer.generator, colorizer.discriminator)
        return [network.get_layer("down2_convolution").kernel.numpy() for network in networks]

    first, again, other = kernels(0), kernels(0), kernels(1)
    np.testing.assert_array_equal(first, again)
    distinct = {kernel.tobytes() for kernel in (*first, *other)}
    assert len(distinct) == 4


def test_precision_is_the_networks_alone():
    recipe = small("quickstart", "training.precision=mixed_bfloat16")
    colorizer = build.build_colorizer(recipe)
    for network in (colorizer.generator, colorizer.discriminator):
        assert network.get_layer("down2_convolution").compute_dtype == "bfloat16"
        assert {variable.dtype for variable in network.trainable_variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


def test_batches_follow_the_recipe():
    overrides = ["data.train_images=10", "data.validation_images=6", "data.test_images=0"]
    recipe = small("quickstart", *overrides, "training.batch_size=4", "data.flip=false")
    splits = build.open_images(recipe.data)
    epoch = tf.Variable(0)
    training = build.build_training_batches(recipe, cache_lab(splits.train.rgb), epoch, 1)
    assert [len(lightness) for lightness, _ in training] == [4, 2]
    validation = build.build_training(recipe).validation
    assert [len(lightness) for lightness, _ in validation] == [4, 2]


@pytest.mark.parametrize(
    ("validation_share", "test_share"), [(0.02, 0.3), (0.02, 0.97)], ids=["few", "many"]
)
def test_test_images_of_a_folder_need_no_others(tmp_path, validation_share, test_share):
    data = tables.Data(
        source="folder",
        path=str(tmp_path),
        split_by="folder",
        validation_share=validation_share,
        test_share=test_share,
    )
    for artist in range(12):
        (tmp_path / f"{artist}").mkdir()
        image = np.full((8, 8, 3), (200, 100, artist), np.uint8)
        Image.fromarray(image).save(tmp_path / f"{artist}" / "1.png")
    names = build.open_images(data).names
    for name in (*names["train"], *names["validation"]):
        (tmp_path / name).write_text("not an image")  # There would be a warning if it were read.
    assert names["test"]
    assert not names["validation"]
    images = build.load_test_images(data, 48)
    assert images.names == tuple(names["test"])
    assert images.rgb.shape == (len(names["test"]), 48, 48, 3)


@pytest.mark.parametrize(
    ("cache", "environment", "expected"),
    [
        ("mine", {"XDG_CACHE_HOME": "/a", "HOME": "/b"}, "mine"),
        (None, {"XDG_CACHE_HOME": "/a", "HOME": "/b"}, "/a/keras-colorize"),
        (None, {"HOME": "/b"}, "/b/.cache/keras-colorize"),
        (None, {}, f"{tempfile.gettempdir()}/.cache/keras-colorize"),
    ],
)
def test_where_caches_are(monkeypatch, cache, environment, expected):
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(build._cache_folder(tables.Data(source="folder", cache=cache))) == expected


def test_painted_scenes_have_default_counts():
    data = load_recipe("quickstart").data.model_copy(
        update={"train_images": 1, "validation_images": None, "test_images": 0}
    )
    splits = build.open_images(data)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1, 200, 0)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("cifar10_gan_spectral_norm", "float32"),
        pytest.param("paintings_gan_batch_norm", "mixed_bfloat16", marks=pytest.mark.slow),
        pytest.param("paintings_gan_spectral_norm", "mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_xla_makes_the_same_updates(name, precision):
    random = np.random.default_rng(0)
    lightness = random.uniform(-1, 1, (4, 32, 32, 1)).astype("float32")
    ab = random.uniform(-0.5, 0.5, (4, 32, 32, 2)).astype("float32")
    batches = tf.data.Dataset.from_tensors((lightness, ab)).repeat(3)
    logs = []
    for compiled in ("true", "false"):
        settings = ("precision", precision), ("jit_compile", compiled)
        recipe = small(name, "generator.dropout=0.0", *(f"training.{k}={v}" for k, v in settings))
        colorizer = build.build_colorizer(recipe)
        assert colorizer.jit_compile is (compiled == "true")
        logs.append(colorizer.fit(batches, shuffle=False, verbose=0).history)
    tolerance = 1e-5 if precision == "float32" else 1e-2
    for log in ("generator_loss", "l1_loss", "discriminator_loss"):
        assert logs[0][log] == pytest.approx(logs[1][log], rel=tolerance)
