"""Decoding in a graph, held to Pillow."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_colorize.serving.decoding import decode_image

ORIENTATION = 0x0112
RANDOM = np.random.default_rng(0)
RGB = np.asarray(
    Image.fromarray(RANDOM.integers(0, 256, (6, 8, 3), np.uint8)).resize((83, 61), Image.BICUBIC)
)
IMAGE = Image.fromarray(RGB)
RGBA = Image.fromarray(np.dstack([RGB, RANDOM.integers(0, 256, RGB.shape[:2], np.uint8)]))
PALETTE = IMAGE.quantize(16)


@pytest.fixture(scope="module")
def decode():
    """Bytes -> array, for images of up to 20,000 pixels."""

    def decode(image_bytes: tf.Tensor) -> tf.Tensor:
        return decode_image(image_bytes, tf.constant("image_bytes[7]"), 20_000)

    compiled = tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    return lambda image_bytes: compiled(tf.constant(image_bytes)).numpy()


def pillow(data: bytes, mode: str = "RGB") -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert(mode))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_orientation_is_applied(decode, encode, form: str, order: str) -> None:
    for orientation in range(10):  # 0 and 9 are none.
        exif = Image.Exif()
        exif.endian = order
        exif[0x010E] = "before the orientation"
        exif[ORIENTATION] = orientation
        data = encode(IMAGE, form, exif=exif)
        expected = pillow(data)
        assert expected.shape == ((83, 61, 3) if orientation in (5, 6, 7, 8) else (61, 83, 3))
        assert np.abs(decode(data).astype(int) - expected).mean() <= (2 if form == "JPEG" else 0)


@pytest.mark.parametrize("length", [0, 3, 9, 15])
def test_damaged_exif_is_ignored(decode, encode, length: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encode(IMAGE, "JPEG", exif=exif.tobytes()[: 6 + length])
    assert decode(data).shape == RGB.shape


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (RGBA, {}),
        (RGBA.convert("LA"), {}),
        (PALETTE, {"transparency": 3}),
        (IMAGE.convert("L"), {"transparency": int(np.asarray(IMAGE.convert("L"))[0, 0])}),
    ],
    ids=["RGBA", "LA", "P", "L"],
)
def test_alpha_of_png_is_kept(decode, encode, image: Image.Image, options: dict) -> None:
    data = encode(image, "PNG", **options)
    np.testing.assert_array_equal(decode(data), pillow(data, "RGBA"))


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16"])
def test_png_without_alpha(decode, encode, mode: str) -> None:
    if mode == "I;16":  # 8 bits out.
        gray = np.asarray(IMAGE.convert("L"))
        data = encode(gray.astype(np.uint16) * 256 + 200, "PNG")
        expected = np.repeat(gray[..., None], 3, axis=-1)
    else:
        data = encode(PALETTE if mode == "P" else IMAGE.convert(mode), "PNG")
        expected = pillow(data)
    np.testing.assert_array_equal(decode(data), expected)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_jpeg(decode, encode, mode: str, options: dict) -> None:
    data = encode(IMAGE.convert(mode), "JPEG", quality=95, **options)
    assert np.abs(decode(data).astype(int) - pillow(data)).mean() < 2


def bmp(
    bits: int,
    rows: np.ndarray,
    size: tuple[int, int],
    *,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
    compression: int = 0,
) -> bytes:
    """A BMP file of padded rows, byte by byte; a negative height is stored as it is."""
    header = 56 if masks else 40
    start = 14 + header + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", header, *size, 1, bits, compression, 0, 0, 0, len(palette) // 4, 0
    )
    info += struct.pack(f"<{len(masks)}I", *masks) + palette
    data = rows.tobytes()
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + data


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_of_pillow(decode, encode, mode: str) -> None:
    data = encode(PALETTE if mode == "P" else IMAGE.convert(mode), "BMP")
    np.testing.assert_array_equal(decode(data), pillow(data))


def test_bmp_of_4_bits(decode) -> None:
    palette = RANDOM.integers(0, 256, (16, 4), np.uint8)
    indices = RANDOM.integers(0, 16, (3, 5))
    rows = np.zeros((3, 8), np.uint8)
    rows[:, :5] = indices
    packed = np.pad(rows[:, ::2] << 4 | rows[:, 1::2], [(0, 0), (0, 0)])
    data = bmp(4, packed[::-1], (5, 3), palette=palette.tobytes())
    np.testing.assert_array_equal(decode(data), palette[indices][..., 2::-1])


def test_top_down_bmp_of_16_bits(decode) -> None:
    levels = RANDOM.integers(0, 32, (3, 4, 3))
    values = (levels[..., 0] << 10 | levels[..., 1] << 5 | levels[..., 2]).astype("<u2")
    expected = np.rint(levels * 255 / 31)
    np.testing.assert_array_equal(decode(bmp(16, values, (4, -3))), expected)
    values = (levels[..., 0] << 11 | 2 * levels[..., 1] << 5 | levels[..., 2]).astype("<u2")
    data = bmp(16, values, (4, -3), masks=(0xF800, 0x07E0, 0x1F, 0), compression=3)
    expected[..., 1] = np.rint(2 * levels[..., 1] * 255 / 63)
    np.testing.assert_array_equal(decode(data), expected)


def test_bmp_of_32_bits(decode) -> None:
    pixels = RANDOM.integers(0, 256, (3, 4, 4), np.uint8)
    np.testing.assert_array_equal(decode(bmp(32, pixels, (4, -3))), pixels[..., 2::-1])
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    data = bmp(32, pixels, (4, -3), masks=masks, compression=3)
    np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.parametrize("options", [{"interlace": 0}, {"interlace": 1}, {"transparency": 2}])
def test_gif(decode, encode, options: dict) -> None:
    data = encode(PALETTE, "GIF", **options)
    mode = "RGBA" if "transparency" in options else "RGB"
    np.testing.assert_array_equal(decode(data), pillow(data, mode))


def test_first_frame_of_an_animation_on_its_canvas(decode, encode) -> None:
    others = [IMAGE.rotate(90), IMAGE.rotate(180)]
    data = encode(IMAGE, "GIF", save_all=True, append_images=others)
    np.testing.assert_array_equal(decode(data), pillow(data))
    frame = data.index(b"\x2c\0\0\0\0")
    data = (
        *(data[:6], struct.pack("<HH", 100, 90), data[10 : frame + 1]),
        *(struct.pack("<HH", 5, 7), data[frame + 5 :]),
    )
    decoded = decode(b"".join(data))
    assert decoded.shape == (90, 100, 4)
    np.testing.assert_array_equal(decoded[7:68, 5:88, :3], pillow(b"".join(data))[7:68, 5:88])
    outside = np.ones((90, 100), bool)
    outside[7:68, 5:88] = False
    np.testing.assert_array_equal(decoded[..., 3] == 0, outside)


def half_with_end(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[-2:]


def hide_in_jpeg(encode, marker: bytes) -> bytes:
    """A large JPEG after a marker without a length.

    Who takes its first bytes for a length skips it, and finds the small JPEG behind it.
    """
    large = encode(np.zeros((200, 300), "u1"), "JPEG")[2:]
    small = encode(np.zeros((8, 8), "u1"), "JPEG")[2:]
    return b"\xff\xd8\xff" + marker + large.ljust(int.from_bytes(large[:2]), b"\0") + small


def hide_in_png(encode) -> bytes:
    """A large PNG with another chunk before its header, which looks like that of a small one."""
    large = encode(np.zeros((200, 300), "u1"), "PNG")
    chunk = b"aaAa" + struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(chunk))
    return large[:8] + struct.pack(">I", 13) + chunk + crc + large[8:]


HUGE = 60_000, 60_000


def swap_size(data: bytes, form: str) -> bytes:
    """A file of IMAGE that claims to be huge."""
    size = IMAGE.size[::-1] if data.startswith(b"\xff") else IMAGE.size
    claimed = data.replace(struct.pack(form, *size), struct.pack(form, *HUGE))
    assert claimed != data
    return claimed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda encode: b"", "is no JPEG, PNG, GIF or BMP image"),
        (lambda encode: b"nonsense", "is no JPEG, PNG, GIF or BMP image"),
        (lambda encode: encode(IMAGE, "JPEG")[:30], "is a damaged JPEG: its header is not whole"),
        (lambda encode: encode(IMAGE, "JPEG")[:-200], "is damaged: it cannot be decoded"),
        (
            lambda encode: half_with_end(encode(IMAGE, "JPEG", quality=95)),
            "is a damaged JPEG: image data are missing",
        ),
        (lambda encode: encode(IMAGE, "PNG")[:-300], "is damaged: it cannot be decoded"),
        (
            lambda encode: encode(IMAGE, "GIF")[:-9],
            "is a damaged GIF: its first frame is not whole",
        ),
        (lambda encode: encode(IMAGE, "BMP")[:-1], "is a damaged BMP: it is truncated"),
        (lambda encode: bmp(8, np.zeros((4, 4)), (4, 4), compression=1), "is a compressed BMP"),
        (lambda encode: bmp(2, np.zeros((4, 4)), (4, 4)), "is a BMP of an unknown depth"),
        (lambda encode: b"BM" + bytes(12) + b"\x0c" + bytes(40), "is a BMP of an old kind"),
        (lambda encode: encode(np.zeros((200, 101), "u1"), "JPEG"), "has 0.0202 megapixels"),
        (lambda encode: encode(np.zeros((200, 101), "u1"), "PNG"), "has 0.0202 megapixels"),
        (lambda encode: encode(np.zeros((200, 101), "u1"), "GIF"), "has 0.0202 megapixels"),
        (lambda encode: bmp(24, np.zeros(1), (200, 101)), "has 0.0202 megapixels"),
        (
            lambda encode: encode(np.zeros((1, 65536), "u1"), "PNG"),
            "has a side of more than 65,535",
        ),
        (
            lambda encode: b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + bytes(17),
            "is damaged: its size is 0",
        ),
        # Told from the header, since there is no more than that.
        (lambda encode: swap_size(encode(IMAGE, "PNG")[:33], ">II"), "has 3600 megapixels"),
        (lambda encode: swap_size(encode(IMAGE, "JPEG"), ">HH"), "has 3600 megapixels"),
        (lambda encode: swap_size(encode(PALETTE, "GIF"), "<HH"), "has 3600 megapixels"),
        (lambda encode: bmp(24, np.zeros(1), HUGE), "has 3600 megapixels"),
        # Where the decoder would find another size than the header that is looked at.
        (lambda encode: hide_in_jpeg(encode, b"\x00"), "is a damaged JPEG: its header"),
        (lambda encode: hide_in_jpeg(encode, b"\x01"), "is a damaged JPEG: its header"),
        (lambda encode: hide_in_jpeg(encode, b"\xd0"), "is a damaged JPEG: its header"),
        (hide_in_png, "is a damaged PNG: its header is not first"),
        # As Xcode writes it for iPhones.
        (
            lambda encode: b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBIP\0 \x06" + bytes(30),
            "is a damaged PNG: its header is not first",
        ),
    ],
)
def test_errors_name_the_image_and_the_reason(decode, encode, make, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[7\]: " + message):
        decode(make(encode))


@pytest.mark.parametrize("options", [{}, {"restart_marker_rows": 1}])
def test_gray_parts_of_a_jpeg_are_not_taken_for_damage(decode, encode, options: dict) -> None:
    half_gray = RGB.copy()
    half_gray[30:] = 128
    for image in (half_gray, np.full_like(RGB, 128)):
        data = encode(image, "JPEG", **options)
        assert np.abs(decode(data).astype(int) - pillow(data)).mean() < 2
