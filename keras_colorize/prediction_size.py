"""At what size a generator sees an image. Loads no TensorFlow."""

from typing import Any, TypeVar

PREDICTION_SIZE = 160
"""Short side at which generators of any size see an image, in pixels: see the design notes."""

MULTIPLE = 32
"""Sides that generators of any size take are multiples of this."""

_LONGEST = 8
"""The long side is at most so many times the prediction size; longer images are squeezed."""

Integer = TypeVar("Integer", int, Any)
"""An int, or in a graph an integer tensor."""


def any_size_shape(
    height: Integer, width: Integer, size: int | None = None
) -> tuple[Integer, Integer]:
    """The shape at which a generator of any size sees an image.

    Args:
        height: of the image; 1 or more.
        width: of the image; 1 or more.
        size: short side of the result; by default PREDICTION_SIZE.

    Returns:
        Height and width, about the image's aspect ratio, in multiples of MULTIPLE.
    """
    size = size or PREDICTION_SIZE
    if isinstance(height, int):
        least, most = min, max
    else:
        import tensorflow as tf

        least, most = tf.minimum, tf.maximum
    short = least(height, width)

    def side(length: Integer) -> Integer:
        half = MULTIPLE // 2
        rounded = (length * size + half * short) // (short * MULTIPLE) * MULTIPLE
        return most(least(rounded, _LONGEST * size // MULTIPLE * MULTIPLE), MULTIPLE)

    return side(height), side(width)
