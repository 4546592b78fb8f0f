"""Images that are passed in Python."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from keras_colorize.data.sources import SPLITS, ImageSet, Splits, numbered
from keras_colorize.errors import ColorizeError


def are_datasets(data: object) -> TypeGuard[Sequence[Any]]:
    """Whether images are given as `tf.data.Dataset`s, one of them at least."""
    return isinstance(data, list | tuple) and any(hasattr(part, "element_spec") for part in data)


def as_splits(images: Splits | Sequence[np.ndarray], image_size: int, source: str) -> Splits:
    """Checks images to train on.

    Args:
        images: splits, or arrays to train, to validate and (may be left out) to test on, each
            uint8 of shape (N, image_size, image_size, 3), sRGB.
        image_size: of the recipe.
        source: where they come from, for messages.

    Returns:
        The same images; those of arrays are numbered.

    Raises:
        ColorizeError: for other types, shapes or numbers of arrays.
    """
    if not isinstance(images, Splits):
        if not isinstance(images, list | tuple) or len(images) not in (2, 3):
            raise ColorizeError(
                f"{source}: must be images to train and to validate on, and maybe to test on "
                f"(got {type(images).__name__})"
            )
        sets = [
            _checked(split, rgb, image_size, source)
            for split, rgb in zip(SPLITS, images, strict=False)
        ]
        none = ImageSet(np.empty((0, image_size, image_size, 3), np.uint8), ())
        return Splits(sets[0], sets[1], sets[2] if len(sets) == 3 else none)
    for split in SPLITS:
        _checked(split, getattr(images, split).rgb, image_size, source)
    return images


def _checked(split: str, rgb: np.ndarray, image_size: int, source: str) -> ImageSet:
    """The images of a split, numbered."""
    wanted = (image_size, image_size, 3)
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.shape[1:] != wanted:
        got = type(rgb).__name__
        if isinstance(rgb, np.ndarray):
            got = f"{rgb.dtype} {rgb.shape}"
        raise ColorizeError(
            f"{source}: {split}: must be a NumPy array, uint8 of shape (N, {image_size}, "
            f"{image_size}, 3), where {image_size} is data.image_size (got {got})"
        )
    if not len(rgb) and split != "test":
        raise ColorizeError(f"{source}: {split}: has no image")
    return numbered(split, rgb)
