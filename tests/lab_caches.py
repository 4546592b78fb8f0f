"""Lab of images that tests and benchmarks have in memory."""

import numpy as np

from keras_colorize.data.cache import MemoryCache
from keras_colorize.data.lab import lab_from_rgb

_IMAGES_AT_ONCE = 32


def cache_lab(rgb: np.ndarray) -> MemoryCache:
    """Lab of images: uint8, shape (N, S, S, 3), sRGB."""
    cache = MemoryCache(len(rgb), rgb.shape[1])
    for start in range(0, len(rgb), _IMAGES_AT_ONCE):
        cache.append(lab_from_rgb(rgb[start : start + _IMAGES_AT_ONCE]))
    return cache
