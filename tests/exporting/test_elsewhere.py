"""The example of docs/elsewhere.md, run as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import keras_colorize

DOCUMENT = Path(__file__).parents[2] / "docs" / "elsewhere.md"

WITHOUT = "import sys; sys.modules.update(tensorflow=None, keras=None, keras_colorize=None)\n"


def test_colorizes_without_tensorflow(shipped, exported, tmp_path):
    pytest.importorskip("onnxruntime", reason="needs keras-colorize[onnx]")
    (example,) = re.findall(r"```python\n(import cv2\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    shutil.copy(exported("paintings_and_photos", "onnx"), tmp_path)
    photograph = data.astronaut()[:400, :300]
    Image.fromarray(photograph).save(tmp_path / "old.jpg", quality=95)
    subprocess.run([sys.executable, "-c", WITHOUT + example], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "old.jpg") as decoded:
        expected = keras_colorize.colorize(np.asarray(decoded), shipped)
    colorized = np.asarray(Image.open(tmp_path / "colorized.png")).astype(int)
    assert np.ptp(colorized, axis=-1).mean() > 10  # in color
    # Colors beyond sRGB are clipped, not brought into it.
    assert np.abs(colorized - expected).mean() < 1
