import struct

import numpy as np
import pytest
from image_files import ALPHA, ALPHA16, RGB, RGB16, SMOOTH, encode, raw_tiff, tiff

from keras_colorize.errors import ColorizeError
from keras_colorize.images import read_image, read_rgb

GRAY, GRAY16 = RGB[..., 0], RGB16[..., 0]


def as_rgb(gray):
    return np.repeat(gray[..., None], 3, axis=-1)


def planes(*channels):
    return np.stack([channel for array in channels for channel in np.atleast_3d(array).T]).mT


def packed_bits(values, bits):
    """Rows of numbers, each of so many bits, the first in the highest bits; whole bytes a row."""
    text = ["".join(f"{value:0{bits}b}" for value in row) for row in values]
    return b"".join(int(row, 2).to_bytes(len(row) // 8) for row in text)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
@pytest.mark.parametrize(("rgb", "alpha"), [(RGB, ALPHA), (RGB16, ALPHA16)])
def test_planes_bits_and_byte_orders(rgb, alpha, options, order):
    samples = planes(rgb, alpha)
    options = {"extrasamples": ["unassalpha"], "planarconfig": "separate", **options}
    image = read_image(tiff(samples, photometric="rgb", byteorder=order, **options))
    assert image.rgb.dtype == rgb.dtype
    np.testing.assert_array_equal(image.rgb, rgb)
    np.testing.assert_array_equal(image.alpha, alpha)
    assert image.rgb.flags.writeable and image.rgb.dtype.isnative


@pytest.mark.parametrize(("rgb", "alpha"), [(RGB, ALPHA), (RGB16, ALPHA16)])
def test_extra_channels(rgb, alpha):
    gray, noise = rgb[..., :1], alpha[::-1]
    for colors, kind, expected in ((rgb, "rgb", rgb), (gray, "minisblack", as_rgb(gray[..., 0]))):
        for extra, extra_kinds, expected_alpha in (
            ([alpha], ["unassalpha"], alpha),
            ([noise], [0], None),
            ([noise, alpha], [0, 2], alpha),
            ([noise, noise, noise], [0, 0, 0], None),
        ):
            samples = np.dstack([colors, *extra])
            options = {"photometric": kind, "extrasamples": extra_kinds, "planarconfig": "contig"}
            image = read_image(tiff(samples, **options))
            np.testing.assert_array_equal(image.rgb, expected)
            np.testing.assert_array_equal(image.alpha, expected_alpha)


def test_a_fourth_channel_that_is_not_declared_is_transparency():
    rgba = np.dstack([RGB, ALPHA])
    tags = {"bits": [8] * 4, "samples": 4, "photometric": 2}
    np.testing.assert_array_equal(read_image(raw_tiff(17, 12, rgba.tobytes(), **tags)).alpha, ALPHA)


@pytest.mark.parametrize("most", [255, 65535])
def test_premultiplied_transparency(most):
    dtype = np.uint8 if most == 255 else np.uint16
    for colors in (RGB, RGB[..., :1]):
        straight = colors.astype(float) / 255
        alpha = np.linspace(0.2, 1, colors[..., 0].size).reshape(colors.shape[:2])
        samples = np.dstack([straight * alpha[..., None], alpha]) * most
        kind = "rgb" if colors.shape[2] == 3 else "minisblack"
        options = {"photometric": kind, "extrasamples": [1], "planarconfig": "contig"}
        image = read_image(tiff(np.rint(samples).astype(dtype), **options))
        expected = np.broadcast_to(straight * most, image.rgb.shape)
        np.testing.assert_allclose(image.rgb, expected, atol=most * 0.02)
        np.testing.assert_allclose(image.alpha, alpha * most, atol=0.51)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("photometric", [0, 1, 2])
def test_unusual_bits(bits, photometric):
    channels = 3 if photometric == 2 else 1
    values = np.random.default_rng(bits).integers(0, 2**bits, (4, 8 * channels))
    data = packed_bits(values, bits)
    tags = {"bits": [bits] * channels, "samples": channels, "photometric": photometric}
    image = read_image(raw_tiff(8, 4, data, **tags))
    most = 255 if bits < 8 else 65535
    expected = np.rint(values.reshape(4, 8, channels) * most / (2**bits - 1))
    expected = most - expected if photometric == 0 else expected
    assert image.rgb.dtype == (np.uint8 if bits < 8 else np.uint16)
    np.testing.assert_array_equal(image.rgb, np.broadcast_to(expected, (4, 8, 3)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes(bits):
    colors = np.random.default_rng(bits).integers(0, 256, (3, 2**bits))
    indices = np.arange(64).reshape(4, 16) % 2**bits
    tags = {"bits": bits, "samples": 1, "photometric": 3}
    for scale in (257, 1):  # Some old files have 8 bits in the palette.
        palette = (colors * scale).ravel().tolist()
        data = raw_tiff(16, 4, packed_bits(indices, bits), colormap=palette, **tags)
        np.testing.assert_array_equal(read_rgb(data), colors.T[indices])


def test_whole_numbers_of_32_bits_and_real_ones():
    unit = RGB / 255
    whole = np.rint(unit * (2**32 - 1)).astype(np.uint32)
    for samples in (whole, unit.astype(np.float32), unit, unit.astype(np.float16)):
        rgb = read_image(tiff(samples, photometric="rgb")).rgb
        assert rgb.dtype == np.uint16
        np.testing.assert_allclose(rgb, unit * 65535, atol=17)
    other_range = (unit * 3000 - 1000).astype(np.float32)
    other_range[0, 0, 0] = np.nan
    low, high = np.nanmin(other_range), np.nanmax(other_range)
    expected = (np.nan_to_num(other_range, nan=low) - low) / (high - low) * 65535
    np.testing.assert_allclose(
        read_image(tiff(other_range, photometric="rgb")).rgb, expected, atol=1
    )


def test_signed_numbers_go_by_their_bits():
    signed = (GRAY16.astype(np.int32) - 32768).astype(np.int16)
    np.testing.assert_array_equal(
        read_image(tiff(signed, photometric="minisblack")).rgb, as_rgb(GRAY16)
    )


def test_16_bit_cmyk_keeps_its_bits():
    cmyk = np.dstack([RGB16, ALPHA16])
    image = read_image(tiff(cmyk, photometric="separated"))
    paper = 1 - cmyk / 65535
    assert image.rgb.dtype == np.uint16
    np.testing.assert_allclose(image.rgb, paper[..., :3] * paper[..., 3:] * 65535, atol=0.51)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("flat", [(76, 85, 255), (149, 43, 21), (255, 128, 128)])
def test_ycbcr_without_jpeg(subsampling, flat):
    # BT.601: red, green and white; 5 x 3 pixels fill no whole number of blocks.
    across, down = subsampling
    blocks = -(-5 // across) * -(-3 // down)
    block = bytes([flat[0]] * (across * down) + list(flat[1:]))
    tags = {"bits": [8] * 3, "samples": 3, "photometric": 6, "subsampling": [across, down]}
    rgb = read_rgb(raw_tiff(5, 3, block * blocks, **tags))
    expected = {76: (255, 0, 0), 149: (0, 255, 0), 255: (255, 255, 255)}[flat[0]]
    np.testing.assert_allclose(rgb, np.broadcast_to(expected, (3, 5, 3)), atol=2)


def test_jpeg_in_tiff():
    data = encode(SMOOTH, "TIFF", compression="jpeg", quality=95)
    np.testing.assert_allclose(read_rgb(data), SMOOTH, atol=12)


@pytest.mark.parametrize("bits", [8, 16])
def test_cie_lab(bits):
    # Paper white, middle gray and a red of CIE Lab (D50), with signed a and b.
    lab = np.array([[[100, 0, 0], [53.585, 0, 0], [54.29, 80.81, 69.89]]])
    scale = (2**bits - 1) / 100, 2 ** (bits - 8), 2 ** (bits - 8)
    numbers = np.rint(lab * scale).astype(np.int32).astype(np.uint8 if bits == 8 else np.uint16)
    data = numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
    rgb = read_rgb(raw_tiff(3, 1, data, bits=[bits] * 3, samples=3, photometric=8))
    np.testing.assert_allclose(rgb, [[[255] * 3, [128] * 3, [255, 0, 0]]], atol=3)


def test_big_tiff_and_orientation():
    data = tiff(RGB16, photometric="rgb", bigtiff=True, extratags=[(274, 3, 1, 6, True)])
    np.testing.assert_array_equal(read_image(data).rgb, np.rot90(RGB16, -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tiff(RGB.astype(np.complex64), photometric="rgb"), "complex numbers"),
        (raw_tiff(2, 1, b"ab", bits=[8], samples=1, photometric=32803), "colors CFA"),
        (raw_tiff(2, 1, b"abcd", bits=[8], samples=1, photometric=2), "1 channels"),
        (raw_tiff(99999, 1, b"ab", bits=[8], samples=1, photometric=1), "99999x1; sides of at"),
        (raw_tiff(60000, 60000, b"", bits=[8], samples=1, photometric=1), "3600 megapixels"),
        (raw_tiff(99, 99, b"abcd", bits=[8], samples=1, photometric=1), "damaged|truncated"),
        (raw_tiff(2, 1, b"ab", bits=[8], samples=1, photometric=1, compression=7), "damaged"),
        (b"II*\0" + struct.pack("<I", 9999), "damaged"),
        (b"MM\0*", "damaged"),
    ],
)
def test_what_is_refused_says_why(data, reason, capfd):
    with pytest.raises(ColorizeError, match=rf"image of \d+ bytes: cannot be read \(.*({reason})"):
        read_image(data)
    assert capfd.readouterr() == ("", "")
