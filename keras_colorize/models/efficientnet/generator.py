"""A generator with a pretrained encoder that predicts a color and how likely other colors are."""

from collections.abc import Sequence

import keras

from keras_colorize.models.efficientnet.ab_classes import class_centers
from keras_colorize.models.efficientnet.encoder import (
    encode,
    encoder_layers,
    find_imagenet_weights,
    load_imagenet_weights,
)
from keras_colorize.models.layers import BatchNormalization, ChromaContrast
from keras_colorize.models.predict import blend_ends
from keras_colorize.srgb import AB_SCALE

OUTPUT_STRIDE = 4
"""Both heads predict at this stride; ab is then enlarged bilinearly."""


def efficientnet_generator(
    *,
    encoder_weights: str = "imagenet",
    frozen_stages: int = 3,
    decoder_filters: Sequence[int] = (192, 128, 64, 64),
    temperature: float = 0.5,
    vivid_chroma: float = 1.0,
    vivid_regression: float = 0.0,
    vivid_contrast: float = 1.0,
    vivid_pivot: float = 16.0,
    vividness: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """Builds the generator: 3.5 M parameters, 2.9 M of them in the encoder.

    Two heads share one decoder. One is a regression of ab: the faithful colors. The other gives
    each cell of the ab plane a probability; its color is the mean of the distribution after the
    logits are divided by `temperature`. It is blended with the regression, and gets contrast of
    chroma, if so set: the vivid colors. `vividness` blends the two; see `models.predict`.

    Args:
        encoder_weights: "imagenet", from the package that `keras-colorize[pretrained]` installs,
            or "none" for random ones.
        frozen_stages: stages of the encoder, from the first on, that are not trained; 0..7.
        decoder_filters: channels at strides 32, 16, 8 and 4.
        temperature: above 0; below 1 prefers likely colors, which is more vivid.
        vivid_chroma: factor on the chroma of the classes, above 0.
        vivid_regression: share of the regression in the vivid colors, 0..1.
        vivid_contrast: exponent of `ChromaContrast` on the vivid colors, above 0; 1 for none.
        vivid_pivot: its pivot, in units of a and b.
        vividness: 0 for the faithful head alone, 1 for the vivid one.
        seed: of the initial weights.

    Returns:
        A functional model, `lightness` (N, H, W, 1) in -1..1 -> `ab` (N, H, W, 2), float32; H and
        W are multiples of 32.

    Raises:
        ColorizeError: the pretrained weights are not installed, or damaged.

    Reference:
        Zhang et al., 2016, https://arxiv.org/abs/1603.08511 (classes, annealed mean).
    """
    lightness = keras.Input((None, None, 1), name="lightness")
    seeds = iter(range(10_000 * seed + 5_000, 10_000 * seed + 6_000))
    features = {
        # The encoder's outputs have no activation, and ten times the scale of the decoder's.
        stride: _normalize(x, f"decoder_skip{stride}")
        for stride, x in encode(lightness, seed=10_000 * seed).items()
        if stride >= OUTPUT_STRIDE
    }

    x = _block(features[32], decoder_filters[0], 1, "decoder_stride32", next(seeds))
    # A summary of the whole image, for each place.
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="decoder_context_mean")
    context = _convolution(decoder_filters[0], 1, "decoder_context", next(seeds))
    x = keras.layers.Add(name="decoder_context_add")([x, context(mean(features[32]))])
    for stride, filters in zip((16, 8, 4), decoder_filters[1:], strict=True):
        name = f"decoder_stride{stride}"
        x = keras.layers.UpSampling2D(name=f"{name}_enlarge")(x)
        x = keras.layers.Concatenate(name=f"{name}_join")([x, features[stride]])
        x = _block(x, filters, 3, name, next(seeds))

    # Both start at zero: gray, and all classes alike.
    faithful_ab = _head(2, "faithful_ab")(x)
    centers = class_centers()
    logits = _head(len(centers), "class_logits")(x)
    annealed = keras.layers.Rescaling(1.0 / temperature, dtype="float32", name="annealed")(logits)
    probabilities = keras.layers.Softmax(dtype="float32", name="class_probabilities")(annealed)
    vivid_ab = keras.layers.Conv2D(
        2,
        1,
        use_bias=False,
        kernel_initializer=keras.initializers.Constant(vivid_chroma * centers[None, None]),
        trainable=False,
        dtype="float32",
        name="vivid_ab",
    )(probabilities)
    # Not even an idle layer where they are not set: runs of earlier versions resume.
    if vivid_regression:
        regression = keras.layers.Rescaling(vivid_regression, dtype="float32")(faithful_ab)
        classes = keras.layers.Rescaling(1.0 - vivid_regression, dtype="float32")(vivid_ab)
        blend = keras.layers.Add(dtype="float32", name="vivid_blend")
        vivid_ab = blend([regression, classes])
    if vivid_contrast != 1.0:
        contrast = ChromaContrast(
            vivid_contrast, vivid_pivot / AB_SCALE, dtype="float32", name="vivid_contrast"
        )
        vivid_ab = contrast(vivid_ab)
    ends = keras.layers.Concatenate(dtype="float32", name="ends")([faithful_ab, vivid_ab])
    ab = blend_ends(ends, vividness, OUTPUT_STRIDE)

    model = keras.Model(lightness, ab, name="generator")
    if encoder_weights == "imagenet":
        load_imagenet_weights(model, find_imagenet_weights())
    for layer in encoder_layers(model, frozen_stages):
        layer.trainable = False
    return model


class Heads:
    """The parts of a generator that training needs, before its heads become one color.

    Args:
        generator: what `efficientnet_generator` returns; the parts share its weights.

    Attributes:
        features: `lightness` (N, H, W, 1) -> what both heads see, (N, H/4, W/4, channels).
        faithful_ab: features -> ab of the regression.
        class_logits: features, or any places of them -> logits of the classes.
        enlarge: ab at the heads' stride -> ab at the image's size.
    """

    def __init__(self, generator: keras.Model) -> None:
        last = generator.get_layer(f"decoder_stride{OUTPUT_STRIDE}_activation")
        self.features = keras.Model(generator.input, last.output)
        self.faithful_ab = generator.get_layer("faithful_ab")
        self.class_logits = generator.get_layer("class_logits")
        self.enlarge = generator.get_layer("ab")


def _block(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, seed: int
) -> keras.KerasTensor:
    """Convolution, batch normalization, ReLU."""
    x = _convolution(filters, kernel_size, f"{name}_convolution", seed, use_bias=False)(x)
    return keras.layers.ReLU(name=f"{name}_activation")(_normalize(x, name))


def _normalize(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_normalization")(x)


def _convolution(
    filters: int, kernel_size: int, name: str, seed: int, **options: object
) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name=name,
        **options,
    )


def _head(filters: int, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(filters, 1, kernel_initializer="zeros", dtype="float32", name=name)
