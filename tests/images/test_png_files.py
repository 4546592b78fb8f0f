import struct

import numpy as np
import pytest
from image_files import ALPHA16, RGB, RGB16, SMOOTH, chunk, encode, png
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.images import count_pages, read_image, read_rgb

SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_PRIMARIES = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
RAMP = np.arange(0, 256, 5, dtype=np.uint8)[None]
COLORS = np.array([[[200, 50, 50], [50, 200, 50], [50, 50, 200], [128, 128, 128]]], np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_gray(bits):
    most = 2**bits - 1
    row = int("".join(f"{value % (most + 1):0{bits}b}" for value in range(8)), 2)
    data = png(8, 1, bits, 0, [row.to_bytes(bits)], [(b"tRNS", struct.pack(">H", 1))])
    image = read_image(data)
    gray = np.arange(8) % (most + 1)
    np.testing.assert_array_equal(image.rgb[0, :, 0], gray * (255 // most))
    np.testing.assert_array_equal(image.alpha[0], np.where(gray == 1, 0, 255))


def test_transparent_color_of_16_bits():
    rows = [RGB16[:1].astype(">u2").tobytes()]
    key = struct.pack(">3H", *RGB16[0, 3].tolist())
    image = read_image(png(17, 1, 16, 2, rows, [(b"tRNS", key)]))
    np.testing.assert_array_equal(image.rgb, RGB16[:1])
    np.testing.assert_array_equal(image.alpha[0] == 0, np.arange(17) == 3)


def test_16_bits_interlaced():
    rgba = np.dstack([RGB16, ALPHA16]).astype(">u2")
    rows = []
    # ISO/IEC 15948, 8.2: the seven passes.
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4))
    passes += ((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    for top, left, down, across in passes:
        rows += [row.tobytes() for row in rgba[top::down, left::across] if row.size]
    image = read_image(png(17, 12, 16, 6, rows, interlace=1))
    np.testing.assert_array_equal(image.rgb, RGB16)
    np.testing.assert_array_equal(image.alpha, ALPHA16)


@pytest.mark.parametrize("bits", [8, 16])
def test_the_default_image_beside_an_animation(bits):
    row = np.full(6, 200 * (2**bits - 1) // 255, np.uint8 if bits == 8 else ">u2").tobytes()
    control = struct.pack(">5I2H2B", 0, 2, 1, 0, 0, 1, 10, 0, 0)
    frame = png(2, 1, bits, 2, [bytes(len(row))])
    body = frame[frame.index(b"IDAT") + 4 : frame.index(b"IEND") - 8]
    still = png(2, 1, bits, 2, [row], [(b"acTL", struct.pack(">2I", 1, 0))])
    frames = chunk(b"fcTL", control) + chunk(b"fdAT", struct.pack(">I", 1) + body)
    data = still[:-12] + frames + still[-12:]
    assert (read_rgb(data) == 200).all()


def test_gamma_without_a_profile():
    for bits, most, gray in ((8, 255, RAMP), (16, 65535, RAMP.astype(np.uint16) * 257)):
        rows = [gray.astype(">u2" if bits == 16 else np.uint8).tobytes()]
        linear = png(52, 1, bits, 0, rows, [(b"gAMA", struct.pack(">I", 100000))])
        unit = RAMP / 255
        expected = np.where(unit > 0.0031308, 1.055 * unit ** (1 / 2.4) - 0.055, 12.92 * unit)
        np.testing.assert_allclose(read_image(linear).rgb[..., 0], expected * most, atol=most / 200)


def test_gamma_and_primaries_that_mean_srgb_change_nothing():
    chunks = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", *SRGB_PRIMARIES)),
    ]
    rows = [row.tobytes() for row in RGB]
    np.testing.assert_array_equal(read_rgb(png(17, 12, 8, 2, rows, chunks)), RGB)


def test_precedence_of_color_chunks():
    """Display P3 by cHRM or cICP; what ranks above says something else."""
    rows = [COLORS.tobytes()]
    primaries = (b"cHRM", struct.pack(">8I", *P3_PRIMARIES))
    p3, srgb = (b"cICP", bytes((12, 13, 0, 1))), (b"sRGB", b"\0")
    # Linear P3 to linear sRGB: https://www.w3.org/TR/css-color-4/#color-conversion-code.
    matrix = ((1.2249, -0.2249, 0), (-0.0420, 1.0420, 0), (-0.0196, -0.0786, 1.0982))
    unit = COLORS / 255
    linear = np.where(unit > 0.04045, ((unit + 0.055) / 1.055) ** 2.4, unit / 12.92)
    linear = np.clip(linear @ np.transpose(matrix), 0, 1)
    expected = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    for chunks in ([primaries], [p3, srgb]):
        np.testing.assert_allclose(read_rgb(png(4, 1, 8, 2, rows, chunks)), expected * 255, atol=2)
    np.testing.assert_array_equal(read_rgb(png(4, 1, 8, 2, rows, [srgb, primaries])), COLORS)
    unknown = (b"cICP", bytes((2, 2, 0, 1)))
    np.testing.assert_array_equal(read_rgb(png(4, 1, 8, 2, rows, [unknown, srgb])), COLORS)


@pytest.mark.parametrize(("number", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_by_name(number, name):
    data = png(4, 1, 8, 2, [COLORS.tobytes()], [(b"cICP", bytes((9, number, 0, 1)))])
    with pytest.raises(ColorizeError, match=rf"HDR colors \({name}\); convert it to SDR"):
        read_image(data)


@pytest.mark.parametrize("bits", [8, 16])
def test_damaged_files(bits, tmp_path, capfd):
    pixels = SMOOTH if bits == 8 else SMOOTH.astype(">u2") * 257
    rows = [row.tobytes() for row in np.ascontiguousarray(pixels)]
    data = png(64, 48, bits, 2, rows, [(b"iCCP", b"bad"), (b"eXIf", b"bad")])
    np.testing.assert_array_equal(read_rgb(data), SMOOTH)
    path = tmp_path / "a.png"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ColorizeError, match=r"a\.png: cannot be read \(truncated\)"):
        read_image(path)
    with pytest.warns(UserWarning, match=r"a\.png: truncated"):
        image = read_image(path, allow_damaged=True)
    np.testing.assert_array_equal(
        image.rgb[:4], np.frombuffer(pixels, pixels.dtype).reshape(pixels.shape)[:4]
    )
    assert capfd.readouterr() == ("", "")


def test_a_broken_animation_is_silent(capfd):
    data = encode(Image.fromarray(RGB), "PNG")
    data = data[:33] + chunk(b"acTL", bytes(8)) + data[33:]
    np.testing.assert_array_equal(read_rgb(data), RGB)
    assert capfd.readouterr() == ("", "")


def test_count_pages_of_a_still_png(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(RGB, "PNG"))
    assert count_pages(tmp_path / "a.png") == 1
