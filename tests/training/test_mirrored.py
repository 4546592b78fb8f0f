"""Two replicas in one process train what one device trains."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_colorize import Run

SCRIPT = Path(__file__).with_name("logical_devices.py")
SMALL = ["data.source=painted_scenes", "data.test_images=0", "generator.filters=2"]
# A step of SGD: of five images one replica has two, the other three.
STEP = ["data.train_images=5", "training.batch_size=5", "data.validation_images=3"]
STEP += ["training.epochs=1", "generator.dropout=0.0", "optimizers.name=sgd"]
STEP += ["optimizers.momentum=0.0", "optimizers.generator_learning_rate=0.1"]
STEP += ["optimizers.discriminator_learning_rate=0.1"]
NO_BATCH_NORM = ["generator.normalization=instance"]
# Of nine images by fours one replica has none in the last batch.
EPOCHS = ["data.train_images=9", "data.validation_images=5", "training.batch_size=4"]
EPOCHS += ["training.epochs=2", "training.weight_average=0.9"]

EFFICIENTNET = ["data.source=painted_scenes", "data.test_images=0", "data.image_size=64", *EPOCHS]
EFFICIENTNET += ["generator.encoder_weights=none", "generator.decoder_filters=[4, 4, 4, 4]"]
EFFICIENTNET += ["training.frozen_epochs=1", "training.steps_per_execution=2", "data.crop=0.6"]
MIRRORED = ["training.strategy=mirrored"]

Training = tuple[str, str, list[str]]


def train(folder: Path, trainings: list[Training]) -> Path:
    subprocess.run([sys.executable, SCRIPT, folder, json.dumps(trainings)], check=True)
    return folder


def by_both(recipe: str, name: str, overrides: list[str]) -> list[Training]:
    """A training on one device, and by two replicas."""
    return [
        (recipe, f"{name}_{strategy}", [*SMALL, *overrides, f"training.strategy={strategy}"])
        for strategy in ("none", "mirrored")
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the CNN."""
    trainings = by_both("paintings_cnn", "cnn", [*STEP, *NO_BATCH_NORM])
    overrides = [*SMALL, *EPOCHS, *MIRRORED]
    trainings += [("paintings_cnn", name, overrides) for name in ("whole", "stopped", "stopped")]
    return train(tmp_path_factory.mktemp("cnn"), trainings)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the other networks."""
    gan = [*STEP, "discriminator.filters=2"]
    trainings = by_both("quickstart", "batch_norm", gan)
    gan += [*NO_BATCH_NORM, "discriminator.normalization=instance"]
    trainings += by_both("quickstart", "gan", gan)
    spectral = [*SMALL, *EPOCHS, "discriminator.filters=2", "training.precision=mixed_bfloat16"]
    trainings.append(("paintings_gan_spectral_norm", "spectral", [*spectral, *MIRRORED]))
    trainings.append(("paintings_and_photos", "encoder", [*EFFICIENTNET, *MIRRORED]))
    float16 = [*SMALL, *EPOCHS, "discriminator.filters=2", "training.precision=mixed_float16"]
    float16.append("schedule.shape=constant")  # The learning rate is a variable then, too.
    trainings.append(("quickstart", "float16", [*float16, *MIRRORED]))
    return train(tmp_path_factory.mktemp("others"), trainings)


def state(run: Path) -> dict[str, np.ndarray]:
    with np.load(Run(run).state_file) as file:
        return {name: file[name] for name in set(file.files) - {"progress"}}


def figures(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in Run(run).history]


def copies(run: Path) -> dict[str, list[np.ndarray]]:
    """Variable -> the value that each replica has."""
    values: dict[str, list[np.ndarray]] = {}
    with np.load(f"{run}.npz") as file:
        for name in file.files:
            values.setdefault(name.rpartition("|")[0], []).append(file[name])
    return values


def require_the_same_step(runs: Path, name: str) -> None:
    expected, found = (state(runs / f"{name}_{strategy}") for strategy in ("none", "mirrored"))
    assert found.keys() == expected.keys()
    for variable in expected:
        np.testing.assert_allclose(
            found[variable], expected[variable], rtol=1e-5, atol=1e-5, err_msg=variable
        )
    (expected,), (found,) = (figures(runs / f"{name}_{one}") for one in ("none", "mirrored"))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_step_is_that_of_one_device(runs: Path) -> None:
    require_the_same_step(runs, "cnn")


@pytest.mark.slow
def test_a_step_of_both_networks_is_that_of_one_device(others: Path) -> None:
    require_the_same_step(others, "gan")


@pytest.mark.slow
def test_batch_norm_normalizes_by_each_replicas_images(others: Path) -> None:
    (expected,), (found,) = (figures(others / f"batch_norm_{one}") for one in ("none", "mirrored"))
    losses = [name for name in expected if not name.endswith("accuracy")]
    assert [found[name] for name in losses] == pytest.approx(
        [expected[name] for name in losses], rel=0.1
    )
    # What the first normalization sees is the same; the mean of means is the mean.
    first = [
        next(values[0] for name, values in copies(run).items() if "moving_mean" in name)
        for run in (others / "batch_norm_none", others / "batch_norm_mirrored")
    ]
    assert np.all(first[0] != 0.0)
    np.testing.assert_allclose(*first, rtol=1e-5)


def require_equal_copies(run: Path) -> None:
    for name, (one, other) in copies(run).items():
        if "seed_generator_state" in name and np.any(one != other):
            # So they drop out different places.
            assert one[0] != other[0]
            assert one[1] == other[1] == 6  # steps
        else:
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_replicas_stay_the_same(runs: Path) -> None:
    names = "".join(copies(runs / "whole"))
    assert names.count("moving_variance") == 2 * 9  # of the generator and its average
    assert names.count("seed_generator_state") == 2 * 2
    require_equal_copies(runs / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spectral", "encoder", "float16"])
def test_replicas_of_other_networks_stay_the_same(others: Path, name: str) -> None:
    assert [row["epoch"] for row in figures(others / name)] == [1, 2]
    require_equal_copies(others / name)


def test_a_stopped_training_ends_with_the_same_weights(runs: Path) -> None:
    expected, found = state(runs / "whole"), state(runs / "stopped")
    assert found.keys() == expected.keys()
    for variable in expected:
        np.testing.assert_array_equal(found[variable], expected[variable], err_msg=variable)
    assert figures(runs / "stopped") == figures(runs / "whole")


OVERFLOW_OF_ONE = """
import json
import keras
import tensorflow as tf
from keras_colorize.training.optimizers import LossScaleOptimizer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    variable = keras.Variable([8.0])
    optimizer = LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=4.0)
    optimizer.build([variable])

