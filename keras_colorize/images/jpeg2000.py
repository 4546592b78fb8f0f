"""JPEG 2000 of more than 8 bits a channel, which Pillow makes 8 and wraps white to black.

Reference:
    ITU-T T.800 (JPEG 2000), annex A.5.1 (image and tile size).
"""

from typing import BinaryIO

import numpy as np

from keras_colorize.images.arrays import stretched

_SIZE_MARKER = b"\xff\x4f\xff\x51"
_CHANNELS_AT = 40  # Behind the marker: their number, 2 bytes, and for each a depth and two more.
_HEADER = 2**20


def deep_bits(stream: BinaryIO) -> int:
    """The bits of each channel if they are more than 8, else 0."""
    stream.seek(0)
    header = stream.read(_HEADER)
    at = header.find(_SIZE_MARKER) + _CHANNELS_AT
    count = int.from_bytes(header[at : at + 2])
    bits = max((depth & 0x7F for depth in header[at + 2 : at + 2 + 3 * count : 3]), default=0) + 1
    return bits if bits > 8 else 0


def decode(stream: BinaryIO, bits: int, has_alpha: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Decodes all channels to uint16.

    Args:
        stream: the file.
        bits: of each channel.
        has_alpha: whether the last one is transparency.

    Returns:
        Samples as `to_srgb` takes them, and alpha or None.
    """
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.jpeg2k_decode(stream.read())
    if bits < 16:
        pixels = stretched(pixels, 0, 2**bits - 1, 16)
    if not has_alpha:
        return pixels, None
    color, alpha = np.split(pixels, [-1], axis=2)
    color = color[..., 0] if color.shape[2] == 1 else color
    return np.ascontiguousarray(color), np.ascontiguousarray(alpha[..., 0])
