"""PNG files: what Pillow leaves out, which is colors without a profile and 16 bits.

Reference:
    Portable Network Graphics, third edition (W3C, 2025).
"""

import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_colorize.images import cicp, exif
from keras_colorize.images.cicp import D65, SRGB_CURVE, SRGB_PRIMARIES
from keras_colorize.images.decoded import Decoded
from keras_colorize.images.formats import check_size
from keras_colorize.images.icc import rgb_profile
from keras_colorize.images.jpeg import EXIF_MARK
from keras_colorize.images.opening import RefusedError
from keras_colorize.images.pillow import XMP_KEYWORD, decode_frame, open_image

Chunk = tuple[bytes, bytes, memoryview]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIZE_AT = 16
_LONGEST_TEXT = 2**20
_LONGEST_PROFILE = 2**24
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PIXELS = (b"IDAT", b"fdAT")
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # Of each color type, palettes aside.
# The passes of interlacing: first column and row, step in columns and rows.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)),
    (0, 1, 1, 2),
)

INCHES = 39.3701  # In a meter.

# A gamma this near to 1/2.2 stands for sRGB's curve, as programs write it; so with primaries.
_GAMMA_TOLERANCE, _PRIMARIES_TOLERANCE = 0.05, 0.005


def decode(
    data: bytes, pages: Iterable[int], max_pixels: int, allow_damaged: bool
) -> Iterator[Decoded]:
    """Decodes a PNG file; page 0 is its default image, the others are frames of its animation.

    Raises:
        RefusedError: it cannot be read.
    """
    chunks = list(_chunks(data))
    found: dict[bytes, bytes] = {}
    for kind, body, _ in chunks:
        found.setdefault(kind, body)
    width, height = struct.unpack_from(">II", data, _SIZE_AT)
    check_size(width, height, max_pixels)
    profile = _profile(found)
    text = _texts(chunks)
    exif_data = found.get(b"eXIf", b"") or _exif_as_text(text)
    xmp = text.pop(XMP_KEYWORD, "").encode()
    animation = None
    for page in pages:
        if page:
            animation = animation or open_image("PNG", io.BytesIO(data))
            samples, alpha, damage = decode_frame(animation, page, allow_damaged)
        else:
            samples, alpha, damage = _decode_still(data, chunks, found, allow_damaged)
        yield Decoded(
            samples,
            alpha,
            profile=profile,
            orientation=exif.orientation(exif_data, xmp) if exif_data or xmp else 1,
            damage=damage,
            exif=exif_data,
            xmp=xmp,
            dpi=_dpi(found.get(b"pHYs", b"")),
            text={key: value for key, value in text.items() if not key.startswith("Raw profile")},
        )


