"""A generator of a fixed size on pictures of any size, as one TensorFlow graph."""

import keras
import tensorflow as tf


def predict_ab(generator: keras.Model, lightness: tf.Tensor) -> tf.Tensor:
    """Predicts ab at the generator's size and enlarges it to the pictures'.

    The lightness of the whole picture is squashed to the square that the generator takes (area
    filter); ab is brought back bicubically. (Training, colorizing and serving shrink sRGB instead,
    whose lightness differs a little where neighbours do; here nothing but lightness is known.)

    Args:
        generator: `lightness` (N, S, S, 1) -> `ab` (N, S, S, 2).
        lightness: normalized float32, shape (N, H, W, 1), -1..1.

    Returns:
        ab, normalized float32, shape (N, H, W, 2).
    """
    size = generator.input_shape[1:3]
    if lightness.shape[1:3] == size:
        return generator(lightness, training=False)
    ab = generator(tf.image.resize(lightness, size, method="area"), training=False)
    return tf.image.resize(ab, tf.shape(lightness)[1:3], method="bicubic")
