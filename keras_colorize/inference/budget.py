"""How much memory it takes to colorize an image."""

from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.images import content_suffix, read_image_size, tiff

BUDGET = 240_000_000
"""Between reading and writing there are at most this many decoded bytes, three large photographs;
a still larger image goes alone."""

SMALLEST = BUDGET // 128
"""What small images count as, so that they do not pile up either."""

MAX_BYTES = 380_000_000
"""Images of more decoded bytes are refused: 126 megapixels of 8-bit RGB, 63 of 16 bits. At work an
image takes up to four times as much, about 1.5 GB."""


def decoded_bytes(source: Path, pages: int) -> int:
    """Computes from the header how many bytes a file takes when it is decoded.

    Args:
        source: an image file.
        pages: its pages or frames. Those of a TIFF are worked on one by one, the frames of an
            animation are held until they are written together.

    Raises:
        ColorizeError: it cannot be read, or is too large to be worked on.
    """
    kind = content_suffix(source)
    if kind == ".tif":
        size = _largest_page(source)
    else:
        width, height = read_image_size(source)
        size = width * height * _pixel_bytes(source, kind) * pages
    if size > MAX_BYTES:
        raise ColorizeError(
            f"{source}: {size / 1e6:.0f} MB when decoded; at most {MAX_BYTES / 1e6:.0f} MB are "
            "taken; shrink it or split it"
        )
    return size


def _pixel_bytes(source: Path, kind: str) -> int:
    """The most bytes that a decoded pixel of a file can have."""
    if kind == ".jpg":
        return 3
    if kind == ".webp":
        return 5  # What its decoder takes besides.
    if kind in (".gif", ".bmp"):
        return 4
    if kind != ".png":
        return 8
    with source.open("rb") as file:
        header = file.read(26)
    bits, color_type = header[24:26]
    return (2 if bits == 16 else 1) * (4 if color_type & 4 else 3)


def _largest_page(source: Path) -> int:
    with source.open("rb") as file, tiff.open_tiff(file) as opened:
        return max(
            page.imagewidth
            * page.imagelength
            * (1 if page.bitspersample <= 8 else 2)
            * (4 if page.extrasamples else 3)
            for page in tiff.pages(opened)
        )
