import tracemalloc

import cv2
import numpy as np
import pytest
from skimage.color import lab2rgb, rgb2lab

from keras_colorize import color
from keras_colorize.inference import recolor as recolor_module
from keras_colorize.inference.recolor import recolor


def ab_field(size, strength, seed=0):
    """A smooth field of random colors, float32, (size, size, 2)."""
    coarse = np.random.default_rng(seed).normal(0, strength, (4, 4, 2)).astype(np.float32)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def lab_of(rgb):
    return rgb2lab(rgb / np.iinfo(rgb.dtype).max)


def gray(lightness):
    """A 16-bit gray image of the given L."""
    flat = np.stack([lightness, np.zeros_like(lightness), np.zeros_like(lightness)], axis=-1)
    return np.rint(lab2rgb(flat) * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 9), (7, 1), (3, 5000), (5000, 3), (1, 40000), (301, 200)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lightness_is_kept_at_any_size(paint, height, width, dtype):
    rgb = paint(height, width, dtype)
    before = lab_of(rgb)[..., 0]
    recolor(rgb, ab_field(32, 60))
    assert rgb.shape == (height, width, 3)
    assert rgb.dtype == dtype
    # Rounding to 8 bits moves L by up to 0.2; the gamut's tolerance of 1e-4 in linear light by
    # up to 0.1, near black.
    np.testing.assert_allclose(lab_of(rgb)[..., 0], before, atol=0.3 if dtype == np.uint8 else 0.12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colors_are_the_enlarged_field(paint, dtype):
    rgb = paint(150, 210, dtype) // 2 + np.iinfo(dtype).max // 4
    most = np.iinfo(dtype).max
    field = ab_field(8, 8)
    lab = rgb2lab(rgb / most)
    lab[..., 1:] = cv2.resize(field, (210, 150), interpolation=cv2.INTER_CUBIC)
    assert np.abs(lab[..., 1:]).max() > 15
    recolor(rgb, field)
    expected = lab2rgb(lab) * most
    # Half a step of rounding, and OpenCV's white point, which differs in the fifth digit.
    np.testing.assert_allclose(rgb, expected, atol=0.6 if dtype == np.uint8 else 20)


def test_field_is_averaged_where_the_image_is_smaller():
    rgb = gray(np.full((2, 2), 60.0))
    field = np.zeros((8, 8, 2), np.float32)
    field[::2, ::2] = (8, -16)  # A quarter of the pixels.
    recolor(rgb, field)
    np.testing.assert_allclose(lab_of(rgb)[..., 1:], np.full((2, 2, 2), (2, -4)), atol=0.05)


def test_gamut_is_reached_at_constant_lightness_and_hue():
    # Every L with every hue, all chroma beyond what sRGB has.
    lightness, hue = np.mgrid[1:100:0.5, 0:360:1.7]
    angle = np.radians(hue)
    field = np.stack([np.cos(angle), np.sin(angle)], axis=-1)[:, :, None] * 150
    rgb = gray(lightness)
    for column in range(rgb.shape[1]):  # One hue at a time: a field of one pixel.
        part = np.ascontiguousarray(rgb[:, column : column + 1])
        recolor(part, field[0, column].reshape(1, 1, 2).astype(np.float32))
        rgb[:, column : column + 1] = part
    lab = lab_of(rgb)
    np.testing.assert_allclose(lab[..., 0], lightness, atol=0.15)
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    turned = np.degrees(np.arctan2(lab[..., 2], lab[..., 1])) - hue
    turned = (turned + 180) % 360 - 180
    # Distance in Lab, as hue means little where there is hardly any chroma.
    assert (chroma * np.abs(np.radians(turned))).max() < 0.6
    # As colorful as the definition makes it.
    given = np.dstack([lightness, 150 * np.cos(angle), 150 * np.sin(angle)]).astype(np.float32)
    fitted = np.linalg.norm(color.fit_gamut(given).numpy()[..., 1:], axis=-1)
    difference = np.abs(chroma - fitted)
    assert np.median(difference) < 0.05
    # The table is interpolated across the ridges of the gamut. At bright yellow the gamut has a
    # hollow, where a bisection may find either side.
    assert np.quantile(difference, 0.99) < 0.5


def test_colors_inside_the_gamut_stay():
    # Half of what fits at each L and hue.
    lightness, hue = np.mgrid[5:96:2.0, 0:360:10.0]
    angle = np.radians(hue)
    ab = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * 150
    fitted = color.fit_gamut(np.dstack([lightness, ab]).astype(np.float32)).numpy()[..., 1:] / 2
    rgb = gray(lightness)
    for row in range(rgb.shape[0]):
        for column in range(rgb.shape[1]):
            pixel = rgb[row : row + 1, column : column + 1]
            recolor(pixel, fitted[row, column].reshape(1, 1, 2))
    np.testing.assert_allclose(lab_of(rgb)[..., 1:], fitted, atol=0.1)


def test_black_and_white_stay():
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[1] = 255
    expected = rgb.copy()
    recolor(rgb, np.full((4, 4, 2), 80, np.float32))
    np.testing.assert_array_equal(rgb, expected)


def test_result_does_not_depend_on_strips_and_threads(paint, monkeypatch):
    image, field = paint(333, 257), ab_field(32, 40)
    results = []
    for large, strip, longest in [(2**21, 2**15, 2**14), (0, 257, 2**14), (0, 4000, 100)]:
        monkeypatch.setattr(recolor_module, "_LARGE", large)
        monkeypatch.setattr(recolor_module, "_STRIP", strip)
        monkeypatch.setattr(recolor_module, "_LONGEST_SIDE", longest)
        results.append(image.copy())
        recolor(results[-1], field)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize("shape", [(1, 400_000), (400_000, 1)])
def test_long_images_take_little_memory(shape):
    rgb = np.full((*shape, 3), 99, np.uint8)
    sides = [40 if side == 1 else 320 for side in shape]
    field = cv2.resize(ab_field(40, 20), sides[::-1])
    recolor(rgb[:1, :1].copy(), field)  # Makes the tables.
    tracemalloc.start()
    recolor(rgb, field)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # All of the enlarged field would take 128 MB.
