"""What `estimate` says that a training would take."""

import io
import json
import math
import re
import shutil
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_fit_options import RECIPE, TRAIN, VALIDATION, generator

import keras_colorize
from keras_colorize import ColorizeError, cli, load_recipe
from keras_colorize.training.colorizer import Colorizer
from keras_colorize.training.estimate import measure
from keras_colorize.training.loop import Training
from keras_colorize.training.losses import l1_loss


@pytest.fixture
def estimate(tmp_path):
    """Estimates a training of tiny networks, which must leave nothing."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)

    def estimate(*overrides: str, **options) -> keras_colorize.Estimate:
        before = sorted(tmp_path.rglob("*"))
        try:
            return keras_colorize.estimate(
                recipe, runs=tmp_path / "runs", overrides=overrides, **options
            )
        finally:
            assert sorted(tmp_path.rglob("*")) == before

    return estimate


@pytest.fixture
def steps(monkeypatch):
    """Counts the training steps that Keras is asked for."""
    asked: list[int] = []
    fit = keras.Model.fit

    def count(self, *arguments, steps_per_epoch, **options):
        asked.append(steps_per_epoch)
        return fit(self, *arguments, steps_per_epoch=steps_per_epoch, **options)

    monkeypatch.setattr(keras.Model, "fit", count)
    return asked


def test_of_painted_scenes(estimate, steps):
    found = estimate("data.source=painted_scenes", "data.train_images=5000", "data.test_images=30")
    assert steps == [12]  # Two to warm up.
    assert found.images == {"train": 5000, "validation": 200, "test": 30}
    assert found.image_bytes == 32 * 32 * (9 * 5200 + 3 * 30)
    assert found.image_bytes < found.memory_bytes < found.free_bytes
    assert (found.steps, found.epochs) == (625, 2)
    assert found.seconds > 2 * 625 * found.step_seconds > 0


def test_of_a_folder_counts_files(estimate, tmp_path):
    images = tmp_path / "images"
    for split, count in (("train", 20), ("validation", 3), ("test", 2)):
        (images / split).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(TRAIN[number]).save(images / split / f"{number}.png")
    found = estimate(f"data.path={images}", "data.train_images=17")
    assert found.images == {"train": 17, "validation": 3, "test": 2}
    assert found.steps == 3
    assert (found.image_bytes, found.disk_bytes) == (20 * 32 * 32 * 6, 0)
    on_disk = estimate(f"data.path={images}", "data.memory_gib=1e-6", f"data.cache={tmp_path}/c")
    assert (on_disk.image_bytes, on_disk.disk_bytes) == (0, 23 * 32 * 32 * 6)
    assert "  disk:    0.141 MB for images\n" in str(on_disk)


@pytest.mark.parametrize("kind", ["arrays", "datasets", "function"])
def test_of_images_that_are_given(estimate, kind):
    if kind == "function":
        found = estimate("data.source=test_estimate:scenes")
    else:
        data = [TRAIN, VALIDATION]
        if kind == "datasets":
            data = [tf.data.Dataset.from_tensor_slices(images) for images in data]
        found = estimate(data=data)
    assert found.images == {"train": len(TRAIN), "validation": len(VALIDATION), "test": 0}
    lab = 0 if kind == "datasets" else 32 * 32 * 6 * (len(TRAIN) + len(VALIDATION))
    assert found.image_bytes == lab  # The process has the images themselves already.
    assert found.steps == math.ceil(len(TRAIN) / 8)


def scenes(data, progress) -> tuple[np.ndarray, np.ndarray]:
    return TRAIN, VALIDATION


def test_nothing_is_cached_on_disk(estimate, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_colorize.data.cache.total_memory", lambda: 1000)
    overrides = ("data.source=painted_scenes", "data.train_images=9", "data.validation_images=3")
    found = estimate(*overrides, f"data.cache={tmp_path}/caches")
    assert found.disk_bytes == 12 * 32 * 32 * 6


def test_a_strategy_is_named_and_not_used(estimate, monkeypatch):
    found = estimate("training.strategy=mirrored", data=(TRAIN, VALIDATION))
    assert str(found).endswith("\n  measured on one device, not with the strategy mirrored")
    workers = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    assert estimate(data=(TRAIN, VALIDATION)).strategy == "multi_worker"
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(ColorizeError, match=r"^TF_CONFIG: must name workers"):
        estimate(data=(TRAIN, VALIDATION))


def as_terminal(monkeypatch) -> io.StringIO:
    """What stderr then is. Called by the test itself: pytest sets stderr after fixtures."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def test_a_terminal_shows_what_is_done(estimate, monkeypatch):
    terminal = as_terminal(monkeypatch)
    estimate("data.source=painted_scenes", "data.train_images=9", "data.validation_images=3")
    images, steps, _ = (line.split("\r") for line in terminal.getvalue().split("\n"))
    assert all("reading images" in text for text in images[1:])
    assert all("tracing and timing steps" in text for text in steps[1:])
    # Before the first step, which takes longest, and after each that trains or validates.
    assert [re.search(r"(\d+)%", text)[1] for text in (steps[1], steps[-1])] == ["0", "100"]
    assert len(steps) > 2 * 12


