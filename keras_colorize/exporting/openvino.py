"""OpenVINO models, for Intel's processors."""

import tempfile
from pathlib import Path

import keras
import openvino

from keras_colorize.exporting.onnx import export_onnx
from keras_colorize.files import whole_file


def export_openvino(generator: keras.Model, path: Path) -> None:
    """Writes a generator as an OpenVINO model: `path`, and its weights beside it as `.bin`.

    Input and output are those of `export_onnx`, as is the metadata, which is in `rt_info`.

    Args:
        generator: `lightness` -> `ab`.
        path: the `.xml` file; it and the `.bin` file are replaced if they are there.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{path.stem}.onnx")
        export_onnx(generator, file)
        onnx_to_openvino(file, path)


def onnx_to_openvino(file: Path, path: Path) -> None:
    """Converts what `export_onnx` wrote.

    OpenVINO's own reader of TensorFlow's graphs fails on images of any size (2026.4).
    """
    model = openvino.Core().read_model(file)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, path.name)
        openvino.save_model(model, whole, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            with whole_file(path.with_suffix(suffix)) as beside:
                beside.write_bytes(whole.with_suffix(suffix).read_bytes())
