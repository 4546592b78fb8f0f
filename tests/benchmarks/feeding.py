"""Feeding: the pipeline alone, how long steps wait for it, and a first epoch from JPEG files."""

import os
import random
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from torch.utils.data import DataLoader, Dataset

from keras_colorize import build, load_recipe
from keras_colorize.data.cache import LabCache, cache_in_memory
from keras_colorize.data.pipeline import training_batches
from keras_colorize.data.sources import list_folder
from tests.benchmarks.measuring import Options, Row, alternate, medians, speedup
from tests.benchmarks.training_step import random_images
from tests.lab_caches import cache_lab

FILES, BATCH_SIZE, SIZE = 10_000, 32, 32
WORKERS_OF_THE_ORIGINAL = 4


class LabFiles(Dataset):
    """Images as the original reads them, one by one: OpenCV decodes, resizes, converts."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> np.ndarray:
        """Normalized Lab, float32, (3, SIZE, SIZE), half of the images mirrored."""
        bgr = cv2.imread(str(self.paths[index]))
        bgr = cv2.resize(bgr, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        if random.random() > 0.5:
            bgr = bgr[:, ::-1]
        lab = cv2.cvtColor(bgr.astype(np.float32) / 255.0, cv2.COLOR_BGR2LAB)
        lab[..., 0] = lab[..., 0] / 50.0 - 1.0
        lab[..., 1:] /= 127.0
        return lab.transpose(2, 0, 1)


def measure(options: Options) -> list[Row]:
    """All three."""
    pipelines = {
        str(count): _pipeline(cache_lab(random_images(count))) for count in (10_000, 50_000)
    }
    epochs = {count: lambda p=pipeline: _iterate(p) for count, pipeline in pipelines.items()}
    seconds = alternate(epochs, options.rounds)
    return [
        *(
            Row(
                f"pipeline alone, {count} images",
                medians({"": times}, int(count))[""],
                "images/s",
                ">= 40000",
                times,
            )
            for count, times in seconds.items()
        ),
        _waiting(options),
        _first_epoch(options, 32),
        _first_epoch(options, 128),
    ]


def _pipeline(cache: LabCache) -> tf.data.Dataset:
    return training_batches(cache, BATCH_SIZE, epoch=tf.Variable(0), seed=0)


def _iterate(batches: tf.data.Dataset) -> None:
    for _ in batches:
        pass


def _waiting(options: Options) -> Row:
    """The share of an epoch's time in which the faster, bfloat16 step waits for its batch."""
    recipe = load_recipe("paintings_gan_batch_norm", ["training.precision=mixed_bfloat16"])
    lab_cache = cache_lab(random_images(20 * BATCH_SIZE))
    batches = build.build_training_batches(recipe, lab_cache, tf.Variable(0), 0)
    step = tf.function(build.build_colorizer(recipe).train_step)
    step(next(iter(batches)))
    shares = []
    for _ in range(options.rounds):
        waited, start = 0.0, time.perf_counter()
        iterator, asked = iter(batches), start
        for batch in iterator:
            waited += time.perf_counter() - asked
            step(batch)
            asked = time.perf_counter()
        shares.append(100 * waited / (time.perf_counter() - start))
    return Row(
        "share of training spent waiting for data", float(np.median(shares)), "%", "<= 2", shares
    )


def _first_epoch(options: Options, size: int) -> Row:
    """From files of `size` pixels a side: 32 as the original's, or larger ones to be shrunk."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write_images(folder, size)

        images = list_folder(folder, SIZE)

        def ours() -> None:
            _iterate(_pipeline(cache_in_memory(list_folder(folder, SIZE)).train))

        dataset = LabFiles([folder / name for name in images.names["train"]])

        def original(workers: int) -> None:
            batches = DataLoader(
                dataset,
                BATCH_SIZE,
                shuffle=True,
                num_workers=workers,
                multiprocessing_context="fork",
            )
            for batch in batches:
                batch[:, :1].float(), batch.float()

        cores = os.cpu_count() or 1
        seconds = alternate(
            {
                "ours": ours,
                "DataLoader, its 4 workers": lambda: original(WORKERS_OF_THE_ORIGINAL),
                "DataLoader, a worker a core": lambda: original(cores),
            },
            options.rounds,
        )
    value = min(speedup(seconds, "ours", side) for side in seconds if side != "ours")
    detail = {"images/s": medians(seconds, len(dataset)), "seconds": seconds}
    what = f"first epoch from 10,000 JPEG of {size}x{size} : DataLoader"
    return Row(what, value, "x", ">= 1", detail)


def _write_images(folder: Path, size: int) -> None:
    """JPEG files with the grain of photographs: 10,000 to train and one to validate on."""
    grain = np.random.default_rng(1).normal(0, 6, (size, size, 1))
    for index, image in enumerate(random_images(FILES + 1, size)):
        path = folder / ("validation" if index == FILES else "train") / f"{index:05d}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), (image + grain).clip(0, 255).astype(np.uint8))
