"""A run's TensorBoard: its event files, and what is shown there."""

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_colorize.errors import shorten
from keras_colorize.files import remove_leftovers, whole_file
from keras_colorize.recipe import Recipe
from keras_colorize.training.state import Progress

Logs = dict[str, float]

POINTS_AN_EPOCH, STEPS_A_POINT = 10, 50
"""Within an epoch so many points are written at least, and one after so many steps."""


class EventFiles(AbstractContextManager):
    """The event files of a run, by parts, which TensorBoard shows as runs of their own.

    `""` says what the run is, `train` and `validation` have a point an epoch, and `steps` has
    points within epochs. A writer is opened when it is first used.

    Args:
        folder: the run's `tensorboard/`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    @contextmanager
    def writing(self, part: str, step: int) -> Iterator[None]:
        """Directs `tf.summary` to a part, with this step; then all is in the file.

        Raises:
            OSError: the file cannot be written.
        """
        with self._named_errors():
            if part not in self._writers:
                self._writers[part] = tf.summary.create_file_writer(str(self.folder / part))
            writer = self._writers[part]
            with writer.as_default(step=step):
                yield
            writer.flush()

    def keep(self, part: str, last_step: int) -> None:
        """Removes the points after a step, which a resumed run writes again, before any is written.

        What is left is one file, with each point once.
        """
        folder = self.folder / part
        remove_leftovers(folder)
        files = sorted(folder.glob("events.out.tfevents.*"))
        if not files:
            return
        seen: set[tuple[str, int]] = set()
        with (
            self._named_errors(),
            whole_file(files[0]) as beside,
            tf.io.TFRecordWriter(str(beside)) as kept,
        ):
            for number, record in enumerate(_records(files)):
                event = tf.compat.v1.Event.FromString(record)
                points = {(value.tag, event.step) for value in event.summary.value}
                # The first record is the format's version.
                if number == 0 or (event.step <= last_step and points - seen):
                    kept.write(record)
                seen |= points
        for file in files[1:]:
            file.unlink()

    def __exit__(self, *_: object) -> None:
        with self._named_errors():
            for writer in self._writers.values():
                writer.close()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Raises an OSError, as other files do, when TensorFlow cannot write."""
        try:
            yield
        except tf.errors.OpError as error:
            message = error.message.partition("}} ")[2] or error.message  # Without the operation.
            code, reason = errno.EIO, shorten(message.splitlines()[0], 200)
            if os.strerror(errno.ENOSPC) in error.message:
                code, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
            raise OSError(code, reason, str(self.folder)) from error


class TensorBoard(keras.callbacks.Callback):
    """What TensorBoard shows of a run, but for the samples.

    The recipe as text and as hyperparameters; the figures of each epoch, training and validation
    on the same charts; within epochs the means since the epoch's beginning.

    Args:
        recipe: of the run.
        events: the run's files.
        progress: its history's last row is what is written of an epoch.
        batches: batches of a whole epoch.
    """

    def __init__(
        self, recipe: Recipe, events: EventFiles, progress: Progress, batches: int
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.events = events
        self.progress = progress
        self.batches = batches
        self.steps_a_point = min(STEPS_A_POINT, max(1, batches // POINTS_AN_EPOCH))

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Removes what a resumed run writes again; writes what the run is."""
        progress = self.progress
        done = progress.epoch * self.batches + min(progress.batch, self.batches)
        for part, last_step in (
            ("", -1),
            ("train", progress.epoch),
            ("validation", progress.epoch),
            ("steps", done),
        ):
            self.events.keep(part, last_step)
        with self.events.writing("", step=0):
            tf.summary.text("recipe", f"```\n{self.recipe.to_toml()}```")
            _write_hyperparameters(self.recipe)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Notes where the epoch begins."""
        self.first_batch = self.last_point = self.progress.batch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Writes a point now and then."""
        done = min(self.first_batch + batch + 1, self.batches)
        if done // self.steps_a_point == self.last_point // self.steps_a_point:
            return
        self.last_point = done
        with self.events.writing("steps", step=self.progress.epoch * self.batches + done):
            for name, value in (logs or {}).items():
                tf.summary.scalar(f"steps/{name}", value)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the epoch's figures."""
        row = self.progress.history[-1]
        for part, prefix in (("train", ""), ("validation", "val_")):
            with self.events.writing(part, step=epoch + 1):
                for name, value in row.items():
                    if name != "epoch" and name.startswith("val_") == bool(prefix):
                        tf.summary.scalar(tag(name.removeprefix(prefix)), value)


def tag(name: str) -> str:
    """Where TensorBoard shows a figure: `generator/l1_loss`, `learning_rate/generator`."""
    if name.endswith("_learning_rate"):
        return f"learning_rate/{name.removesuffix('_learning_rate')}"
    if name == "seconds":
        return "epoch/seconds"
    network, _, figure = name.partition("_")
    if network in ("generator", "discriminator"):
        return f"{network}/{figure}"
    return f"generator/{name}"


def _write_hyperparameters(recipe: Recipe) -> None:
    """Writes the recipe's values for TensorBoard's table of hyperparameters."""
    from tensorboard.plugins.hparams import api

    values: dict[str, Any] = {
        key: value if isinstance(value, bool | int | float) else str(value)
        for key, value in recipe.values().items()
    }
    api.hparams(values)


def _records(files: list[Path]) -> Iterator[bytes]:
    """The records of event files, each up to where a killed process left half a one."""
    for file in files:
        with suppress(tf.errors.DataLossError):
            yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
