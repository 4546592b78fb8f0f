"""sRGB and Lab in numbers: curve, primaries, white, gamut, and the scales of tensors.

Plain NumPy, so that what needs no network needs no TensorFlow.

Reference:
    IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (Lab); https://www.brucelindbloom.com. The digits are
    those of tensorflow-io, so that a round trip through it is exact.
"""

import functools

import numpy as np

# CIE 1931 2 degree observer, D65.
WHITE_D65 = (0.95047, 1.0, 1.08883)
XYZ_FROM_LINEAR_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
LINEAR_RGB_FROM_XYZ = (
    (3.24048134, -1.53715152, -0.49853633),
    (-0.96925495, 1.87599, 0.04155593),
    (0.05564664, -0.20404134, 1.05731107),
)

CURVE_SLOPE, CURVE_OFFSET, CURVE_POWER = 12.92, 0.055, 2.4
"""Of the sRGB curve: linear is `((encoded + offset) / (1 + offset)) ** power` above the knee, and
`encoded / slope` below."""

ENCODED_KNEE, LINEAR_KNEE = 0.04045, 0.0031308

LAB_KNEE, LAB_KNEE_ROOT = 0.008856, 0.2068966
"""Lab is a cube root of XYZ / white above the first, which has the second as its root."""

LAB_SLOPE, LAB_OFFSET = 7.787, 16.0 / 116.0
"""Below the knee Lab is the line `LAB_SLOPE * (XYZ / white) + LAB_OFFSET`."""

LIGHTNESS_SCALE = 50.0
"""Normalized lightness is L / 50 - 1: L of 0..100 becomes -1..1."""

AB_SCALE = 127.0
"""Normalized ab is a / 127 and b / 127, about -1..1; the original's scale, so losses compare."""

GAMUT_TOLERANCE = 1e-4
"""A linear component this far outside 0..1 still rounds to the same 8-bit value."""

# Grid of the gamut table: steps per unit of L and per degree of hue.
LIGHTNESS_STEPS, HUE_STEPS = 2, 1

_MOST_CHROMA = 200.0  # Beyond every sRGB color; the greatest, blue, has 134.
_BISECTIONS = 12  # As in `color.fit_gamut`; they leave 0.05 of chroma.


def linear_from_encoded(encoded: np.ndarray) -> np.ndarray:
    """Removes the sRGB curve: gamma-encoded values in 0..1 -> linear ones."""
    power = ((encoded + CURVE_OFFSET) / (1.0 + CURVE_OFFSET)) ** CURVE_POWER
    return np.where(encoded > ENCODED_KNEE, power, encoded / CURVE_SLOPE)


def encoded_from_linear(linear: np.ndarray) -> np.ndarray:
    """Applies the sRGB curve: linear values in 0..1 -> gamma-encoded ones."""
    root = (1.0 + CURVE_OFFSET) * linear ** (1.0 / CURVE_POWER) - CURVE_OFFSET
    return np.where(linear > LINEAR_KNEE, root, CURVE_SLOPE * linear)


@functools.cache
def max_chroma() -> np.ndarray:
    """The largest chroma inside sRGB, by lightness and hue.

    Returns:
        float32, shape (100 * LIGHTNESS_STEPS + 1, 360 * HUE_STEPS + 1): a row for each step of L
        from 0 to 100, a column for each step of hue from 0 to 360 degrees; at least 0.001.
    """
    lightness = np.linspace(0, 100, 100 * LIGHTNESS_STEPS + 1)
    hue = np.radians(np.linspace(0, 360, 360 * HUE_STEPS + 1))
    lightness, hue = np.meshgrid(lightness, hue, indexing="ij")
    low, width = np.zeros_like(hue), _MOST_CHROMA
    for _ in range(_BISECTIONS):
        width /= 2.0
        chroma = low + width
        fits = _in_gamut(lightness, chroma * np.cos(hue), chroma * np.sin(hue))
        low = np.where(fits, chroma, low)
    return np.maximum(low, 1e-3).astype(np.float32)


def _in_gamut(lightness: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether Lab colors have all linear sRGB components in 0..1."""
    y = (lightness + 16.0) / 116.0
    xyz = np.stack([y + a / 500.0, y, y - b / 200.0], axis=-1)
    xyz = np.where(xyz > LAB_KNEE_ROOT, xyz**3, (xyz - LAB_OFFSET) / LAB_SLOPE)
    linear = xyz * WHITE_D65 @ np.transpose(LINEAR_RGB_FROM_XYZ)
    return ((linear >= -GAMUT_TOLERANCE) & (linear <= 1.0 + GAMUT_TOLERANCE)).all(axis=-1)