def _decode_still(
    data: bytes, chunks: Sequence[Chunk], found: dict[bytes, bytes], allow_damaged: bool
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Decodes the image that is no frame of an animation; results as of `decode_frame`."""
    bits, color_type = data[24], data[25]
    if bits == 16 and color_type in _CHANNELS:
        packed = b"".join(_body(whole) for kind, _, whole in chunks if kind == b"IDAT")
        return _decode_16_bits(found, packed, allow_damaged)
    if not found.keys() <= _NEEDED:
        # Pillow would refuse the image for a broken one of the others, or show its animation.
        data = SIGNATURE + b"".join(whole for kind, _, whole in chunks if kind in _NEEDED)
    gray_bits = bits if color_type == 0 else 8
    return decode_frame(open_image("PNG", io.BytesIO(data)), 0, allow_damaged, gray_bits)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as it stands in a file."""
    return struct.pack(">I", len(body)) + kind + body + _checksum(kind, body)


def _checksum(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Kind and content of each chunk, and all of it; the last may be cut off.

    Pixels are left out of the contents, which are copies.
    """
    at, view = len(SIGNATURE), memoryview(data)
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4])
        kind = data[at + 4 : at + 8]
        yield kind, b"" if kind in _PIXELS else data[at + 8 : end - 4], view[at:end]
        at = end


def _body(whole: memoryview) -> memoryview:
    """The content of a chunk that may be cut off."""
    return whole[8 : 8 + int.from_bytes(whole[:4])]


def _texts(chunks: Iterable[Chunk]) -> dict[str, str]:
    """Keyword -> text of all chunks of text; broken ones are left out."""
    texts: dict[str, str] = {}
    for kind, body, _ in chunks:
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        keyword, _, value = body.partition(b"\0")
        is_packed = kind == b"zTXt"
        if kind == b"iTXt":
            is_packed = value[:1] == b"\1"
            value = value[2:].partition(b"\0")[2].partition(b"\0")[2]  # Language, keyword.
        elif is_packed:
            value = value[1:]
        try:
            if is_packed:
                value = zlib.decompressobj().decompress(value, _LONGEST_TEXT)
        except zlib.error:
            continue
        encoding = "utf-8" if kind == b"iTXt" else "latin-1"
        texts.setdefault(keyword.decode("latin-1"), value.decode(encoding, "replace"))
    return texts


def _exif_as_text(text: dict[str, str]) -> bytes:
    """EXIF data in hexadecimal, as ImageMagick wrote it before there was a chunk for it."""
    try:
        lines = text["Raw profile type exif"].split("\n")
        return bytes.fromhex("".join(lines[3:])).removeprefix(EXIF_MARK)
    except (KeyError, ValueError):
        return b""


def _dpi(body: bytes) -> tuple[float, float] | None:
    """The resolution of a chunk pHYs, if it counts in meters."""
    if len(body) != 9 or body[8] != 1:
        return None
    x, y = (side / INCHES for side in struct.unpack(">II", body[:8]))
    return (x, y) if x and y else None


def _profile(found: dict[bytes, bytes]) -> bytes:
    """The profile by the first of cICP, iCCP, sRGB, gAMA and cHRM that is there; empty: sRGB."""
    numbers = found.get(b"cICP", b"")
    if len(numbers) == 4 and numbers[2:] == b"\0\1":
        profile = cicp.profile(numbers[0], numbers[1])
        if profile is not None:
            return profile
    if b"iCCP" in found:
        try:
            packed = found[b"iCCP"].partition(b"\0")[2][1:]
            return zlib.decompressobj().decompress(packed, _LONGEST_PROFILE)
        except zlib.error:
            return b""
    if b"sRGB" in found:
        return b""
    gamma = int.from_bytes(found.get(b"gAMA", b"")[:4]) / 1e5
    curve = (1 / gamma,) if gamma and abs(gamma * 2.2 - 1) > _GAMMA_TOLERANCE else SRGB_CURVE
    white, primaries = D65, SRGB_PRIMARIES
    if len(found.get(b"cHRM", b"")) == 32:
        values = np.frombuffer(found[b"cHRM"], ">u4").reshape(4, 2) / 1e5
        is_near = np.abs(values - (D65, *SRGB_PRIMARIES)).max() <= _PRIMARIES_TOLERANCE
        if not is_near and values[:, 1].all():
            white, red, green, blue = ((x, y) for x, y in values.tolist())
            primaries = (red, green, blue)
    if curve is SRGB_CURVE and primaries is SRGB_PRIMARIES:
        return b""
    try:
        return rgb_profile(white, primaries, curve)
    except np.linalg.LinAlgError:  # Primaries on one line.
        return b""


def _decode_16_bits(
    found: dict[bytes, bytes], packed: bytes, allow_damaged: bool
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Decodes 16-bit gray or RGB, with or without alpha; Pillow would round it to 8 bits.

    libpng gets pixels that are already checked, and nothing else: it prints what it finds wrong.
    """
    header = found[b"IHDR"]
    width, height = struct.unpack(">II", header[:8])
    channels = _CHANNELS[header[9]]
    passes = []
    for left, top, step_x, step_y in _ADAM7 if header[12] else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // step_x), -((top - height) // step_y)
        if columns > 0 and rows > 0:
            place = np.s_[top::step_y, left::step_x]
            passes.append((place, columns, rows, rows * (1 + columns * 2 * channels)))
    size = sum(length for *_, length in passes)
    unpacked, damage = _inflate(packed, size)
    if damage and not allow_damaged:
        raise RefusedError(damage)
    filtered = memoryview(unpacked.ljust(size, b"\0"))
    del unpacked
    samples = np.empty((height, width, channels), np.uint16)
    start = 0
    for place, columns, rows, length in passes:
        part = filtered[start : start + length]
        pixels = _decode_pass(columns, rows, header[8:10], part)
        samples[place] = pixels.reshape(rows, columns, channels)
        start += length
    del filtered, part, pixels
    alpha = None
    if header[9] in (4, 6):
        alpha, samples = samples[..., -1].copy(), samples[..., :-1]
    elif len(found.get(b"tRNS", b"")) == 2 * channels:
        is_clear = (samples == np.frombuffer(found[b"tRNS"], ">u2")).all(axis=-1)
        alpha = np.where(is_clear, 0, 65535).astype(np.uint16)
    samples = samples[..., 0] if samples.shape[2] == 1 else samples
    return np.ascontiguousarray(samples), alpha, damage


def _decode_pass(
    width: int, height: int, depth_and_color: bytes, unpacked: memoryview
) -> np.ndarray:
    """Decodes rows of 16 bits that are already decompressed."""
    import imagecodecs

    header = chunk(b"IHDR", struct.pack(">II", width, height) + depth_and_color + bytes(3))
    packed = zlib.compress(unpacked, 0)
    # Not by `chunk`, which would copy all of it twice.
    parts = struct.pack(">I", len(packed)), b"IDAT", packed, _checksum(b"IDAT", packed)
    data = b"".join([SIGNATURE, header, *parts, chunk(b"IEND", b"")])
    del packed, parts
    return imagecodecs.png_decode(data)


def _inflate(packed: bytes, size: int) -> tuple[bytes, str]:
    """Decompresses up to `size` bytes; also returns what is wrong with them."""
    inflater = zlib.decompressobj()
    result = bytearray()
    try:
        # In parts, so that what comes before damage is kept.
        for start in range(0, len(packed), 2**20):
            if len(result) < size:
                part = packed[start : start + 2**20]
                result += inflater.decompress(inflater.unconsumed_tail + part, size - len(result))
    except zlib.error:
        return bytes(result), "damaged: a part of its data is wrong"
    return bytes(result), "" if len(result) == size else "truncated"
