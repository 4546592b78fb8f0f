"""Building blocks of generator and discriminator: convolution, normalization, activation."""

import itertools
from collections.abc import Callable

import keras

from keras_colorize.models.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    SpectralConv2D,
)

LEAKY_SLOPE = 0.2


class Blocks:
    """Builds the blocks of one network; each call makes new layers named after the block.

    Args:
        normalization: "batch", "instance", "spectral" or "none".
        initial_weights: "normal" draws kernels from N(0, 0.02) and batch-norm scales from
            N(1, 0.02), as pix2pix does; "keras" keeps Keras's defaults.
        seed: of the initial weights and of dropout; every layer draws its own.
    """

    def __init__(self, normalization: str, initial_weights: str, seed: int) -> None:
        self.normalization = normalization
        self.initial_weights = initial_weights
        self._seeds = itertools.count(seed * 1_000)

    def down(
        self,
        x: keras.KerasTensor,
        filters: int,
        name: str,
        *,
        strides: int = 2,
        padding: str = "same",
        normalize: bool = True,
    ) -> keras.KerasTensor:
        """A 4x4 convolution, normalized, LeakyReLU 0.2; (N, H, W, C) -> (N, H/strides, ...)."""
        spectral = normalize and self.normalization == "spectral"
        convolution = SpectralConv2D if spectral else Conv2D
        x = convolution(
            filters,
            4,
            strides=strides,
            padding=padding,
            data_format="channels_last",
            kernel_initializer=self._kernel_initializer(),
            name=f"{name}_convolution",
        )(x)
        if normalize:
            x = self._normalize(x, name)
        return keras.layers.LeakyReLU(LEAKY_SLOPE, name=f"{name}_activation")(x)

    def up(
        self,
        x: keras.KerasTensor,
        skip: keras.KerasTensor,
        filters: int,
        name: str,
        *,
        dropout: float = 0.0,
    ) -> keras.KerasTensor:
        """A transposed 4x4 convolution, stride 2, normalized, ReLU, dropout; joined with `skip`."""
        x = Conv2DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            data_format="channels_last",
            kernel_initializer=self._kernel_initializer(),
            name=f"{name}_convolution",
        )(x)
        x = self._normalize(x, name)
        x = keras.layers.ReLU(name=f"{name}_activation")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=next(self._seeds), name=f"{name}_dropout")(x)
        return keras.layers.Concatenate(name=f"{name}_join")([x, skip])

    def final(self, x: keras.KerasTensor, filters: int, kernel_size: int) -> keras.KerasTensor:
        """The last convolution: no padding, no normalization, no activation."""
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            data_format="channels_last",
            kernel_initializer=self._kernel_initializer(),
            name="final_convolution",
        )(x)

    def _normalize(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        layers: dict[str, Callable[[str], keras.layers.Layer] | None] = {
            "batch": self._batch_normalization,
            "instance": _instance_normalization,
            "spectral": None,  # part of the convolution
            "none": None,
        }
        layer = layers[self.normalization]
        return layer(f"{name}_normalization")(x) if layer else x

    def _batch_normalization(self, name: str) -> keras.layers.Layer:
        # PyTorch's momentum 0.1 is Keras's 0.9.
        return BatchNormalization(
            momentum=0.9,
            epsilon=1e-5,
            gamma_initializer=(
                keras.initializers.RandomNormal(1.0, 0.02, seed=next(self._seeds))
                if self.initial_weights == "normal"
                else "ones"
            ),
            name=name,
        )

    def _kernel_initializer(self) -> keras.initializers.Initializer:
        seed = next(self._seeds)
        if self.initial_weights == "normal":
            return keras.initializers.RandomNormal(0.0, 0.02, seed=seed)
        return keras.initializers.GlorotUniform(seed=seed)


def _instance_normalization(name: str) -> keras.layers.Layer:
    # PyTorch's default InstanceNorm2d: one group per channel, nothing learned.
    return keras.layers.GroupNormalization(
        groups=-1, epsilon=1e-5, center=False, scale=False, name=name
    )
