"""Generators in layers of Keras alone, which programs without this package can load."""

from collections.abc import Callable

import keras
import numpy as np

from keras_colorize.models import layers


def plain(generator: keras.Model) -> keras.Model:
    """Copies a generator into layers of Keras alone.

    `keras.saving.load_model` loads the saved copy without this package, and converters to other
    formats know all of its layers. Layers keep their names and weights.

    Args:
        generator: a functional model, `lightness` -> `ab`; it is left as it is.

    Returns:
        A model with weights of its own that computes the same, always in float32.
    """
    return rebuild(generator, plain_layer)


def rebuild(
    model: keras.Model, new_layer: Callable[[keras.layers.Layer], keras.layers.Layer]
) -> keras.Model:
    """Copies a functional model with other layers.

    Args:
        model: left as it is.
        new_layer: layer -> the one in its place, of the same name. If the old one has weights,
            the new one gets them.
    """
    copy = keras.models.clone_model(model, clone_function=new_layer)
    for layer in model.layers:
        if layer.weights:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Keras's layer, or model of such layers, in place of one of ours; in float32."""
    if type(layer) in _COMPOSED:
        return _COMPOSED[type(layer)](layer)
    kind = _SAME.get(type(layer), type(layer))
    return kind.from_config({**layer.get_config(), "dtype": "float32"})


def _enlarge(layer: layers.Enlarge) -> keras.Model:
    """Bilinear enlargement: a transposed convolution of the image with its borders repeated."""
    factor = layer.factor
    inputs = keras.Input(layer.input.shape[1:])
    padded = keras.ops.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
    enlarge = keras.layers.Conv2DTranspose(
        inputs.shape[-1],
        2 * factor,
        strides=factor,
        padding="same",
        use_bias=False,
        trainable=False,
        dtype="float32",
    )
    crop = keras.layers.Cropping2D(factor, dtype="float32")
    model = keras.Model(inputs, crop(enlarge(padded)), name=layer.name)
    # How far the output pixels around an input pixel lie from its center.
    distances = np.arange(2 * factor) + 0.5 - factor / 2 - factor // 2
    side = np.maximum(0.0, 1.0 - np.abs(distances) / factor)
    model.set_weights([np.multiply.outer(np.outer(side, side), np.eye(inputs.shape[-1]))])
    return model


def _contrast(layer: layers.ChromaContrast) -> keras.Model:
    """Keras's operations, called one by one."""
    inputs = keras.Input(layer.input.shape[1:])
    return keras.Model(inputs, layer.call(inputs), name=layer.name)


def _resize(layer: layers.AlignedResize) -> keras.Model:
    """Bilinear resize of a known size: each side in turn becomes the channels of a convolution."""

    def multiply() -> keras.layers.Layer:
        return keras.layers.Conv2D(layer.size, 1, use_bias=False, trainable=False, dtype="float32")

    _, height, width, channels = layer.input.shape
    model = keras.Sequential(
        [
            keras.Input((height, width, channels)),
            keras.layers.Permute((2, 3, 1), dtype="float32"),  # width, channels, height
            multiply(),
            keras.layers.Permute((3, 2, 1), dtype="float32"),  # height, channels, width
            multiply(),
            keras.layers.Permute((1, 3, 2), dtype="float32"),
        ],
        name=layer.name,
    )
    model.set_weights([_bilinear(side, layer.size)[None, None] for side in (height, width)])
    return model


def _bilinear(size: int, new_size: int) -> np.ndarray:
    """The matrix, (size, new_size), that resizes a side and keeps its ends in place."""
    positions = np.linspace(0, size - 1, new_size)
    return np.maximum(0.0, 1.0 - np.abs(np.arange(size)[:, None] - positions))


# These differ from Keras's in training and speed alone.
_SAME: dict[type, type[keras.layers.Layer]] = {
    layers.BatchNormalization: keras.layers.BatchNormalization,
    layers.Conv2D: keras.layers.Conv2D,
    layers.Conv2DTranspose: keras.layers.Conv2DTranspose,
}

_COMPOSED: dict[type, Callable[..., keras.Model]] = {
    layers.AlignedResize: _resize,
    layers.ChromaContrast: _contrast,
    layers.Enlarge: _enlarge,
}
