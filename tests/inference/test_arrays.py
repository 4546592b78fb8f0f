import numpy as np
import pytest
from skimage.color import rgb2lab

from keras_colorize.errors import ColorizeError
from keras_colorize.inference.arrays import colorize_array


def test_colours_are_new_and_lightness_the_old(generator, paint):
    picture = paint(60, 80)
    original = picture.copy()
    colorized = colorize_array(picture, generator)
    np.testing.assert_array_equal(picture, original)
    assert colorized.shape == (60, 80, 3)
    assert colorized.dtype == np.uint8
    before, after = rgb2lab(original), rgb2lab(colorized)
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.3)
    assert np.abs(after[..., 1:] - before[..., 1:]).mean() > 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_gray_of_two_and_three_dimensions_and_rgb_are_alike(generator, paint, dtype):
    gray = paint(40, 50, np.uint16)[..., 0]
    most = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    gray = (gray / 65535 * most).astype(dtype)
    colorized = colorize_array(gray, generator)
    assert colorized.shape == (40, 50, 3)
    assert colorized.dtype == dtype
    np.testing.assert_array_equal(colorize_array(gray[..., None], generator), colorized)
    rgb = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_array_equal(colorize_array(rgb, generator), colorized)


def test_types_agree(generator, paint):
    picture = paint(40, 50)
    expected = colorize_array(picture, generator).astype(float)
    deep = colorize_array(picture.astype(np.uint16) * 257, generator)
    np.testing.assert_allclose(deep / 257, expected, atol=0.51)
    floating = colorize_array(picture / 255, generator)
    np.testing.assert_allclose(floating * 65535, deep, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_kept(generator, paint, dtype):
    rgba = np.dstack([paint(20, 30, dtype), paint(20, 30, dtype, seed=5)[..., 0]])
    colorized = colorize_array(rgba, generator)
    np.testing.assert_array_equal(colorized[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(colorized[..., :3], colorize_array(rgba[..., :3], generator))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"the shape must be .*received \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"received \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"no pixels; received the shape \(0, 4, 3\)"),
        (np.zeros((4, 4), np.int64), "must be uint8, uint16 or floating point; received int64"),
        (np.zeros((4, 4), bool), "received bool"),
        (np.full((4, 4), 255.0), r"must be in 0\.\.1; received 255\.\.255"),
        (np.full((4, 4), -0.5, np.float32), r"received -0\.5\.\.-0\.5"),
        (np.array([[0.5, np.nan]]), r"received nan\.\.nan"),
    ],
)
def test_what_is_no_picture_is_refused(generator, image, message):
    with pytest.raises(ColorizeError, match=message) as raised:
        colorize_array(image, generator)
    assert "\n" not in str(raised.value)
