"""The kinds of image files, detected by their first bytes; suffixes, plugins and limits."""

import functools
import importlib.util
from pathlib import Path, PurePath

from keras_colorize.images.opening import START, RefusedError, named_errors, open_stream

MAX_PIXELS = 2**28
"""Larger images (over 268 megapixels) are refused before they are decoded."""

MAX_SIDE = 65_535
"""Images with a longer side, in pixels, are refused before they are decoded."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""The image files that are always read and written, recognized by their suffix in any case."""

# Of each kind, what Pillow's registry calls it, and its suffixes, the usual one first.
KINDS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JXL": (".jxl",),
}

KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}

WRITTEN_SUFFIXES = tuple(KIND_OF_SUFFIX)
"""The suffixes that `write_image` supports; HEIC and JPEG XL need the extra `formats`."""

_PLUGINS = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}
_PILLOW_FEATURES = {"JPEG2000": "jpg_2000", "AVIF": "avif"}  # A build of Pillow may lack them.

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\xff\x0a": "JXL",
    b"\0\0\0\x0cJXL \r\n\x87\n": "JXL",
}
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def kind_of(start: bytes) -> str:
    """Detects the kind of an image file by its first bytes.

    Raises:
        RefusedError: it is of none that is read.
    """
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":  # ISO/IEC 14496-12: a brand, and those it is compatible with.
        if b"avif" in start[8:] or b"avis" in start[8:]:
            return "AVIF"
        if start[8:12] in _HEIF_BRANDS:
            return "HEIF"
    if not start:
        raise RefusedError("empty")
    raise RefusedError("not a JPEG, PNG, WebP, BMP, TIFF or other image that is read")


def content_suffix(source: Path | str | bytes) -> str:
    """Detects the usual suffix of an image file by its content, whatever its name.

    Args:
        source: path of an image file, or its bytes.

    Returns:
        The suffix with its dot, as ".png".

    Raises:
        ColorizeError: the file cannot be opened or is no image.
    """
    with named_errors(source):
        if isinstance(source, bytes):
            return KINDS[kind_of(source[:START])][0]
        with open_stream(source) as (_, start):
            return KINDS[kind_of(start)][0]


@functools.cache
def readable_suffixes() -> tuple[str, ...]:
    """The suffixes of image files that can be read here, with the plugins that are installed."""
    return tuple(suffix for suffix, kind in KIND_OF_SUFFIX.items() if _can_be_read(kind))


def require_plugin(kind: str) -> None:
    """Loads the plugin that reads and writes a kind.

    Raises:
        RefusedError: it is missing.
    """
    if not _can_be_read(kind):
        if kind in _PILLOW_FEATURES:
            raise RefusedError(
                f"this build of Pillow has no {kind}; install another build of pillow"
            )
        raise RefusedError(
            f"{kind} needs a plugin; install it: pip install 'keras-colorize[formats]'"
        )


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Refuses images that are too large to decode."""
    if width < 1 or height < 1:
        raise RefusedError("damaged: it has no pixels")
    if max(width, height) > MAX_SIDE:
        raise RefusedError(f"{width}x{height}; sides of at most {MAX_SIDE} pixels are taken")
    if width * height > max_pixels:
        megapixels = width * height / 1e6
        raise RefusedError(f"{megapixels:.0f} megapixels; at most {max_pixels / 1e6:.0f} are taken")


def suffix_of(path: Path | str) -> str:
    """The suffix of a path, in lower case."""
    return PurePath(path).suffix.lower()


def _can_be_read(kind: str) -> bool:
    if kind in _PLUGINS:
        return importlib.util.find_spec(_PLUGINS[kind]) is not None
    if kind in _PILLOW_FEATURES:
        from PIL import features

        return bool(features.check(_PILLOW_FEATURES[kind]))
    return True
