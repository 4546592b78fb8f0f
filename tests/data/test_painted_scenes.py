import hashlib
import subprocess
import sys

import numpy as np
import pytest
from skimage.color import rgb2lab

from keras_colorize.data.painted_scenes import paint_scenes


def test_shape_and_type():
    scenes = paint_scenes(3, 40, 7)
    assert scenes.shape == (3, 40, 40, 3)
    assert scenes.dtype == np.uint8
    assert paint_scenes(0, 32, 7).shape == (0, 32, 32, 3)


def test_more_scenes_leave_the_first_as_they_are():
    np.testing.assert_array_equal(paint_scenes(30, 32, 7)[:10], paint_scenes(10, 32, 7))


def test_another_process_paints_the_same_bytes_without_tensorflow():
    script = (
        "import hashlib, sys\n"
        "from keras_colorize.data.painted_scenes import paint_scenes\n"
        "print(hashlib.sha256(paint_scenes(20, 32, 7).tobytes()).hexdigest())\n"
        "print('tensorflow' in sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert output == [hashlib.sha256(paint_scenes(20, 32, 7).tobytes()).hexdigest(), "False"]


def test_scenes_and_seeds_differ():
    scenes = np.concatenate([paint_scenes(30, 32, seed) for seed in (1, 2)])
    assert len({scene.tobytes() for scene in scenes}) == 60


@pytest.mark.parametrize("size", [8, 17, 128])
def test_any_size(size):
    scenes = paint_scenes(12, size, 3)
    assert (scenes.std(axis=(1, 2, 3)) > 10).all()


def test_the_same_seed_shows_the_same_scenes_at_every_size():
    small, large = paint_scenes(8, 32, 5), paint_scenes(8, 128, 5)
    shrunk = large.reshape(8, 32, 4, 32, 4, 3).mean(axis=(2, 4))
    own = np.abs(shrunk - small).mean()
    others = np.abs(shrunk - np.roll(small, 1, axis=0)).mean()
    assert own < 0.5 * others


def test_lightness_tells_color():
    """The five scenes most alike in lightness predict a scene's ab far better than gray does."""
    lab = rgb2lab(paint_scenes(600, 32, 11))
    lightness = lab[..., 0].reshape(600, 8, 4, 8, 4).mean(axis=(2, 4)).reshape(600, 64)
    ab = lab[..., 1:]
    seen, unseen = slice(0, 500), slice(500, 600)
    distance = ((lightness[unseen, None] - lightness[None, seen]) ** 2).sum(axis=-1)
    predicted_ab = ab[np.argsort(distance, axis=1)[:, :5]].mean(axis=1)
    gray_error = np.abs(ab[unseen]).mean()
    assert gray_error > 10
    assert np.abs(predicted_ab - ab[unseen]).mean() < 0.7 * gray_error
