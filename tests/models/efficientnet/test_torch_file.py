"""Files of `torch.save`, written here byte by byte: the tests need no PyTorch."""

import collections
import os
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.models.efficientnet.torch_file import read_torch_file

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Storage:
    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Tensor:
    """What pickles as PyTorch's tensors do: a call, and a reference to a storage."""

    def __init__(self, storage: Storage, shape: tuple, strides: tuple, offset: int = 0) -> None:
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self) -> tuple:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, thing: object) -> tuple | None:
        if not isinstance(thing, Storage):
            return None
        kinds = {"f": "FloatStorage", "i": "LongStorage", "u": "ByteStorage"}
        kind = kinds[thing.values.dtype.kind]
        torch = sys.modules["torch"]
        return ("storage", getattr(torch, kind), thing.key, "cpu", len(thing.values), None)


@pytest.fixture
def save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Writes a file in the format of PyTorch before 1.6."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "LongStorage", "ByteStorage"):
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def rebuild(*arguments: object) -> None:
        raise AssertionError("the reader must not call PyTorch")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def write(state: object, storages: list[Storage]) -> Path:
        path = tmp_path / "state.pth"
        with path.open("wb") as file:
            for content in (MAGIC, PROTOCOL, {"little_endian": True}):
                pickle.dump(content, file, protocol=2)
            Pickler(file, protocol=2).dump(state)
            pickle.dump([storage.key for storage in storages], file, protocol=2)
            for storage in storages:
                file.write(struct.pack("<q", len(storage.values)) + storage.values.tobytes())
        monkeypatch.delitem(sys.modules, "torch")
        monkeypatch.delitem(sys.modules, "torch._utils")
        return path

    return write


def test_arrays_come_back(save) -> None:
    weight = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    storages = [Storage("2", weight.ravel()), Storage("1", np.array([7], "<i8"))]
    state = collections.OrderedDict(
        weight=Tensor(storages[0], (2, 3, 4), (12, 4, 1)), count=Tensor(storages[1], (), ())
    )
    arrays = read_torch_file(save(state, storages))
    assert list(arrays) == ["weight", "count"]
    np.testing.assert_array_equal(arrays["weight"], weight)
    assert (arrays["count"].shape, arrays["count"].dtype, int(arrays["count"])) == ((), np.int64, 7)


def test_strides_say_how_an_array_lies_in_the_file(save) -> None:
    """EfficientNet's kernels came from TensorFlow and lie (height, width, in, out)."""
    kernel = np.arange(2 * 1 * 3 * 5, dtype="<f4").reshape(2, 1, 3, 5)
    storage = Storage("k", np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)).ravel())
    strides = tuple(
        step // 4 for step in storage.values.reshape(3, 5, 1, 2).transpose(3, 2, 0, 1).strides
    )
    arrays = read_torch_file(save({"kernel": Tensor(storage, kernel.shape, strides)}, [storage]))
    np.testing.assert_array_equal(arrays["kernel"], kernel)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3,), (1,), 0), ((4,), (2,), 0), ((2, 2), (1, 1), 0), ((4,), (1,), 1)],
)
def test_parts_of_arrays_are_refused(save, shape, strides, offset) -> None:
    storage = Storage("k", np.zeros(4, "<f4"))
    path = save({"part": Tensor(storage, shape, strides, offset)}, [storage])
    with pytest.raises(ColorizeError, match=r"state\.pth: not a PyTorch file .*part of another"):
        read_torch_file(path)


def test_other_types_are_refused(save) -> None:
    storage = Storage("k", np.zeros(4, "u1"))
    path = save({"bytes": Tensor(storage, (4,), (1,))}, [storage])
    with pytest.raises(ColorizeError, match=r"it refers to torch\.ByteStorage"):
        read_torch_file(path)


class Command:
    def __reduce__(self) -> tuple:
        return os.system, ("touch harmed",)


def test_nothing_else_is_called(save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save({"weight": Command()}, [])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ColorizeError, match=r"it refers to (posix|os)\.system"):
        read_torch_file(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("kept", [0, 1, 20, 100, -100, -1])
def test_damaged_files_are_refused(save, kept: int) -> None:
    storage = Storage("k", np.zeros(400, "<f4"))
    path = save({"weight": Tensor(storage, (400,), (1,))}, [storage])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ColorizeError, match=r"^\S*state\.pth: not a PyTorch file .*damaged"):
        read_torch_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ColorizeError, match=r"none\.pth: No such file"):
        read_torch_file(tmp_path / "none.pth")


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.pth"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ColorizeError, match="not a PyTorch file"):
        read_torch_file(path)
