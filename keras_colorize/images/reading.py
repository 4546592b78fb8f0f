"""Reading image files of every kind."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from keras_colorize.images import jpeg, pillow, png, tiff
from keras_colorize.images.arrays import on_color
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
    (image,) = _read(source, max_pixels=max_pixels)
    return on_color(image)


def read_image(
    source: Path | str | bytes, *, page: int = 0, allow_damaged: bool = False
) -> RgbImage:
    """Reads an image with its own depth, transparency and metadata.

    The EXIF orientation is applied and an ICC profile converted to sRGB; a broken profile is
    ignored. Images of more than 8 bits become 16-bit, where docs/images.md does not say otherwise.

    Args:
        source: path of an image file, or its bytes.
        page: number of the page or frame, from 0, of a file of several (`count_pages`); for many
            of them use `read_pages`, as each call reads the file anew.
        allow_damaged: whether to take what can be read of a damaged file.

    Returns:
        The image.

    Warns:
        UserWarning: the file is damaged, and that is allowed; names the file.

    Raises:
        ColorizeError: the file is missing, damaged, too large or of another kind, or has no such
            page.
    """
    (image,) = read_pages(source, [page], allow_damaged=allow_damaged)
    return image


def read_pages(
    source: Path | str | bytes, pages: Iterable[int], *, allow_damaged: bool = False
) -> Iterator[RgbImage]:
    """Reads pages or frames one after the other; the file is opened and read once.

    Args:
        source: path of an image file, or its bytes.
        pages: their numbers, ascending.
        allow_damaged: as for `read_image`.

    Yields:
        The images.

    Raises:
        ColorizeError: as `read_image`.
    """
    return _read(source, pages, allow_damaged=allow_damaged, with_metadata=True)


def read_image_size(path: Path) -> tuple[int, int]:
    """Reads the width and height, in pixels as stored, from the header of an image file.

    Raises:
        ColorizeError: as `read_image`, as far as the header shows it.
    """
    with named_errors(path):
        with open_stream(path) as (file, start):
            kind = kind_of(start)
            if kind == "JPEG":
                header = jpeg_header(file)
                size = header.width, header.height
            elif kind == "TIFF":
                with tiff.open_tiff(file) as opened:
                    page = next(tiff.pages(opened))
                    size = page.imagewidth, page.imagelength
            else:
                size = pillow.image_size(kind, file)
        check_size(*size, MAX_PIXELS)
        return size


@contextlib.contextmanager
def opened(source: Path | str | bytes) -> Iterator[tuple[str, BinaryIO]]:
    """The kind of an image file, and the file from its first byte on."""
    if isinstance(source, bytes):
        yield kind_of(source[:START]), io.BytesIO(source)
        return
    # Neither a buffer nor pathlib: both are slow for many small files.
    with io.FileIO(source, opener=lambda path, _: open_file(path)) as file:
        yield kind_of(os.pread(file.fileno(), START, 0)), cast(BinaryIO, file)


def _read(
    source: Path | str | bytes,
    pages: Iterable[int] = (0,),
    *,
    max_pixels: int = MAX_PIXELS,
    allow_damaged: bool = False,
    with_metadata: bool = False,
) -> Iterator[RgbImage]:
    with named_errors(source), opened(source) as (kind, file):
        for decoded in _decode(kind, file, pages, max_pixels, allow_damaged):
            if decoded.damage:
                warnings.warn(
                    f"{name_of(source)}: {decoded.damage}; what can be read of it is used",
                    stacklevel=3,
                )
            yield decoded.image(with_metadata)


def _decode(
    kind: str, file: BinaryIO, pages: Iterable[int], max_pixels: int, allow_damaged: bool
) -> Iterator[Decoded]:
    if kind == "TIFF":
        return tiff.decode(file, pages, max_pixels)
    data = file.read()
    if kind == "JPEG":
        return jpeg.decode(data, pages, max_pixels, allow_damaged)
    if kind == "PNG":
        return png.decode(data, pages, max_pixels, allow_damaged)
    return pillow.decode(kind, io.BytesIO(data), pages, max_pixels, allow_damaged)


def jpeg_header(file: BinaryIO) -> jpeg.Header:
    """The header of a JPEG file, which may hold much before it."""
    start = file.read(_HEADER)
    try:
        return jpeg.read_header(start)
    except RefusedError:
        return jpeg.read_header(start + file.read())