def test_a_terminal_is_left_alone(estimate, tmp_path, monkeypatch, capsys):
    terminal = as_terminal(monkeypatch)
    estimate(data=(TRAIN, VALIDATION), verbose=0)
    options = {"name": None, "epochs": None, "initial_weights": None, "runs": tmp_path / "runs"}
    recipe, overrides = str(tmp_path / "tiny.toml"), ["data.source=test_estimate:scenes"]
    cli.fit(recipe, **options, overrides=overrides, dry_run=True, verbose=False)
    assert terminal.getvalue() == ""
    assert "would train; nothing is written" in capsys.readouterr().out
    cli.fit(recipe, **options, overrides=overrides, dry_run=True, verbose=None)
    assert "timing steps" in terminal.getvalue()


def test_steps_at_once_and_frozen_epochs_are_timed_apart(tmp_path, steps, batch):
    settings = ("epochs=3", "frozen_epochs=1", "steps_per_execution=4", "batch_size=8")
    recipe = load_recipe("paintings_and_photos", [f"training.{value}" for value in settings])
    network = generator(32, seed=0, filters=2)
    trained: list[int] = []

    class Watched(Colorizer):
        def freeze(self, frozen: bool) -> None:
            super().freeze(frozen)
            trained.append(len(self.generator.trainable_variables))

    colorizer = Watched(network, l1_loss, pretrained_layers=[network.get_layer("first")])
    colorizer.compile(keras.optimizers.SGD(0.1), steps_per_execution=4)
    batches = tf.data.Dataset.from_tensors(batch)
    found = measure(
        recipe,
        Training(colorizer, lambda *_: batches, batches, np.empty(0), "", {}),
        path=tmp_path / "run",
        images={"train": 81, "validation": 9, "test": 0},
        image_bytes=0,
        epochs_done=0,
    )
    assert steps == [20, 20]  # Four at once: two calls to warm up, three that count.
    assert trained == [4, 6]
    assert (found.steps, found.epochs) == (11, 3)


def test_what_cannot_fit_is_refused_before_it_is_read(estimate):
    with pytest.raises(
        ColorizeError,
        match=r"^2,000,000,400 images of 512x512 take 1,57\d,\d+ GB of memory, and \S+ GB are "
        r"free; use fewer \(data.train_images\) or smaller ones \(data.image_size\)$",
    ):
        estimate(
            "data.source=painted_scenes", "data.train_images=2000000000", "data.image_size=512"
        )


def test_a_process_that_cannot_fit_is_refused(estimate, monkeypatch):
    monkeypatch.setattr("keras_colorize.training.estimate.free_memory", lambda: 100_000_000)
    with pytest.raises(
        ColorizeError, match=r"runs/tiny: would take \S+ [MG]B of memory, .* smaller"
    ):
        estimate(data=(TRAIN, VALIDATION))


def test_of_a_run_that_is_there(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    common = {"runs": tmp_path / "runs", "data": (TRAIN, VALIDATION)}
    keras_colorize.fit(tmp_path / "tiny.toml", **common, epochs=1, verbose=0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    found = keras_colorize.estimate(tmp_path / "tiny.toml", **common, epochs=3)
    assert found.epochs == 2
    with pytest.raises(
        ColorizeError, match=r"runs/tiny: finished, with 1 epoch; more epochs \(--epochs\)"
    ):
        keras_colorize.estimate(tmp_path / "tiny.toml", **common, epochs=1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_run_resumes_without_the_model_that_it_started_from(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    common = {"runs": tmp_path / "runs", "data": (TRAIN, VALIDATION)}
    first = keras_colorize.fit(tmp_path / "tiny.toml", name="old", **common, epochs=1, verbose=0)
    model = shutil.copy(first.models["last"], tmp_path / "old.keras")
    common["initial_weights"] = model
    keras_colorize.fit(tmp_path / "tiny.toml", **common, epochs=1, verbose=0)
    model.unlink()
    assert keras_colorize.estimate(tmp_path / "tiny.toml", **common, epochs=2).epochs == 1
    with pytest.raises(ColorizeError, match=r"old\.keras"):
        keras_colorize.estimate(tmp_path / "tiny.toml", name="new", **common)
