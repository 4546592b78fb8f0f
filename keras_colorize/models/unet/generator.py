"""The U-Net that predicts ab from lightness."""

import keras

from keras_colorize.models.layers import AlignedResize
from keras_colorize.models.unet.blocks import Blocks


def unet_generator(
    image_size: int = 32,
    *,
    filters: int = 64,
    normalization: str = "batch",
    dropout: float = 0.5,
    initial_weights: str = "normal",
    seed: int = 0,
) -> keras.Model:
    """Builds the generator of the original: at 32x32 and 64 filters 16.65 M parameters.

    Args:
        image_size: height and width of the input; a multiple of 16.
        filters: channels of the first block; the deepest have eight times as many.
        normalization: "batch" or "instance".
        dropout: rate in the two deepest decoder blocks, 0 for none.
        initial_weights: "normal" for N(0, 0.02), "keras" for Keras's defaults.
        seed: of initial weights and dropout.

    Returns:
        A functional model, `lightness` (N, image_size, image_size, 1) in -1..1 -> `ab`
        (N, image_size, image_size, 2), float32 in -1..1.

    Reference:
        Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597; Isola et al., 2017,
        https://arxiv.org/abs/1611.07004.
    """
    blocks = Blocks(normalization, initial_weights, seed)
    lightness = keras.Input((image_size, image_size, 1), name="lightness")
    # Three pixels more, which the first convolution, 4x4 without padding, removes again.
    x = AlignedResize(image_size + 3, name="resize")(lightness)

    down1 = blocks.down(x, filters, "down1", strides=1, padding="valid")
    down2 = blocks.down(down1, 2 * filters, "down2")
    down3 = blocks.down(down2, 4 * filters, "down3")
    down4 = blocks.down(down3, 8 * filters, "down4")
    down5 = blocks.down(down4, 8 * filters, "down5")

    x = blocks.up(down5, down4, 8 * filters, "up1", dropout=dropout)
    x = blocks.up(x, down3, 4 * filters, "up2", dropout=dropout)
    x = blocks.up(x, down2, 2 * filters, "up3")
    x = blocks.up(x, down1, filters, "up4")

    x = blocks.final(x, 2, kernel_size=1)
    # float32 also under a mixed precision policy: colors need more than 8 bits of mantissa.
    ab = keras.layers.Activation("tanh", dtype="float32", name="ab")(x)
    return keras.Model(lightness, ab, name="generator")
