"""The network that distinguishes real ab from predicted ab, given lightness."""

import keras

from keras_colorize.models.layers import AlignedResize
from keras_colorize.models.unet.blocks import Blocks


def patch_discriminator(
    image_size: int = 32,
    *,
    filters: int = 64,
    normalization: str = "batch",
    initial_weights: str = "normal",
    seed: int = 0,
) -> keras.Model:
    """Builds the discriminator of the original: at 32x32 and 64 filters 2.77 M parameters.

    Args:
        image_size: height and width of the input; a multiple of 16, at least 32.
        filters: channels of the first block; the deepest has eight times as many.
        normalization: "batch", "instance", "spectral" or "none".
        initial_weights: "normal" for N(0, 0.02), "keras" for Keras's defaults.
        seed: of initial weights.

    Returns:
        A functional model, `[lightness, ab]` of (N, image_size, image_size, 1) and (..., 2) ->
        logits (N, patches), float32, positive for real. One patch at 32x32; larger images have
        several, each of about 32x32 pixels.

    Reference:
        Isola et al., 2017, https://arxiv.org/abs/1611.07004 (PatchGAN); Miyato et al., 2018,
        https://arxiv.org/abs/1802.05957 (spectral normalization).
    """
    blocks = Blocks(normalization, initial_weights, seed)
    lightness = keras.Input((image_size, image_size, 1), name="lightness")
    ab = keras.Input((image_size, image_size, 2), name="ab")
    x = keras.layers.Concatenate(name="lab")([lightness, ab])
    x = AlignedResize(image_size + 3, name="resize")(x)

    x = blocks.down(x, filters, "down1", strides=1, padding="valid", normalize=False)
    x = blocks.down(x, 2 * filters, "down2")
    x = blocks.down(x, 4 * filters, "down3")
    x = blocks.down(x, 8 * filters, "down4")

    x = blocks.final(x, 1, kernel_size=4)
    logits = keras.layers.Flatten(dtype="float32", name="logits")(x)
    return keras.Model([lightness, ab], logits, name="discriminator")
