import io

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab

from keras_colorize.errors import ColorizeError
from keras_colorize.inference.arrays import colorize_array


def test_colors_are_new_and_lightness_the_old(network, paint):
    image = paint(60, 80)
    original = image.copy()
    colorized = colorize_array(image, network)
    np.testing.assert_array_equal(image, original)
    assert colorized.shape == (60, 80, 3)
    assert colorized.dtype == np.uint8
    before, after = rgb2lab(original), rgb2lab(colorized)
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.3)
    assert np.abs(after[..., 1:] - before[..., 1:]).mean() > 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_gray_of_two_and_three_dimensions_and_rgb_are_alike(network, paint, dtype):
    gray = paint(40, 50, np.uint16)[..., 0]
    most = 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max
    gray = (gray / 65535 * most).astype(dtype)
    colorized = colorize_array(gray, network)
    assert colorized.shape == (40, 50, 3)
    assert colorized.dtype == dtype
    np.testing.assert_array_equal(colorize_array(gray[..., None], network), colorized)
    rgb = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_array_equal(colorize_array(rgb, network), colorized)


def test_types_agree(network, paint):
    image = paint(40, 50)
    expected = colorize_array(image, network).astype(float)
    deep = colorize_array(image.astype(np.uint16) * 257, network)
    np.testing.assert_allclose(deep / 257, expected, atol=0.51)
    floating = colorize_array(image / 255, network)
    np.testing.assert_allclose(floating * 65535, deep, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_alpha_is_kept(network, paint, dtype):
    rgba = np.dstack([paint(20, 30, dtype), paint(20, 30, dtype, seed=5)[..., 0]])
    colorized = colorize_array(rgba, network)
    np.testing.assert_array_equal(colorized[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(colorized[..., :3], colorize_array(rgba[..., :3], network))


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
def test_the_byte_order_does_not_matter(network, paint, dtype):
    image = (paint(20, 30) / 255 * (1 if dtype == ">f4" else 65535)).astype(dtype)
    native = image.astype(image.dtype.newbyteorder("="))
    np.testing.assert_array_equal(colorize_array(image, network), colorize_array(native, network))


def test_pillow_images_are_arrays(network, paint):
    rgb = paint(20, 30)
    image = Image.fromarray(rgb)
    expected = colorize_array(rgb, network)
    np.testing.assert_array_equal(colorize_array(image, network), expected)
    gray = image.convert("L")
    for mode in ("L", "P", "1"):
        given = gray.convert(mode)
        expected = colorize_array(np.array(given.convert("L")), network)
        np.testing.assert_array_equal(colorize_array(given, network), expected)
    assert colorize_array(gray.convert("LA"), network).shape == (20, 30, 4)
    deep = Image.fromarray(rgb[..., 0].astype(np.uint16) * 257)
    assert colorize_array(deep, network).dtype == np.uint16


def test_a_path_is_read(network, paint, tmp_path):
    rgba = np.dstack([paint(20, 30), paint(20, 30, seed=5)[..., 0]])
    path = tmp_path / "a.png"
    Image.fromarray(rgba).save(path)
    for given in (path, str(path)):
        np.testing.assert_array_equal(colorize_array(given, network), colorize_array(rgba, network))
    with pytest.raises(ColorizeError, match=r"none\.png: cannot be read"):
        colorize_array(tmp_path / "none.png", network)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"the shape must be .*received \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"received \(1, 4, 4, 3\)"),
        (None, "None, which cv2.imread returns for a file that it cannot read"),
        (b"\xff\xd8", "must be a path, a Pillow image or an array; received bytes"),
        (io.BytesIO(), "must be a path, a Pillow image or an array; received BytesIO"),
        (np.zeros((0, 4, 3), np.uint8), r"no pixels; received the shape \(0, 4, 3\)"),
        (np.zeros((4, 4), np.int64), "must be uint8, uint16 or floating point; received int64"),
        (np.zeros((4, 4), bool), "received bool"),
        (np.full((4, 4), 255.0), r"must be in 0\.\.1; received 255\.\.255"),
        (np.full((4, 4), -0.5, np.float32), r"received -0\.5\.\.-0\.5"),
        (np.array([[0.5, np.nan]]), r"received nan\.\.nan"),
    ],
)
def test_what_is_no_image_is_refused(network, image, message):
    with pytest.raises(ColorizeError, match=message) as raised:
        colorize_array(image, network)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (90, 3), (33, 47), (300, 200)])
def test_any_shape(any_size_network, paint, shape):
    image = paint(*shape)
    colorized = colorize_array(image, any_size_network)
    assert colorized.shape == (*shape, 3)
    before, after = rgb2lab(image), rgb2lab(colorized)
    np.testing.assert_allclose(after[..., 0], before[..., 0], atol=0.3)


def test_vividness_moves_from_one_end_to_the_other(any_size_network, paint):
    image = paint(100, 140, np.uint16) // 4 + 24_000  # where many colors are in the gamut

    def colored(**options: float) -> np.ndarray:
        return rgb2lab(colorize_array(image, any_size_network, **options) / 65535)[..., 1:]

    ab = {share: colored(vividness=share) for share in (0.0, 0.5, 1.0)}
    assert np.abs(ab[1.0] - ab[0.0]).mean() > 2
    np.testing.assert_array_equal(colored(), ab[0.5])
    inside = np.abs(ab[0.0]).max(axis=-1) < 20
    inside &= np.abs(ab[1.0]).max(axis=-1) < 20  # and so not changed by the gamut
    middle = (ab[0.0] + ab[1.0]) / 2
    np.testing.assert_allclose(ab[0.5][inside], middle[inside], atol=0.5)


def test_the_prediction_size_changes_what_the_network_sees(any_size_network, paint):
    image = paint(64, 64)
    small, large = (
        colorize_array(image, any_size_network, prediction_size=size) for size in (32, 160)
    )
    assert np.abs(small.astype(int) - large).mean() > 1
    np.testing.assert_array_equal(large, colorize_array(image, any_size_network))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vividness": 1.5}, r"vividness: must be in 0\.\.1 \(got 1\.5\)"),
        ({"vividness": float("nan")}, r"vividness: must be in 0\.\.1 \(got nan\)"),
        ({"vividness": "x"}, r"vividness: must be a number in 0\.\.1 \(got 'x'\)"),
        ({"prediction_size": "x"}, r"prediction size: must be a whole number .* \(got 'x'\)"),
        ({"prediction_size": 64.5}, r"must be a whole number in 32\.\.2048 \(got 64\.5\)"),
        ({"prediction_size": 8}, r"prediction size: must be in 32\.\.2048 \(got 8\)"),
    ],
)
def test_settings_out_of_range(any_size_network, paint, options, message):
    with pytest.raises(ColorizeError, match=message):
        colorize_array(paint(40, 40), any_size_network, **options)


def test_settings_that_a_generator_lacks(network, paint):
    with pytest.raises(ColorizeError, match="has none; leave it out"):
        colorize_array(paint(40, 40), network, vividness=0.5)
    with pytest.raises(ColorizeError, match=r"sees 32x32 only \(got 64\)"):
        colorize_array(paint(40, 40), network, prediction_size=64)
    assert colorize_array(paint(40, 40), network, prediction_size=32).shape == (40, 40, 3)
