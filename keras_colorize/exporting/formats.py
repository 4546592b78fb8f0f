"""The formats that generators are exported to. Loads no TensorFlow before it writes."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from keras_colorize.console import log
from keras_colorize.errors import ColorizeError
from keras_colorize.files import whole_file

if TYPE_CHECKING:
    import keras

Format: TypeAlias = Literal["saved_model", "keras", "onnx", "litert", "openvino"]

_SUFFIXES = {"keras": ".keras", "onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}

# Packages that a format needs; the extra of its name installs them.
_PACKAGES = {"onnx": ("onnx", "tf2onnx"), "openvino": ("onnx", "tf2onnx", "openvino")}


def check_format_name(format: str) -> None:
    """Raises a ColorizeError unless there is such a format; it names that of a file's suffix."""
    if format not in get_args(Format):
        meant = {suffix[1:]: name for name, suffix in _SUFFIXES.items()}.get(format)
        remedy = f"; did you mean {meant}?" if meant else ""
        raise ColorizeError(
            f"format: must be one of {', '.join(get_args(Format))} (got {format}){remedy}"
        )


def check_format(format: str, output: Path, max_megapixels: float | None = None) -> None:
    """Raises a ColorizeError unless a model can be exported to this format and path."""
    check_format_name(format)
    suffix = _SUFFIXES.get(format)
    if suffix is None:
        for other, suffix_of_file in _SUFFIXES.items():
            if output.suffix == suffix_of_file:
                raise ColorizeError(
                    f"{output}: a SavedModel is a folder; a {suffix_of_file} file is written by "
                    f"--format {other}"
                )
    elif max_megapixels is not None:
        raise ColorizeError(f"max_megapixels: is for saved_model (got the format {format})")
    if suffix and (output.suffix != suffix or output.is_dir()):
        raise ColorizeError(f"{output}: must be a file with the suffix {suffix} for {format}")
    if not all(map(importlib.util.find_spec, _PACKAGES.get(format, ()))):
        raise ColorizeError(f"{format}: needs pip install 'keras-colorize[{format}]'")


def write_format(generator: "keras.Model", output: Path, format: Format) -> Path:
    """Writes one of the formats that are files, whole or not at all.

    Args:
        generator: `lightness` -> `ab`.
        output: the file; replaced if it is there.
        format: "keras" for `models.plain`, "onnx", "litert" or "openvino".

    Returns:
        The file.
    """
    log.info("converting to %s and writing", format)
    match format:
        case "onnx":
            from keras_colorize.exporting.onnx import export_onnx

            export_onnx(generator, output)
        case "litert":
            from keras_colorize.exporting.litert import export_litert

            export_litert(generator, output)
        case "openvino":
            from keras_colorize.exporting.openvino import export_openvino

            export_openvino(generator, output)
        case _:
            from keras_colorize.models.plain_keras import plain

            with whole_file(output) as beside:
                plain(generator).save(beside)
    return output
