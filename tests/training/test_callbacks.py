import errno
import os
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import load_recipe
from keras_colorize.training.callbacks import (
    Checkpoints,
    EpochPosition,
    History,
    Models,
    ProgressBar,
    StopOnNaN,
)
from keras_colorize.training.optimizers import Adam, LossScaleOptimizer
from keras_colorize.training.run import Run
from keras_colorize.training.state import Progress, load_state


@pytest.fixture
def run(tmp_path):
    return Run.open(tmp_path / "run", load_recipe("quickstart", ["training.keep_epochs=[1,3]"]))


@pytest.fixture
def progress():
    return Progress("images")


@pytest.fixture
def colorizer(small_colorizer):
    return small_colorizer()


ROW = {"epoch": 1, "seconds": 1.0, "val_l1_loss": 0.5}


class TestCheckpoints:
    def make(
        self, run, progress, colorizer, minutes: float
    ) -> tuple[keras.callbacks.CallbackList, Checkpoints]:
        """The callbacks that save, in the order of a training, after its first epoch has begun."""
        checkpoints = Checkpoints(run, progress, minutes)
        callbacks = keras.callbacks.CallbackList(
            [StopOnNaN(run, progress), EpochPosition(progress, tf.Variable(0)), checkpoints],
            model=colorizer,
        )
        callbacks.on_epoch_begin(0)
        return callbacks, checkpoints

    def test_saves_when_it_is_time(self, run, progress, colorizer):
        callbacks, checkpoints = self.make(run, progress, colorizer, minutes=60)
        callbacks.on_train_batch_end(0)
        assert not run.state_file.exists()
        checkpoints.saved -= 60 * 60 + 1
        callbacks.on_train_batch_end(1)
        assert load_state(run.state_file, colorizer).batch == 2
        callbacks.on_train_batch_end(2)
        assert load_state(run.state_file, colorizer).batch == 2

    def test_refuses_to_go_on_without_a_finite_loss(self, run, progress, colorizer):
        callbacks, _ = self.make(run, progress, colorizer, minutes=0)
        with pytest.raises(ColorizeError, match="loss is nan in epoch 1; try lower learning rates"):
            callbacks.on_train_batch_end(0, {"generator_loss": float("nan")})
        assert not run.state_file.exists()

    def test_refuses_to_continue_where_no_step_is_taken(self, run, progress, small_colorizer):
        colorizer = small_colorizer(*(LossScaleOptimizer(Adam(1e-3)) for _ in range(2)))
        colorizer.discriminator_optimizer.dynamic_scale.assign(2.0**-20)
        callbacks, _ = self.make(run, progress, colorizer, minutes=60)
        callbacks.on_train_batch_end(0)
        colorizer.discriminator_optimizer.dynamic_scale.assign(2.0**-21)
        message = r"discriminator's gradients are not finite in float16 in epoch 1; start a new run"
        with pytest.raises(ColorizeError, match=message):
            callbacks.on_train_batch_end(1)
        assert not run.state_file.exists()

    def test_saves_every_epoch_and_shows_it(self, run, progress, colorizer):
        callbacks, _ = self.make(run, progress, colorizer, minutes=60)
        callbacks.on_train_batch_end(0)
        progress.history.append(ROW)
        callbacks.on_epoch_end(0)
        saved = load_state(run.state_file, colorizer)
        assert (saved.epoch, saved.batch, saved.seconds) == (1, 0, 0)
        assert run.history == saved.history == [ROW]

    def test_stops_after_the_batch_when_asked(self, run, progress, colorizer):
        callbacks, checkpoints = self.make(run, progress, colorizer, minutes=60)
        checkpoints.interrupt()
        with pytest.raises(KeyboardInterrupt):
            callbacks.on_train_batch_end(4)
        assert load_state(run.state_file, colorizer).batch == 5

    def test_an_epoch_is_shown_though_asked_to_stop(self, run, progress, colorizer):
        """As when the signal comes during validation."""
        callbacks, checkpoints = self.make(run, progress, colorizer, minutes=60)
        progress.history.append(ROW)
        checkpoints.interrupt()
        with pytest.raises(KeyboardInterrupt):
            callbacks.on_epoch_end(0)
        assert load_state(run.state_file, colorizer).epoch == 1
        assert run.history == [ROW]


