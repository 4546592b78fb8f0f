"""BMP in a TensorFlow graph, of all depths; TensorFlow's own operation reads three of them."""

import functools

import tensorflow as tf

from keras_colorize.serving.decoding.checks import Check, number

_BITS = [1, 4, 8, 16, 24, 32]
_PLAIN, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # Kinds of compression.
_MASKS_OF_16 = (0x7C00, 0x03E0, 0x001F, 0)
_MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF, 0)
_HEADER, _HEADER_WITH_ALPHA = 40, 56  # Lengths of headers, at least.


def decode(image_bytes: tf.Tensor, data: tf.Tensor, check: Check) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes an uncompressed BMP image. Arguments and results are those of `jpeg.decode`.

    Returns:
        uint8, shape (H, W, 3), or (H, W, 4) if it has a mask for alpha; and 1, upright.

    Reference:
        Microsoft, "Bitmap Header Types" (BITMAPINFOHEADER, BITMAPV4HEADER, BITMAPV5HEADER).
    """
    read = functools.partial(number, data, big_endian=False)
    header, bits, compression = read(14, 4), read(28, 2), read(30, 4)
    width, height = _signed(read(18, 4)), _signed(read(22, 4))
    has_masks = tf.reduce_any(tf.equal(compression, [_MASKS, _MASKS_WITH_ALPHA]))
    is_plain = tf.equal(compression, _PLAIN) | (has_masks & (bits >= 16))
    data = check(header >= _HEADER, "is a BMP of an old kind; save it as PNG", data)
    data = check(is_plain, "is a compressed BMP; save it as PNG", data)
    is_known = tf.reduce_any(tf.equal(bits, _BITS))
    data = check(is_known, "is a BMP of an unknown depth; save it as PNG", data)
    data = check.size(tf.abs(height), width, data)
    start, stride = read(10, 4), (width * bits + 31) // 32 * 4
    pixel_data = data[start : start + stride * tf.abs(height)]
    is_whole = tf.equal(tf.size(pixel_data, tf.int64), stride * tf.abs(height))
    pixel_data = check(is_whole, "is a damaged BMP: it is truncated", pixel_data)
    rows = tf.reshape(pixel_data, (tf.abs(height), stride))

    def masks(default: tuple[int, ...]) -> tf.Tensor:
        has_alpha = (header >= _HEADER_WITH_ALPHA) | tf.equal(compression, _MASKS_WITH_ALPHA)
        alpha = tf.where(has_alpha, read(66, 4), 0)
        own = tf.stack([read(54, 4), read(58, 4), read(62, 4), alpha])
        return tf.where(has_masks, own, tf.constant(default, tf.int64))

    def look_up_palette(depth: int) -> tf.Tensor:
        shifts = tf.constant(list(range(8 - depth, -1, -depth)), tf.uint8)
        indices = tf.bitwise.right_shift(rows[..., None], shifts)
        indices = tf.bitwise.bitwise_and(indices, tf.constant(2**depth - 1, tf.uint8))
        indices = tf.reshape(indices, (tf.abs(height), -1))[:, :width]
        # Of blue, green, red and nothing each; it lies between header and pixels.
        palette = data[14 + header : tf.minimum(start, 14 + header + 4 * 2**depth)]
        palette = tf.pad(palette, [[0, 4 * 2**depth - tf.size(palette)]])
        palette = tf.reshape(palette, (-1, 4))[:, 2::-1]
        return tf.gather(palette, tf.cast(indices, tf.int32))

    def look_up_16() -> tf.Tensor:
        pairs = tf.cast(tf.reshape(rows[:, : 2 * width], (-1, width, 2)), tf.int32)
        return tf.gather(_table_of_16(masks(_MASKS_OF_16)), pairs[..., 0] + 256 * pairs[..., 1])

    def reverse_24() -> tf.Tensor:
        return tf.reshape(rows[:, : 3 * width], (-1, width, 3))[..., ::-1]

    def pick_32() -> tf.Tensor:
        places = _places(masks(_MASKS_OF_32))
        are_bytes = tf.reduce_all(places[:3] < 4)
        reason = "is a BMP with channels that are no whole bytes; save it as PNG"
        pixels = check(are_bytes, reason, tf.reshape(rows, (-1, width, 4)))
        return tf.gather(pixels, tf.boolean_mask(places, places < 4), axis=-1)

    pixels = tf.switch_case(
        tf.argmax(tf.cast(tf.equal(bits, _BITS), tf.int32), output_type=tf.int32),
        [
            *(functools.partial(look_up_palette, depth) for depth in (1, 4, 8)),
            *(look_up_16, reverse_24, pick_32),
        ],
    )
    pixels.set_shape((None, None, None))
    # Rows go up unless the height is negative.
    pixels = tf.cond(height > 0, lambda: tf.reverse(pixels, [0]), lambda: pixels)
    return pixels, tf.constant(1, tf.int64)


def _signed(value: tf.Tensor) -> tf.Tensor:
    """Of 32 bits."""
    return tf.where(value < 2**31, value, value - 2**32)


def _table_of_16(masks: tf.Tensor) -> tf.Tensor:
    """The color of every 16-bit value: uint8, shape (65536, 3), or 4 with a mask for alpha."""
    masks = tf.boolean_mask(masks, tf.not_equal(masks, 0) | (tf.range(4) < 3))
    lowest = tf.maximum(tf.bitwise.bitwise_and(masks, -masks), 1)
    levels = tf.range(65536, dtype=tf.int64)[:, None]
    levels = tf.bitwise.bitwise_and(levels, masks) // lowest
    shares = tf.cast(levels, tf.float32) / tf.cast(tf.maximum(masks // lowest, 1), tf.float32)
    return tf.cast(tf.round(255.0 * shares), tf.uint8)


def _places(masks: tf.Tensor) -> tf.Tensor:
    """Which byte each mask takes, int64; 4 if it is not one whole byte."""
    whole = tf.constant([0xFF << 8 * byte for byte in range(4)], tf.int64)
    is_byte = tf.cast(tf.equal(masks[:, None], whole), tf.int64)
    return tf.where(tf.reduce_any(is_byte > 0, axis=1), tf.argmax(is_byte, axis=1), 4)
