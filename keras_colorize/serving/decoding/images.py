"""Any encoded image -> upright 8-bit pixels, or an error that names the image and the reason."""

import functools

import tensorflow as tf

from keras_colorize.serving.decoding import bmp, gif, jpeg, png
from keras_colorize.serving.decoding.checks import Check

MAX_SIDE = 65_535
"""Images with a longer side are refused, as JPEG cannot hold them either."""

_FORMATS = (
    (b"\xff\xd8\xff", jpeg.decode),
    (b"\x89PNG\r\n\x1a\n", png.decode),
    (b"GIF8", gif.decode),
    (b"BM", bmp.decode),
)


def decode_image(image_bytes: tf.Tensor, name: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG, GIF (its first frame) or BMP image; detected by its first bytes.

    The EXIF orientation is applied. The size is checked before anything is decoded.

    Args:
        image_bytes: string, shape (), a whole file.
        name: string, shape (), what errors call the image.
        max_pixels: images with more are refused.

    Returns:
        uint8, shape (H, W, 3), or (H, W, 4) with alpha, not premultiplied.

    Raises:
        tf.errors.InvalidArgumentError: when run; `NAME: what is wrong`.
    """
    check = Check(name, max_pixels, MAX_SIDE)
    is_format = [
        tf.equal(tf.strings.substr(image_bytes, 0, len(start)), start) for start, _ in _FORMATS
    ]
    known = check(tf.reduce_any(is_format), "is no JPEG, PNG, GIF or BMP image", image_bytes)
    data = tf.io.decode_raw(known, tf.uint8)
    pixels, orientation = tf.switch_case(
        tf.argmax(tf.cast(is_format, tf.int32), output_type=tf.int32),
        [functools.partial(decode, known, data, check) for _, decode in _FORMATS],
    )
    pixels.set_shape((None, None, None))
    return _turn(pixels, orientation)


def _turn(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns (H, W, C) upright, by an EXIF orientation; 1 or an unknown one: as is."""
    for orientations, turn in (
        ([5, 6, 7, 8], lambda image: tf.transpose(image, [1, 0, 2])),
        ([2, 3, 6, 7], lambda image: tf.reverse(image, [1])),
        ([3, 4, 7, 8], lambda image: tf.reverse(image, [0])),
    ):
        is_turned = tf.reduce_any(tf.equal(orientation, orientations))
        pixels = tf.cond(
            is_turned, functools.partial(turn, pixels), functools.partial(tf.identity, pixels)
        )
    return pixels
