"""A generator as a function of TensorFlow, which the converters take."""

import keras
import tensorflow as tf

from keras_colorize.models.plain_keras import plain_layer, rebuild
from keras_colorize.models.predict import (
    both_ends,
    has_vividness,
    vividness,
)
from keras_colorize.prediction_size import MULTIPLE, PREDICTION_SIZE


def trace(generator: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """The part of a generator before its vividness, with its weights as constants.

    Args:
        generator: `lightness` -> `ab`.

    Returns:
        A function of `lightness`, float32 (N, S, S, 1) or, for a generator of any size,
        (N, H, W, 1), to {"ends": (N, H/stride, W/stride, 4)}, see `both_ends`; of a generator
        without vividness to {"ab": (N, S, S, 2)}.
    """
    model = rebuild(both_ends(generator), _traceable_layer)
    trainable, rest = (
        [variable.numpy() for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )

    def predict(lightness: tf.Tensor) -> dict[str, tf.Tensor]:
        output, _ = model.stateless_call(trainable, rest, lightness, training=False)
        return {output_name(generator): output}

    signature = [tf.TensorSpec(generator.input_shape, tf.float32, "lightness")]
    return tf.function(predict, input_signature=signature, autograph=False)


def output_name(generator: keras.Model) -> str:
    """What `trace` calls its output."""
    return "ends" if has_vividness(generator) else "ab"


def metadata(generator: keras.Model, name: str) -> dict[str, str]:
    """What a program has to know to use an exported generator.

    Args:
        generator: `lightness` -> `ab`.
        name: of the model.

    Returns:
        `name`; `prediction_size`: short side of the images it sees, in pixels; `multiple`: what
        their sides are multiples of; `stride`: how many times smaller its output is; and, for a
        generator with vividness, `vividness`: how to blend the ends by default, 0..1.
    """
    size = generator.input_shape[1]
    side = size or PREDICTION_SIZE
    stride = side // both_ends(generator).compute_output_shape((1, side, side, 1))[1]
    found: dict[str, object] = {
        "name": name,
        "prediction_size": side,
        "multiple": size or MULTIPLE,
        "stride": stride,
    }
    if has_vividness(generator):
        found["vividness"] = f"{vividness(generator):.6g}"
    return {key: str(value) for key, value in found.items()}


class _NearestUpSampling2D(keras.layers.UpSampling2D):
    """The same in one operation; Keras repeats rows and columns, which becomes many nodes."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        size = tf.shape(inputs)[1:3] * self.size
        return tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=size)


def _traceable_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    if type(layer) is keras.layers.UpSampling2D and layer.interpolation == "nearest":
        return _NearestUpSampling2D.from_config({**layer.get_config(), "dtype": "float32"})
    return plain_layer(layer)
