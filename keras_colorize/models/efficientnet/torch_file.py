"""Reads the arrays of a PyTorch checkpoint without PyTorch, and nothing but arrays.

The format is the one that `torch.save` wrote before version 1.6: pickles (a magic number, a
version, sizes, the state, the keys of the storages), then each storage as its length and its raw
values. A pickle can call any function; this reader allows the few names that arrays need.
"""

import collections
import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_colorize.errors import ColorizeError, first_line

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Tensor:
    """A tensor whose values come later in the file."""

    storage: str
    dtype: np.dtype
    shape: tuple[int, ...]
    order: tuple[int, ...]

    def take(self, values: np.ndarray) -> np.ndarray:
        """The tensor, given the values in the order in which they are stored."""
        stored = values.reshape([self.shape[axis] for axis in self.order])
        return stored.transpose(np.argsort(self.order))


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the `state_dict` of a model.

    Args:
        path: a `.pth` file.

    Returns:
        Name -> array in PyTorch's layout, float32 or int64.

    Raises:
        ColorizeError: the file is missing, damaged, or holds anything but such arrays.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise ColorizeError(f"{path}: {error.strerror}") from None
    except Exception as error:  # A damaged pickle can raise anything.
        reason = first_line(error)
        raise ColorizeError(f"{path}: not a PyTorch file of arrays, or damaged: {reason}") from None


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != _MAGIC:
        raise ValueError("wrong magic number")
    _Unpickler(file).load(), _Unpickler(file).load()  # version, sizes
    tensors: dict[str, _Tensor] = _Unpickler(file).load()
    storages = {}
    dtypes = {tensor.storage: tensor.dtype for tensor in tensors.values()}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        values = file.read(count * dtypes[key].itemsize)
        storages[key] = np.frombuffer(values, dtypes[key], count)
    return {name: tensor.take(storages[tensor.storage]) for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Unpickles dictionaries of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        """The few names that a `state_dict` needs."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise ValueError(f"it refers to {module}.{name}")

    def persistent_load(self, reference: Any) -> Any:
        """A storage as (key, dtype, length)."""
        kind, dtype, key, _, count, *_ = reference
        if kind != "storage":
            raise ValueError(f"it refers to a {kind}")
        return key, _DTYPES[dtype], count


def _tensor(
    storage: tuple[str, np.dtype, int],
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> _Tensor:
    key, dtype, count = storage
    # The axes from the slowest to the fastest; those of length 1 may stand anywhere.
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], shape[axis]))
    steps = [math.prod(shape[axis] for axis in order[place + 1 :]) for place in range(len(order))]
    is_whole = all(
        shape[axis] == 1 or strides[axis] == step for axis, step in zip(order, steps, strict=True)
    )
    if offset != 0 or math.prod(shape) != count or not is_whole:
        raise ValueError("a tensor is a part of another")
    return _Tensor(key, dtype, shape, tuple(order))
