"""The memory that reading and writing an image takes, computed from the header of its file.

The tables are bytes a pixel at the peak for images of noise, the worst, rounded up:
`python -m tests.benchmarks limits` measures them.
"""

import functools
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from keras_colorize.errors import ColorizeError
from keras_colorize.images import jpeg2000, pillow, tiff
from keras_colorize.images.formats import KIND_OF_SUFFIX, MAX_PIXELS, check_size
from keras_colorize.images.opening import name_of, named_errors
from keras_colorize.images.reading import jpeg_header, opened
from keras_colorize.images.writing import TILE

MAX_MEMORY = 1_400_000_000
"""Images that take more bytes at work are refused, mostly."""

# Beside the compressed file.
_READING = {"WEBP": 25, "BMP": 13, "GIF": 12, "AVIF": 17, "HEIF": 16, "JXL": 18}
# Beside the pixels; of PNG and TIFF in shares of these.
_WRITING = {
    **{"JPEG": 5, "WEBP": 34, "BMP": 17, "GIF": 44},
    **{"JPEG2000": 24, "AVIF": 53, "HEIF": 64, "JXL": 18},
}
_WRITING_TILE = {"JPEG2000": 40, "JXL": 90}  # Besides, of each pixel of a tile.
_WRITING_SHARE = {"PNG": 3.0, "TIFF": 2.8}

_PNG_HEADER, _PNG_ALPHA, _PNG_PALETTE = 26, 4, 3  # Length, and color types.


@dataclass(frozen=True)
class Needs:
    """What an image takes.

    Attributes:
        pixels: their number.
        decoded: bytes of the image when it is read.
        reading: bytes at the peak of reading, these among them.
    """

    pixels: int
    decoded: int
    reading: int

    def writing(self, suffix: str) -> int:
        """Bytes at the peak of writing the image, itself among them."""
        kind = KIND_OF_SUFFIX.get(suffix.lower(), "")  # Writing will refuse an unknown one.
        if kind in _WRITING_SHARE:
            return round((1 + _WRITING_SHARE[kind]) * self.decoded)
        rounded = 4 * self.pixels if self.decoded > 4 * self.pixels else 0  # Of 16 bits, to 8.
        tile = _WRITING_TILE.get(kind, 0) * min(self.pixels, TILE**2)
        return self.decoded + rounded + _WRITING.get(kind, 0) * self.pixels + tile


def needs(source: Path | str | bytes, pages: int = 1) -> Needs:
    """Computes from the header what an image takes.

    Args:
        source: path of an image file, or its bytes.
        pages: how many pages of a TIFF will be read; the one that takes most counts.

    Raises:
        ColorizeError: as `read_image`, as far as the header shows it.
    """
    with named_errors(source), opened(source) as (kind, file):
        if kind == "TIFF":
            return _tiff(file, pages)
        return _OF_KIND.get(kind, functools.partial(_other, kind))(file)


def check_reading(source: Path | str | bytes, need: Needs) -> None:
    """Raises a ColorizeError unless an image may be read."""
    if need.reading > MAX_MEMORY:
        raise ColorizeError(
            f"{name_of(source)}: {need.pixels / 1e6:.1f} megapixels take {need.reading / 1e9:.1f} "
            f"GB when read; at most {MAX_MEMORY / 1e9:.1f} GB are taken; shrink it or split it"
        )


def _needs(width: int, height: int, decoded: int, reading: int, besides: int) -> Needs:
    """Of bytes a pixel, and of bytes besides while the image is read."""
    check_size(width, height, MAX_PIXELS)
    pixels = width * height
    return Needs(pixels, pixels * decoded, pixels * reading + besides)


def _length(file: BinaryIO) -> int:
    return file.seek(0, os.SEEK_END)


def _jpeg(file: BinaryIO) -> Needs:
    header = jpeg_header(file)
    converted = header.components if header.components != 3 else 0
    coefficients = 2 * header.components if header.is_buffered else 0
    depth = 2 if header.precision > 8 else 1
    # Decoded, and turned by its orientation; of more than 8 bits also stretched to 16.
    reading = depth * (6 + converted) + coefficients + (6 if depth == 2 else 0)
    return _needs(header.width, header.height, 3 * depth, reading, _length(file))


def _png(file: BinaryIO) -> Needs:
    header = file.read(_PNG_HEADER)
    width, height = int.from_bytes(header[16:20]), int.from_bytes(header[20:24])
    bits, color_type = header[24:26]
    channels = 4 if color_type & _PNG_ALPHA or color_type == _PNG_PALETTE else 3
    decoded, reading = (2 * channels, 8 * channels - 4) if bits == 16 else (channels, channels + 9)
    return _needs(width, height, decoded, reading, 2 * _length(file))


def _jpeg2000(file: BinaryIO) -> Needs:
    width, height = pillow.image_size("JPEG2000", file)
    is_deep = jpeg2000.deep_bits(file) > 0
    decoded, reading = (8, 40) if is_deep else (4, 27)
    return _needs(width, height, decoded, reading, _length(file))


def _tiff(file: BinaryIO, count: int) -> Needs:
    worst = None
    with tiff.open_tiff(file) as opened_tiff:
        for page in itertools.islice(tiff.pages(opened_tiff), count):
            width, height = page.imagewidth, page.imagelength
            depth = page.dtype.itemsize if page.dtype else 1
            pixel = page.samplesperpixel * depth
            decoded = min(depth, 2) * (4 if page.extrasamples else 3)
            rows, columns = min(page.rowsperstrip, height), width
            if page.is_tiled:
                rows, columns = page.tilelength, page.tilewidth
            # Copies of a segment while it is unpacked; more where its colors are converted here.
            compression = int(page.compression)
            copies = 0 if compression == tiff.UNCOMPRESSED else 2
            if int(page.photometric) == tiff.YCBCR and compression not in tiff.JPEG_COMPRESSIONS:
                copies = 14
            # Samples, their numbers stretched to the whole range, and these in sRGB.
            reading = pixel + 2 * decoded
            need = _needs(width, height, decoded, reading, copies * pixel * rows * columns)
            worst = need if worst is None or need.reading > worst.reading else worst
    assert worst is not None  # There is a first page.
    return worst


def _other(kind: str, file: BinaryIO) -> Needs:
    width, height = pillow.image_size(kind, file)
    return _needs(width, height, 4, _READING[kind], _length(file))


_OF_KIND: dict[str, Callable[[BinaryIO], Needs]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "JPEG2000": _jpeg2000,
}
