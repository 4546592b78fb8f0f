"""Trains runs in this process on two logical CPUs: RUNS JSON, a list of [recipe, name, overrides].

A run that is named twice is stopped by SIGTERM in its second batch, and then resumed. Beside each
run it writes what every replica has: NAME.npz, with `variable/replica` -> value.
"""

import json
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_colorize


class Copies(keras.callbacks.Callback):
    """Writes the copies of all variables as the training ends."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_train_end(self, logs: dict | None = None) -> None:
        owners = [part for pair in self.model.networks.values() for part in pair]
        variables = [v for owner in (*owners, self.model.output_generator) for v in owner.variables]
        copies = {
            f"{index} {variable.path}/{replica}": copy.numpy()
            for index, variable in enumerate(variables)
            for replica, copy in enumerate(
                self.model.strategy.experimental_local_results(variable.value)
            )
        }
        np.savez(self.path, **{name.replace("/", "|"): value for name, value in copies.items()})


class Terminated(keras.callbacks.Callback):
    """Sends SIGTERM to this process."""

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        if batch == 1:
            signal.raise_signal(signal.SIGTERM)


def main(runs: Path, trainings: list[tuple[str, str, list[str]]]) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    names = [name for _, name, _ in trainings]
    for index, (recipe, name, overrides) in enumerate(trainings):
        is_stopped = name in names[index + 1 :]
        callback = Terminated() if is_stopped else Copies(runs / f"{name}.npz")
        with pytest.raises(KeyboardInterrupt) if is_stopped else nullcontext():
            keras_colorize.fit(
                recipe, name=name, runs=runs, overrides=overrides, callbacks=[callback], verbose=0
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
