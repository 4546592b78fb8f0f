"""Reads images in several threads within a budget of memory: small files may hold large images."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_colorize.budget import Budget
from keras_colorize.errors import ColorizeError
from keras_colorize.images import MAX_PIXELS, check_reading, needs, read_rgb

Result = TypeVar("Result")

_FREE_PIXELS = 2**20  # Images of at most one megapixel need no budget: threads are few.


class Reader:
    """Reads images; those that are decoded at a time stay within a budget. Threads may share it.

    Args:
        budget: bytes that large images at work take at a time; a larger one goes alone.
        max_pixels: still larger images are refused, as are those that take more than
            `images.MAX_MEMORY`.
    """

    def __init__(self, budget: int = 1_000_000_000, max_pixels: int = MAX_PIXELS) -> None:
        self._most = budget
        self._budget = Budget(budget)
        self._max_pixels = max_pixels

    def read(self, source: Path | str | bytes, use: Callable[[np.ndarray], Result]) -> Result:
        """Reads an image and returns what `use` makes of it.

        Args:
            source: path of an image file, or its bytes.
            use: gets uint8 sRGB, shape (H, W, 3), and keeps none of it.

        Raises:
            ColorizeError: as `read_rgb`; or the image would take too much memory.
        """
        try:
            rgb = read_rgb(source, max_pixels=min(_FREE_PIXELS, self._max_pixels))
        except ColorizeError:
            need = needs(source)
            if need.pixels <= _FREE_PIXELS:  # It is not for its size.
                raise
        else:
            return use(rgb)
        check_reading(source, need)
        charge = min(need.reading, self._most)
        self._budget.take(charge)
        try:
            return use(read_rgb(source, max_pixels=self._max_pixels))
        finally:
            self._budget.give(charge)
