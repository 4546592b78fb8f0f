"""Runs Keras's `fit` from the start, or from where it stopped."""

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.console import counted, log
from keras_colorize.errors import ColorizeError
from keras_colorize.files import remove_leftovers
from keras_colorize.training.callbacks import (
    Checkpoints,
    EpochPosition,
    History,
    Logs,
    Models,
    ProgressBar,
    Samples,
    StopOnNaN,
    StoppedByCallback,
)
from keras_colorize.training.colorizer import Colorizer
from keras_colorize.training.curves import EventFiles, TensorBoard
from keras_colorize.training.distribution import (
    Distribution,
    Replicas,
    describe,
    restored_handlers,
    wait_for_all,
)
from keras_colorize.training.environment import write_environment
from keras_colorize.training.kept_callbacks import KeptCallbacks
from keras_colorize.training.run import Run
from keras_colorize.training.state import Progress, load_state


@dataclass(frozen=True)
class Training:
    """The arguments of `train` that are made of a recipe.

    Attributes:
        colorizer: compiled; its weights are replaced by the checkpoint's if there is one.
        batches: (epoch variable, first batch) -> the training batches of that epoch.
        validation: batches to validate on after each epoch.
        samples: images for the sample grids, uint8 sRGB, shape (N, S, S, 3).
        fingerprint: of the images; a run resumes with the same ones only.
        images: how many images are used and skipped, for environment.json.
        distribution: what to train on; None for one device. Batches are then parts of them, for
            the replicas of this process.
    """

    colorizer: Colorizer
    batches: Callable[[tf.Variable, int], tf.data.Dataset]
    validation: tf.data.Dataset
    samples: np.ndarray
    fingerprint: str
    images: Mapping[str, object]
    distribution: Distribution | None = None


def train(
    training: Training,
    run: Run,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    *,
    verbose: int,
) -> None:
    """Trains to the last epoch of the run's recipe, from the start or from its checkpoint.

    Args:
        training: what to train, and on what.
        run: where everything goes.
        callbacks: the user's own; they run after the others, but before the state is saved.
        verbose: as in Keras: 0 silent, 1 progress bar, 2 one line an epoch.

    Raises:
        ColorizeError: if the checkpoint is of other networks or other images.
        KeyboardInterrupt: on SIGINT or SIGTERM, after the state was saved.
    """
    settings = run.recipe.training
    colorizer, validation = training.colorizer, training.validation
    distribution = training.distribution
    writes = distribution is None or distribution.is_chief
    for file in (run.recipe_file, run.state_file, run.model_file("last")):
        remove_leftovers(file.parent)
    remove_leftovers(run.samples_folder)
    epoch = tf.Variable(0, dtype=tf.int32, trainable=False)
    whole_epoch = training.batches(epoch, 0)
    batches = len(whole_epoch) // (distribution.local if distribution else 1)
    progress = Progress(training.fingerprint)
    begun: list[tuple[keras.Variable, np.ndarray]] = []
    if run.state_file.exists():
        progress = _resume(training, run)
        variables = [v for mean in colorizer.means.values() for v in mean.variables]
        # A callback may compute the next rate from the present one as an epoch begins.
        rates = (optimizer.learning_rate for _, optimizer in colorizer.networks.values())
        variables += [rate for rate in rates if isinstance(rate, keras.Variable)]
        begun = [(variable, variable.numpy()) for variable in variables] if progress.batch else []
        done = f"{counted(progress.epoch, 'epoch')} and {progress.batch} of {batches} batches"
        log.info("%s: resumes after %s", run.shown_path, done)
    run.write_recipe()
    if not run.environment_file.exists():
        write_environment(run.environment_file, training.images, describe(distribution))

    events = EventFiles(run.tensorboard_folder)
    kept = KeptCallbacks(progress, callbacks)
    checkpoints = Checkpoints(
        run, progress, settings.checkpoint_minutes, writes=writes, collect=kept.collect
    )
    trainer: keras.Model | Replicas = colorizer
    stop = checkpoints.interrupt
    if distribution:
        trainer = Replicas(colorizer, distribution, stop)
        stop = trainer.ask_to_stop
    records = (
        Samples(run, training.samples, events),
        TensorBoard(run.recipe, events, progress, batches),
        Models(run, progress),
    )
    around = _Around(
        [
            *([ProgressBar(batches, progress)] if verbose else ()),
            History(progress),
            *(records if writes else ()),
            *callbacks,
            kept,
            StopOnNaN(run, progress),
            EpochPosition(progress, epoch, begun),
            checkpoints,
        ],
        add_history=True,
        model=colorizer,
        epochs=settings.epochs,
        steps=batches,
        verbose=verbose,
    )

    def fit(data: tf.data.Dataset, epochs: int) -> None:
        colorizer.freeze(progress.epoch < settings.frozen_epochs)
        trainer.fit(
            data,
            initial_epoch=progress.epoch,
            epochs=epochs,
            validation_data=validation,
            callbacks=around,
            shuffle=False,  # `training.batches` does it
            verbose=verbose,
        )

    def validate() -> None:
        epoch_index = progress.epoch
        around.on_epoch_begin(epoch_index)  # First: it restores the means of the training.
        logs = {name: mean.result() for name, mean in colorizer.means.items()}
        validated = trainer.evaluate(validation, callbacks=around, return_dict=True, verbose=0)
        logs |= {f"val_{name}": value for name, value in validated.items()}
        around.on_epoch_end(epoch_index, logs)

    def rest() -> None:
        # Stopped between the last batch and the epoch's end; with steps_per_execution the last
        # few batches are counted as if there were more.
        if progress.batch >= batches:
            validate()
        elif progress.batch:
            fit(training.batches(epoch, progress.batch), progress.epoch + 1)
        for last_epoch in (min(settings.frozen_epochs, settings.epochs), settings.epochs):
            if progress.epoch < last_epoch and not colorizer.stop_training:
                fit(whole_epoch, last_epoch)

    colorizer.stop_training = False
    with _stopping_cleanly(stop), events:
        around.begin()
        with suppress(StoppedByCallback):
            rest()
        around.end()
    if distribution:
        wait_for_all(distribution)
    if progress.epoch < settings.epochs:
        done = counted(progress.epoch, "epoch")
        log.info("%s: stopped by a callback after %s", run.shown_path, done)


class _Around(keras.callbacks.CallbackList):
    """The callbacks of a run, for which several calls of Keras's `fit` are one training."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Is left to `begin`."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Is left to `end`."""

    def begin(self) -> None:
        """Calls the callbacks as the training begins."""
        super().on_train_begin()

    def end(self) -> None:
        """Calls the callbacks as the training has ended."""
        super().on_train_end()


def _resume(training: Training, run: Run) -> Progress:
    """Restores the state of a run."""
    progress = load_state(run.state_file, training.colorizer)
    if progress.fingerprint != training.fingerprint:
        raise ColorizeError(
            f"{run.path}: the images are not those the run began with; bring those back, or "
            "choose another name"
        )
    if progress.history:
        run.write_history(progress.history)
    return progress


@contextmanager
def _stopping_cleanly(stop: Callable[[], None]) -> Iterator[None]:
    """Lets SIGINT and SIGTERM save the state after the running batch; a second one kills."""
    with restored_handlers() as handlers:

        def request(number: int, frame: FrameType | None) -> None:
            stop()
            signal.signal(number, handlers[signal.Signals(number)])

        for number in handlers:
            signal.signal(number, request)
        yield
