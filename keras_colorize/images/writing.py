"""Writing image files of every kind."""

import contextlib
import functools
import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.files import whole_file
from keras_colorize.images import exif, iptc
from keras_colorize.images.arrays import to_uint8
from keras_colorize.images.formats import (
    KIND_OF_SUFFIX,
    WRITTEN_SUFFIXES,
    require_plugin,
    suffix_of,
)
from keras_colorize.images.jpeg import EXIF_MARK, XMP_MARK
from keras_colorize.images.opening import RefusedError, name_of
from keras_colorize.images.pillow import XMP_KEYWORD
from keras_colorize.images.png import INCHES, chunk
from keras_colorize.images.rgb_image import Metadata

if TYPE_CHECKING:
    import tifffile

JPEG_QUALITY = 95

TILE = 2048
"""Side, in pixels, of the parts in which JPEG 2000 is encoded, to save memory; libjxl uses the
same."""

_DEEP = ("PNG", "TIFF")  # They keep 16 bits.
_LONGEST_SEGMENT = 65533
_JFIF_END, _JFIF_DENSITY = 20, 13  # Where the first segment ends, and where it has its density.
_PNG_HEADER_END = 33
_SLICE = 2**21  # Pixels of HEIC. libde265 refuses slices of more than 16 MiB.
_BMP_RESOLUTION = 38
# The fastest of the settings that compress well: twice as fast as the default, 12 % larger.
_PNG_LEVEL, _PNG_STRATEGY_FILTERED, _PNG_FILTER_PAETH = 1, 1, 0x80


def write_image(
    path: Path,
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    *,
    metadata: Metadata | None = None,
    quality: int = JPEG_QUALITY,
) -> None:
    """Writes an image in the format its suffix names; the file appears whole or not at all.

    JPEG is written with chroma at full resolution (4:4:4): color is what this library makes, and
    halved chroma blurs it and shifts lightness along every edge. JPEG, WebP, AVIF, HEIC and JPEG
    XL are lossy, the others lossless, but for GIF with its 256 colors. PNG and TIFF keep 16 bits,
    the others are rounded to 8. No profile is embedded: untagged means sRGB.

    Args:
        path: file to write, replaced if it is there.
        rgb: uint8 or uint16, shape (H, W, 3), sRGB.
        alpha: the same dtype, shape (H, W); None for an opaque image.
        metadata: what to write beside the pixels, as far as the format can hold it.
        quality: 1 to 100, of lossy formats.

    Raises:
        ColorizeError: the suffix is unknown, the format cannot hold the image, a plugin is
            missing, or the file cannot be written.
    """
    with named_write_errors(path):
        encoded = _encode(suffix_of(path), rgb, alpha, metadata or Metadata(), quality)
        with whole_file(Path(path)) as beside:
            beside.write_bytes(encoded)


def encode_image(
    suffix: str,
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    *,
    metadata: Metadata | None = None,
    quality: int = JPEG_QUALITY,
) -> bytes:
    """Encodes an image as the contents of a file.

    Args:
        suffix: names the format, as ".png".
        rgb: as in `write_image`, like the others.
        alpha: transparency.
        metadata: what to write beside the pixels.
        quality: 1 to 100, of lossy formats.

    Returns:
        The bytes.

    Raises:
        ColorizeError: as `write_image`.
    """
    with named_write_errors(f"image as {suffix}"):
        return _encode(suffix.lower(), rgb, alpha, metadata or Metadata(), quality)


@contextlib.contextmanager
def named_write_errors(path: Path | str) -> Iterator[None]:
    """Turns what goes wrong in writing into a ColorizeError of one line."""
    try:
        yield
    except RefusedError as error:
        raise ColorizeError(f"{name_of(path)}: {error}") from error
    except OSError as error:
        reason = error.strerror or "the format cannot hold it"
        raise ColorizeError(f"{name_of(path)}: cannot be written ({reason})") from error


def kind_to_write(suffix: str) -> str:
    """The kind that a suffix names.

    Raises:
        RefusedError: there is none, or its plugin is missing.
    """
    if suffix not in KIND_OF_SUFFIX:
        raise RefusedError(f"unknown image suffix; use one of {' '.join(WRITTEN_SUFFIXES)}")
    kind = KIND_OF_SUFFIX[suffix]
    require_plugin(kind)
    return kind


