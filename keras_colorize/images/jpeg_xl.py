"""JPEG XL files: what their plugin for Pillow leaves out, the size before decoding and XMP.

Reference:
    ISO/IEC 18181-1, annex D (size header); 18181-2, 9 (boxes).
"""

import re
from typing import BinaryIO

from keras_colorize.images.opening import RefusedError

# Of the size header.
_SIDE_BITS = (9, 13, 18, 30)
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))

_XMP, _PACKED = b"xml ", b"brob"  # Kinds of boxes.
_LONGEST = 2**24


def xmp(stream: BinaryIO) -> bytes:
    """The XMP packet of a file; empty if there is none."""
    at, end = 0, stream.seek(0, 2)
    while at + 8 <= end:
        stream.seek(at)
        header = stream.read(16)
        length, kind, start = int.from_bytes(header[:4]), header[4:8], 8
        if length == 1:  # A long one.
            length, start = int.from_bytes(header[8:]), 16
        length = length or end - at  # The last one.
        if length < start:
            return b""
        if kind in (_XMP, _PACKED):
            stream.seek(at + start)
            body = stream.read(min(length - start, _LONGEST))
            if kind == _XMP:
                return body
            if body.startswith(_XMP):
                return _unpacked(body[len(_XMP) :])
        at += length
    return b""


def _unpacked(body: bytes) -> bytes:
    import imagecodecs

    try:
        return bytes(imagecodecs.brotli_decode(body))
    except imagecodecs.BrotliError:  # Metadata is no reason to refuse the image.
        return b""


def size(start: bytes) -> tuple[int, int]:
    """Width and height of a JPEG XL file.

    Raises:
        RefusedError: they are not there.
    """
    at = 0
    if not start.startswith(b"\xff\x0a"):
        box = re.search(rb"jxlc\xff\x0a|jxlp....\xff\x0a", start, re.DOTALL)
        if box is None:
            raise RefusedError("damaged: its size is missing")
        at = box.end() - 2
    bits = int.from_bytes(start[at + 2 : at + 14], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & (1 << count) - 1, bits >> count
        return value

    def side() -> int:
        return 8 * (1 + take(5)) if is_small else 1 + take(_SIDE_BITS[take(2)])

    is_small = take(1)
    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    numerator, denominator = _RATIOS[ratio - 1]
    return height * numerator // denominator, height
