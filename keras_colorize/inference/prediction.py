"""What colorizing needs from a model, in any runtime. Loads no TensorFlow."""

from abc import ABC, abstractmethod
from numbers import Integral, Real

import cv2
import numpy as np

from keras_colorize.errors import ColorizeError
from keras_colorize.images import to_uint8
from keras_colorize.prediction_size import any_size_shape


class Network(ABC):
    """A model that predicts the colors of images.

    Attributes:
        name: for messages.
        size: side of the square images that it sees, None for a model of any size.
    """

    name: str
    size: int | None

    @property
    @abstractmethod
    def vividness(self) -> float | None:
        """The model's own, 0..1; None for a model that has none."""

    @abstractmethod
    def outputs(self, images: np.ndarray) -> np.ndarray:
        """What the model predicts, whatever the vividness.

        Args:
            images: uint8 sRGB (N, H, W, 3), any N, of a shape that `shape` gives.

        Returns:
            Lab components, float32, at the resolution of the model's heads: faithful a, b and
            vivid a, b, (N, h, w, 4), or without vividness (N, h, w, 2).
        """

    def predict(self, images: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """The Lab components ab of images.

        Args:
            images: as for `outputs`.
            vividness: 0..1; by default the model's own.

        Returns:
            float32, shape (N, h, w, 2).

        Raises:
            ColorizeError: the outputs are not finite.
        """
        return self.blend(self.outputs(images), vividness)

    def blend(self, outputs: np.ndarray, vividness: float | None = None) -> np.ndarray:
        """The Lab components ab at a vividness, without running the model again.

        Args:
            outputs: of `outputs`.
            vividness: 0..1; by default the model's own.

        Returns:
            float32, shape (N, h, w, 2).

        Raises:
            ColorizeError: the outputs are not finite.
        """
        if not np.isfinite(outputs).all():
            raise ColorizeError("the model predicts values that are not finite")
        if self.vividness is None:
            return outputs
        share = self.vividness if vividness is None else vividness
        return (1.0 - share) * outputs[..., :2] + share * outputs[..., 2:]

    def shape(self, height: int, width: int, size: int | None = None) -> tuple[int, int]:
        """The shape at which the model sees an image; `size` is the short side, if it may vary."""
        return (self.size,) * 2 if self.size else any_size_shape(height, width, size)

    def check(
        self, vividness: float | None, prediction_size: int | None, name: str | None = None
    ) -> None:
        """Raises a ColorizeError unless the model has such settings; None is its own.

        Args:
            vividness: 0..1.
            prediction_size: short side, in pixels.
            name: what the user calls the model, for messages.
        """
        name = name or self.name
        if vividness is not None:
            if not isinstance(vividness, Real):
                raise ColorizeError(f"vividness: must be a number in 0..1 (got {vividness!r})")
            if not 0.0 <= vividness <= 1.0:
                raise ColorizeError(f"vividness: must be in 0..1 (got {vividness:g})")
            if self.vividness is None:
                raise ColorizeError(f"vividness: {name} has none; leave it out")
        if prediction_size is not None:
            if not isinstance(prediction_size, Integral):
                raise ColorizeError(
                    f"prediction size: must be a whole number in 32..2048 (got {prediction_size!r})"
                )
            if not 32 <= prediction_size <= 2048:
                raise ColorizeError(f"prediction size: must be in 32..2048 (got {prediction_size})")
            if self.size not in (None, prediction_size):
                raise ColorizeError(
                    f"prediction size: {name} sees {self.size}x{self.size} only "
                    f"(got {prediction_size})"
                )


def squash(rgb: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes a whole image: by area along sides that shrink, then bicubic along those that grow.

    Args:
        rgb: uint8 or uint16, shape (H, W, 3).
        shape: height and width of the result.

    Returns:
        uint8, of that shape.
    """
    height, width = rgb.shape[:2]
    shrunk = (min(width, shape[1]), min(height, shape[0]))
    rgb = to_uint8(cv2.resize(rgb, shrunk, interpolation=cv2.INTER_AREA))
    if shrunk == shape[::-1]:
        return rgb
    return cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_CUBIC)
