"""The kinds of files that Pillow or a plugin of it decodes."""

import importlib
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageFile

from keras_colorize.images import cicp, exif, jpeg2000, jpeg_xl
from keras_colorize.images.decoded import Decoded
from keras_colorize.images.formats import check_size, require_plugin
from keras_colorize.images.jpeg import EXIF_MARK
from keras_colorize.images.opening import RefusedError

# The classes are used one by one because `Image.open` warns of images above 89 megapixels,
# which are ordinary photographs today.
_CLASSES = {
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("keras_colorize.images.gif", "GifFile"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
    "JXL": ("pillow_jxl.JpegXLImagePlugin", "JXLImageFile"),
}
_STRAIGHT_ALPHA = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
# ISO/IEC 14496-12, 12.1.5: a box that gives colors as numbers, among the first of a file.
_NCLX = re.compile(rb"colrnclx(..)(..)", re.DOTALL)
_METADATA = 2**20

XMP_KEYWORD = "XML:com.adobe.xmp"


def open_image(kind: str, stream: BinaryIO) -> ImageFile.ImageFile:
    """Reads the header of a file of a kind.

    Raises:
        RefusedError: the plugin that reads it is missing.
    """
    require_plugin(kind)
    module, name = _CLASSES[kind]
    return getattr(importlib.import_module(module), name)(stream)


def decode(
    kind: str, stream: BinaryIO, pages: Iterable[int], max_pixels: int, allow_damaged: bool
) -> Iterator[Decoded]:
    """Decodes frames of a file, by ascending numbers.

    Raises:
        RefusedError: it cannot be read.
    """
    if kind == "JXL":  # Whose plugin decodes when it opens.
        check_size(*jpeg_xl.size(stream.read(2**16)), max_pixels)
        stream.seek(0)
    image = open_image(kind, stream)
    check_size(*image.size, max_pixels)
    profile = image.info.get("icc_profile") or _profile(kind, stream)
    bits = jpeg2000.deep_bits(stream) if kind == "JPEG2000" else 0
    is_turned = kind == "HEIF" or (kind == "JXL" and not getattr(image, "jpeg", False))
    for page in pages:
        if bits and not page:
            samples, alpha = jpeg2000.decode(stream, bits, image.mode in ("LA", "RGBA"))
            damage = ""
        else:
            samples, alpha, damage = decode_frame(image, page, allow_damaged)
        info = image.info
        exif_data = info.get("exif") or b""
        exif_data = exif_data.removeprefix(EXIF_MARK)
        xmp = jpeg_xl.xmp(stream) if kind == "JXL" else _bytes(info.get("xmp") or b"")
        comment, dpi = info.get("comment", b""), info.get("dpi")
        yield Decoded(
            samples,
            alpha,
            profile=profile,
            orientation=1 if is_turned else exif.orientation(exif_data, xmp),
            damage=damage,
            exif=exif_data,
            xmp=xmp,
            dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
            comment=_bytes(comment).decode(errors="replace"),
        )


def image_size(kind: str, stream: BinaryIO) -> tuple[int, int]:
    """Reads width and height from the header of a file of a kind."""
    if kind == "JXL":
        return jpeg_xl.size(stream.read(2**16))
    return open_image(kind, stream).size


def decode_frame(
    image: ImageFile.ImageFile, page: int, allow_damaged: bool, gray_bits: int = 8
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Decodes the samples of a frame.

    Args:
        image: an opened file.
        page: the number of the frame.
        allow_damaged: whether what is there may be taken where the file ends or is damaged.
        gray_bits: bits of gray values, which Pillow enlarges to 8, but not a transparent one.

    Returns:
        Samples as `to_srgb` takes them, alpha or None, and what is wrong with the file.
    """
    damage = ""
    frame: Image.Image = image
    if page:
        if page >= getattr(image, "n_frames", 1):
            raise RefusedError(f"it has no page {page + 1}")
        image.seek(page)
    try:
        image.load()
    except (OSError, SyntaxError) as error:
        # What is decoded is there already; only `load` would try again.
        core = getattr(image, "_im", None) if allow_damaged else None
        if core is None:
            raise
        frame = Image.Image()._new(core)
        frame.info, damage = image.info, "truncated" if "truncated" in str(error) else "damaged"
    return *_samples(frame, gray_bits), damage


def _samples(image: Image.Image, gray_bits: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples and alpha of a decoded image."""
    if image.mode[0] in "FI" and not image.mode.startswith("I;16"):
        raise RefusedError(f"pixels of type {image.mode}; 8 and 16 bits per channel are read")
    key = image.info.get("transparency")
    if image.mode in ("1", "L") and key is not None:
        gray = np.array(image.convert("L"))
        scale = 1 if image.mode == "1" else 255 // (2**gray_bits - 1)
        return gray, np.where(gray == key * scale, 0, 255).astype(np.uint8)
    if image.mode in _STRAIGHT_ALPHA or image.has_transparency_data:
        # Not by the colors of a palette image, which lie beside its transparency.
        mode = "LA" if image.mode in ("LA", "La") else "RGBA"
        pixels = np.asarray(image if image.mode == mode else image.convert(mode))
        if mode == "LA":
            return pixels[..., 0].copy(), pixels[..., 1].copy()
        return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB), pixels[..., 3].copy()
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK") and not image.mode.startswith("I;16"):
        image = image.convert("RGB")
    return np.array(image), None


def _profile(kind: str, stream: BinaryIO) -> bytes:
    """The profile that the numbers of an AVIF or HEIC file stand for; empty: sRGB."""
    if kind not in ("AVIF", "HEIF"):
        return b""
    stream.seek(0)
    numbers = _NCLX.search(stream.read(_METADATA))
    if numbers is None:
        return b""
    primaries, curve = (int.from_bytes(number) for number in numbers.groups())
    # Encoders call sRGB by the number of BT.709, or leave it out.
    curve = cicp.SRGB if curve in (cicp.UNSPECIFIED, *cicp.BT709) else curve
    return cicp.profile(primaries, curve) or b""


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
