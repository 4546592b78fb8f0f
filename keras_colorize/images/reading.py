"""Reading image files of every kind."""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_colorize.images import jpeg, pillow, png, tiff
from keras_colorize.images.arrays import on_white
from keras_colorize.images.decoded import Decoded
from keras_colorize.images.formats import MAX_PIXELS, check_size, kind_of
from keras_colorize.images.opening import (
    START,
    RefusedError,
    name_of,
    named_errors,
    open_file,
    open_stream,
)
from keras_colorize.images.rgb_image import RgbImage

_HEADER = 2**16  # Bytes in which most headers end.


def read_rgb(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads an image as 8-bit sRGB; transparent parts show white.

    Args:
        source: path of an image file, or its bytes.
        max_pixels: larger images are refused, by their header.

    Returns:
        uint8, shape (H, W, 3).

    Raises:
        ColorizeError: the file is missing, damaged, too large or of another kind.
    """
    return on_white(_read(source, max_pixels=max_pixels))


def read_image(
    source: Path | str | bytes, *, page: int = 0, allow_damaged: bool = False
) -> RgbImage:
    """Reads an image with its own depth, transparency and metadata.

    The EXIF orientation is applied and an ICC profile converted to sRGB; a broken profile is
    ignored. Images of more than 8 bits become 16-bit, where docs/images.md does not say otherwise.

    Args:
        source: path of an image file, or its bytes.
        page: number of the page or frame, from 0, of a file of several (`count_pages`).
        allow_damaged: whether to take what can be read of a damaged file.

    Returns:
        The image.

    Warns:
        UserWarning: the file is damaged, and that is allowed; names the file.

    Raises:
        ColorizeError: the file is missing, damaged, too large or of another kind, or has no such
            page.
    """
    return _read(source, page=page, allow_damaged=allow_damaged, with_metadata=True)


def read_image_size(path: Path) -> tuple[int, int]:
    """Reads the width and height, in pixels as stored, from the header of an image file.

    Raises:
        ColorizeError: as `read_image`, as far as the header shows it.
    """
    with named_errors(path):
        with open_stream(path) as (file, start):
            kind = kind_of(start)
            if kind == "JPEG":
                size = _jpeg_size(file)
            elif kind == "TIFF":
                with tiff.open_tiff(file) as opened:
                    page = next(tiff.pages(opened))
                    size = page.imagewidth, page.imagelength
            else:
                size = pillow.image_size(kind, file)
        check_size(*size, MAX_PIXELS)
        return size


def read_file(source: Path | str | bytes) -> tuple[str, bytes]:
    """The kind of an image file and its bytes.

    Raises:
        RefusedError: it is no image.
        OSError: it cannot be read.
    """
    if isinstance(source, bytes):
        return kind_of(source[:START]), source
    descriptor = open_file(source)
    # Neither a buffer nor pathlib: both are slow for many small files.
    with io.FileIO(descriptor) as file:
        kind = kind_of(os.pread(descriptor, START, 0))
        return kind, file.readall()


def _read(
    source: Path | str | bytes,
    *,
    page: int = 0,
    max_pixels: int = MAX_PIXELS,
    allow_damaged: bool = False,
    with_metadata: bool = False,
) -> RgbImage:
    with named_errors(source):
        decoded = _decode(*read_file(source), page, max_pixels, allow_damaged)
        if decoded.damage:
            warnings.warn(
                f"{name_of(source)}: {decoded.damage}; what can be read of it is used",
                stacklevel=3,
            )
        return decoded.image(with_metadata)


def _decode(kind: str, data: bytes, page: int, max_pixels: int, allow_damaged: bool) -> Decoded:
    if kind == "JPEG":
        if page:
            raise RefusedError(f"it has no page {page + 1}")
        return jpeg.decode(data, max_pixels, allow_damaged)
    if kind == "TIFF":
        return tiff.decode(data, page, max_pixels)
    if kind == "PNG":
        return png.decode(data, page, max_pixels, allow_damaged)
    return pillow.decode(kind, io.BytesIO(data), page, max_pixels, allow_damaged)


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    """The size of a JPEG, whose header may hold much before it."""
    start = file.read(_HEADER)
    try:
        header = jpeg.read_header(start)
    except RefusedError:
        header = jpeg.read_header(start + file.read())
    return header.width, header.height
