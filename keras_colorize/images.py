"""Image files <-> NumPy arrays: finding, reading, shrinking, tiling and writing pictures.

No TensorFlow here. Whatever a file holds (EXIF orientation, an ICC profile, CMYK, a palette,
16 bits, transparency), what comes out is upright, gamma-encoded sRGB.
"""

import contextlib
import io
import os
import struct
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from keras_colorize.errors import ColorizeError
from keras_colorize.files import whole_file
from keras_colorize.icc import convert_16_bits, transform_to_srgb

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""The image files that are read and written, told by their suffix in any case."""

MAX_PIXELS = 2**28
"""Larger pictures (over 268 megapixels) are refused before they are decoded."""

JPEG_QUALITY = 95

# Told by their first bytes, whatever the suffix says. The classes are named one by one because
# `Image.open` warns of pictures above 89 megapixels, which are ordinary photographs today.
_READERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
    b"II": TiffImagePlugin.TiffImageFile,
    b"MM": TiffImagePlugin.TiffImageFile,
}

_EXIF_ORIENTATION = 0x0112
_JPEG_END = b"\xff\xd9"
_PNG_BITS = 24  # Where the header's bits per channel are.
# TIFF 6.0: tags, and those of their values that are told apart here.
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANES = 258, 262, 284
_TIFF_EXTRA_SAMPLES, _TIFF_SAMPLE_FORMAT = 338, 339
_TIFF_WHITE_IS_ZERO = 0
_TIFF_PREMULTIPLIED_ALPHA, _TIFF_STRAIGHT_ALPHA = 1, 2


@dataclass(frozen=True)
class Picture:
    """A decoded picture at its own depth: upright, sRGB.

    Attributes:
        rgb: uint8 or uint16, shape (H, W, 3); the whole range of its type is 0..1.
        alpha: the same dtype, shape (H, W), 0 transparent; None where all is opaque by format.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def find_images(root: Path) -> list[str]:
    """Lists the image files under a folder, recursively and sorted; hidden ones are left out.

    Links are followed, but no folder is searched twice. What is no file, as a pipe, is left out.

    Args:
        root: a folder.

    Returns:
        Paths relative to `root`, with `/` between the parts.

    Warns:
        UserWarning: a folder cannot be searched.

    Raises:
        ColorizeError: `root` is not a folder.
    """
    if not Path(root).is_dir():
        raise ColorizeError(f"{root}: not a folder")
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    folders = deque([(str(root), "")])
    while folders:
        folder, prefix = folders.popleft()
        try:
            status = Path(folder).stat()
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            warnings.warn(f"{folder}: cannot be searched ({error.strerror})", stacklevel=2)
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in sorted(visible, key=lambda entry: entry.name):
            if entry.is_dir():
                # Links last: what they lead to may be in the tree under its own name.
                add = folders.append if entry.is_symlink() else folders.appendleft
                add((entry.path, f"{prefix}{entry.name}/"))
            elif entry.name.lower().endswith(SUFFIXES) and (entry.is_file() or entry.is_symlink()):
                found.append(prefix + entry.name)
    return sorted(found, key=lambda name: name.split("/"))


