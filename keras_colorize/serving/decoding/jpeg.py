"""JPEG in a TensorFlow graph: size, orientation, and whether all of its data are there."""

import tensorflow as tf

from keras_colorize.serving.decoding.checks import Check, attempt
from keras_colorize.serving.decoding.exif import orientation

_EXIF = list(b"Exif\0\0")
_APP1, _START_OF_SCAN, _FILL = 0xE1, 0xDA, 0xFF
_START_OF_FRAME = [0xC0 + kind for kind in range(16) if kind not in (4, 8, 12)]

# Segments before the image, and markers in it, that are looked at.
_MOST_SEGMENTS, _MOST_MARKERS = 1000, 4096

# Any bytes that decode to something, without a marker.
_MORE_DATA = bytes.fromhex("5ab46d932ed14ba7") * 4


def decode(image_bytes: tf.Tensor, data: tf.Tensor, check: Check) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes a JPEG image.

    Args:
        image_bytes: string, shape ().
        data: the same as uint8, shape (N,).
        check: raises the errors.

    Returns:
        uint8, shape (H, W, 3), and the EXIF orientation, int64.

    Reference:
        ITU-T T.81, annex B.
    """
    height, width, exif, scan = _read_header(data)
    has_header = (height > 0) & (scan > 0)
    image_bytes = check(has_header, "is a damaged JPEG: its header is not whole", image_bytes)
    image_bytes = check.size(height, width, image_bytes)
    pixels = check.decoded(_decode, image_bytes)
    is_whole = tf.cond(
        _has_gray_block(pixels),
        lambda: _has_all_data(image_bytes, data, scan, pixels),
        lambda: tf.constant(True),
    )
    pixels = check(is_whole, "is a damaged JPEG: image data are missing", pixels)
    # No segment is longer than 2 bytes can say.
    return pixels, orientation(data[exif : tf.where(exif > 0, exif + 65535, 0)])


def _decode(image_bytes: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(image_bytes, channels=3)


def _read_header(data: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Height, width, where EXIF data begin, and where the first scan does; 0 for none."""
    end = tf.size(data, tf.int64)

    def read_segment(
        at: tf.Tensor, height: tf.Tensor, width: tf.Tensor, exif: tf.Tensor, scan: tf.Tensor
    ) -> list[tf.Tensor]:
        segment = tf.cast(data[at : at + 10], tf.int64)
        segment = tf.pad(segment, [[0, 10 - tf.size(segment)]])
        marker, length = segment[1], 256 * segment[2] + segment[3]
        is_frame = tf.reduce_any(tf.equal(marker, _START_OF_FRAME))
        is_exif = tf.equal(marker, _APP1) & tf.reduce_all(tf.equal(segment[4:], _EXIF))
        following = tf.where(tf.equal(marker, _FILL), at + 1, at + 2 + length)
        # The decoder does not skip a length after other markers: it would find another size.
        has_length = (marker >= 0xC0) & ((marker < 0xD0) | (marker > 0xD9))
        return [
            tf.where(tf.equal(segment[0], 0xFF) & has_length, following, end),
            tf.where(is_frame, 256 * segment[5] + segment[6], height),
            tf.where(is_frame, 256 * segment[7] + segment[8], width),
            tf.where(is_exif & tf.equal(exif, 0), at + 10, exif),
            tf.where(tf.equal(marker, _START_OF_SCAN), at, scan),
        ]

    nothing = tf.constant(0, tf.int64)
    _, *header = tf.while_loop(
        lambda at, height, width, exif, scan: tf.equal(scan, 0) & (at < end),
        read_segment,
        [tf.constant(2, tf.int64), nothing, nothing, nothing, nothing],
        maximum_iterations=_MOST_SEGMENTS,
    )
    return tuple(header)


def _has_gray_block(pixels: tf.Tensor) -> tf.Tensor:
    """Whether a block of 8x8 looks like those that the decoder paints where data are missing."""
    height, width = tf.unstack(tf.shape(pixels)[:2] // 8 * 8)
    samples = [pixels[y:height:8, x:width:8] for y in (1, 6) for x in (1, 6)]
    is_gray = tf.equal(tf.stack(samples, axis=-1), 128)
    return tf.reduce_any(tf.reduce_all(is_gray, axis=(2, 3)))


def _has_all_data(
    image_bytes: tf.Tensor, data: tf.Tensor, scan: tf.Tensor, pixels: tf.Tensor
) -> tf.Tensor:
    """Whether gray blocks are in the file, and not what the decoder paints where data are missing.

    It only logs a warning. So bytes are added before each marker in the image: a decoder that has
    all data skips them, and one that lacks data gives another image.
    """
    rest = data[scan + 2 :]
    is_marker = tf.equal(rest[:-1], 0xFF) & tf.not_equal(rest[1:], 0)
    is_marker &= tf.not_equal(rest[1:], _FILL)
    markers = tf.where(is_marker)[:_MOST_MARKERS, 0] + scan + 2
    starts = tf.concat([[0], markers], axis=0)
    lengths = tf.concat([markers, [tf.size(data, tf.int64)]], axis=0) - starts
    # One by one: `substr` of several places copies the whole string for each.
    pieces = tf.map_fn(
        lambda piece: tf.strings.substr(image_bytes, *piece),
        (starts, lengths),
        fn_output_signature=tf.TensorSpec((), tf.string),
    )
    longer = attempt(_decode, tf.strings.reduce_join(pieces, separator=_MORE_DATA))
    return tf.cond(
        tf.reduce_all(tf.equal(tf.shape(longer), tf.shape(pixels))),
        lambda: tf.reduce_all(tf.equal(longer, pixels)),
        lambda: tf.constant(False),
    )
