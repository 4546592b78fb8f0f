"""TIFF files, by tifffile and imagecodecs, which are loaded when the first one is read.

Reference:
    TIFF, revision 6.0 (Adobe, 1992); sections are named below.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from keras_colorize.images import exif, iptc
from keras_colorize.images.arrays import stretched, strips, to_uint8
from keras_colorize.images.decoded import Decoded
from keras_colorize.images.formats import MAX_PIXELS, check_size
from keras_colorize.images.lab import lab_to_srgb, ycbcr_to_rgb
from keras_colorize.images.opening import RefusedError

if TYPE_CHECKING:
    import tifffile

# Without a handler Python would print what tifffile finds odd in a file, without its name.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_EXTRA_SAMPLES, _INK_SET, _XMP, _COLOR_MAP = 338, 332, 700, 320
_IPTC, _PHOTOSHOP = 33723, 34377
_RESOLUTION = (282, 283, 296)
_YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532
_PREMULTIPLIED, _STRAIGHT = 1, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _CMYK, YCBCR, _LAB, _ICC_LAB = (
    *range(7),
    8,
    9,
)
_CHANNELS = {
    **dict.fromkeys((_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, _MASK), 1),
    **dict.fromkeys((_RGB, YCBCR, _LAB, _ICC_LAB), 3),
    _CMYK: 4,
}
UNCOMPRESSED, JPEG_COMPRESSIONS = 1, (6, 7)
# JPEG, JPEG XR, JPEG 2000, JPEG XL: of a part their decoders make a whole.
_LENIENT_COMPRESSIONS = (
    *JPEG_COMPRESSIONS,
    34892,
    22610,
    34934,
    34712,
    33003,
    33005,
    50002,
    52546,
)
_UINT, _INT, _FLOAT = 1, 2, 3
_REDUCED, _TRANSPARENCY_MASK = 1, 4  # Of NewSubfileType.
_MOST_SAMPLES = 8  # A pixel, on average, of the largest image.


def open_tiff(stream: BinaryIO) -> "tifffile.TiffFile":
    """Reads the header of a TIFF file."""
    import tifffile

    return tifffile.TiffFile(stream)


def pages(file: "tifffile.TiffFile") -> "Iterator[tifffile.TiffPage]":
    """The pages of a file, without thumbnails and masks of others; at least the first."""
    import tifffile

    is_empty = True
    for page in file.pages:
        assert isinstance(page, tifffile.TiffPage)
        if not page.subfiletype & (_REDUCED | _TRANSPARENCY_MASK):
            is_empty = False
            yield page
    if is_empty:
        yield file.pages.first


def decode(stream: BinaryIO, numbers: Iterable[int], max_pixels: int) -> Iterator[Decoded]:
    """Decodes pages of a TIFF file, by ascending numbers.

    Whole numbers of up to 8 bits become uint8, those of more uint16, by the range that their bits
    have. Real numbers become uint16: those of 0..1 as they are, others by their own range, so
    that the least value of the page is black and the greatest white; so do signed whole numbers
    of more than 16 bits.

    Raises:
        RefusedError: it cannot be read.
    """
    data = exif.Slices(stream)
    stream.seek(0)
    with open_tiff(stream) as file:
        left = enumerate(pages(file))
        for number in numbers:
            page = next((page for place, page in left if place == number), None)
            if page is None:
                raise RefusedError(f"it has no page {number + 1}")
            check_size(page.imagewidth, page.imagelength, max_pixels)
            samples, alpha = _read(page)
            tags = page.tags
            turn = tags.valueof(exif.ORIENTATION)
            yield Decoded(
                samples,
                alpha,
                profile=_bytes(page.iccprofile),
                orientation=turn if turn in range(1, 9) else 1,
                exif=b"" if file.is_bigtiff else exif.from_tiff(data, page.offset),
                xmp=_bytes(tags.valueof(_XMP)),
                iptc=_stored(page, _IPTC, data)
                or iptc.from_resources(_stored(page, _PHOTOSHOP, data)),
                dpi=_dpi(page),
                comment=page.description,
            )


def _read(page: "tifffile.TiffPage") -> tuple[np.ndarray, np.ndarray | None]:
    """Samples of a page as `to_srgb` takes them, and alpha."""
    photometric = int(page.photometric)
    colors = _CHANNELS.get(photometric)
    if colors is None:
        name = getattr(page.photometric, "name", photometric)
        raise RefusedError(f"TIFF of colors {name}, which is not read; convert it to RGB")
    if photometric == _CMYK and page.tags.valueof(_INK_SET, default=1) != 1:
        raise RefusedError("TIFF of other inks than CMYK; convert it to RGB")
    if page.samplesperpixel < colors:
        raise RefusedError(
            f"TIFF of {page.samplesperpixel} channels a pixel where {colors} are needed"
        )
    if page.imagedepth != 1:
        raise RefusedError("TIFF of a volume; images are read")
    if page.imagewidth * page.imagelength * page.samplesperpixel > _MOST_SAMPLES * MAX_PIXELS:
        raise RefusedError(
            f"TIFF of {page.samplesperpixel} channels a pixel, too many for its size"
        )
    alpha_at, is_premultiplied = _alpha_channel(page, colors)
    samples = _samples(page, photometric)
    # Channels that mean nothing go first: the others may be many pixels.
    kept = [*range(colors), alpha_at] if alpha_at else [*range(colors)]
    if len(kept) < samples.shape[2]:
        samples = samples[..., kept]
    bits = page.bitspersample if isinstance(page.bitspersample, int) else 8 * page.dtype.itemsize
    color, alpha = samples[..., :colors], samples[..., colors:]
    if photometric == _PALETTE:
        color, bits = _look_up(color[..., 0], page)
    elif photometric in (_LAB, _ICC_LAB):
        if color.dtype not in (np.uint8, np.uint16):
            raise RefusedError(f"TIFF of Lab in {color.dtype}; of 8 and 16 bits it is read")
        color = lab_to_srgb(color, bits, is_signed=photometric == _LAB)
    else:
        color = _scaled(color, bits)
    transparency = None
    if alpha_at:
        transparency = np.ascontiguousarray(_scaled(alpha, page.bitspersample)[..., 0])
        if transparency.dtype != color.dtype:  # As of a palette.
            transparency = to_uint8(transparency)
    if photometric == _WHITE_IS_ZERO:
        color = np.iinfo(color.dtype).max - color
    if transparency is not None and is_premultiplied:
        _divide(color, transparency)
    color = color[..., 0] if color.shape[2] == 1 else color
    return np.ascontiguousarray(color), transparency


def _samples(page: "tifffile.TiffPage", photometric: int) -> np.ndarray:
    """The numbers of a page as they are stored, shape (H, W, channels)."""
    if photometric == YCBCR and int(page.compression) not in JPEG_COMPRESSIONS:
        return _ycbcr(page)
    if page.dtype is None:
        raise RefusedError("TIFF of channels of different or unusual depths; 1 to 64 bits are read")
    _check_length(page)
    # Segments are decoded in one thread: callers read several files at a time.
    samples = page.asarray(squeeze=False, maxworkers=1)[:, 0]
    if page.planarconfig == 2 and samples.shape[0] > 1:
        return np.moveaxis(samples[..., 0], 0, -1)
    return samples[0]


def _check_length(page: "tifffile.TiffPage") -> None:
    """Refuses a file that ends early where decoders would make something up."""
    length = page.parent.filehandle.size
    ends = [page.dataoffsets[0] + page.nbytes] if page.is_contiguous else []
    if int(page.compression) in _LENIENT_COMPRESSIONS:
        ends = [at + size for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if ends and max(ends) > length:
        raise RefusedError("truncated")


def _alpha_channel(page: "tifffile.TiffPage", colors: int) -> tuple[int, bool]:
    """Number of the channel of transparency, 0 for none, and whether colors are premultiplied."""
    kinds = page.tags.valueof(_EXTRA_SAMPLES)
    if kinds is None:
        # Section 18 demands the tag; programs that leave it out mean straight transparency.
        return (3, False) if colors == 3 and page.samplesperpixel == 4 else (0, False)
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    for number, kind in enumerate(kinds, page.samplesperpixel - len(kinds)):
        if kind in (_PREMULTIPLIED, _STRAIGHT) and number >= colors:
            return number, kind == _PREMULTIPLIED
    return 0, False


def _scaled(samples: np.ndarray, bits: int) -> np.ndarray:
    """Stretches numbers of so many bits to all of uint8 or uint16."""
    kind = samples.dtype.kind
    if kind == "c":
        raise RefusedError("TIFF of complex numbers, which is not read")
    if kind == "f" or (kind == "i" and bits > 16):  # No image uses all of so many bits.
        low, high = _range(samples)
        if kind == "f" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        return stretched(samples, low, high, 16)
    if kind == "i":
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    else:
        low, high = 0, 2**bits - 1
        if (bits, samples.dtype.itemsize) in ((8, 1), (16, 2)):
            return samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return stretched(samples, low, high, 8 if bits <= 8 else 16)


def _range(samples: np.ndarray) -> tuple[float, float]:
    """The least and the greatest finite number; 0 and 1 if there is none."""
    low, high = np.inf, -np.inf
    for rows in strips(samples.shape):
        finite = samples[rows][np.isfinite(samples[rows])]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _look_up(indices: np.ndarray, page: "tifffile.TiffPage") -> tuple[np.ndarray, int]:
    """The colors of a palette (section 5), 8 bits each."""
    table = page.tags.valueof(_COLOR_MAP)
    if table is None:
        raise RefusedError("damaged: its palette is missing")
    table = np.asarray(table, np.uint16).reshape(3, -1).T
    if table.max() > 255:  # Else old files, which have 8 bits here too.
        table = table >> 8
    return table.astype(np.uint8)[np.minimum(indices, len(table) - 1)], 8


def _divide(color: np.ndarray, alpha: np.ndarray) -> None:
    """Divides premultiplied colors by their transparency, in place."""
    most = np.iinfo(color.dtype).max
    for rows in strips(color.shape):
        weight = np.maximum(alpha[rows], 1)[..., None] / most
        color[rows] = np.minimum(np.rint(color[rows] / weight), most)


def _ycbcr(page: "tifffile.TiffPage") -> np.ndarray:
    """Reads YCbCr (section 21) that is not JPEG: blocks of luma with two values of chroma."""
    import tifffile

    if page.planarconfig == 2 or page.bitspersample != 8 or page.samplesperpixel != 3:
        raise RefusedError("TIFF of YCbCr other than 8 bits, three channels, not planar")
    across, down = page.subsampling or (2, 2)
    height, width = page.imagelength, page.imagewidth
    rows, columns = min(page.rowsperstrip, height), width
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    unit_rows, unit_columns, unit = -(-rows // down), -(-columns // across), across * down + 2
    decompress = tifffile.TIFF.DECOMPRESSORS[int(page.compression)]
    result: np.ndarray = np.zeros((height, width, 3), np.uint8)
    per_row = -(-width // columns)
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    for number, (offset, size) in enumerate(segments):
        top, left = number // per_row * rows, number % per_row * columns
        here = result[top : top + rows, left : left + columns]
        page.parent.filehandle.seek(offset)
        packed = page.parent.filehandle.read(size)
        values = packed if decompress is None else decompress(packed)
        values = np.frombuffer(values, np.uint8)
        units = -(-here.shape[0] // down) * unit_columns if not page.is_tiled else None
        units = units or unit_rows * unit_columns
        if len(values) < units * unit:
            raise RefusedError("truncated")
        blocks = values[: units * unit].reshape(-1, unit_columns, unit)
        squares = blocks[..., :-2].reshape(-1, unit_columns, down, across)
        luma = squares.swapaxes(1, 2).reshape(-1, unit_columns * across)
        chroma = blocks[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
        ycbcr = np.dstack([luma, chroma])[: here.shape[0], : here.shape[1]]
        here[:] = ycbcr_to_rgb(
            ycbcr, _numbers(page, _YCBCR_COEFFICIENTS), _numbers(page, _REFERENCE_BLACK_WHITE)
        )
    return result


def _numbers(page: "tifffile.TiffPage", tag: int) -> list[float] | None:
    """The values of a tag of fractions."""
    values = page.tags.valueof(tag)
    if values is None:
        return None
    return [top / (bottom or 1) for top, bottom in zip(values[::2], values[1::2], strict=True)]


def _dpi(page: "tifffile.TiffPage") -> tuple[float, float] | None:
    """Pixels an inch; None if there is no such number."""
    x, y, unit = (page.tags.valueof(tag) for tag in _RESOLUTION)
    scale = {2: 1.0, 3: 2.54, None: 1.0}.get(unit)
    try:
        dpi = (x[0] / x[1] * scale, y[0] / y[1] * scale)
    except (TypeError, ZeroDivisionError):
        return None
    return dpi if min(dpi) > 0 else None


def _stored(page: "tifffile.TiffPage", tag: int, data: exif.Data) -> bytes:
    """The bytes of a tag, whatever type it says that they are; empty if it is not there."""
    found = page.tags.get(tag)
    return (
        b"" if found is None else data[found.valueoffset : found.valueoffset + found.valuebytecount]
    )


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else b""
