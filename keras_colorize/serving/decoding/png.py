"""PNG in a TensorFlow graph: size, orientation, and whether it holds alpha."""

import tensorflow as tf

from keras_colorize.serving.decoding.checks import Check, number
from keras_colorize.serving.decoding.exif import orientation

_HAS_ALPHA = [4, 6]  # Color types.
_MOST_CHUNKS = 1000  # Before the image, that are looked at.


def decode(image_bytes: tf.Tensor, data: tf.Tensor, check: Check) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a PNG image; 16 bits become 8. Arguments and results are those of `jpeg.decode`.

    Returns:
        uint8, shape (H, W, 3), or (H, W, 4) for an image with alpha or a transparent color, and
        the EXIF orientation, int64.

    Reference:
        W3C PNG Specification (Third Edition), 5 and 11.
    """
    # The decoder skips unknown chunks before the header, and would find another size.
    is_first = tf.equal(number(data, 8, 8, True), int.from_bytes(b"\0\0\0\x0dIHDR"))
    image_bytes = check(is_first, "is a damaged PNG: its header is not first", image_bytes)
    width, height = number(data, 16, 4, True), number(data, 20, 4, True)
    image_bytes = check.size(height, width, image_bytes)
    transparent, exif = _find_chunks(data)
    color_type = tf.cast(number(data, 25, 1, True), tf.int32)
    has_alpha = tf.reduce_any(tf.equal(color_type, _HAS_ALPHA)) | (transparent > 0)

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.cond(
            has_alpha,
            lambda: tf.io.decode_png(image_bytes, channels=4),
            lambda: tf.io.decode_png(image_bytes, channels=3),
        )

    pixels = check.decoded(decode, image_bytes)
    return pixels, orientation(data[exif : tf.where(exif > 0, exif + 65535, 0)])


def _find_chunks(data: tf.Tensor) -> list[tf.Tensor]:
    """Where the contents of tRNS and eXIf begin, 0 for none; those after the image do not count."""
    end = tf.size(data, tf.int64)

    def kind(at: tf.Tensor) -> tf.Tensor:
        return number(data, at + 4, 4, True)

    def is_kind(at: tf.Tensor, name: bytes) -> tf.Tensor:
        return tf.equal(kind(at), int.from_bytes(name))

    def read_chunk(at: tf.Tensor, transparent: tf.Tensor, exif: tf.Tensor) -> list[tf.Tensor]:
        return [
            at + 12 + number(data, at, 4, True),
            tf.where(is_kind(at, b"tRNS"), at + 8, transparent),
            tf.where(is_kind(at, b"eXIf"), at + 8, exif),
        ]

    nothing = tf.constant(0, tf.int64)
    _, *found = tf.while_loop(
        lambda at, *_: (at < end) & tf.logical_not(is_kind(at, b"IDAT")),
        read_chunk,
        [tf.constant(8, tf.int64), nothing, nothing],
        maximum_iterations=_MOST_CHUNKS,
    )
    return found
