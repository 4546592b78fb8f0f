"""A training that is killed, more than once, ends with the weights of one that was not."""

import csv
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_colorize
from keras_colorize.training.callbacks import Checkpoints

SETTINGS = [
    "data.train_images=104",
    "data.validation_images=16",
    "data.test_images=0",
    "generator.filters=4",
    "discriminator.filters=4",
    "training.batch_size=8",
    "training.epochs=3",
    "training.keep_epochs=[2]",
]
PRETRAINED = [
    "data.train_images=40",
    "data.validation_images=16",
    "data.test_images=0",
    "data.image_size=64",
    "data.crop=0.6",
    "data.degraded_share=0.5",
    "generator.encoder_weights=none",
    "generator.decoder_filters=[4, 4, 4, 4]",
    "schedule.warmup_steps=5",
    "training.batch_size=8",
    "training.epochs=3",
    "training.frozen_epochs=1",
]
BATCHES, PRETRAINED_BATCHES = 13, 5  # of an epoch
ALWAYS = "training.checkpoint_minutes=1e-9"  # a checkpoint after every batch

FIT = """
import sys, keras_colorize
_, recipe, names, runs, *overrides = sys.argv
for name in names.split():
    keras_colorize.fit(recipe, name=name, runs=runs, overrides=overrides, verbose=0)
"""


def start(runs: Path, recipe: str, names: str, settings: list[str]) -> subprocess.Popen:
    """A process that trains runs one after the other."""
    command = [sys.executable, "-c", FIT, recipe, names, str(runs), ALWAYS, *settings]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def batches_done(state: Path, of_epoch: int = BATCHES) -> int:
    if not state.exists():
        return -1
    with np.load(state) as file:
        progress = json.loads(str(file["progress"]))
    return progress["epoch"] * of_epoch + progress["batch"]


def kill_after(
    process: subprocess.Popen, state: Path, batches: int, of_epoch: int, delay: float
) -> None:
    deadline = time.monotonic() + 600
    while batches_done(state, of_epoch) < batches:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    process.communicate()


def points(folder: Path) -> dict[tuple[str, int], bytes]:
    """(tag, step) -> value of all event files in a folder; each must be there once."""
    found = {}
    for file in sorted(folder.glob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                assert (value.tag, event.step) not in found
                if value.tag != "epoch/seconds":
                    found[value.tag, event.step] = value.tensor.SerializeToString()
    return found


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    ("recipe", "settings", "of_epoch", "kills"),
    [
        # In the first epoch, at its end (before or after validation), and in the second.
        ("quickstart", SETTINGS, BATCHES, (4, BATCHES, 2 * BATCHES - 3)),
        # Frozen layers, averaged weights, crops, degraded images, weight decay, a cosine schedule;
        # killed where the frozen epoch ends.
        (
            "paintings_and_photos",
            ["data.source=painted_scenes", *PRETRAINED],
            PRETRAINED_BATCHES,
            (PRETRAINED_BATCHES,),
        ),
    ],
)
def test_killed_training_ends_with_the_same_weights(
    tmp_path: Path, recipe: str, settings: list[str], of_epoch: int, kills: tuple[int, ...]
) -> None:
    killed = tmp_path / "killed"
    state = killed / "checkpoints" / "state.npz"
    moments = random.Random(5)
    for batches in kills:
        process = start(tmp_path, recipe, "killed", settings)
        kill_after(process, state, batches, of_epoch, delay=moments.uniform(0, 0.1))
        assert batches_done(state, of_epoch) < 3 * of_epoch, "was killed too late"
    process = start(tmp_path, recipe, "killed whole", settings)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors

    with (
        np.load(tmp_path / "whole" / "checkpoints" / "state.npz") as expected,
        np.load(state) as found,
    ):
        assert set(found.files) == set(expected.files)
        for name in set(expected.files) - {"progress"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert history(killed) == history(tmp_path / "whole")
    assert [row["epoch"] for row in history(killed)] == ["1", "2", "3"]
    for part, steps in (("train", 3), ("validation", 3), ("steps", 3 * of_epoch)):
        expected_points = points(tmp_path / "whole" / "tensorboard" / part)
        assert points(killed / "tensorboard" / part) == expected_points
        assert {step for _, step in expected_points} == set(range(1, steps + 1))
    names = {path.relative_to(killed) for path in killed.rglob("*") if path.suffix != ".v2"}
    whole_names = {
        path.relative_to(tmp_path / "whole")
        for path in (tmp_path / "whole").rglob("*")
        if path.suffix != ".v2"
    }
    leftovers = {name for name in names - whole_names if not name.name.startswith(".")}
    assert whole_names <= names
    assert not leftovers


@contextmanager
def stopping_after_the_last_batch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Interrupts training when an epoch's batches are done, before its validation."""
    save = Checkpoints.on_train_batch_end

    def stop(self: Checkpoints, batch: int, logs: dict | None = None) -> None:
        save(self, batch, logs)
        if self.progress.batch >= BATCHES:
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_batch_end", stop)
        yield


def test_stopped_between_the_last_batch_and_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first epoch, and in the last: its state ends with the means of the validation."""
    # 13 batches by twos: the last step counts as 14.
    overrides = [ALWAYS, *SETTINGS, "training.epochs=2", "training.steps_per_execution=2"]

    def fit(name: str) -> keras_colorize.Run:
        return keras_colorize.fit(
            "quickstart", name=name, runs=tmp_path, overrides=overrides, verbose=0
        )

    whole = fit("whole")
    state = tmp_path / "stopped" / "checkpoints" / "state.npz"
    with stopping_after_the_last_batch(monkeypatch):
        for epoch in (1, 2):
            with pytest.raises(InterruptedError):
                fit("stopped")
            assert batches_done(state) >= epoch * BATCHES
    # What a process leaves that is killed while it writes, beside what others write.
    folder = tmp_path / "stopped"
    leftovers = [folder / name for name in (".history.7-8.csv", "models/.last.7-8.keras")]
    leftovers.append(folder / "models" / ".last.7-8ab" / "config.json")
    others = [folder / "report" / ".metrics.9-9.json", folder / "models" / ".hidden"]
    for path in (*leftovers, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    stopped = fit("stopped")
    assert not any(path.exists() for path in leftovers)
    assert not leftovers[-1].parent.exists()
    assert all(path.exists() for path in others)
    assert history(stopped.path) == history(whole.path)
    with np.load(whole.state_file) as expected, np.load(stopped.state_file) as found:
        for name in set(expected.files) - {"progress"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
