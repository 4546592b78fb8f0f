"""Gives an image new colors at its full resolution: its own lightness, ab from a small field.

The arithmetic of `color.py` again, in OpenCV and NumPy, for millions of pixels: in strips that
fit the processor's cache, on all cores.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from keras_colorize import srgb

# An image is colored in strips of this many pixels: few enough for their dozen float32 planes to
# stay in the cache, and so many that threads seldom wait for Python's lock. From `_LARGE` pixels
# on all cores share an image.
_STRIP, _LARGE = 2**17, 2**21

_MOST_THREADS = 16

_LONGEST_SIDE = 2**14  # `cv2.remap` takes fewer than 2**15 rows and columns.

_LUMINANCE_FROM_LINEAR = np.linalg.inv(srgb.LINEAR_RGB_FROM_XYZ)[1:2].astype(np.float32)


def recolor(rgb: np.ndarray, ab: np.ndarray, threads: int | None = None) -> None:
    """Replaces the colors of an image, in place, and keeps its lightness.

    The ab field covers the whole image; along each axis it is enlarged bicubically or, where
    the image is smaller, shrunk by area. Where L and ab together are not an sRGB color, chroma
    is reduced at constant L and hue, as `color.fit_gamut` defines it.

    Args:
        rgb: uint8 or uint16, shape (H, W, 3), sRGB; overwritten.
        ab: float32, shape (h, w, 2), the Lab components of the new colors.
        threads: that share a large image; by default as many as there are cores.
    """
    threads = threads or len(os.sched_getaffinity(0))
    width = rgb.shape[1]
    smaller = min(ab.shape[1], width), min(ab.shape[0], rgb.shape[0])
    if smaller != ab.shape[1::-1]:
        ab = cv2.resize(ab, smaller, interpolation=cv2.INTER_AREA)
    # Enlarging is a product with a matrix on either side: the columns once for each part of the
    # width, the rows in each strip.
    for left in range(0, width, _LONGEST_SIDE):
        part = slice(left, min(left + _LONGEST_SIDE, width))
        _recolor_columns(rgb[:, part], _columns(ab, width, part), threads)


def _recolor_columns(rgb: np.ndarray, columns: np.ndarray, threads: int) -> None:
    """Recolors a part of the width in place; `columns`, (h, 2, W), has ab of its columns."""
    height, width = rgb.shape[:2]
    rows = min(max(1, _STRIP // width), _LONGEST_SIDE)

    def recolor_strip(top: int) -> None:
        strip = rgb[top : top + rows]
        taps, weights = _weights(len(columns), height, slice(top, top + len(strip)))
        used = slice(taps.min(), taps.max() + 1)
        matrix = np.zeros((len(strip), used.stop - used.start), np.float32)
        for tap, weight in zip(taps - used.start, weights, strict=True):
            matrix[np.arange(len(strip)), tap] += weight
        # Not `@`: BLAS would start threads of its own every time, and wait for them.
        a, b = np.einsum("rs,scw->crw", matrix, columns[used])
        strip[:] = _recolor(strip, a, b)

    tops = range(0, height, rows)
    if height * width >= _LARGE and threads > 1:
        list(_pool(min(threads, _MOST_THREADS)).map(recolor_strip, tops))
    else:
        for top in tops:
            recolor_strip(top)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that all images share, since each strip at work takes some 12 MB."""
    return ThreadPoolExecutor(threads)


def _columns(ab: np.ndarray, width: int, part: slice) -> np.ndarray:
    """Part of an ab field (h, w, 2) that is resized to `width`: float32, shape (h, 2, part)."""
    taps, weights = _weights(ab.shape[1], width, part)
    field = np.ascontiguousarray(ab.transpose(0, 2, 1))
    columns = np.zeros((*field.shape[:2], taps.shape[1]), np.float32)
    for tap, weight in zip(taps, weights, strict=True):
        columns += weight * field.take(tap, axis=2)
    return columns


def _weights(size: int, new_size: int, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """How a part of an axis is made by bicubic enlargement, as by `cv2.resize`.

    The kernel has a = -0.75; the outer samples are repeated.

    Args:
        size: samples before.
        new_size: samples after, as many or more.
        part: which of these are wanted.

    Returns:
        For each of the part the four samples it is made of, int, and their weights, float32; both
        of shape (4, part).

    Reference:
        Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    place = (np.arange(part.start, part.stop) + 0.5) * (size / new_size) - 0.5
    before = np.floor(place)
    t = place - before
    first = ((-0.75 * (t + 1) + 3.75) * (t + 1) - 6) * (t + 1) + 3
    second = (1.25 * t - 2.25) * t * t + 1
    third = (1.25 * (1 - t) - 2.25) * (1 - t) * (1 - t) + 1
    weights = np.stack([first, second, third, 1 - first - second - third])
    taps = before.astype(int) + np.arange(-1, 3)[:, None]
    return np.clip(taps, 0, size - 1), weights.astype(np.float32)


def _recolor(rgb: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns `rgb` with its lightness and each pixel's own a and b, float32, shape (H, W)."""
    levels = lightness(rgb)
    chroma, hue = cv2.cartToPolar(a, b, angleInDegrees=True)
    x, y = hue * srgb.HUE_STEPS, levels * srgb.LIGHTNESS_STEPS
    limit = cv2.remap(srgb.max_chroma(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    scale = limit / np.maximum(chroma, limit)
    lab = cv2.merge([levels, a * scale, b * scale])
    result = cv2.cvtColor(lab, cv2.COLOR_Lab2RGB)
    if rgb.dtype == np.uint8:
        return cv2.convertScaleAbs(result, alpha=255)
    return np.rint(result * 65535).astype(np.uint16)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """L of sRGB pixels (H, W, 3): float32, shape (H, W), 0..100."""
    table = _linear_values(np.iinfo(rgb.dtype).max + 1)
    linear = cv2.LUT(rgb, table) if rgb.dtype == np.uint8 else np.take(table, rgb)
    luminance = cv2.transform(linear, _LUMINANCE_FROM_LINEAR)
    # The cube root, continued below 216/24389 by its tangent.
    knee = 216 / 24389
    excess = np.minimum(luminance - knee, 0.0)
    root = cv2.pow(np.maximum(luminance, knee), 1 / 3)  # Ten times as fast as `np.cbrt`.
    return 116 * root - 16 + 24389 / 27 * excess


@functools.cache
def _linear_values(count: int) -> np.ndarray:
    """The linear values, float32, of `count` gamma-encoded sRGB values from 0 to 1."""
    linear = srgb.linear_from_encoded(np.linspace(0.0, 1.0, count))
    return linear.astype(np.float32)
