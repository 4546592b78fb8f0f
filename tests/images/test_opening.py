import os
import resource
import socket
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from image_files import RGB, SMOOTH, chunk, encode, exif, png, raw_tiff

from keras_colorize.errors import ColorizeError
from keras_colorize.images import (
    count_pages,
    find_images,
    read_image,
    read_image_size,
    read_rgb,
    unread_suffixes,
    write_image,
)

READERS = [read_image, read_rgb, read_image_size, count_pages]


@pytest.fixture
def odd_files(tmp_path):
    """What is no regular file, under names of images; each with what is said of it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "pipe.jpg")
    (tmp_path / "itself.jpg").symlink_to(tmp_path / "itself.jpg")
    (tmp_path / "sparse.jpg").touch()
    os.truncate(tmp_path / "sparse.jpg", 2**33)
    (tmp_path / "zeros.jpg").touch()
    os.truncate(tmp_path / "zeros.jpg", 2**30)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "socket.jpg"))
    yield (
        tmp_path,
        {
            "pipe.jpg": "a pipe or device, not a file",
            "link.jpg": "a pipe or device, not a file",
            "zero.jpg": "a pipe or device, not a file",
            "folder.jpg": "a folder",
            "socket.jpg": "a socket or device, not a file",
            "itself.jpg": "Too many levels of symbolic links",
            "sparse.jpg": "8.0 GiB; files of at most 2 GiB are read",
            "zeros.jpg": "not a JPEG",
        },
    )
    listener.close()


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_file_is_refused_at_once(odd_files, read):
    folder, reasons = odd_files
    for name, reason in reasons.items():
        with pytest.raises(ColorizeError, match=rf"{name}: cannot be read \({reason}"):
            read(folder / name)


def test_odd_files_cost_only_themselves(odd_files):
    folder, _ = odd_files
    (folder / "good.png").write_bytes(encode(RGB, "PNG"))
    (folder / "note.TXT").touch()
    (folder / ".hidden").touch()
    found = find_images(folder)
    assert "good.png" in found and "itself.jpg" in found
    assert "pipe.jpg" not in found and "socket.jpg" not in found
    assert unread_suffixes(folder) == {".txt": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(2**14, 2**14 + 1, 8, 6, []), "268 megapixels; at most 268"),
        (png(65536, 1, 8, 0, []), "65536x1; sides of at most 65535"),
        (raw_tiff(1, 70000, b"", bits=[8], samples=1, photometric=1), "1x70000; sides of at"),
        (
            b"BM"
            + struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, 9, 2**20, 1, 24, 0, 0, 0, 0, 0, 0),
            "9x1048576; sides",
        ),
        (b"\xff\x0a" + (1 | 31 << 1 | 0 << 6).to_bytes(4, "little"), "damaged"),
    ],
)
def test_limits_are_told_by_the_header(data, reason, tmp_path):
    (tmp_path / "a").write_bytes(data)
    for read in (read_image, read_image_size):
        if reason != "damaged" or read is read_image:
            with pytest.raises(ColorizeError, match=reason):
                read(tmp_path / "a")


def test_jpeg_xl_tells_its_size_before_it_is_decoded(tmp_path):
    pytest.importorskip("pillow_jxl")
    for size in ((64, 48), (300, 7), (8, 8), (31, 500)):
        path = tmp_path / "a.jxl"
        write_image(path, np.zeros((size[1], size[0], 3), np.uint8))
        assert read_image_size(path) == size
    with pytest.raises(ColorizeError, match="0 megapixels; at most 0"):
        read_rgb(path, max_pixels=100)


@pytest.mark.parametrize("suffix", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_fewer_pixels_may_be_asked_for(suffix):
    data = encode(SMOOTH, suffix)
    assert read_rgb(data, max_pixels=64 * 48).shape == SMOOTH.shape
    with pytest.raises(ColorizeError, match="megapixels; at most"):
        read_rgb(data, max_pixels=64 * 48 - 1)


def test_messages_have_one_line_and_an_end(tmp_path):
    path = tmp_path / "two\nlines\x1b[31m.png"
    path.write_bytes(b"text")
    with pytest.raises(ColorizeError) as raised:
        read_image(path)
    assert str(raised.value).startswith(f"{tmp_path}/two\\nlines\\x1b[31m.png: cannot be read (")
    with pytest.raises(ColorizeError) as raised:
        read_image("x" * 5000)
    assert len(str(raised.value)) < 1300
    with pytest.raises(ColorizeError) as raised:
        write_image(tmp_path / "a\nb.psd", RGB)
    assert "\n" not in str(raised.value)


def test_the_command_line_shows_no_warnings_of_pillow(tmp_path):
    """It warns of broken metadata and animations, which are left out, without a file's name."""
    avif = encode(RGB, "AVIF", exif=exif())
    count = avif.index(b"II*\0\x08\0\0\0") + 8
    avif = avif[:count] + b"\xff" + avif[count + 1 :]  # More entries than there are.
    png = encode(RGB, "PNG")
    png = png[:33] + chunk(b"acTL", bytes(8)) + png[33:]  # An animation of no frames.
    files = tmp_path / "a.avif", tmp_path / "a.png"
    for path, data in zip(files, (avif, png), strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-W", "always", "-m", "keras_colorize", "colorize", *map(str, files)]
    command += ["-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a.avif", "a.png"}
    assert done.stderr == ""


def test_nul_in_a_name():
    with pytest.raises(ColorizeError, match="cannot be read"):
        read_image("a\0b.png")


def test_memory_of_a_large_image_is_bounded():
    """16 bytes a pixel; a child process would count what importing takes, too."""
    side = 4000
    row = b"\0" + bytes(side * 4)
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    read_rgb(encode(RGB, "PNG"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_rgb(data).shape == (side, side, 3)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < 17 * side * side
