"""How cost grows: a step's time with batch and image size, an epoch's with the pictures."""

import math
import statistics

import tensorflow as tf

from keras_colorize import build, load_recipe
from keras_colorize.data.sources import ImageSet, Splits
from tests.benchmarks.measuring import Options, Row, alternate
from tests.benchmarks.training_step import random_pictures, training_epoch

BATCH_SIZES, IMAGE_SIZES, STEPS = (16, 32, 64, 128), (32, 64, 128), 4
EPOCHS, STEPS_OF_EPOCH = (1_000, 10_000, 50_000), 31


def measure(options: Options) -> list[Row]:
    """The table of steps and of epochs, bfloat16."""
    return [*_steps(options), *_epochs(options)]


def _steps(options: Options) -> list[Row]:
    rows = []
    for size in IMAGE_SIZES:
        sides = {
            str(batch_size): training_epoch(
                "training.precision=mixed_bfloat16",
                batches=STEPS,
                batch_size=batch_size,
                size=size,
            )
            for batch_size in BATCH_SIZES
        }
        seconds = alternate(sides, options.rounds)
        for name, times in seconds.items():
            milliseconds = 1000 * statistics.median(times) / STEPS
            rows.append(Row(f"step, batch {name}, image {size}", milliseconds, "ms"))
        times = [a / b / 2 for a, b in zip(seconds["128"], seconds["64"], strict=True)]
        rows.append(
            Row(
                f"image {size}: batch 128 : twice batch 64",
                statistics.median(times),
                "x",
                "<= 1.15",
                seconds,
            )
        )
        tf.keras.backend.clear_session()
    return rows


def _epochs(options: Options) -> list[Row]:
    """Extrapolated from the first 31 steps of an epoch, its start included."""
    recipe = load_recipe("paintings_gan_batch_norm", ["training.precision=mixed_bfloat16"])
    colorizer = build.build_colorizer(recipe)
    sides = {}
    for count in EPOCHS:
        images = ImageSet(random_pictures(count), ("",) * count)
        splits = Splits(images, images, images)
        batches = build.build_training_batches(recipe, splits, tf.Variable(0), 0)
        sides[str(count)] = lambda data=batches: colorizer.fit(
            data, steps_per_epoch=STEPS_OF_EPOCH, shuffle=False, verbose=0
        )
    seconds = alternate(sides, options.rounds)
    batch_size = recipe.training.batch_size
    rows = []
    for name, times in seconds.items():
        steps = math.ceil(int(name) / batch_size)
        epoch = statistics.median(times) * steps / STEPS_OF_EPOCH
        rows.append(Row(f"epoch of {name} pictures, extrapolated", epoch, "s", None, times))
    growth = statistics.median(
        a / b for a, b in zip(seconds["50000"], seconds["1000"], strict=True)
    )
    return [*rows, Row("a step among 50,000 pictures : among 1,000", growth, "x", "<= 1.15")]
