"""Training steps against PyTorch: as `fit` makes them, fed by tf.data, against batches at hand."""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from keras_colorize import build, load_recipe
from tests.benchmarks.measuring import Options, Row, alternate, in_processes, medians, speedup
from tests.lab_caches import cache_lab

BATCHES, BATCH_SIZE = 20, 32


def random_images(count: int, size: int = 32) -> np.ndarray:
    """uint8, shape (count, size, size, 3): smooth in places, as images are."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, size // 8, size // 8, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def training_epoch(
    *overrides: str, batches: int = BATCHES, batch_size: int = BATCH_SIZE, size: int = 32
) -> Callable[[], None]:
    """An epoch of `fit` on the paintings' recipe, without its callbacks."""
    settings = (f"data.image_size={size}", f"training.batch_size={batch_size}", *overrides)
    recipe = load_recipe("paintings_gan_batch_norm", settings)
    lab_cache = cache_lab(random_images(batches * batch_size, size))
    pipeline = build.build_training_batches(recipe, lab_cache, tf.Variable(0), 0)
    colorizer = build.build_colorizer(recipe)
    return lambda: colorizer.fit(pipeline, shuffle=False, verbose=0) and None


def measure(options: Options) -> list[Row]:
    """float32 and bfloat16 against the original's loop and the best PyTorch."""
    from tests.benchmarks.pytorch import best_step, original_step, training_epoch_of

    factories = {
        "float32": training_epoch,
        "bfloat16": partial(training_epoch, "training.precision=mixed_bfloat16"),
        "original": partial(training_epoch_of, original_step),
        "best PyTorch": partial(training_epoch_of, best_step),
    }
    with in_processes(factories) as sides:
        seconds = alternate(sides, options.rounds)
    detail = {"images/s": medians(seconds, BATCHES * BATCH_SIZE), "seconds": seconds}
    return [
        Row(
            "step, float32 : original's loop",
            speedup(seconds, "float32", "original"),
            "x",
            ">= 1.25",
            detail,
        ),
        Row(
            "step, bfloat16 : original's loop",
            speedup(seconds, "bfloat16", "original"),
            "x",
            ">= 2.0",
        ),
        Row(
            "step, bfloat16 : best PyTorch",
            speedup(seconds, "bfloat16", "best PyTorch"),
            "x",
            ">= 1.2",
        ),
    ]
