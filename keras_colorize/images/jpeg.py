"""JPEG files, by libjpeg-turbo: it reports damage, which other bindings hide.

Reference:
    ITU-T T.81 (JPEG), annex B (markers) and G (progressive); T.871 (JFIF); CIPA DC-008 (Exif).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg

from keras_colorize.images import exif, iptc
from keras_colorize.images.arrays import stretched
from keras_colorize.images.decoded import Decoded
from keras_colorize.images.formats import check_size
from keras_colorize.images.opening import RefusedError

EXIF_MARK, XMP_MARK = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ICC_MARK = b"ICC_PROFILE\0"
_END = b"\xff\xd9"

_START_OF_SCAN, _HUFFMAN_TABLES, _COMMENT = 0xDA, 0xC4, 0xFE
_FRAMES = {*range(0xC0, 0xD0)} - {_HUFFMAN_TABLES, 0xC8, 0xCC}
_BASELINE, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_APP0, _APP1, _APP2, _APP13, _APP14 = 0xE0, 0xE1, 0xE2, 0xED, 0xEE

# Complaints about files in which every pixel is there.
_HARMLESS = re.compile(
    r"Corrupt JPEG data: \d extraneous bytes before marker 0xd9"
    r"|unknown JFIF revision|Unknown Adobe color transform|Could not determine subsampling"
)
# Zeros that decode to pixels, but to none of a photograph (see `_has_zeroed_data`).
_ZEROED = bytes(32)


@dataclass
class Header:
    """What the segments before the first scan say."""

    width: int = 0
    height: int = 0
    components: int = 0
    precision: int = 8
    frame: int = 0  # Marker of the frame: baseline, progressive, ...
    scan: int = 0  # Where the first scan begins.
    luma: int = -1  # Its first component's Huffman table; -1 if it is not interleaved.
    profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: str = ""
    is_adobe: bool = False

    @property
    def is_buffered(self) -> bool:
        """Whether all coefficients are in memory at a time, as those of several scans."""
        return self.frame not in _BASELINE or self.luma < 0


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of each segment up to a scan; garbage between is skipped."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 4 > len(data):
            raise RefusedError("truncated")
        marker = data[at + 1]
        if marker == 0xFF:  # A fill byte.
            at += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:
            at += 2
        elif marker == 0xD9:
            raise RefusedError("truncated")
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
            yield marker, at + 4, end
            if marker == _START_OF_SCAN:
                return
            at = end


def read_header(data: bytes) -> Header:
    """Reads the segments before the image data.

    Raises:
        RefusedError: the file ends before, or the image is of a kind that is not read.
    """
    header = Header()
    profile, resources = [], b""
    for marker, start, end in _segments(data, 2):
        body = data[start:end]
        if marker == _APP0 and body[:5] == b"JFIF\0" and len(body) >= 12:
            x, y = int.from_bytes(body[8:10]), int.from_bytes(body[10:12])
            scale = {1: 1.0, 2: 2.54}.get(body[7])
            if scale and x and y:
                header.dpi = (x * scale, y * scale)
        elif marker == _APP1 and body.startswith(EXIF_MARK):
            header.exif += body[len(EXIF_MARK) :]
        elif marker == _APP1 and body.startswith(XMP_MARK):
            header.xmp = header.xmp or body[len(XMP_MARK) :]
        elif marker == _APP2 and body.startswith(_ICC_MARK):
            profile.append(body[len(_ICC_MARK) :])
        elif marker == _APP13 and body.startswith(iptc.MARK):
            resources += body[len(iptc.MARK) :]
        elif marker == _APP14 and body.startswith(b"Adobe"):
            header.is_adobe = True
        elif marker == _COMMENT and not header.comment:
            header.comment = _text(body)
        elif marker in _FRAMES and len(body) >= 6:
            header.frame, header.precision, header.components = marker, body[0], body[5]
            header.height, header.width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
        elif marker == _START_OF_SCAN:
            header.scan = end
            if body[:1] == bytes([header.components]) and len(body) > 2:
                header.luma = 0x10 | body[2] & 15
    header.iptc = iptc.from_resources(resources)
    header.profile = b"".join(part[2:] for part in sorted(profile))  # Number, count, bytes.
    if not header.frame:
        raise RefusedError("JPEG of another kind (JPEG-LS?), or damaged: its frame is missing")
    if not 8 <= header.precision <= 16:
        raise RefusedError(f"JPEG of {header.precision} bits a channel; of 8 to 16 it is read")
    if header.components not in (1, 3, 4):
        raise RefusedError(f"JPEG of {header.components} channels; gray, color and CMYK are read")
    return header


def decode(
    data: bytes, pages: Iterable[int], max_pixels: int, allow_damaged: bool
) -> Iterator[Decoded]:
    """Decodes a JPEG file, which has page 0 alone.

    Raises:
        RefusedError: it is of a kind that is not read; or it is damaged and that is not allowed, or
            nothing can be read.
    """
    if list(pages) != [0]:
        raise RefusedError("it has no page 2")
    header = read_header(data)
    check_size(header.width, header.height, max_pixels)
    damage = "damaged: a part of its data is missing or wrong"
    is_whole = data.rfind(_END, header.scan) >= 0
    if not is_whole:
        data += _END  # If only that is missing, nothing is.
        damage = "truncated"
    samples, is_damaged = _decode(data, header, is_whole)
    if not is_whole and not is_damaged:
        is_damaged = not _all_scans_are_there(data, header)
    if is_damaged or _has_zeroed_data(data, header):
        if not allow_damaged:
            raise RefusedError(damage)
    else:
        damage = ""
    if header.components == 4 and header.is_adobe:
        np.subtract(
            np.iinfo(samples.dtype).max, samples, out=samples
        )  # Adobe's programs store paper as ink.
    yield Decoded(
        samples,
        profile=header.profile,
        orientation=exif.orientation(header.exif, header.xmp) if header.exif or header.xmp else 1,
        damage=damage,
        exif=header.exif,
        xmp=header.xmp,
        iptc=header.iptc,
        dpi=header.dpi,
        comment=header.comment,
    )


def _decode(data: bytes, header: Header, has_end: bool) -> tuple[np.ndarray, bool]:
    """Decodes the pixels; also returns whether some of them are wrong."""
    colors = {1: "GRAY", 3: "RGB", 4: "CMYK"}[header.components]
    if header.precision > 8:
        samples = stretched(_decode_unusual(data, colors), 0, 2**header.precision - 1, 16)
        return _squeeze(samples), not has_end
    try:
        return _squeeze(simplejpeg.decode_jpeg(data, colors, strict=True)), False
    except ValueError as error:
        message = str(error)
    is_damaged = _HARMLESS.search(message) is None
    try:
        samples = simplejpeg.decode_jpeg(data, colors, strict=False)
    except ValueError:
        samples = _decode_unusual(data, colors)
        is_damaged |= not has_end
    return _squeeze(samples), is_damaged


def _decode_unusual(data: bytes, colors: str) -> np.ndarray:
    """Decodes what TurboJPEG's interface refuses, as some chroma resolutions; detects no damage."""
    import imagecodecs

    try:
        return imagecodecs.jpeg8_decode(data, outcolorspace=colors)
    except Exception:
        raise RefusedError("damaged: nothing of it can be read") from None


