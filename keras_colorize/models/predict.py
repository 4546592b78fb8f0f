"""Using a generator of any family: the size of its input, and its vividness."""

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.models.layers import Enlarge
from keras_colorize.prediction_size import Integer, any_size_shape


def prediction_shape(
    generator: keras.Model, height: Integer, width: Integer, size: int | None = None
) -> tuple[Integer, Integer]:
    """The shape at which a generator sees an image.

    Args:
        generator: `lightness` (N, S, S, 1), or (N, H, W, 1) for any size, -> `ab`.
        height: of the image; 1 or more.
        width: of the image; 1 or more.
        size: short side for a generator of any size; by default PREDICTION_SIZE.

    Returns:
        Height and width: those of the generator if it has its own, else about the image's aspect
        ratio, in multiples of MULTIPLE.
    """
    if generator.input_shape[1] is not None:
        return generator.input_shape[1:3]
    return any_size_shape(height, width, size)


def predict_ab(generator: keras.Model, lightness: tf.Tensor, size: int | None = None) -> tf.Tensor:
    """Predicts ab at `prediction_shape` and resizes it to the images.

    Args:
        generator: `lightness` -> `ab`.
        lightness: normalized float32, shape (N, H, W, 1), -1..1; made smaller by area, larger
            bicubically. (Colorizing and serving resize sRGB instead; here nothing but lightness
            is known.)
        size: as for `prediction_shape`.

    Returns:
        ab, normalized float32, shape (N, H, W, 2).
    """
    if lightness.shape[1] is None or lightness.shape[2] is None:
        shape = tf.shape(lightness)[1:3]
        height, width = shape[0], shape[1]
    else:
        height, width = lightness.shape[1:3]
    target = prediction_shape(generator, height, width, size)
    if isinstance(height, int) and target == (height, width):
        return generator(lightness, training=False)
    ab = generator(resize(lightness, height, width, target), training=False)
    return tf.image.resize(ab, (height, width), method="bicubic")


def resize(
    images: tf.Tensor, height: Integer, width: Integer, shape: tuple[Integer, Integer]
) -> tf.Tensor:
    """Resizes (N, H, W, C) to `shape`: by area along sides that shrink, bicubic where they grow."""
    # First what shrinks: the images are large, and need not be float32 for it.
    least = tf.minimum if tf.is_tensor(height) else min
    shrunk = (least(height, shape[0]), least(width, shape[1]))
    return tf.image.resize(tf.image.resize(images, shrunk, method="area"), shape, method="bicubic")


def has_vividness(generator: keras.Model) -> bool:
    """Whether a generator predicts faithful and vivid colors, which vividness blends."""
    return any(layer.name == "vividness" for layer in generator.layers)


def vividness(generator: keras.Model) -> float:
    """How vivid a generator's colors are set: 0 faithful, 1 vivid; 0 where it cannot be set."""
    if not has_vividness(generator):
        return 0.0
    return float(generator.get_layer("vividness").kernel.numpy()[0, 0, 2, 0])


def set_vividness(generator: keras.Model, vividness: float) -> None:
    """Sets how vivid a generator's colors are, in place: 0 faithful, 1 vivid.

    Raises:
        ValueError: the generator has no vividness, see `has_vividness`.
    """
    generator.get_layer("vividness").kernel.assign(_blend(vividness))


def blend_ends(ends: keras.KerasTensor, vividness: float, stride: int) -> keras.KerasTensor:
    """Adds the blend of faithful and vivid ab to a functional model; it can be set later.

    Args:
        ends: faithful a, b and vivid a, b, (N, h, w, 4).
        vividness: 0..1.
        stride: how many times smaller than the image they are; enlarged bilinearly.

    Returns:
        `ab`, (N, stride * h, stride * w, 2), float32.
    """
    blend = keras.layers.Conv2D(
        2,
        1,
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(_blend(vividness)),
        trainable=False,
        dtype="float32",
        name="vividness",
    )
    return Enlarge(stride, dtype="float32", name="ab")(blend(ends))


def _blend(vividness: float) -> np.ndarray:
    """The weights, (1, 1, 4, 2), that blend faithful and vivid ab."""
    identity = np.eye(2, dtype=np.float32)
    return np.concatenate([(1.0 - vividness) * identity, vividness * identity])[None, None]


def both_ends(generator: keras.Model) -> keras.Model:
    """The part of a generator before its vividness, or all of it where there is none.

    Returns:
        `lightness` (N, H, W, 1) -> faithful a, b and vivid a, b, (N, h, w, 4), at the resolution
        of the generator's heads; without vividness ab (N, H, W, 2).
    """
    if not has_vividness(generator):
        return generator
    return keras.Model(generator.input, generator.get_layer("vividness").input)
