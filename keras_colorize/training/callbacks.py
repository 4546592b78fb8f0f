"""What happens around the training steps: progress bar, curves, samples, models, checkpoints."""

import errno
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.color import normalize, render
from keras_colorize.console import log
from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.files import require_room, whole_file
from keras_colorize.images import image_grid, write_image
from keras_colorize.tables import BEST_BY
from keras_colorize.training.run import Run
from keras_colorize.training.state import Progress, save_state

Logs = dict[str, float]

SHOWN = ("l1_loss", "delta_e_76", "discriminator_accuracy")
"""What the progress bar shows; history and TensorBoard have the rest."""


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras's progress bar with a few figures; a resumed epoch starts where it stopped.

    Args:
        batches: batches of a whole epoch.
        progress: how far the training is.
    """

    def __init__(self, batches: int, progress: Progress) -> None:
        super().__init__()
        self.batches = batches
        self.progress = progress
        self.first_batch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the epoch's bar."""
        self.target = self.batches
        self.first_batch = self.progress.batch
        super().on_epoch_begin(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Moves the bar."""
        last = min(self.first_batch + batch, self.batches - 1)
        super().on_train_batch_end(last, self._shown(logs))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Ends the bar, with the validation's figures."""
        super().on_epoch_end(epoch, self._shown(logs))

    @staticmethod
    def _shown(logs: Logs | None) -> Logs:
        return {name: v for name, v in (logs or {}).items() if name.removeprefix("val_") in SHOWN}


class History(keras.callbacks.Callback):
    """Adds an epoch's row to the history: number, seconds, learning rates, losses."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Starts the clock; time spent before an interruption counts."""
        self.started = time.monotonic() - self.progress.seconds

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Reads the clock."""
        self.progress.seconds = time.monotonic() - self.started

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Adds the row."""
        rates = {
            f"{name}_learning_rate": float(optimizer.learning_rate)
            for name, (_, optimizer) in self.model.networks.items()
        }
        row = {"epoch": epoch + 1, "seconds": round(time.monotonic() - self.started, 3)}
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.progress.history.append({**row, **rates, **figures})


@contextmanager
def writing_events(run: Run) -> Iterator[None]:
    """Raises an OSError, as other files do, when TensorFlow cannot write its events."""
    try:
        yield
    except tf.errors.OpError as error:
        message = error.message.partition("}} ")[2] or error.message  # Without the operation.
        code, reason = errno.EIO, shorten(message.splitlines()[0], 200)
        if os.strerror(errno.ENOSPC) in error.message:
            code, reason = errno.ENOSPC, os.strerror(errno.ENOSPC)
        raise OSError(code, reason, str(run.tensorboard_folder)) from error


class Samples(keras.callbacks.Callback):
    """After each epoch a grid of original | gray | predicted: a PNG, and an image in TensorBoard.

    Args:
        run: where to.
        rgb: uint8, shape (N, S, S, 3); the same images every time.
        writer: of the TensorBoard images.
    """

    def __init__(self, run: Run, rgb: np.ndarray, writer: tf.summary.SummaryWriter) -> None:
        super().__init__()
        self.run = run
        self.rgb = rgb
        self.lightness, ab = normalize(rgb)
        self.gray = render(self.lightness, tf.zeros_like(ab)).numpy()
        self.writer = writer

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Predicts and writes."""
        predicted_ab = self.model.output_generator(self.lightness, training=False)
        predicted = render(self.lightness, predicted_ab).numpy()
        rows = [list(row) for row in zip(self.rgb, self.gray, predicted, strict=True)]
        grid = image_grid(rows, scale=max(1, 96 // self.rgb.shape[1]))
        write_image(self.run.samples_folder / f"epoch_{epoch + 1:04d}.png", grid)
        with writing_events(self.run), self.writer.as_default(step=epoch + 1):
            tf.summary.image("original, gray, predicted", grid[None])


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


class TensorBoard(keras.callbacks.Callback):
    """Scalars of each epoch: training and validation on the same charts, learning rates.

    Args:
        run: what is trained; its recipe is shown as text.
        training: writer of the training figures and learning rates, and of the recipe.
        validation: writer of the validation figures.
        progress: its history's last row is what is written.
    """

    def __init__(
        self,
        run: Run,
        training: tf.summary.SummaryWriter,
        validation: tf.summary.SummaryWriter,
        progress: Progress,
    ) -> None:
        super().__init__()
        self.run = run
        self.training = training
        self.validation = validation
        self.progress = progress

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Writes the recipe."""
        with writing_events(self.run), self.training.as_default(step=self.progress.epoch):
            tf.summary.text("recipe", f"```\n{self.run.recipe.to_toml()}```")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Writes the row."""
        with writing_events(self.run):
            for name, value in self.progress.history[-1].items():
                writer = self.validation if name.startswith("val_") else self.training
                if name != "epoch":
                    with writer.as_default(step=epoch + 1):
                        tf.summary.scalar(tag(name.removeprefix("val_")), value)
            self.training.flush()
            self.validation.flush()


class Models(keras.callbacks.Callback):
    """Keeps the generator: the last, the best by validation L1, and the recipe's epochs."""

    def __init__(self, run: Run, progress: Progress) -> None:
        super().__init__()
        self.run = run
        self.progress = progress

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves what is due."""
        last = self.run.model_file("last")
        # HDF5, which Keras saves by, can crash the process on a full disk.
        require_room(last.parent, 2 * _greatest_size(self.model.output_generator))
        with whole_file(last) as beside:
            _save(self.model.output_generator, beside)
        copies = []
        *earlier, newest = (row[BEST_BY] for row in self.progress.history)
        if newest < min(earlier, default=math.inf):
            copies.append("best")
        if epoch + 1 in self.run.recipe.training.keep_epochs:
            copies.append(f"epoch_{epoch + 1:04d}")
        for name in copies:
            with whole_file(self.run.model_file(name)) as beside:
                shutil.copyfile(last, beside)


def _greatest_size(model: keras.Model) -> int:
    """Bytes that a model's file takes at most."""
    values = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.variables)
    return values + len(model.to_json()) + 2**13 * len(model.variables) + 2**16


