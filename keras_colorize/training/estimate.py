"""What a training would take: memory, steps and time, measured on a few steps of it."""

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import keras
import tensorflow as tf

from keras_colorize.errors import ColorizeError
from keras_colorize.memory import format_bytes, free_memory, peak_memory
from keras_colorize.recipe import Recipe
from keras_colorize.tables import Data
from keras_colorize.training.callbacks import Logs
from keras_colorize.training.loop import Training

WARMING_STEPS, TIMED_STEPS = 2, 10
"""Steps that are run to trace and warm up, and those after them that count."""


@dataclass(frozen=True)
class Estimate:
    """What a training would take; `print` shows it as a table.

    Attributes:
        path: the run's folder, which is not made.
        images: to train, validate and test on: at most so many, since unreadable and gray files
            are found only when all are read.
        image_bytes: memory that the images take at most, without those that are given, which the
            process has already.
        disk_bytes: room that their Lab takes on disk, if it is more than `data.memory_gib`.
        memory_bytes: of the whole process at most, images included.
        free_bytes: memory that there is for it.
        steps: an epoch.
        epochs: that are to do.
        step_seconds: a training step, the median of those that were timed.
        seconds: all epochs, with validation; without the start of the process, reading the images
            and tracing the first step.
        strategy: that it would train by. Memory and time are of one device in any case.
    """

    path: Path
    images: Mapping[str, int]
    image_bytes: int
    disk_bytes: int
    memory_bytes: int
    free_bytes: int
    steps: int
    epochs: int
    step_seconds: float
    seconds: float
    strategy: str = "none"

    def __str__(self) -> str:
        train, validation, test = (f"{self.images[split]:,}" for split in self.images)
        steps = self.steps * self.epochs
        counts = (self.memory_bytes, self.free_bytes, self.image_bytes, self.disk_bytes)
        is_more = self.strategy != "none"
        memory, free, images, disk = map(format_bytes, counts)
        return "\n".join(
            [
                f"{self.path}: would train; nothing is written",
                f"  images:  up to {train} to train on, {validation} to validate on, {test} to "
                "test on",
                f"  memory:  {memory} of {free} that are free, {images} of it for images",
                *([f"  disk:    {disk} for images"] if self.disk_bytes else []),
                f"  steps:   {self.steps:,} an epoch, {steps:,} in {self.epochs:,} epochs",
                f"  time:    {_duration(self.seconds / self.epochs)} an epoch, "
                f"{_duration(self.seconds)} in all; {_duration(self.step_seconds)} a step",
                "           without start, reading images and tracing the first step",
                *(
                    [f"  measured on one device, not with the strategy {self.strategy}"]
                    if is_more
                    else []
                ),
            ]
        )


def require_memory(data: Data, images: Mapping[str, int], needed: int) -> None:
    """Fails if images take more memory than is free.

    Args:
        data: the recipe's table.
        images: how many there are of each split.
        needed: bytes that they take.

    Raises:
        ColorizeError: so much is not free.
    """
    if needed > (free := free_memory()):
        raise ColorizeError(
            f"{sum(images.values()):,} images of {data.image_size}x{data.image_size} take "
            f"{format_bytes(needed)} of memory, and {format_bytes(free)} are free; use fewer "
            "(data.train_images) or smaller ones (data.image_size)"
        )


def measure(
    recipe: Recipe,
    training: Training,
    *,
    path: Path,
    images: Mapping[str, int],
    image_bytes: int,
    disk_bytes: int = 0,
    epochs_done: int,
    strategy: str = "none",
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:
    """Trains and validates a few steps, and computes what all of them would take.

    Args:
        recipe: what would be trained.
        training: the same, on images enough for a few batches; its weights change.
        path: of the run.
        images: how many there are of each split.
        image_bytes: memory that all of them take beyond what the process has already.
        disk_bytes: room that they take on disk.
        epochs_done: of a run that would be resumed.
        strategy: that would be used.
        progress: called with the steps done and their total, after each and before the first.

    Raises:
        ColorizeError: the process would not fit into memory.
    """
    settings, colorizer = recipe.training, training.colorizer
    steps, validation_steps = (
        math.ceil(images[split] / settings.batch_size) for split in ("train", "validation")
    )
    batches = training.batches(tf.Variable(0, trainable=False), 0).repeat()
    seconds: float = 0
    step_seconds: float = 0
    frozen = max(0, min(settings.frozen_epochs, settings.epochs) - epochs_done)
    epochs_of = {True: frozen, False: settings.epochs - epochs_done - frozen}
    parts = [(is_frozen, epochs) for is_frozen, epochs in epochs_of.items() if epochs]
    at_once = settings.steps_per_execution
    executions = WARMING_STEPS + math.ceil(TIMED_STEPS / at_once)
    clock = _Clock(2 * len(parts) * executions, progress)
    for is_frozen, epochs in parts:
        colorizer.freeze(is_frozen)
        colorizer.fit(
            batches,
            steps_per_epoch=executions * at_once,
            callbacks=[clock],
            shuffle=False,
            verbose=0,
        )
        step_seconds = clock.seconds() / at_once
        colorizer.evaluate(
            training.validation.repeat(),
            steps=executions * at_once,
            callbacks=[clock],
            verbose=0,
        )
        validation_seconds = clock.seconds() / at_once
        seconds += epochs * (steps * step_seconds + validation_steps * validation_seconds)
    estimate = Estimate(
        path=path,
        images=images,
        image_bytes=image_bytes,
        disk_bytes=disk_bytes,
        memory_bytes=peak_memory() + image_bytes,
        free_bytes=free_memory(),
        steps=steps,
        epochs=settings.epochs - epochs_done,
        step_seconds=step_seconds,
        seconds=seconds,
        strategy=strategy,
    )
    if estimate.memory_bytes > estimate.free_bytes:
        counts = (estimate.memory_bytes, image_bytes, estimate.free_bytes)
        needed, lab, free = map(format_bytes, counts)
        raise ColorizeError(
            f"{path}: would take {needed} of memory, {lab} of it for images, and {free} are free; "
            "use fewer images, smaller ones or smaller batches"
        )
    return estimate


class _Clock(keras.callbacks.Callback):
    """Notes when batches end.

    Args:
        total: how many there will be.
        progress: called with the number of those that have ended, and the total.
    """

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        super().__init__()
        self.ends: list[float] = []
        self.total = total
        self.done = 0
        self.progress = progress or (lambda done, total: None)
        self.progress(0, total)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Notes the time when the batch is computed, on a GPU too."""
        for value in (logs or {}).values():
            float(value)
        self.ends.append(time.perf_counter())
        self.done += 1
        self.progress(self.done, self.total)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same."""
        self.on_train_batch_end(batch, logs)

    def seconds(self) -> float:
        """The median between two ends after those that warm up; begins anew."""
        ends, self.ends = self.ends[WARMING_STEPS - 1 :], []
        return median(end - start for start, end in itertools.pairwise(ends))


def _duration(seconds: float) -> str:
    """As "0.25 s", "3.4 minutes", "33 hours"."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{_two_digits(seconds / length)} {unit}"
    return f"{_two_digits(seconds)} s"


def _two_digits(number: float) -> str:
    return f"{number:.2g}" if number < 99 else f"{number:,.0f}"
