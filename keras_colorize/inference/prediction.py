"""From images of any size to the ab that a generator predicts for them."""

import functools
from collections.abc import Callable

import cv2
import keras
import numpy as np
import tensorflow as tf

from keras_colorize import color
from keras_colorize.errors import ColorizeError
from keras_colorize.images import to_uint8
from keras_colorize.models.predict import both_ends, has_vividness
from keras_colorize.models.predict import vividness as default_vividness


def squash(rgb: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes a whole image: by area along sides that shrink, then bicubic along those that grow.

    Args:
        rgb: uint8 or uint16, shape (H, W, 3).
        shape: height and width of the result.

    Returns:
        uint8, of that shape.
    """
    height, width = rgb.shape[:2]
    shrunk = (min(width, shape[1]), min(height, shape[0]))
    rgb = to_uint8(cv2.resize(rgb, shrunk, interpolation=cv2.INTER_AREA))
    if shrunk == shape[::-1]:
        return rgb
    return cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_CUBIC)


@functools.lru_cache(maxsize=1)
def ab_predictor(generator: keras.Model) -> Callable[..., np.ndarray]:
    """Compiles a generator for use on images that `squash` resized; kept for the next call.

    Args:
        generator: `lightness` (N, S, S, 1) or, for any size, (N, H, W, 1), -1..1 -> `ab`.

    Returns:
        A function of uint8 sRGB (N, H, W, 3), any N, and of vividness, 0..1 or None for the
        generator's own, to the Lab components ab, float32, (N, h, w, 2), at the resolution of
        the generator's heads. It raises ColorizeError where they are not finite.
    """
    model = both_ends(generator)

    def predict(images: tf.Tensor) -> tf.Tensor:
        lightness, _ = color.normalize(images)
        return tf.cast(model(lightness, training=False), tf.float32) * color.AB_SCALE

    signature = [tf.TensorSpec((None, *generator.input_shape[1:3], 3), tf.uint8)]
    compiled = tf.function(predict, input_signature=signature, autograph=False)

    def checked(images: np.ndarray, vividness: float | None = None) -> np.ndarray:
        ab = compiled(images).numpy()
        if not np.isfinite(ab).all():
            raise ColorizeError("the model predicts values that are not finite")
        if not has_vividness(generator):
            return ab
        share = default_vividness(generator) if vividness is None else vividness
        return (1.0 - share) * ab[..., :2] + share * ab[..., 2:]

    return checked


def check_vividness(generator: keras.Model, vividness: float | None) -> None:
    """Raises a ColorizeError unless the generator can be as vivid as asked."""
    if vividness is None:
        return
    if not 0.0 <= vividness <= 1.0:
        raise ColorizeError(f"vividness: must be in 0..1 (got {vividness:g})")
    if not has_vividness(generator):
        raise ColorizeError(f"vividness: {generator.name} has none; leave it out")


def check_prediction_size(generator: keras.Model, size: int | None) -> None:
    """Raises a ColorizeError unless the generator can see images at the size asked for."""
    if size is None:
        return
    if not 32 <= size <= 2048:
        raise ColorizeError(f"prediction size: must be in 32..2048 (got {size})")
    own = generator.input_shape[1]
    if own is not None and own != size:
        raise ColorizeError(f"prediction size: {generator.name} sees {own}x{own} only (got {size})")
