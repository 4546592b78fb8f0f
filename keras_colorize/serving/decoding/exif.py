"""The orientation in EXIF data, in a TensorFlow graph."""

import tensorflow as tf

from keras_colorize.serving.decoding.checks import number

_ORIENTATION, _SHORT = 0x0112, 3


def orientation(exif: tf.Tensor) -> tf.Tensor:
    """Reads the orientation; damaged data say 1, upright.

    Args:
        exif: uint8, shape (N,), from its TIFF header on; may be empty or continue after its end.

    Returns:
        int64, shape (), 1..8 unless the file says something else.

    Reference:
        Exif 2.32 (JEITA CP-3451X), 4.6.4; TIFF 6.0, section 2.
    """
    is_big = tf.reduce_all(tf.equal(number(exif, 0, 2, True), int.from_bytes(b"MM")))
    directory = number(exif, 4, 4, is_big)
    count = number(exif, directory, 2, is_big)
    entries = tf.cast(exif[directory + 2 : directory + 2 + 12 * count], tf.int64)
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], (-1, 12))

    def shorts(column: int) -> tf.Tensor:
        first, second = entries[:, column], entries[:, column + 1]
        return tf.where(is_big, 256 * first + second, 256 * second + first)

    is_orientation = tf.equal(shorts(0), _ORIENTATION) & tf.equal(shorts(2), _SHORT)
    found = tf.boolean_mask(shorts(8), is_orientation)
    return tf.concat([found, [1]], axis=0)[0]