def _squeeze(samples: np.ndarray) -> np.ndarray:
    return samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples


def _has_zeroed_data(data: bytes, header: Header) -> bool:
    """Whether a part of a baseline scan was overwritten by zeros, as by a bad disk.

    Zero bits are the shortest code. Where that is not "end of block", they would mean block after
    block with 63 equal coefficients, which no image has. Where it is, they may be a flat area.
    """
    if header.frame not in _BASELINE:
        return False
    at = data.find(_ZEROED, header.scan)
    if at < 0 or data.find(_END, header.scan, at) >= 0:  # Behind the image they mean nothing.
        return False
    return _shortest_code(data, header.luma) not in (b"", b"\0")


def _shortest_code(data: bytes, number: int) -> bytes:
    """The symbol, one byte, that a Huffman table gives its shortest code; empty if it has none."""
    symbol = b""
    for marker, at, end in _segments(data, 2):
        # Class and number of each table, how many codes have 1 to 16 bits, and their symbols.
        while marker == _HUFFMAN_TABLES and at + 17 <= end:
            count = sum(data[at + 1 : at + 17])
            if data[at] == number:
                symbol = data[at + 17 : at + 17 + min(count, 1)]
            at += 17 + count
    return symbol


def _all_scans_are_there(data: bytes, header: Header) -> bool:
    """Whether a progressive file has every coefficient to its last bit."""
    if header.frame != _PROGRESSIVE:
        return True
    complete: dict[int, set[int]] = {}
    at = 2
    try:
        while True:
            for marker, start, end in _segments(data, at):
                at = end
                if marker == _START_OF_SCAN:
                    count = data[start]
                    components = data[start + 1 : start + 1 + 2 * count : 2]
                    first, last, bits = data[end - 3 : end]
                    if bits & 15 == 0:
                        for component in components:
                            complete.setdefault(component, set()).update(range(first, last + 1))
    except RefusedError:  # The end of the file.
        return len(complete) == header.components and all(
            len(coefficients) == 64 for coefficients in complete.values()
        )


def _text(body: bytes) -> str:
    try:
        return body.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return body.rstrip(b"\0").decode("latin-1")
