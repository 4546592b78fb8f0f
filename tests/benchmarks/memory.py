"""Memory of a `fit` on 50,000 images of 32x32: an epoch cut short, with all that it leaves."""

import tempfile
from pathlib import Path

import cv2

from tests.benchmarks.measuring import Options, Row, peak_memory, tensorflow_memory
from tests.benchmarks.training_step import random_images

# The steps of an epoch are alike, so a few will do.
FIT = """
import sys, keras_colorize
from keras_colorize.startup import load_tensorflow
load_tensorflow()
from keras_colorize import build
whole_epoch = build.build_training_batches
build.build_training_batches = lambda *arguments: whole_epoch(*arguments).take(50)
keras_colorize.fit("paintings_gan_batch_norm", runs=sys.argv[1], overrides=sys.argv[2:], verbose=0)
"""
COUNTS = {"train": 50_000, "validation": 2_000}


def measure(options: Options) -> list[Row]:
    """The peak above TensorFlow's own, in both precisions."""
    tensorflow = tensorflow_memory()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for split, count in COUNTS.items():
            (folder / "data" / split).mkdir(parents=True)
            for index, image in enumerate(random_images(count)):
                cv2.imwrite(str(folder / "data" / split / f"{index:05d}.png"), image)
        overrides = [f"data.path={folder / 'data'}", "training.epochs=1"]
        overrides += [f"data.{split}_images={count}" for split, count in COUNTS.items()]
        for precision in ("float32", "mixed_bfloat16"):
            settings = [*overrides, f"training.precision={precision}", "training.keep_epochs=[1]"]
            peak = peak_memory(FIT, str(folder / precision), *settings)
            detail = {"peak": peak, "TensorFlow": tensorflow}
            rows.append(
                Row(
                    f"memory of fit on 50,000 images, {precision}",
                    peak - tensorflow,
                    "MiB",
                    "<= 1024",
                    detail,
                )
            )
    return rows
