"""Color spaces that are stored without a profile: CIE Lab and YCbCr."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms

from keras_colorize.images.arrays import strips, to_uint8

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601.
_FULL_RANGE = (0, 255, 128, 255, 128, 255)


def lab_to_srgb(lab: np.ndarray, bits: int, *, is_signed: bool) -> np.ndarray:
    """Converts Lab (D50) as TIFF stores it.

    Args:
        lab: uint8 or uint16, shape (H, W, 3).
        bits: 8 or 16.
        is_signed: a and b are signed (CIE Lab); else they have 128 added (ICC Lab).

    Returns:
        The same dtype, shape (H, W, 3).

    Reference:
        TIFF 6.0, section 23; ICC.1:2022, 6.3.4.2 (encoding).
    """
    import imagecodecs

    profiles = [ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")]
    source, target = (ImageCms.ImageCmsProfile(profile).tobytes() for profile in profiles)
    result = np.empty_like(lab)
    for rows in strips(lab.shape):
        strip = lab[rows]
        encoded = np.empty(strip.shape, np.uint16)
        encoded[..., 0] = strip[..., 0].astype(np.uint32) * (65535 // (2**bits - 1))
        ab = strip[..., 1:]
        if is_signed:
            ab = ab ^ ab.dtype.type(2 ** (bits - 1))
        # 16 bits of TIFF are 8 bits with a fraction.
        encoded[..., 1:] = np.minimum(np.rint(ab * (257 / 2 ** (bits - 8))), 65535)
        rgb = imagecodecs.cms_transform(
            encoded,
            source,
            target,
            colorspace="lab",
            outcolorspace="rgb",
            outdtype="uint16",
            intent=int(ImageCms.Intent.RELATIVE_COLORIMETRIC),
        )
        result[rows] = to_uint8(rgb) if bits == 8 else rgb
    return result


def ycbcr_to_rgb(
    ycbcr: np.ndarray, luma: Sequence[float] | None, reference: Sequence[float] | None
) -> np.ndarray:
    """Converts YCbCr as TIFF stores it.

    Args:
        ycbcr: uint8, shape (H, W, 3).
        luma: shares of red, green and blue in Y; by default those of BT.601.
        reference: of Y, Cb and Cr the values that stand for none and for all.

    Returns:
        uint8, shape (H, W, 3).

    Reference:
        TIFF 6.0, section 21.
    """
    if tuple(luma or _LUMA) == _LUMA and tuple(reference or _FULL_RANGE) == _FULL_RANGE:
        return np.array(Image.fromarray(ycbcr, "YCbCr").convert("RGB"))
    red, green, blue = luma or _LUMA
    none, full = np.array(reference or _FULL_RANGE).reshape(3, 2).T
    y, cb, cr = np.moveaxis((ycbcr - none) / (full - none) * (255, 127, 127), -1, 0)
    r = y + cr * (2 - 2 * red)
    b = y + cb * (2 - 2 * blue)
    rgb = np.stack([r, (y - blue * b - red * r) / green, b], axis=-1)
    return np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)
