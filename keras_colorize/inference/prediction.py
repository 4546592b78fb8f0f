"""From pictures of any size to the ab that a generator predicts for them."""

import functools
from collections.abc import Callable

import cv2
import keras
import numpy as np
import tensorflow as tf

from keras_colorize import color
from keras_colorize.errors import ColorizeError
from keras_colorize.images import to_uint8


def squash(rgb: np.ndarray, size: int) -> np.ndarray:
    """Resizes the whole picture to a square: by area where it shrinks, bicubic where it grows.

    Generators see squares: what is cropped could not be coloured.

    Args:
        rgb: uint8 or uint16, shape (H, W, 3).
        size: side of the result, in pixels.

    Returns:
        uint8, shape (size, size, 3).
    """
    height, width = rgb.shape[:2]
    if min(height, width) < size:
        grown = (max(width, size), max(height, size))
        rgb = cv2.resize(rgb, grown, interpolation=cv2.INTER_CUBIC)
    return to_uint8(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA))


@functools.lru_cache(maxsize=1)
def ab_predictor(generator: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Compiles a generator for use on squashed pictures; kept for the next call.

    Args:
        generator: `lightness` (N, S, S, 1), -1..1 -> `ab` (N, S, S, 2), about -1..1.

    Returns:
        A function from uint8 sRGB (N, S, S, 3), any N, to the Lab components ab, float32,
        (N, S, S, 2); it raises ColorizeError where they are not finite.
    """
    size = generator.input_shape[1]

    def predict(squares: tf.Tensor) -> tf.Tensor:
        lightness, _ = color.normalize(squares)
        ab = generator(lightness, training=False)
        return tf.cast(ab, tf.float32) * color.AB_SCALE

    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8)]
    compiled = tf.function(predict, input_signature=signature, autograph=False)

    def checked(squares: np.ndarray) -> np.ndarray:
        ab = compiled(squares).numpy()
        if not np.isfinite(ab).all():
            raise ColorizeError("the model predicts values that are not finite")
        return ab

    return checked