def join(rgb: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Color and transparency as one contiguous array (H, W, 3 or 4)."""
    if alpha is None:
        return np.ascontiguousarray(rgb)
    pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    pixels[..., 3] = alpha
    return pixels


def _encode(
    suffix: str, rgb: np.ndarray, alpha: np.ndarray | None, metadata: Metadata, quality: int
) -> bytes:
    kind = kind_to_write(suffix)
    if not 1 <= quality <= 100:
        raise RefusedError(f"quality must be 1 to 100; got {quality}")
    if kind == "JPEG" and alpha is not None:
        raise RefusedError("JPEG cannot hold transparency; write a .png instead")
    if kind not in _DEEP:
        rgb, alpha = to_uint8(rgb), None if alpha is None else to_uint8(alpha)
    encode = _ENCODERS.get(kind, functools.partial(_encode_by_pillow, kind))
    try:
        return bytes(encode(join(rgb, alpha), metadata, quality))
    except RefusedError:
        raise
    except Exception as error:  # The encoders raise errors of every type.
        height, width = rgb.shape[:2]
        raise RefusedError(
            f"{suffix[1:]} cannot hold an image of {width}x{height}; write a .png instead"
        ) from error


def _encode_jpeg(pixels: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    import simplejpeg

    data = simplejpeg.encode_jpeg(pixels, quality=quality, colorspace="RGB", colorsubsampling="444")
    start = bytearray(data[:_JFIF_END])
    if metadata.dpi:
        density = [min(max(round(side), 1), 65535) for side in metadata.dpi]
        struct.pack_into(">BHH", start, _JFIF_DENSITY, 1, *density)
    segments = [
        (0xE1, EXIF_MARK, metadata.exif),
        (0xE1, XMP_MARK, metadata.xmp),
        (0xED, iptc.MARK, iptc.as_resources(metadata.iptc) if metadata.iptc else b""),
        (0xFE, b"", metadata.comment.encode()),
    ]
    for marker, mark, body in segments:
        if body and len(mark + body) <= _LONGEST_SEGMENT:
            start += struct.pack(">BBH", 0xFF, marker, len(mark + body) + 2) + mark + body
    return b"".join([start, memoryview(data)[_JFIF_END:]])


def _encode_png(pixels: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    import imagecodecs

    data = imagecodecs.png_encode(
        pixels, _PNG_LEVEL, strategy=_PNG_STRATEGY_FILTERED, filter=_PNG_FILTER_PAETH
    )
    whole = memoryview(data)
    return b"".join([whole[:_PNG_HEADER_END], png_chunks(metadata), whole[_PNG_HEADER_END:]])


def png_chunks(metadata: Metadata) -> bytes:
    """The chunks that hold metadata in a PNG, to stand behind its header."""
    chunks = b""
    if metadata.dpi:
        x, y = (round(side * INCHES) for side in metadata.dpi)
        chunks += chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if metadata.exif:
        chunks += chunk(b"eXIf", metadata.exif)
    texts = dict(metadata.text)
    if metadata.comment:
        texts.setdefault("Comment", metadata.comment)
    if metadata.xmp:
        texts[XMP_KEYWORD] = metadata.xmp.decode(errors="replace")
    for keyword, text in texts.items():
        key = keyword.encode("latin-1", "replace")[:79]
        chunks += chunk(b"iTXt", key + b"\0\0\0\0\0" + text.encode(errors="replace"))
    return chunks


def _encode_tiff(pixels: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    import tifffile

    stream = io.BytesIO()
    order = exif.byte_order(metadata.exif)
    with tifffile.TiffWriter(stream, byteorder=order) as writer:
        write_tiff_page(writer, pixels, metadata)
    data = stream.getvalue()
    return _with_exif_directories(data, metadata.exif) if metadata.exif else data


def write_tiff_page(writer: "tifffile.TiffWriter", pixels: np.ndarray, metadata: Metadata) -> None:
    """Writes a page, with the metadata that is not EXIF's own."""
    texts, _ = exif.directories(metadata.exif)
    tags: list[tuple[int, int, int, Any, bool]] = [
        (tag, 2, entry.count, entry.value, True) for tag, entry in texts.items()
    ]
    if metadata.comment and 0x010E not in texts:
        description = metadata.comment.encode() + b"\0"
        tags.append((0x010E, 2, len(description), description, True))
    if metadata.xmp:
        tags.append((700, 1, len(metadata.xmp), metadata.xmp, True))
    if metadata.iptc:
        tags.append((33723, 7, len(metadata.iptc), metadata.iptc, True))
    writer.write(
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="lzw",
        predictor=True,
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        metadata=None,
        software=False,
        extratags=tags,
    )


def _with_exif_directories(tiff: bytes, exif_data: bytes) -> bytes:
    """Appends the EXIF and GPS directories to a TIFF file, in its byte order.

    The main directory is written anew behind them, since tifffile writes no pointers to them.
    """
    order = exif.byte_order(tiff)
    result = bytearray(tiff)
    main = exif.first_directory(tiff)[0]
    for tag, directory in exif.directories(exif_data)[1].items():
        result += bytes(len(result) % 2)
        main[tag] = exif.pointer(order, len(result))
        result += exif.pack(order, directory, len(result))
    result += bytes(len(result) % 2)
    struct.pack_into(order + "I", result, 4, len(result))
    return bytes(result + exif.pack(order, main, len(result)))


def _encode_bmp(pixels: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    order = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    data = bytearray(cv2.imencode(".bmp", cv2.cvtColor(pixels, order))[1].tobytes())
    if metadata.dpi:
        resolution = (round(side * INCHES) for side in metadata.dpi)
        struct.pack_into("<ii", data, _BMP_RESOLUTION, *resolution)
    return bytes(data)


def _encode_by_pillow(kind: str, pixels: np.ndarray, metadata: Metadata, quality: int) -> bytes:
    options: dict[str, object] = {}
    if kind not in ("GIF", "JPEG2000"):
        options["quality"] = quality
        options |= {"exif": metadata.exif} if metadata.exif else {}
        options |= {"xmp": metadata.xmp} if metadata.xmp else {}
    elif metadata.comment:
        options["comment"] = metadata.comment.encode()
    if kind == "AVIF":
        options["subsampling"] = "4:4:4"
    elif kind == "JPEG2000" and max(pixels.shape) > TILE:
        options["tile_size"] = (TILE, TILE)
    elif kind == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
        options["chroma"] = 444
        slices = -(-pixels.shape[0] * pixels.shape[1] // _SLICE)
        options["enc_params"] = {"x265:slices": slices}
    elif kind == "JXL":
        import pillow_jxl  # noqa: F401  Registers the kind.
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


_ENCODERS: dict[str, Callable[[np.ndarray, Metadata, int], bytes]] = {
    "JPEG": _encode_jpeg,
    "PNG": _encode_png,
    "TIFF": _encode_tiff,
    "BMP": _encode_bmp,
}
