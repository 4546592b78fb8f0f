"""EXIF data: orientation and thumbnail, and the way into and out of TIFF files.

EXIF data is a TIFF structure: a byte order, and directories of tags. It is changed in place, so
that what cameras keep at fixed places (maker notes) stays where it is.

Reference:
    CIPA DC-008 (Exif 2.32), 4.5 and 4.6; TIFF 6.0, section 2.
"""

import contextlib
import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

ORIENTATION = 0x0112
EXIF_DIRECTORY, GPS_DIRECTORY = 0x8769, 0x8825

_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_RESOLUTION = (0x011A, 0x011B, 0x0128)  # Horizontal, vertical, unit.
# Description, make, model, software, date, artist, copyright.
_TEXTS = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT, _LONG = 3, 4

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:="|>))([2-8])""")


@dataclass(frozen=True)
class Entry:
    """A tag of a directory: its type, number of values, their bytes and where these are."""

    type: int
    count: int
    value: bytes
    position: int


Directory = dict[int, Entry]


class Slices:
    """Slices of a file, as of its bytes, of which only these come to memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._length = stream.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._length)
        self._stream.seek(start)
        return self._stream.read(max(0, stop - start))


Data = bytes | Slices
"""A TIFF structure, in memory or in a file."""


def byte_order(data: Data) -> Literal["<", ">"]:
    """`struct`'s sign for the byte order of a TIFF structure."""
    return ">" if data[:2] == b"MM" else "<"


def read_directory(data: Data, offset: int) -> tuple[Directory, int]:
    """Reads the directory at `offset`, and the place of its pointer to the next one.

    Entries that lead out of the data are left out.

    Raises:
        struct.error: the directory itself does.
    """
    order = byte_order(data)
    (count,) = struct.unpack(order + "H", data[offset : offset + 2])
    entries: Directory = {}
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, values, value = struct.unpack(order + "HHII", data[place : place + 12])
        size = _TYPE_SIZES.get(kind, 0) * values
        position = place + 8 if size <= 4 else value
        if kind in _TYPE_SIZES and position + size <= len(data):
            entries[tag] = Entry(kind, values, data[position : position + size], position)
    return entries, offset + 2 + 12 * count


def first_directory(data: Data) -> tuple[Directory, int]:
    """Reads the main directory of a TIFF structure, as `read_directory`."""
    (offset,) = struct.unpack(byte_order(data) + "I", data[4:8])
    return read_directory(data, offset)


def number(data: Data, directory: Directory, tag: int) -> int | None:
    """The first value of a tag of whole numbers."""
    entry = directory.get(tag)
    if entry is None or entry.type not in (_SHORT, _LONG) or not entry.count:
        return None
    code = "H" if entry.type == _SHORT else "I"
    return struct.unpack_from(byte_order(data) + code, entry.value)[0]


def orientation(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation, 1..8, that EXIF data or else XMP names; 1 if there is none."""
    found = None
    with contextlib.suppress(struct.error):  # A broken block is no reason to refuse the image.
        found = number(exif, first_directory(exif)[0], ORIENTATION)
    if found is None:
        match = _XMP_ORIENTATION.search(xmp)
        found = int(match[2]) if match else 1
    return found if found in range(1, 9) else 1


def resolution(exif: bytes) -> tuple[float, float] | None:
    """Pixels an inch, horizontal and vertical; None if there is none."""
    order = byte_order(exif)
    try:
        directory = first_directory(exif)[0]
        values = []
        for tag in _RESOLUTION[:2]:
            numerator, denominator = struct.unpack_from(order + "II", directory[tag].value)
            values.append(numerator / denominator)
    except (struct.error, KeyError, ZeroDivisionError):
        return None
    scale = 2.54 if number(exif, directory, _RESOLUTION[2]) == 3 else 1.0
    return (values[0] * scale, values[1] * scale) if min(values) > 0 else None


def cleaned(exif: bytes) -> bytes:
    """EXIF data of an image that was turned upright: orientation 1, no thumbnail.

    Returns:
        The data; empty if it is broken.
    """
    result = bytearray(exif)
    order = byte_order(exif)
    try:
        directory, end = first_directory(exif)
        if number(exif, directory, ORIENTATION) is not None:
            entry = directory[ORIENTATION]
            code = "H" if entry.type == _SHORT else "I"
            struct.pack_into(order + code, result, entry.position, 1)
        (next_directory,) = struct.unpack_from(order + "I", exif, end)
        struct.pack_into(order + "I", result, end, 0)
    except struct.error:
        return b""
    try:
        thumbnail = read_directory(exif, next_directory)[0] if next_directory else {}
    except struct.error:
        thumbnail = {}
    start = number(exif, thumbnail, _THUMBNAIL_OFFSET)
    length = number(exif, thumbnail, _THUMBNAIL_LENGTH)
    if start and length and start + length <= len(exif):
        result[start : start + length] = bytes(length)
        if start + length == len(exif):
            del result[start:]
    return bytes(result)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet with the orientation, if it names one, set to 1."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)


def from_tiff(tiff: Data, offset: int) -> bytes:
    """Builds EXIF data of the directory at `offset` of a TIFF file.

    Returns:
        Its texts, EXIF and GPS directories as EXIF data; empty if there are none.
    """
    try:
        main, below = _kept(tiff, read_directory(tiff, offset)[0])
    except struct.error:
        return b""
    if not main and not below:
        return b""
    order = byte_order(tiff)
    start = 8 + _size(main, len(below))
    packed = b""
    for tag, entries in below.items():
        main[tag] = pointer(order, start + len(packed))
        packed += pack(order, entries, start + len(packed))
    mark = b"MM\0*" if order == ">" else b"II*\0"
    return mark + struct.pack(order + "I", 8) + pack(order, main, 8) + packed


def directories(exif: bytes) -> tuple[Directory, dict[int, Directory]]:
    """The texts of EXIF data, and its EXIF and GPS directories by their tags."""
    try:
        return _kept(exif, first_directory(exif)[0])
    except struct.error:
        return {}, {}


def _kept(tiff: Data, main: Directory) -> tuple[Directory, dict[int, Directory]]:
    """The texts of a main directory, and the EXIF and GPS directories that it leads to."""
    places = {tag: number(tiff, main, tag) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY)}
    below = {tag: read_directory(tiff, place)[0] for tag, place in places.items() if place}
    return {tag: main[tag] for tag in _TEXTS if tag in main}, below


def pointer(order: str, place: int) -> Entry:
    """The value of a tag that leads to the directory at `place`."""
    return Entry(_LONG, 1, struct.pack(order + "I", place), 0)


def pack(order: str, entries: Directory, start: int) -> bytes:
    """Writes a directory that will lie at `start`, followed by its longer values."""
    table, values = struct.pack(order + "H", len(entries)), b""
    place = start + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        table += struct.pack(order + "HHI", tag, entry.type, entry.count)
        if len(entry.value) <= 4:
            table += entry.value.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", place + len(values))
            values += entry.value + bytes(len(entry.value) % 2)
    return table + bytes(4) + values


def _size(entries: Directory, more: int) -> int:
    """The length of `pack` with `more` entries of at most four bytes."""
    return len(pack("<", entries, 0)) + 12 * more
