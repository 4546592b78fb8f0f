"""One image on its way from file to file: reading, keeping, flattening and writing it."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ImageColor

from keras_colorize.errors import ColorizeError
from keras_colorize.files import named_failure, whole_file
from keras_colorize.images import (
    JPEG_QUALITY,
    RgbImage,
    content_suffix,
    write_image,
)
from keras_colorize.images.arrays import on_color
from keras_colorize.images.formats import KIND_OF_SUFFIX

_SEVERAL_PAGES = ("TIFF", "GIF", "PNG", "WEBP")  # The kinds of files that hold them.


@dataclass(frozen=True)
class Options:
    """How results are written.

    Attributes:
        quality: of lossy formats, 1..100.
        background: 8-bit sRGB that shows through transparent images in formats without
            transparency; None refuses these.
        strip_metadata: leave out what the sources say about themselves: date, camera, place.
        keep_color: leave images as they are that are in color already.
        allow_damaged: use what can be read of damaged files.
    """

    quality: int = JPEG_QUALITY
    background: tuple[int, int, int] | None = None
    strip_metadata: bool = False
    keep_color: bool = False
    allow_damaged: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ColorizeError(f"quality: must be in 1..100 (got {self.quality})")


def parse_color(text: str) -> tuple[int, int, int]:
    """Reads a color as CSS writes it, as "white" or "#ffffff".

    Raises:
        ColorizeError: it is no opaque color.
    """
    try:
        color = ImageColor.getrgb(text)
    except (AttributeError, TypeError, ValueError):  # The first two if it is no text.
        color = None
    if color is None or len(color) != 3:
        raise ColorizeError(f"background: must be a color as white or #ffffff (got {text})")
    return color


def holds_same_kind(source: Path, target: Path) -> bool:
    """Whether the target's suffix fits the content of the source."""
    return KIND_OF_SUFFIX.get(target.suffix.lower()) == KIND_OF_SUFFIX[content_suffix(source)]


def check_pages(target: Path, count: int) -> None:
    """Raises a ColorizeError if a file of this name cannot hold several pages or frames."""
    if KIND_OF_SUFFIX.get(target.suffix.lower()) not in _SEVERAL_PAGES:
        raise ColorizeError(
            f"{target}: holds one image, not {count} pages or frames; choose --format tif"
        )


def copy(source: Path, target: Path) -> None:
    """Copies a file, which appears whole or not at all.

    Raises:
        ColorizeError: it cannot be copied.
    """
    with named_failure(target), whole_file(target) as beside:
        shutil.copyfile(source, beside)


def write(target: Path, image: RgbImage, options: Options) -> None:
    """Writes an image as the options say.

    Raises:
        ColorizeError: the format cannot hold it, or the file cannot be written.
    """
    image = finish(target, image, options)
    write_image(target, image.rgb, image.alpha, metadata=image.metadata, quality=options.quality)


def finish(target: Path, image: RgbImage, options: Options) -> RgbImage:
    """Takes out of an image what is not wanted or cannot be held by the target's format.

    Raises:
        ColorizeError: it is transparent, the format is not, and there is no background.
    """
    if options.strip_metadata:
        image = replace(image, metadata=None)
    if image.alpha is None or KIND_OF_SUFFIX.get(target.suffix.lower()) != "JPEG":
        return image
    if (image.alpha == np.iinfo(image.alpha.dtype).max).all():
        return replace(image, alpha=None)
    if options.background is None:
        raise ColorizeError(
            f"{target}: JPEG cannot hold transparency; lay it on a color (--background white), or "
            "choose another format (--format png)"
        )
    return replace(image, rgb=on_color(image, options.background), alpha=None)
