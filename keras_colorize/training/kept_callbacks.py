"""The state of the user's own Keras callbacks, kept in a run's state."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import Recipe
from keras_colorize.training.callbacks import Logs
from keras_colorize.training.state import Progress

_MONITORING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
_PLAIN = bool | int | float | str | None


class KeptCallbacks(keras.callbacks.Callback):
    """Puts back the attributes of callbacks as the training begins, and collects them to be saved.

    It comes after them. Kept are the attributes that the training has changed and that are numbers,
    strings, None, NumPy scalars or lists of these; a list of callbacks that has changed since gets
    back what still stands at its place.

    Args:
        progress: holds what is kept.
        callbacks: the user's own.
    """

    def __init__(
        self, progress: Progress, callbacks: Sequence[keras.callbacks.Callback] = ()
    ) -> None:
        super().__init__()
        self.progress = progress
        self.callbacks = callbacks
        self.beginnings: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Puts back; the callbacks have just set themselves to their beginnings."""
        self.beginnings = [kept_attributes(callback) for callback in self.callbacks]
        self._put_back()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Puts back in an epoch that resumes, which has begun before."""
        if self.progress.batch:
            self._put_back()

    def _put_back(self) -> None:
        for callback, (name, attributes) in zip(
            self.callbacks, self.progress.callbacks, strict=False
        ):
            if name == type(callback).__name__:
                vars(callback).update({key: _as_python(value) for key, value in attributes.items()})

    def collect(self) -> None:
        """Notes in `progress` what the callbacks have come to."""
        # What the training leaves alone is a setting, under whatever name.
        self.progress.callbacks = [
            [
                type(callback).__name__,
                {
                    name: value
                    for name, value in kept_attributes(callback).items()
                    if name not in beginning or beginning[name] != value
                },
            ]
            for callback, beginning in zip(self.callbacks, self.beginnings, strict=True)
        ]


def check_callbacks(callbacks: Sequence[object], recipe: Recipe) -> None:
    """Raises a ColorizeError for what is no callback, or works against the training itself."""
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ColorizeError(f"callbacks: must be Keras callbacks (got {name})")
        if isinstance(callback, keras.callbacks.BackupAndRestore):  # It would bring older weights.
            raise ColorizeError(f"callbacks: leave out {name}; a run resumes exactly by itself")
        if isinstance(callback, keras.callbacks.SwapEMAWeights):  # Of Keras's own averages.
            raise ColorizeError(
                f"callbacks: leave out {name}; training.weight_average averages weights, and the "
                "averages are what is validated and saved"
            )
        sets_rate = keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler
        if isinstance(callback, sets_rate) and not recipe.schedule.is_assignable:
            raise ColorizeError(
                f"callbacks: {name} sets the learning rate, which the recipe's schedule computes; "
                'set schedule.shape = "constant" and schedule.warmup_steps = 0'
            )
        _check_monitor(callback)


def _check_monitor(callback: keras.callbacks.Callback) -> None:
    """Raises for what Keras raises, or warns of, after the first epoch only."""
    if not isinstance(callback, _MONITORING) or not getattr(callback, "save_best_only", True):
        return
    name, monitor = type(callback).__name__, callback.monitor
    if monitor in ("loss", "val_loss"):
        raise ColorizeError(
            f"callbacks: {name} monitors {monitor}, which is not logged; name another figure, as "
            'monitor="val_l1_loss", mode="min"'
        )
    if callback.mode == "auto":
        raise ColorizeError(f'callbacks: {name} needs mode="min" or "max" to monitor {monitor}')


def kept_attributes(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """What JSON can hold of a callback; the constructor's settings are the caller's to give."""
    settings = {
        name
        for base in type(callback).__mro__
        if inspect.isfunction(initialize := vars(base).get("__init__"))
        for name in inspect.signature(initialize).parameters
    }
    return {
        name: _as_python(value)
        for name, value in vars(callback).items()
        if name not in settings and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    # Some of NumPy's scalars, as dates, have no such value.
    return isinstance(_as_python(value), _PLAIN)


def _as_python(value: Any) -> Any:
    """Numbers of NumPy as Python's, and copies of lists."""
    if isinstance(value, list):
        return [_as_python(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value