def read_rgb(source: Path | str | bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a picture as 8-bit sRGB; transparent parts show white.

    Args:
        source: path of an image file, or its bytes.
        max_pixels: larger images are refused, by their header.

    Returns:
        uint8, shape (H, W, 3).

    Raises:
        ColorizeError: the file is missing, damaged, too large or of another kind.
    """
    picture = _read(source, max_pixels)
    rgb = to_uint8(picture.rgb)
    if picture.alpha is None:
        return rgb
    alpha = to_uint8(picture.alpha).astype(np.uint16)[..., None]
    return ((rgb * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def read_picture(source: Path | str | bytes) -> Picture:
    """Reads a picture with its own depth and transparency.

    The EXIF orientation is applied and an ICC profile converted to sRGB; a broken profile is
    ignored. Of an animation or a file of several pages, the first is taken. 16-bit pictures
    stay 16-bit.

    Args:
        source: path of an image file, or its bytes.

    Returns:
        The picture.

    Raises:
        ColorizeError: the file is missing, damaged, too large or of another kind.
    """
    return _read(source, MAX_PIXELS)


def _read(source: Path | str | bytes, max_pixels: int) -> Picture:
    """What `read_picture` does."""
    if isinstance(source, bytes):
        with _one_line_errors(f"image of {len(source)} bytes"):
            return _decode(_open(io.BytesIO(source), max_pixels), source)
    with _one_line_errors(str(source)):
        # Neither a buffer nor pathlib: both take their time, as many small files tell.
        with io.FileIO(source) as file:
            data = file.readall()
        return _decode(_open(io.BytesIO(data), max_pixels), data)


def picture_size(path: Path) -> tuple[int, int]:
    """Reads the width and height, in pixels as stored, from the header of an image file.

    Raises:
        ColorizeError: as `read_picture`, as far as the header tells.
    """
    with _one_line_errors(str(path)), Path(path).open("rb") as stream:
        return _open(stream).size


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds uint16 values to the nearest of uint8 (65535 becomes 255); uint8 is returned as is."""
    if pixels.dtype == np.uint8:
        return pixels
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def square_thumbnail(rgb: np.ndarray, size: int) -> np.ndarray:
    """Crops the central square and resizes it: by area when shrinking, bicubic when enlarging.

    Args:
        rgb: uint8, shape (H, W, 3).
        size: side of the result, in pixels.

    Returns:
        uint8, shape (size, size, 3), memory of its own.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return square.copy()
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=method)


def picture_grid(rows: Sequence[Sequence[np.ndarray]], gap: int = 2, scale: int = 1) -> np.ndarray:
    """Tiles pictures of one size, with white gaps between them and around.

    Args:
        rows: uint8 pictures of shape (H, W, 3), a sequence for each row; a shorter row ends white.
        gap: width of the gaps, in pixels of the result.
        scale: every pixel of a picture becomes a square of this side.

    Returns:
        uint8, shape (rows * (H * scale + gap) + gap, longest row * (W * scale + gap) + gap, 3).
    """
    height, width = (side * scale for side in rows[0][0].shape[:2])
    columns = max(len(row) for row in rows)
    shape = (len(rows) * (height + gap) + gap, columns * (width + gap) + gap, 3)
    grid = np.full(shape, 255, np.uint8)
    for row_index, row in enumerate(rows):
        for column, picture in enumerate(row):
            top, left = gap + row_index * (height + gap), gap + column * (width + gap)
            large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
            grid[top : top + height, left : left + width] = large
    return grid


def write_image(path: Path, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Writes a picture in the format its suffix names; the file appears whole or not at all.

    JPEG is written at quality 95 with chroma at full resolution (4:4:4): colour is what this
    library makes, and halved chroma blurs it and shifts lightness along every edge. WebP is
    lossy at the same quality; the others are lossless. PNG and TIFF keep 16 bits, the others
    are rounded to 8. No profile is embedded: untagged means sRGB.

    Args:
        path: file to write, replaced if it is there.
        rgb: uint8 or uint16, shape (H, W, 3), sRGB.
        alpha: the same dtype, shape (H, W); None for an opaque picture.

    Raises:
        ColorizeError: the suffix is unknown, the format cannot hold the picture, or the file
            cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ColorizeError(f"{path}: unknown image suffix; use one of {' '.join(SUFFIXES)}")
    if alpha is not None and suffix in (".jpg", ".jpeg"):
        raise ColorizeError(f"{path}: JPEG cannot hold transparency; write a .png instead")
    if suffix not in (".png", ".tif", ".tiff"):
        rgb = to_uint8(rgb)
        alpha = None if alpha is None else to_uint8(alpha)
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR if alpha is None else cv2.COLOR_RGB2BGRA)
    if alpha is not None:
        pixels[..., 3] = alpha
    try:
        written, encoded = cv2.imencode(suffix, pixels, _encoder_options(suffix))
    except cv2.error:
        written = False
    if not written:
        height, width = rgb.shape[:2]
        raise ColorizeError(
            f"{path}: {suffix[1:]} cannot hold a picture of {width}x{height}; write a .png instead"
        )
    del pixels
    if alpha is not None and suffix in (".tif", ".tiff"):
        encoded = np.frombuffer(_mark_tiff_alpha(encoded.tobytes()), np.uint8)
    try:
        with whole_file(path) as beside:
            beside.write_bytes(encoded.data)
    except OSError as error:
        raise ColorizeError(f"{path}: cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def _one_line_errors(name: str) -> Iterator[None]:
    """Turns whatever goes wrong in reading into a ColorizeError of one line."""
    try:
        yield
    except Exception as error:  # Decoders of damaged files raise errors of every type.
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise ColorizeError(f"{name}: cannot be read ({reason.splitlines()[0]})") from error


def _open(stream: BinaryIO, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """Reads the header with Pillow; raises ValueError for another kind or too many pixels."""
    start = stream.read(8)
    stream.seek(0)
    for magic, reader in _READERS.items():
        if start.startswith(magic):
            image = reader(stream)
            break
    else:
        raise ValueError("not a JPEG, PNG, WebP, BMP or TIFF picture")
    if image.width * image.height > max_pixels:
        megapixels = image.width * image.height / 1e6
        raise ValueError(f"{megapixels:.0f} megapixels; at most {max_pixels / 1e6:.0f} are taken")
    return image


def _decode(image: ImageFile.ImageFile, data: bytes) -> Picture:
    """Decodes an opened file: OpenCV where it is faster or alone keeps 16 bits, else Pillow."""
    profile = image.info.get("icc_profile", b"")
    to_srgb = transform_to_srgb(profile, image.mode)
    if image.format == "JPEG":
        # OpenCV 4 fills what is missing with gray. (The header may hold a thumbnail with an end
        # of its own; the image data cannot.)
        if image.fp is None or data.rfind(_JPEG_END, image.fp.tell()) < 0:
            raise ValueError("truncated")
        if to_srgb is None and image.mode in ("L", "RGB"):
            flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
            return Picture(_turn(_imdecode(data, flags), _orientation(image)))
    image.load()
    orientation = _orientation(image)
    if _has_16_bits(image, data):
        picture = _decode_16_bits(image, data, orientation)
        if to_srgb is None:
            return picture
        return Picture(convert_16_bits(picture.rgb, profile, to_srgb), picture.alpha)
    if image.mode[0] in "FI":
        raise ValueError(f"pixels of type {image.mode}; 8 and 16 bits per channel are read")
    pixels: Image.Image = image
    alpha = None
    if image.has_transparency_data:
        pixels = image.convert("RGBA")
        alpha = _turn(np.array(pixels.getchannel("A")), orientation)
    pixels = pixels.convert("RGB" if to_srgb is None else to_srgb.input_mode)
    if to_srgb is not None:
        pixels = to_srgb.apply(pixels)
    return Picture(_turn(np.array(pixels), orientation), alpha)


def _decode_16_bits(image: ImageFile.ImageFile, data: bytes, orientation: int) -> Picture:
    """Decodes 16-bit gray, RGB or RGBA with OpenCV; Pillow would round it to 8 bits."""
    pixels = _turn(_imdecode(data, cv2.IMREAD_UNCHANGED), orientation)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    if pixels.ndim == 2:
        if tags.get(_TIFF_PHOTOMETRIC) == _TIFF_WHITE_IS_ZERO:
            pixels = 65535 - pixels
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(pixels == key, 0, 65535).astype(np.uint16)
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), alpha)
    if pixels.shape[2] == 3:
        return Picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
    rgb, alpha = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), pixels[..., 3].copy()
    if tags.get(_TIFF_EXTRA_SAMPLES) == (_TIFF_PREMULTIPLIED_ALPHA,):
        weight = np.maximum(alpha, 1)[..., None] / 65535
        rgb = np.minimum(np.rint(rgb / weight), 65535).astype(np.uint16)
    return Picture(rgb, alpha)


def _imdecode(data: bytes, flags: int) -> np.ndarray:
    """`cv2.imdecode` that raises where it would return None."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("truncated")
    return pixels


def _has_16_bits(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the file holds 16-bit gray or RGB, laid out as OpenCV reads it."""
    if isinstance(image, PngImagePlugin.PngImageFile):
        return data[_PNG_BITS] == 16
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        return (
            set(tags.get(_TIFF_BITS, (1,))) == {16}
            and tags.get(_TIFF_PHOTOMETRIC) in (_TIFF_WHITE_IS_ZERO, 1, 2)
            and tags.get(_TIFF_PLANES, 1) == 1
            and set(tags.get(_TIFF_SAMPLE_FORMAT, (1,))) == {1}
        )
    return False


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation still to be applied, 1..8; both decoders turn TIFF themselves."""
    if image.format == "TIFF":
        return 1
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # A broken EXIF block is no reason to refuse the picture.
        return 1


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an array of rows upright, by its EXIF orientation; 1 or an unknown one: as is."""
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip)


def _encoder_options(suffix: str) -> list[int]:
    """What `cv2.imencode` is told for a suffix."""
    if suffix in (".jpg", ".jpeg"):
        full_chroma = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        return [*quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full_chroma]
    return [cv2.IMWRITE_WEBP_QUALITY, JPEG_QUALITY] if suffix == ".webp" else []


def _mark_tiff_alpha(tiff: bytes) -> bytes:
    """Declares the fourth channel of a little-endian TIFF as transparency; OpenCV leaves it open.

    The one directory is written anew at the end, with the tag ExtraSamples = 2 (unassociated
    alpha). Reference: TIFF 6.0, section 18.
    """
    start = struct.unpack_from("<I", tiff, 4)[0]
    count = struct.unpack_from("<H", tiff, start)[0]
    offsets = range(start + 2, start + 2 + 12 * count, 12)
    entries = [tiff[offset : offset + 12] for offset in offsets]
    entries.append(struct.pack("<HHIHH", _TIFF_EXTRA_SAMPLES, 3, 1, _TIFF_STRAIGHT_ALPHA, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    padding = b"\0" * (len(tiff) % 2)
    directory = struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    place = struct.pack("<I", len(tiff) + len(padding))
    return tiff[:4] + place + tiff[8:] + padding + directory
