"""Errors in a graph that name the image, and numbers in the bytes of a file."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Check:
    """Raises InvalidArgumentError, `NAME: reason`, when a graph runs.

    Attributes:
        name: string, shape (), of the image.
        max_pixels: images with more are refused.
        max_side: images with a longer side are refused.
    """

    name: tf.Tensor
    max_pixels: int
    max_side: int

    def __call__(
        self, condition: tf.Tensor, reason: str | tf.Tensor, value: tf.Tensor
    ) -> tf.Tensor:
        """`value`, which is there only where `condition` holds."""
        message = tf.strings.join([self.name, ": ", reason])
        with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
            return tf.identity(value)

    def size(self, height: tf.Tensor, width: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """`value`, which is there only for an image of allowed size."""
        has_pixels = (height > 0) & (width > 0)
        value = self(has_pixels, "is damaged: its size is 0", value)
        sides = (height <= self.max_side) & (width <= self.max_side)
        reason = f"has a side of more than {self.max_side:,} pixels"
        value = self(sides, reason, value)
        megapixels = tf.strings.as_string(tf.cast(height * width, tf.float32) / 1e6, shortest=True)
        most = f" megapixels; at most {self.max_pixels / 1e6:g} are taken"
        reason = tf.strings.join(["has ", megapixels, most])
        return self(height * width <= self.max_pixels, reason, value)

    def decoded(
        self, decode: Callable[[tf.Tensor], tf.Tensor], image_bytes: tf.Tensor
    ) -> tf.Tensor:
        """What an operation decodes, uint8 (H, W, C); its own error would not name the image."""
        pixels = attempt(decode, image_bytes)
        return self(tf.size(pixels) > 0, "is damaged: it cannot be decoded", pixels)


def attempt(decode: Callable[[tf.Tensor], tf.Tensor], image_bytes: tf.Tensor) -> tf.Tensor:
    """What `decode` gives, uint8 (H, W, C), or an empty tensor where it fails."""
    # A dataset is the one place in a graph where an error can be caught.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    decoded = tf.data.Dataset.from_tensors(image_bytes).map(decode).ignore_errors()
    nothing = tf.data.Dataset.from_tensors(tf.zeros((0, 0, 0), tf.uint8))
    pixels = decoded.concatenate(nothing).take(1).with_options(options).get_single_element()
    return tf.ensure_shape(pixels, (None, None, None))


def number(
    data: tf.Tensor, at: int | tf.Tensor, count: int, big_endian: bool | tf.Tensor
) -> tf.Tensor:
    """The unsigned integer of `count` bytes; bytes after the end of `data` are 0.

    Args:
        data: uint8, shape (N,).
        at: where it begins, an int or int64, shape ().
        count: of its bytes.
        big_endian: whether its first byte is the highest.

    Returns:
        int64, shape ().
    """
    found = tf.cast(data[at : at + count], tf.int64)
    found = tf.pad(found, [[0, count - tf.size(found)]])
    little = tf.constant([256**place for place in range(count)], tf.int64)
    return tf.reduce_sum(found * tf.where(big_endian, little[::-1], little))
