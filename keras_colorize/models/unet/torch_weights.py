"""Weights of the PyTorch original, loaded into the Keras networks."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_colorize.errors import ColorizeError, first_line
from keras_colorize.models.layers import BatchNormalization, SpectralConv2D

# Spectral normalization stores v too; the first iteration overwrites it.
IGNORED_SUFFIXES = ("num_batches_tracked", "weight_v")


def load_torch_weights(model: keras.Model, state: Mapping[str, np.ndarray] | str | Path) -> None:
    """Loads a generator or discriminator checkpoint of karoly-hars/GAN_image_colorizing.

    Args:
        model: a network of `unet_generator` or `patch_discriminator` with the same filters and
            normalization as the checkpoint; changed in place.
        state: name -> array in PyTorch's layout, as `state_dict()` gives; or the path of a `.pt`
            file with it, which needs torch.

    Raises:
        ColorizeError: when names or shapes don't match; the model is then unchanged.
    """
    arrays = _read_pt(Path(state)) if isinstance(state, str | Path) else state
    arrays = {k: np.asarray(v) for k, v in arrays.items() if not k.endswith(IGNORED_SUFFIXES)}
    targets = {
        name: variable for layer in model.layers for name, variable in checkpoint_names(layer)
    }
    if missing := sorted(targets.keys() - arrays.keys()):
        raise ColorizeError(f"{model.name}: the checkpoint lacks {', '.join(missing)}")
    if unknown := sorted(arrays.keys() - targets.keys()):
        raise ColorizeError(
            f"{model.name}: the checkpoint has {', '.join(unknown)}, which the model lacks"
        )
    values = {name: _to_keras_layout(array) for name, array in arrays.items()}
    for name, variable in targets.items():
        if values[name].shape != tuple(variable.shape):
            raise ColorizeError(
                f"{model.name}: {name} must have shape {tuple(variable.shape)} in Keras's layout. "
                f"Received: {values[name].shape}"
            )
    for name, variable in targets.items():
        variable.assign(values[name])


def checkpoint_names(layer: keras.layers.Layer) -> list[tuple[str, keras.Variable]]:
    """The checkpoint's name of each variable of a layer called `BLOCK_convolution` and so on."""
    block = layer.name.partition("_")[0]
    if isinstance(layer, SpectralConv2D):
        prefix = f"{block}.model.0.module"
        return [
            (f"{prefix}.weight_bar", layer.kernel),
            (f"{prefix}.bias", layer.bias),
            (f"{prefix}.weight_u", layer.u),
        ]
    if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
        return [(f"{block}.model.0.weight", layer.kernel), (f"{block}.model.0.bias", layer.bias)]
    if isinstance(layer, BatchNormalization):
        prefix = f"{block}.model.1"
        return [
            (f"{prefix}.weight", layer.gamma),
            (f"{prefix}.bias", layer.beta),
            (f"{prefix}.running_mean", layer.moving_mean),
            (f"{prefix}.running_var", layer.moving_variance),
        ]
    return []


def _to_keras_layout(array: np.ndarray) -> np.ndarray:
    # (out, in, kh, kw) -> (kh, kw, in, out); for transposed convolutions PyTorch swaps in and out,
    # and so does Keras.
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _read_pt(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ColorizeError(f"{path}: needs PyTorch: pip install 'keras-colorize[torch]'") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in state.items()}
    except Exception as error:
        raise ColorizeError(
            f"{path}: no PyTorch checkpoint of tensors: {first_line(error)}"
        ) from None
