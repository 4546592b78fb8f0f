"""How cost grows: a step's time with batch and image size, an epoch's with the images."""

import math
import statistics

import tensorflow as tf

from keras_colorize import build, load_recipe
from tests.benchmarks.measuring import Options, Row, alternate
from tests.benchmarks.training_step import random_images, training_epoch
from tests.lab_caches import cache_lab

BATCH_SIZES, IMAGE_SIZES = (16, 32, 64, 128), (32, 64, 128)
PIXELS = 2**20  # of the steps measured together, which are two at least
EPOCHS, STEPS_OF_EPOCH = (1_000, 10_000, 50_000), 31


def measure(options: Options) -> list[Row]:
    """The table of steps and of epochs, bfloat16."""
    return [*_steps(options), *_epochs(options)]


def _steps(options: Options) -> list[Row]:
    rows = []
    for size in IMAGE_SIZES:
        steps = {batch: max(2, PIXELS // (batch * size**2)) for batch in BATCH_SIZES}
        sides = {
            str(batch): training_epoch(
                "training.precision=mixed_bfloat16", batches=count, batch_size=batch, size=size
            )
            for batch, count in steps.items()
        }
        seconds = alternate(sides, options.rounds)
        step = {
            batch: [1000 * time / count for time in seconds[str(batch)]]
            for batch, count in steps.items()
        }
        for batch, times in step.items():
            rows.append(Row(f"step, batch {batch}, image {size}", statistics.median(times), "ms"))
        growth = [a / b / 2 for a, b in zip(step[128], step[64], strict=True)]
        what = f"image {size}: batch 128 : twice batch 64"
        rows.append(Row(what, statistics.median(growth), "x", "<= 1.15", step))
    return rows


def _epochs(options: Options) -> list[Row]:
    """Extrapolated from the first 31 steps of an epoch, its start included."""
    recipe = load_recipe("paintings_gan_batch_norm", ["training.precision=mixed_bfloat16"])
    colorizer = build.build_colorizer(recipe)
    sides = {}
    for count in EPOCHS:
        lab_cache = cache_lab(random_images(count))
        batches = build.build_training_batches(recipe, lab_cache, tf.Variable(0), 0)
        sides[str(count)] = lambda data=batches: colorizer.fit(
            data, steps_per_epoch=STEPS_OF_EPOCH, shuffle=False, verbose=0
        )
    seconds = alternate(sides, options.rounds)
    batch_size = recipe.training.batch_size
    rows = []
    for name, times in seconds.items():
        steps = math.ceil(int(name) / batch_size)
        epoch = statistics.median(times) * steps / STEPS_OF_EPOCH
        rows.append(Row(f"epoch of {name} images, extrapolated", epoch, "s", None, times))
    growth = statistics.median(
        a / b for a, b in zip(seconds["50000"], seconds["1000"], strict=True)
    )
    return [*rows, Row("a step among 50,000 images : among 1,000", growth, "x", "<= 1.15")]
