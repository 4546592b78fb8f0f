"""ONNX files for colorizing: in a new process ready in a second, since no TensorFlow is loaded."""

from pathlib import Path

import numpy as np
import onnxruntime

from keras_colorize.errors import ColorizeError, first_line
from keras_colorize.inference.prediction import Network
from keras_colorize.inference.recolor import lightness
from keras_colorize.srgb import AB_SCALE, LIGHTNESS_SCALE


class OnnxNetwork(Network):
    """A generator that ONNX Runtime runs on the CPU.

    Args:
        path: what `keras_colorize.export.onnx` wrote, of a generator of any size with vividness.
        threads: that the network runs in; by default as many as there are cores.

    Raises:
        ColorizeError: the file cannot be loaded.
    """

    size = None

    def __init__(self, path: Path, threads: int | None = None) -> None:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads or 0
        try:
            self._session = onnxruntime.InferenceSession(
                path, settings, providers=["CPUExecutionProvider"]
            )
            properties = self._session.get_modelmeta().custom_metadata_map
            self.name = properties["name"]
            self._vividness = float(properties["vividness"])
        except Exception as error:  # ONNX Runtime's errors share no class.
            raise ColorizeError(f"{path}: cannot be loaded ({first_line(error)})") from None

    @property
    def vividness(self) -> float:
        """As the file says."""
        return self._vividness

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """As `Network.outputs`."""
        normalized = np.stack([lightness(image) for image in images])[..., None]
        inputs = {"lightness": normalized / np.float32(LIGHTNESS_SCALE) - np.float32(1.0)}
        (ends,) = self._session.run(["ends"], inputs)
        return ends * np.float32(AB_SCALE)
