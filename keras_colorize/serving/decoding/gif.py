"""GIF in a TensorFlow graph: the first frame on the whole canvas."""

import tensorflow as tf

from keras_colorize.serving.decoding.checks import Check, number

_EXTENSION, _FRAME, _CONTROL = 0x21, 0x2C, 0xF9
_HAS_PALETTE, _PALETTE_SIZE, _INTERLACED = 0x80, 0x07, 0x40

# Blocks that are looked at: before the first frame, and of its data (up to 25 MB).
_MOST_EXTENSIONS, _MOST_BLOCKS = 10_000, 100_000

_GRAY_PALETTE = bytes(value for value in range(256) for _ in range(3))


def decode(image_bytes: tf.Tensor, data: tf.Tensor, check: Check) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes the first frame of a GIF image. Arguments and results are those of `jpeg.decode`.

    TensorFlow's decoder reads all frames, gives the frame without its canvas, and black for
    transparent pixels. It is given a file of the first frame alone with a palette of grays, so
    that it gives the indices of colors.

    Returns:
        uint8, shape (H, W, 3), or (H, W, 4) if any pixel is transparent or outside of the frame;
        and 1, upright.

    Reference:
        GIF89a Specification, CompuServe 1990.
    """
    frame, transparent = _find_frame(data)
    left, top, width, height = (number(data, frame + at, 2, False) for at in (1, 3, 5, 7))
    canvas_width = tf.maximum(number(data, 6, 2, False), left + width)
    canvas_height = tf.maximum(number(data, 8, 2, False), top + height)
    flags = number(data, frame + 9, 1, False)
    own_palette = _palette_length(flags)
    start = frame + 10 + own_palette
    end = _find_end(data, start)
    is_whole = (frame > 0) & (end <= tf.size(data, tf.int64))
    image_bytes = check(is_whole, "is a damaged GIF: its first frame is not whole", image_bytes)
    image_bytes = check.size(canvas_height, canvas_width, image_bytes)
    image_bytes = check.size(height, width, image_bytes)

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        shape = tf.strings.substr(image_bytes, frame + 5, 4)
        interlaced = tf.where(tf.equal(flags // _INTERLACED % 2, 1), b"\x40", b"\0")
        contents = tf.strings.substr(image_bytes, start, end - start)
        header = [b"GIF89a", shape, b"\xf7\0\0" + _GRAY_PALETTE]
        descriptor = [b"\x2c\0\0\0\0", shape, interlaced]
        return tf.io.decode_gif(tf.strings.join([*header, *descriptor, contents, b"\x3b"]))[0]

    indices = tf.cast(check.decoded(decode, image_bytes)[..., 0], tf.int32)
    palette_start = tf.where(own_palette > 0, frame + 10, 13)
    palette = data[palette_start : palette_start + 3 * 256]
    palette = tf.reshape(tf.pad(palette, [[0, 3 * 256 - tf.size(palette)]]), (256, 3))
    alpha = tf.where(tf.equal(tf.range(256), transparent), 0, 255)
    palette = tf.concat([palette, tf.cast(alpha, tf.uint8)[:, None]], axis=-1)
    below, right = canvas_height - top - height, canvas_width - left - width
    pixels = tf.pad(tf.gather(palette, indices), [[top, below], [left, right], [0, 0]])
    is_opaque = tf.reduce_all(tf.equal(pixels[..., 3], 255))
    pixels = tf.cond(is_opaque, lambda: pixels[..., :3], lambda: pixels)
    return pixels, tf.constant(1, tf.int64)


def _palette_length(flags: tf.Tensor) -> tf.Tensor:
    """The bytes of a palette, by the flags that announce it."""
    length = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), flags % (_PALETTE_SIZE + 1))
    return tf.where(flags >= _HAS_PALETTE, length, 0)


def _find_frame(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the first frame's descriptor is, 0 for none, and its transparent index, -1 for none."""
    end = tf.size(data, tf.int64)

    def read_block(at: tf.Tensor, transparent: tf.Tensor, inside: tf.Tensor) -> list[tf.Tensor]:
        first = number(data, at, 1, False)
        is_extension = tf.equal(first, _EXTENSION)
        is_control = tf.equal(number(data, at + 1, 1, False), _CONTROL)
        is_control &= is_extension & tf.logical_not(inside)
        has_transparent = is_control & tf.equal(number(data, at + 3, 1, False) % 2, 1)
        index = tf.cast(number(data, at + 6, 1, False), tf.int32)
        following = tf.where(is_extension, at + 2, end)
        return [
            tf.where(inside, at + first + 1, following),
            tf.where(has_transparent, index, transparent),
            tf.where(inside, first > 0, is_extension),
        ]

    def goes_on(at: tf.Tensor, transparent: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
        return (at < end) & (inside | tf.not_equal(number(data, at, 1, False), _FRAME))

    at, transparent, _ = tf.while_loop(
        goes_on,
        read_block,
        [13 + _palette_length(number(data, 10, 1, False)), tf.constant(-1), tf.constant(False)],
        maximum_iterations=_MOST_EXTENSIONS,
    )
    is_frame = tf.equal(number(data, at, 1, False), _FRAME)
    return tf.where(is_frame, at, 0), transparent


def _find_end(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Where a frame's data end; after the end of the file if they are not whole."""
    size = tf.size(data, tf.int64)
    at = tf.while_loop(
        lambda at: (at < size) & tf.not_equal(tf.reduce_sum(data[at : at + 1]), 0),
        lambda at: [at + 1 + tf.cast(data[at], tf.int64)],
        [start + 1],
        maximum_iterations=_MOST_BLOCKS,
    )[0]
    return tf.where(tf.equal(number(data, at, 1, False), 0), at + 1, size + 1)
