"""Keras models for colorizing."""

import functools

import keras
import numpy as np
import tensorflow as tf

from keras_colorize import color
from keras_colorize.inference.prediction import Network
from keras_colorize.models.predict import both_ends, has_vividness, vividness


class KerasNetwork(Network):
    """A generator that TensorFlow runs, on a GPU if there is one.

    Args:
        generator: `lightness` (N, S, S, 1) or, for any size, (N, H, W, 1), -1..1 -> `ab`.
    """

    def __init__(self, generator: keras.Model) -> None:
        self.name = generator.name
        self.size = generator.input_shape[1]
        self._generator = generator
        model = both_ends(generator)

        def predict(images: tf.Tensor) -> tf.Tensor:
            lightness, _ = color.normalize(images)
            return tf.cast(model(lightness, training=False), tf.float32) * color.AB_SCALE

        signature = [tf.TensorSpec((None, self.size, self.size, 3), tf.uint8)]
        self._predict = tf.function(predict, input_signature=signature, autograph=False)

    @property
    def vividness(self) -> float | None:
        """Read anew each time, since `set_vividness` may change it."""
        return vividness(self._generator) if has_vividness(self._generator) else None

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """As `Network.outputs`."""
        return self._predict(images).numpy()


@functools.lru_cache(maxsize=1)
def shared_network(generator: keras.Model) -> KerasNetwork:
    """One network for all calls with the same generator."""
    return KerasNetwork(generator)
