"""Reads images in several threads within a budget of pixels: small files may hold large images."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_colorize.budget import Budget
from keras_colorize.errors import ColorizeError
from keras_colorize.images import MAX_PIXELS, read_image_size, read_rgb

Result = TypeVar("Result")

_FREE_PIXELS = 2**22  # Images of at most four megapixels need no budget: threads are few.


class Reader:
    """Reads images; those that are decoded at a time stay within a budget. Threads may share it.

    Args:
        budget: pixels of the large images that are at work at a time; a larger one goes alone.
        max_pixels: still larger images are refused.
    """

    def __init__(self, budget: int = 2**26, max_pixels: int = MAX_PIXELS) -> None:
        self._most = budget
        self._budget = Budget(budget)
        self._max_pixels = max_pixels

    def read(self, source: Path | str | bytes, use: Callable[[np.ndarray], Result]) -> Result:
        """Reads an image and returns what `use` makes of it.

        Args:
            source: path of an image file, or its bytes.
            use: gets uint8 sRGB, shape (H, W, 3), and keeps none of it.

        Raises:
            ColorizeError: as `read_rgb`.
        """
        try:
            rgb = read_rgb(source, max_pixels=min(_FREE_PIXELS, self._max_pixels))
        except ColorizeError:
            charge = self._charge(source)
            if charge <= _FREE_PIXELS:  # It is not for its size.
                raise
        else:
            return use(rgb)
        self._budget.take(charge)
        try:
            return use(read_rgb(source, max_pixels=self._max_pixels))
        finally:
            self._budget.give(charge)

    def _charge(self, source: Path | str | bytes) -> int:
        """Pixels to take from the budget."""
        if isinstance(source, bytes):  # Downloads come slowly; large ones go one by one.
            return self._most
        width, height = read_image_size(Path(source))
        return min(width * height, self._most)
