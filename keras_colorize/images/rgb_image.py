"""What comes out of an image file: pixels, transparency and metadata."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Metadata:
    """What an image file says about its image, apart from its colors.

    Attributes:
        exif: EXIF data as a TIFF structure, which begins with its byte order; the orientation is
            1 and there is no thumbnail. Empty if there is none.
        xmp: XMP packet; empty if there is none.
        iptc: IPTC data of a JPEG or TIFF (IIM records); empty if there are none.
        dpi: horizontal and vertical resolution, in pixels an inch.
        comment: the comment of a JPEG or GIF, the description of a TIFF.
        text: keywords and texts of a PNG.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: str = ""
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RgbImage:
    """A decoded image at its own depth: upright, sRGB.

    Attributes:
        rgb: uint8 or uint16, shape (H, W, 3); the whole range of its type is 0..1.
        alpha: the same dtype, shape (H, W), 0 transparent; None where all is opaque by format.
        metadata: what else the file holds; None if it was not read.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    metadata: Metadata | None = None
