"""Runs whose Lab is on disk: the same weights as in memory, and one line when it cannot be kept."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_colorize

SETTINGS = [
    "data.source=painted_scenes",
    "data.train_images=40",
    "data.validation_images=8",
    "data.test_images=0",
    "generator.filters=2",
    "training.batch_size=8",
]


def fit(folder: Path, name: str, epochs: int, *settings: str) -> keras_colorize.Run:
    overrides = [*SETTINGS, f"training.epochs={epochs}", f"data.cache={folder / 'caches'}"]
    return keras_colorize.fit(
        "paintings_cnn",
        name=name,
        runs=folder / "runs",
        overrides=[*overrides, *settings],
        verbose=0,
    )


def state(run: keras_colorize.Run) -> dict[str, np.ndarray]:
    with np.load(run.state_file) as arrays:
        return {name: arrays[name] for name in arrays.files if name != "progress"}


def test_in_memory_and_on_disk_end_with_the_same_weights(tmp_path, caplog):
    """A run that begins on disk and resumes in memory, and one in memory alone."""
    caplog.set_level("INFO", "keras_colorize")
    whole = state(fit(tmp_path, "whole", 2))
    assert "Lab of 40 + 8 images, 0.295 MB, in memory" in caplog.messages
    fit(tmp_path, "both", 1, "data.memory_gib=1e-6")
    (cache,) = (tmp_path / "caches").iterdir()
    assert f"{cache}: is filled with Lab, up to 0.295 MB" in caplog.messages
    assert f"Lab of 40 + 8 images, 0.295 MB, on disk in {cache}" in caplog.messages
    both = fit(tmp_path, "both", 2)
    assert both.recipe.data.memory_gib is None
    found = state(both)
    assert found.keys() == whole.keys()
    for name, expected in whole.items():
        np.testing.assert_array_equal(found[name], expected, err_msg=name)


@pytest.fixture
def call(tmp_path):
    """Runs `data cache` on a folder of ten images: exit code, stdout, stderr."""
    random = np.random.default_rng(0)
    for index in range(10):
        split = tmp_path / "images" / ("train" if index < 8 else "validation")
        split.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(split / f"{index}.png")

    def call(*settings: str) -> tuple[int, str, str]:
        overrides = [f"--set={setting}" for setting in ("data.path=images", *settings)]
        command = [sys.executable, "-m", "keras_colorize.cli", "data", "cache", "paintings_cnn"]
        done = subprocess.run(
            [*command, *overrides], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_the_command_builds_what_fit_finds(tmp_path, call):
    code, output, errors = call("data.cache=caches")
    assert (code, errors) == (0, "")
    (cache,) = (tmp_path / "caches").iterdir()
    assert output.splitlines() == [
        f"caches/{cache.name}: is filled with Lab, up to 0.0614 MB",
        f"Lab of 8 + 2 images, 0.0614 MB, on disk in caches/{cache.name}",
    ]
    tally = json.loads((cache / "cache.json").read_text())["tally"]
    assert tally["kept"] == {"train": 8, "validation": 2, "test": 0}
    # What is there is used, also where memory is enough: the images are not read again.
    for path in (tmp_path / "images").rglob("*.png"):
        stat = path.stat()
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
    from keras_colorize import build

    overrides = [f"data.path={tmp_path / 'images'}", f"data.cache={tmp_path / 'caches'}"]
    data = keras_colorize.load_recipe("paintings_cnn", overrides).data
    cached = build.cache_images(data, build.open_images(data))
    assert (len(cached.train), cached.folder) == (8, None)


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, call):
    (tmp_path / "file").write_text("")
    code, output, errors = call("data.cache=file")
    assert (code, output) == (1, "")
    assert errors == (
        "keras-colorize: file: Lab of the images cannot be written, up to 0.0614 MB "
        "(Not a directory); name another folder (data.cache)\n"
    )
