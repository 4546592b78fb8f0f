"""8-bit images <-> normalized Lab as caches hold it. No TensorFlow here.

`color.normalize` defines the conversion; this is the same for 8-bit images alone, by a table of
linear values, about 20 times as fast.
"""

import math

import cv2
import numpy as np

from keras_colorize.srgb import (
    AB_SCALE,
    LAB_KNEE,
    LAB_KNEE_ROOT,
    LAB_OFFSET,
    LAB_SLOPE,
    LIGHTNESS_SCALE,
    WHITE_D65,
    XYZ_FROM_LINEAR_RGB,
    encoded_from_linear,
    linear_from_encoded,
)

LAB_STEPS = 32_767
"""A Lab cache counts normalized Lab in steps of 1 / LAB_STEPS: it is within 0.0008 of L and 0.002
of a and b, far below the source's 8 bits, in half the memory of float32."""

LAB_BYTES = 6
"""Bytes that a Lab cache takes for a pixel."""

_PIXELS_AT_ONCE = 2**13  # As many as fit the processor's cache while they are converted.
_LINEAR_STEPS = 65_535

_LINEAR = linear_from_encoded(np.arange(256) / 255).astype(np.float32)
_ENCODED = np.rint(255 * encoded_from_linear(np.arange(_LINEAR_STEPS + 1) / _LINEAR_STEPS)).astype(
    np.uint8
)

# XYZ / white, and the linear values that it came from.
_RELATIVE_XYZ = np.array(XYZ_FROM_LINEAR_RGB) / np.array(WHITE_D65)[:, None]
_LINEAR_RGB = np.linalg.inv(_RELATIVE_XYZ)

# Lab of the roots of X, Y and Z, normalized; the last column is added.
_NORMALIZED_LAB = np.array(
    [
        [0.0, 116.0 / LIGHTNESS_SCALE, 0.0, -16.0 / LIGHTNESS_SCALE - 1.0],
        [500.0 / AB_SCALE, -500.0 / AB_SCALE, 0.0, 0.0],
        [0.0, 200.0 / AB_SCALE, -200.0 / AB_SCALE, 0.0],
    ]
)
_ROOTS = np.linalg.inv(_NORMALIZED_LAB[:, :3] * LAB_STEPS)
_ROOTS = np.hstack([_ROOTS, -_ROOTS @ _NORMALIZED_LAB[:, 3:] * LAB_STEPS])


def lab_from_rgb(rgb: np.ndarray) -> np.ndarray:
    """Converts images to Lab as a cache holds it.

    Args:
        rgb: uint8, shape (N, H, W, 3), sRGB.

    Returns:
        int16, the same shape: normalized lightness, a and b, in steps of 1 / LAB_STEPS. If H * W
        is a multiple of 16, an image has the same bits whatever it is converted with.
    """
    lab = np.empty(rgb.shape, np.int16)
    for part in _parts(rgb.shape):
        steps = normalize_8_bits(rgb[part])
        steps *= LAB_STEPS
        lab[part] = np.rint(steps, out=steps)  # No color is beyond -1..1 by half a step.
    return lab


def normalize_8_bits(rgb: np.ndarray) -> np.ndarray:
    """The same as `color.normalize`, within 1e-6.

    Args:
        rgb: uint8, shape (..., 3), sRGB.

    Returns:
        float32, the same shape: normalized lightness, a and b.
    """
    # By planes in NumPy: at the end of an array `cv2.transform` rounds otherwise than before.
    red, green, blue = cv2.split(cv2.LUT(rgb.reshape(-1, 1, 3), _LINEAR))
    roots = []
    for of_red, of_green, of_blue in _RELATIVE_XYZ.astype(np.float32):
        value = red * of_red
        value += green * of_green
        value += blue * of_blue
        root = cv2.pow(value, 1 / 3)
        np.copyto(root, value * LAB_SLOPE + LAB_OFFSET, where=value <= LAB_KNEE)
        roots.append(root)
    x, y, z = roots
    lightness = y * (116.0 / LIGHTNESS_SCALE) - (16.0 / LIGHTNESS_SCALE + 1.0)
    ab = (x - y) * (500.0 / AB_SCALE), (y - z) * (200.0 / AB_SCALE)
    return cv2.merge([lightness, *ab]).reshape(rgb.shape)


def rgb_from_lab(lab: np.ndarray) -> np.ndarray:
    """The images that `lab_from_rgb` converted, exactly.

    Args:
        lab: int16, shape (N, H, W, 3), in steps of 1 / LAB_STEPS.

    Returns:
        uint8, the same shape, sRGB. Of another Lab some color near it.
    """
    rgb = np.empty(lab.shape, np.uint8)
    for part in _parts(lab.shape):
        roots = cv2.transform(lab[part].reshape(-1, 1, 3).astype(np.float32), _ROOTS)
        xyz = roots * roots * roots
        line = (roots - np.float32(LAB_OFFSET)) / np.float32(LAB_SLOPE)
        np.copyto(xyz, line, where=roots <= LAB_KNEE_ROOT)
        steps = cv2.transform(xyz, _LINEAR_RGB * _LINEAR_STEPS)
        np.clip(np.rint(steps, out=steps), 0, _LINEAR_STEPS, out=steps)
        rgb[part] = _ENCODED[steps.astype(np.uint16)].reshape(lab[part].shape)
    return rgb


def _parts(shape: tuple[int, ...]) -> list[slice]:
    """Slices of a few images each that cover an array of (N, H, W, 3)."""
    count = max(1, _PIXELS_AT_ONCE // max(1, math.prod(shape[1:3])))
    return [slice(start, start + count) for start in range(0, shape[0], count)]
