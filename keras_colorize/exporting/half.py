"""Weights in half the space: kept as float16, used as float32."""

import io
import tempfile
from pathlib import Path
from zipfile import ZipFile

import h5py
import keras
import numpy as np

from keras_colorize.files import whole_file

_SMALL = 1024
"""Arrays of fewer values stay as they are: biases, statistics and the like, which weigh little."""


def to_half(array: np.ndarray) -> np.ndarray:
    """float32 -> float16, or the same array if it is small, or holds what float16 cannot."""
    limit = np.finfo(np.float16).max
    if array.dtype != np.float32 or array.size < _SMALL or not np.abs(array).max() <= limit:
        return array
    return array.astype(np.float16)


def save_half(model: keras.Model, path: Path) -> None:
    """Saves a model with its weights as float16, in about half the space.

    `keras.saving.load_model` loads it as any other; its variables are float32 again.

    Args:
        model: any Keras model.
        path: of the `.keras` file; replaced if it is there.
    """
    with tempfile.TemporaryDirectory() as folder, whole_file(path) as beside:
        whole = Path(folder, "model.keras")
        model.save(whole)
        with ZipFile(whole) as source, ZipFile(beside, "w") as target:
            for entry in source.infolist():
                content = source.read(entry)
                is_weights = entry.filename == "model.weights.h5"
                target.writestr(entry, _halve(content) if is_weights else content)


def _halve(content: bytes) -> bytes:
    """Copies an HDF5 file with its large float32 arrays as float16."""
    file = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as source, h5py.File(file, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            is_array = isinstance(item, h5py.Dataset)
            new = target.create_dataset(name, data=to_half(item[()])) if is_array else None
            (target.require_group(name) if new is None else new).attrs.update(item.attrs)

        target.attrs.update(source.attrs)
        source.visititems(copy)
    return file.getvalue()
