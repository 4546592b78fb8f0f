"""What all decoders return: samples, and what is needed to interpret them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from keras_colorize.images import exif
from keras_colorize.images.arrays import turn
from keras_colorize.images.icc import to_srgb
from keras_colorize.images.rgb_image import Metadata, RgbImage


@dataclass
class Decoded:
    """An image as its file holds it.

    Attributes:
        samples: as `to_srgb` takes them.
        alpha: the same dtype, shape (H, W), 0 transparent, or None.
        profile: its ICC profile, or empty.
        orientation: EXIF orientation still to be applied.
        damage: what is wrong with the file, if something is.
        exif: EXIF data as stored; the other fields are those of `Metadata`.
    """

    samples: np.ndarray
    alpha: np.ndarray | None = None
    profile: bytes = b""
    orientation: int = 1
    damage: str = ""
    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: str = ""
    text: Mapping[str, str] = field(default_factory=dict)

    def image(self, with_metadata: bool) -> RgbImage:
        """Turns the image upright and converts it to sRGB; the samples are released."""
        rgb = to_srgb(self.samples, self.profile)
        self.samples = rgb[:0]
        rgb = turn(rgb, self.orientation)
        alpha = None if self.alpha is None else turn(self.alpha, self.orientation)
        if not with_metadata:
            return RgbImage(rgb, alpha)
        dpi = self.dpi or exif.resolution(self.exif)
        metadata = Metadata(
            exif=exif.cleaned(self.exif) if self.exif else b"",
            xmp=exif.upright_xmp(self.xmp),
            iptc=self.iptc,
            dpi=dpi[::-1] if dpi and self.orientation >= 5 else dpi,
            comment=self.comment,
            text=self.text,
        )
        return RgbImage(rgb, alpha, metadata)