def _save(model: keras.Model, path: Path) -> None:
    """What `model.save` writes, without holding all of it in memory as that does."""
    temporary = TemporaryDirectory(dir=path.parent, prefix=path.stem)
    with temporary as folder, ZipFile(path, "w") as archive:
        model.save(folder, zipped=False)
        for file in filter(Path.is_file, sorted(Path(folder).rglob("*"))):
            archive.write(file, file.relative_to(folder))


class StoppedByCallback(Exception):  # noqa: N818  # no error
    """Ends Keras's `fit` after a batch, because a callback set `model.stop_training`."""


class Checkpoints(keras.callbacks.Callback):
    """Saves all state after each epoch, and within one every `minutes`; the last callback.

    Args:
        run: where to.
        progress: how far the training is; kept up to date here.
        minutes: work that a crash may cost.
        epoch: the variable that the training batches follow.
        means: the epoch's running means when it was interrupted, which Keras resets.
    """

    def __init__(
        self,
        run: Run,
        progress: Progress,
        minutes: float,
        epoch: tf.Variable,
        means: Sequence[tuple[keras.Variable, np.ndarray]] = (),
    ) -> None:
        super().__init__()
        self.run = run
        self.progress = progress
        self.minutes = minutes
        self.epoch = epoch
        self.means = means
        self.interrupted = False
        self.saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Tells the batches which epoch it is; takes up an interrupted one."""
        self.epoch.assign(epoch)
        self.first_batch = self.progress.batch
        for variable, value in self.means:
            variable.assign(value)
        self.means = ()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Saves when it is time, or when the user stops the training."""
        loss = float((logs or {}).get("generator_loss", 0.0))
        if not math.isfinite(loss):
            raise ColorizeError(
                f"{self.run.path}: the generator's loss is {loss} in epoch "
                f"{self.progress.epoch + 1}; try lower learning rates"
            )
        self.progress.batch = self.first_batch + batch + 1
        stopped = getattr(self.model, "stop_training", False)
        if stopped or self.interrupted or time.monotonic() - self.saved > 60 * self.minutes:
            self._save()
            self._stop_if_asked()
        if stopped:  # Keras would continue with validation, as if the epoch were finished.
            raise StoppedByCallback

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves, then shows the epoch in history.csv."""
        self.progress.epoch, self.progress.batch, self.progress.seconds = epoch + 1, 0, 0.0
        self._save()
        self.run.write_history(self.progress.history)
        self._stop_if_asked()

    def _save(self) -> None:
        save_state(self.run.state_file, self.model, self.progress)
        self.saved = time.monotonic()

    def _stop_if_asked(self) -> None:
        if self.interrupted:
            log.info("%s: stopped and saved; the same command resumes from here", self.run.path)
            raise KeyboardInterrupt
