"""What happens around the training steps: progress bar, history, samples, models, checkpoints."""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.color import AB_SCALE, normalize, render
from keras_colorize.console import log
from keras_colorize.errors import ColorizeError
from keras_colorize.files import require_room, whole_file
from keras_colorize.images import write_image
from keras_colorize.plots import draw_images, figure_pixels
from keras_colorize.tables import BEST_BY
from keras_colorize.training.curves import EventFiles, Logs
from keras_colorize.training.run import Run
from keras_colorize.training.state import Progress, save_state

LEAST_LOSS_SCALE = 2.0**-20
"""Gradients that overflow in float16 even when losses are scaled by this will not do better."""

SHOWN = ("generator_loss", "l1_loss", "delta_e_76", "discriminator_accuracy")
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
    """Adds an epoch's row to the history: number, seconds, learning rates, loss scales, losses."""

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
            f"{name}_learning_rate": _as_float(optimizer.learning_rate)
            for name, (_, optimizer) in self.model.networks.items()
        }
        row = {"epoch": epoch + 1, "seconds": round(time.monotonic() - self.started, 3)}
        scales = {f"{name}_loss_scale": scale for name, scale in _loss_scales(self.model).items()}
        figures = {name: float(value) for name, value in (logs or {}).items()}
        self.progress.history.append({**row, **rates, **scales, **figures})


def _loss_scales(colorizer: keras.Model) -> dict[str, float]:
    """What the loss of each network is multiplied by; none but in float16."""
    return {
        name: _as_float(optimizer.dynamic_scale)
        for name, (_, optimizer) in colorizer.networks.items()
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    }


def _as_float(scalar: keras.Variable | tf.Tensor) -> float:
    """The value of a scalar, which several replicas may have."""
    return float(keras.ops.convert_to_numpy(scalar))


class Samples(keras.callbacks.Callback):
    """After each epoch a grid of original, gray and predicted: a PNG, and an image in TensorBoard.

    Args:
        run: where to.
        rgb: uint8, shape (N, S, S, 3); the same images every time.
        events: files of the TensorBoard images.
    """

    def __init__(self, run: Run, rgb: np.ndarray, events: EventFiles) -> None:
        super().__init__()
        self.run = run
        self.rgb = rgb
        self.lightness, self.ab = normalize(rgb)
        self.gray, self.gray_captions = self._rendered(tf.zeros_like(self.ab))
        self.events = events

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Predicts and writes."""
        predicted_ab = self.model.output_generator(self.lightness, training=False)
        predicted, captions = self._rendered(predicted_ab)
        grid = figure_pixels(
            draw_images(
                f"Validation images after epoch {epoch + 1}",
                ["original", "gray", "predicted"],
                list(zip(self.rgb, self.gray, predicted, strict=True)),
                [["", *pair] for pair in zip(self.gray_captions, captions, strict=True)],
            )
        )
        write_image(self.run.samples_folder / f"epoch_{epoch + 1:04d}.png", grid)
        with self.events.writing("validation", step=epoch + 1):
            tf.summary.image("original, gray, predicted", grid[None])

    def _rendered(self, ab: tf.Tensor) -> tuple[np.ndarray, list[str]]:
        """The images in these colors, and what each caption says of them."""
        errors = AB_SCALE * tf.reduce_mean(tf.norm(ab - self.ab, axis=-1), axis=(1, 2))
        captions = [f"Delta E*ab {error:.1f}" for error in errors.numpy()]
        return render(self.lightness, ab).numpy(), captions


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


class StopOnNaN(keras.callbacks.Callback):
    """Ends the training when loss or gradients are not finite, before such a state is saved."""

    def __init__(self, run: Run, progress: Progress) -> None:
        super().__init__()
        self.run = run
        self.progress = progress

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Raises a ColorizeError if they are not."""
        loss = float((logs or {}).get("generator_loss", 0.0))
        if not math.isfinite(loss):
            raise ColorizeError(
                f"{self.run.path}: the generator's loss is {loss} in epoch "
                f"{self.progress.epoch + 1}; try lower learning rates"
            )
        for name, scale in _loss_scales(self.model).items():
            if scale < LEAST_LOSS_SCALE:
                raise ColorizeError(
                    f"{self.run.path}: the {name}'s gradients are not finite in float16 in epoch "
                    f'{self.progress.epoch + 1}; start a new run in "float32"'
                )


class EpochPosition(keras.callbacks.Callback):
    """Counts epochs and batches; an interrupted epoch resumes at its next batch.

    Args:
        progress: kept up to date.
        epoch: the variable that the training batches follow.
        begun: what had other values when an epoch was interrupted than when one begins: variable
            and value.
    """

    def __init__(
        self,
        progress: Progress,
        epoch: tf.Variable,
        begun: Sequence[tuple[keras.Variable, np.ndarray]] = (),
    ) -> None:
        super().__init__()
        self.progress = progress
        self.epoch = epoch
        self.begun = begun

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Sets the epoch of the batches; restores what an interrupted one had come to."""
        self.epoch.assign(epoch)
        self.first_batch = self.progress.batch
        for variable, value in self.begun:
            variable.assign(value)
        self.begun = ()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Counts the batch."""
        self.progress.batch = self.first_batch + batch + 1

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Counts the epoch."""
        self.progress.epoch, self.progress.batch, self.progress.seconds = epoch + 1, 0, 0.0


class StoppedByCallback(Exception):  # noqa: N818  # no error
    """Ends Keras's `fit` after a batch, because a callback set `model.stop_training`."""


class Checkpoints(keras.callbacks.Callback):
    """Saves the state after each epoch, every `minutes` in one, and when the training is to stop.

    The last callback: the state has what all others did to the model and to `progress`.

    Args:
        run: where to.
        progress: how far the training is.
        minutes: work that a crash may cost.
        writes: whether this process writes the run; of several workers one does.
        collect: called before the state is saved.
    """

    def __init__(
        self,
        run: Run,
        progress: Progress,
        minutes: float,
        *,
        writes: bool = True,
        collect: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.run = run
        self.progress = progress
        self.minutes = minutes
        self.writes = writes
        self.collect = collect
        self.interrupted = False
        self.saved = time.monotonic()

    def interrupt(self) -> None:
        """Lets the training stop after the running batch."""
        self.interrupted = True

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Saves when it is time, or when the training is to stop."""
        stopped = getattr(self.model, "stop_training", False)
        if stopped or self.interrupted or time.monotonic() - self.saved > 60 * self.minutes:
            self._save()
            self._stop_if_asked()
        if stopped:  # Keras would continue with validation, as if the epoch were finished.
            raise StoppedByCallback

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Saves, then shows the epoch in history.csv."""
        self._save()
        if self.writes:
            self.run.write_history(self.progress.history)
        self._stop_if_asked()

    def _save(self) -> None:
        if self.writes:
            self.collect()
            save_state(self.run.state_file, self.model, self.progress)
        self.saved = time.monotonic()

    def _stop_if_asked(self) -> None:
        if self.interrupted:
            path = self.run.shown_path
            log.info("%s: stopped and saved; the same command resumes from here", path)
            raise KeyboardInterrupt