class TestEpochPosition:
    def test_sets_the_epoch_of_the_batches(self, progress):
        epoch = tf.Variable(0)
        EpochPosition(progress, epoch).on_epoch_begin(7)
        assert int(epoch) == 7

    def test_restores_the_means_once(self, progress):
        mean = keras.Variable(0.0)
        position = EpochPosition(progress, tf.Variable(0), [(mean, np.float32(3))])
        position.on_epoch_begin(0)
        assert float(mean) == 3
        mean.assign(0.0)
        position.on_epoch_begin(1)
        assert float(mean) == 0

    def test_counts_on_in_an_interrupted_epoch(self, progress):
        progress.batch = 5
        position = EpochPosition(progress, tf.Variable(0))
        position.on_epoch_begin(2)
        position.on_train_batch_end(1)
        assert progress.batch == 7
        position.on_epoch_end(2)
        assert (progress.epoch, progress.batch, progress.seconds) == (3, 0, 0)


def test_models_are_kept_when_they_are_due(run, progress, colorizer):
    models = Models(run, progress)
    models.set_model(colorizer)
    kept = {}
    bias = colorizer.generator.get_layer("final_convolution").bias
    for epoch, loss in enumerate([0.5, 0.4, 0.45]):
        bias.assign([epoch, epoch])
        progress.history.append({"val_l1_loss": loss})
        models.on_epoch_end(epoch)
        kept = {
            name: keras.saving.load_model(path).get_layer("final_convolution").bias[0]
            for name, path in run.models.items()
        }
        assert float(kept["last"]) == epoch
    assert {name: float(number) for name, number in kept.items()} == {
        "best": 1,
        "epoch_0001": 0,
        "epoch_0003": 2,
        "last": 2,
    }


def test_saving_a_model_does_not_hold_it_in_memory(run, progress, small_colorizer):
    models = Models(run, progress)
    models.set_model(small_colorizer(filters=16))
    progress.history.append({"val_l1_loss": 0.5})
    models.on_epoch_end(0)  # What is imported and traced once is no matter.
    size = run.model_file("last").stat().st_size
    tracemalloc.start()
    models.on_epoch_end(1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size
    assert not list(run.path.glob("models/.*"))


def test_a_full_disk_is_told_before_hdf5_meets_it(run, progress, colorizer, monkeypatch):
    """HDF5 can crash the process when it cannot write."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def save(*_, **__):
        raise AssertionError("Keras writes")

    models = Models(run, progress)
    models.set_model(colorizer)
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    monkeypatch.setattr(keras.Model, "save", save)
    with pytest.raises(OSError, match="No space left on device") as caught:
        models.on_epoch_end(0)
    assert caught.value.filename == str(run.path / "models")
    assert list((run.path / "models").iterdir()) == []


@pytest.mark.parametrize("filters", [1, 16])
def test_a_model_takes_no_more_room_than_was_asked_for(
    run, progress, small_colorizer, monkeypatch, filters
):
    asked = []
    models = Models(run, progress)
    models.set_model(small_colorizer(filters=filters))
    progress.history.append({"val_l1_loss": 0.5})
    monkeypatch.setattr(os, "posix_fallocate", lambda _, start, size: asked.append(size))
    models.on_epoch_end(0)
    # Unpacked, and zipped without compression.
    assert 2 * run.model_file("last").stat().st_size <= asked[0]


def test_history_counts_the_seconds_before_an_interruption(progress, colorizer):
    progress.seconds = 1000.0
    history = History(progress)
    history.set_model(colorizer)
    history.on_epoch_begin(0)
    history.on_train_batch_end(0)
    assert 1000 <= progress.seconds < 1100
    history.on_epoch_end(4, {"l1_loss": tf.constant(0.5), "val_l1_loss": 0.25})
    (row,) = progress.history
    assert 1000 <= row.pop("seconds") < 1100
    assert row == {
        "epoch": 5,
        "generator_learning_rate": pytest.approx(0.01),
        "discriminator_learning_rate": pytest.approx(0.01),
        "l1_loss": 0.5,
        "val_l1_loss": 0.25,
    }


def test_progress_bar_goes_on_where_the_epoch_stopped(progress, capsys):
    progress.batch = 6
    bar = ProgressBar(10, progress)
    bar.set_params({"epochs": 2, "steps": 4, "verbose": 1})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    logs = {"l1_loss": 0.5, "generator_loss": 0.7, "discriminator_real_loss": 0.3}
    for batch in range(4):
        bar.on_train_batch_end(batch, logs)
    bar.on_epoch_end(0, {**logs, "val_l1_loss": 0.25})
    shown = capsys.readouterr().out
    assert "7/10" in shown and "10/10" in shown
    assert "l1_loss: 0.5000" in shown and "val_l1_loss: 0.2500" in shown
    assert "generator_loss: 0.7000" in shown
    assert "discriminator_real_loss" not in shown
    assert "11/10" not in shown and "\n6/10" not in shown