@tf.function
def step(overflowing):
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        gradient = tf.where(replica == overflowing, float("inf"), optimizer.scale_loss(0.5))
        optimizer.apply([tf.reshape(gradient, [1])], [variable])
    strategy.run(update)

for overflowing in (0, 1, -1):
    step(tf.constant(overflowing))
    copies = strategy.experimental_local_results(variable.value)
    values = [float(copy[0]) for copy in copies]
    steps, scale = map(keras.ops.convert_to_numpy, (optimizer.iterations, optimizer.dynamic_scale))
    print(json.dumps([values, int(steps), float(scale)]))
"""


def test_replicas_leave_out_the_same_steps_in_float16() -> None:
    command = [sys.executable, "-c", OVERFLOW_OF_ONE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    # 8 - 2 * 0.5 when neither overflows.
    expected = [[[8.0, 8.0], 0, 2.0], [[8.0, 8.0], 0, 1.0], [[7.0, 7.0], 1, 1.0]]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected


def test_the_run_says_on_what_it_trained(runs: Path) -> None:
    environment = json.loads(Run(runs / "whole").environment_file.read_text())
    assert environment["strategy"] == "mirrored, 2 replicas (CPU:0, CPU:1)"
    environment = json.loads(Run(runs / "cnn_none").environment_file.read_text())
    assert environment["strategy"] == "none (CPU:0)"
