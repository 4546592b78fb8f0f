"""The ab plane in cells, so that a network can say how likely each color is."""

import functools

import numpy as np
import tensorflow as tf

from keras_colorize import color

CELL = 12.0
"""Side of a cell, in units of a and b."""

_REACH = 10
"""The grid goes from -_REACH to _REACH cells along a and b: beyond every sRGB color."""


@functools.cache
def class_centers() -> np.ndarray:
    """The colors that classes stand for: the corners of all cells that hold sRGB colors.

    Returns:
        Normalized ab, float32, shape (classes, 2).
    """
    corners = np.argwhere(_is_class())
    return ((corners - _REACH) * (CELL / color.AB_SCALE)).astype(np.float32)


def class_targets(ab: tf.Tensor) -> tf.Tensor:
    """Spreads colors over the four nearest classes, so that their mean is the color again.

    Args:
        ab: normalized, float32, shape (..., 2).

    Returns:
        Probabilities, float32, shape (..., classes).
    """
    count = len(class_centers())
    position = ab * (color.AB_SCALE / CELL) + _REACH
    position = tf.clip_by_value(position, 0.0, 2 * _REACH - 1e-3)
    low = tf.floor(position)
    share = position - low
    low = tf.cast(low, tf.int32)
    targets = 0.0
    for i in (0, 1):
        for j in (0, 1):
            weight_a = share[..., 0] if i else 1.0 - share[..., 0]
            weight_b = share[..., 1] if j else 1.0 - share[..., 1]
            index = (low[..., 0] + i) * (2 * _REACH + 1) + low[..., 1] + j
            corner = tf.one_hot(tf.gather(_nearest_class(), index), count)
            targets += (weight_a * weight_b)[..., None] * corner
    return targets


@functools.cache
def _is_class() -> np.ndarray:
    """Which corners of the grid belong to a cell with sRGB colors; bool, one axis each of a, b."""
    values = np.linspace(0.0, 1.0, 65, dtype=np.float32)
    rgb = np.stack(np.meshgrid(values, values, values), axis=-1).reshape(-1, 3)
    ab = color.rgb_to_lab(rgb).numpy()[:, 1:]
    low = np.floor(ab / CELL).astype(int) + _REACH
    used = np.zeros((2 * _REACH + 1, 2 * _REACH + 1), bool)
    for i in (0, 1):
        for j in (0, 1):
            used[low[:, 0] + i, low[:, 1] + j] = True
    return used


@functools.cache
def _nearest_class() -> np.ndarray:
    """The class of each corner, or the nearest one; int32, flattened grid."""
    corners = np.argwhere(np.ones_like(_is_class()))
    classes = np.argwhere(_is_class())
    distances = np.square(corners[:, None] - classes).sum(axis=-1)
    return distances.argmin(axis=1).astype(np.int32)
