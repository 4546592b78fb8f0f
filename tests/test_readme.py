"""The commands and the code of README.md that colorize, run as they stand there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"
COMMANDS = re.findall(r"^keras-colorize colorize .*$", README.read_text(), re.MULTILINE)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The working directory, with what the README calls old.jpg and PHOTOS."""
    monkeypatch.chdir(tmp_path)
    gray = np.random.default_rng(0).integers(0, 256, (48, 64), np.uint8)
    for name in ("old.jpg", "PHOTOS/a.png", "PHOTOS/deep/b.tif"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(name, cv2.blur(gray, (9, 9)))


def is_colored(path):
    return np.ptp(cv2.imread(str(path)).astype(int), axis=-1).max() > 4


def test_commands(images):
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        _, *arguments = shlex.split(command)
        script = [sys.executable, "-m", "keras_colorize.cli", *arguments]
        done = subprocess.run(script, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
    for name in ("out/old.jpg", "COLORED/a.png", "COLORED/deep/b.tif"):
        assert is_colored(name)


def test_code(images):
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    assert names["rgb"].shape == (*names["gray"].shape, 3)
    assert np.ptp(names["rgb"].astype(int), axis=-1).max() > 4
