"""Image files for tests: made by other libraries or byte by byte, never by what is tested."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image

RNG = np.random.default_rng(11)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (12, 17, 3), dtype=np.uint16)
ALPHA16 = RNG.integers(0, 65536, (12, 17), dtype=np.uint16)
SMOOTH = np.rint(np.linspace(0, 255, 48 * 64 * 3)).astype(np.uint8).reshape(48, 64, 3)


def encode(image, image_format, **options):
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def tiff(pixels, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, metadata=None, **options)
    return stream.getvalue()


def raw_tiff(width, height, data, order="<", **tags):
    """A TIFF of one uncompressed strip; `tags` are numbers by their names in TIFF 6.0."""
    numbers = {
        "bits": 258,
        "compression": 259,
        "photometric": 262,
        "samples": 277,
        "colormap": 320,
        "extra": 338,
        "subsampling": 530,
    }
    entries = {256: [width], 257: [height], 259: [1], 278: [height], 279: [len(data)], 273: [8]}
    for name, value in tags.items():
        entries[numbers[name]] = value if isinstance(value, list) else [value]
    table, values = b"", b""
    end = 8 + len(data) + len(data) % 2
    place = end + 2 + 12 * len(entries) + 4
    for tag, numbers in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(packed) > 4:
            packed, values = struct.pack(order + "I", place + len(values)), values + packed
        table += struct.pack(order + "HHI", tag, 4, len(numbers)) + packed
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", end)
    table = struct.pack(order + "H", len(entries)) + table + bytes(4)
    return head + data + bytes(len(data) % 2) + table + values


def png(width, height, bits, color_type, rows, chunks=(), interlace=0):
    """A PNG by its parts: raw `rows` without filter; color type 0 gray, 2 RGB, 4 gray + alpha."""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlace)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, body) for kind, body in parts)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def segment(marker, body):
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def flat_jpeg(sampling, size=32):
    """A gray JPEG whose components have these sampling factors; every coefficient is 0."""
    numbers = range(1, len(sampling) + 1)
    frame = b"".join(bytes([n, f, 0]) for n, f in zip(numbers, sampling, strict=True))
    frame = struct.pack(">BHHB", 8, size, size, len(sampling)) + frame
    scan = bytes([len(sampling)]) + b"".join(bytes([n, 0]) for n in numbers) + b"\0\x3f\0"
    one_code = bytes([1] + [0] * 15 + [0])
    across, down = max(f >> 4 for f in sampling), max(f & 15 for f in sampling)
    units = -(-size // (8 * across)) * -(-size // (8 * down))
    bits = 2 * units * sum((f >> 4) * (f & 15) for f in sampling)
    data = ((1 << -bits % 8) - 1).to_bytes(-(-bits // 8))
    head = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([8] * 64)) + segment(0xC0, frame)
    tables = segment(0xC4, b"\0" + one_code) + segment(0xC4, b"\x10" + one_code)
    return head + tables + segment(0xDA, scan) + data + b"\xff\xd9"


def exif(orientation=6, thumbnail=b"", order="<"):
    """EXIF data: camera, orientation, resolution, a date in its own directory, a thumbnail."""
    camera, date = b"Camera\0\0", b"2001:02:03 04:05:06\0"
    at = 8 + 2 + 5 * 12 + 4
    entries = [
        (0x010F, 2, 7, at),
        (0x0112, 3, 1, orientation if order == "<" else orientation << 16),
        (0x011A, 5, 1, at + 8),
        (0x011B, 5, 1, at + 8),
        (0x8769, 4, 1, at + 16),
    ]
    exif_directory = [(0x9003, 2, len(date), at + 16 + 18)]
    thumbnail_at = at + 16 + 18 + len(date)
    thumbnail_directory = [(0x0201, 4, 1, thumbnail_at + 30), (0x0202, 4, 1, len(thumbnail))]

    def directory(tags, following=0):
        packed = [struct.pack(order + "HHII", *tag) for tag in tags]
        count, last = (struct.pack(order + "H", len(tags)), struct.pack(order + "I", following))
        return count + b"".join(packed) + last

    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    data += directory(entries, thumbnail_at if thumbnail else 0)
    data += camera + struct.pack(order + "II", 300, 1) + directory(exif_directory) + date
    return data + directory(thumbnail_directory) + thumbnail if thumbnail else data
