"""Files of other libraries, in all the ways that these write: what is read is what was written."""

import io
import itertools

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from image_files import ALPHA, ALPHA16, RGB, RGB16, SMOOTH, encode
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.images import read_image

GRAY, GRAY16 = RGB[..., 1].copy(), RGB16[..., 1].copy()
DEPTHS = {8: (GRAY, RGB, ALPHA), 16: (GRAY16, RGB16, ALPHA16)}
KINDS = ("gray", "gray+alpha", "rgb", "rgb+alpha")
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr")


def check(data, colors, alpha=None, atol=0.0):
    """Compares a file with what was written, in shares of the whole range; `atol` is of 255."""
    image = read_image(data)
    colors = np.dstack([colors] * 3) if colors.ndim == 2 else colors
    np.testing.assert_allclose(unit(image.rgb), unit(colors), rtol=0, atol=atol / 255 + 1e-9)
    assert (image.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_allclose(unit(image.alpha), unit(alpha), rtol=0, atol=atol / 255 + 1e-9)
    return image


def unit(samples):
    return samples / np.iinfo(samples.dtype).max


def pixels(bits, kind):
    """Array to write, colors and alpha that are expected."""
    gray, rgb, alpha = DEPTHS[bits]
    return {
        "gray": (gray, gray, None),
        "gray+alpha": (np.dstack([gray, alpha]), gray, alpha),
        "rgb": (rgb, rgb, None),
        "rgb+alpha": (np.dstack([rgb, alpha]), rgb, alpha),
    }[kind]


LAYOUTS = {
    "strips": {"rowsperstrip": 5},
    "tiles": {"tile": (16, 16)},
    "planar": {"planarconfig": "separate"},
    "planar tiles": {"planarconfig": "separate", "tile": (16, 16)},
}
COMPRESSIONS = ["none", "lzw", "zlib", "packbits", "zstd", "lzma", "png", "jpeg2000", "lerc"]
OWN_ORDER = ("png", "jpeg2000", "lerc")


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("bits", [8, 16])
def test_tiff(compression, bits):
    cases = itertools.product(KINDS, LAYOUTS, "<>", (0, 1))
    for kind, layout, order, is_big in cases:
        array, colors, alpha = pixels(bits, kind)
        if array.ndim == 2 and layout.startswith("planar"):
            continue
        options = {"planarconfig": "contig", **LAYOUTS[layout]} if array.ndim == 3 else {}
        if options.get("planarconfig") == "separate":
            array = np.moveaxis(array, -1, 0)
        if order == ">" and bits == 16 and compression in OWN_ORDER:
            continue  # The writer hands them numbers of the wrong order.
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream, byteorder=order, bigtiff=bool(is_big)) as writer:
            writer.write(
                array,
                photometric="minisblack" if kind.startswith("gray") else "rgb",
                extrasamples=None if alpha is None else ["unassalpha"],
                compression=None if compression == "none" else compression,
                predictor=(compression in ("lzw", "zlib") and bits == 16) or None,
                metadata=None,
                **options,
            )
        image = check(stream.getvalue(), colors, alpha)
        assert image.rgb.dtype == colors.dtype


@pytest.mark.parametrize(
    ("codec", "count"), [("png", 8), ("jpeg2k", 8), ("bmp", 3), ("webp", 2), ("avif", 4)]
)
def test_imagecodecs(codec, count):
    options = {"lossless": True} if codec == "webp" else {}
    written = 0
    for bits, kind in itertools.product(DEPTHS, KINDS):
        array, colors, alpha = pixels(bits, kind)
        try:
            data = getattr(imagecodecs, f"{codec}_encode")(array, **options)
        except (ValueError, imagecodecs.AvifError):
            continue  # The format has no such files.
        image = check(data, colors, alpha)
        assert image.rgb.dtype == colors.dtype
        written += 1
    assert written == count


@pytest.mark.parametrize(
    ("suffix", "bits"),
    [(suffix, 8) for suffix in (".png", ".tif", ".jp2", ".bmp", ".webp")]
    + [(suffix, 16) for suffix in (".png", ".tif", ".jp2")],
)
def test_opencv(suffix, bits):
    gray, rgb, alpha = (np.repeat(np.repeat(part, 8, 0), 8, 1) for part in DEPTHS[bits])
    cases = [(gray, gray, None), (cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), rgb, None)]
    if suffix != ".jp2":
        bgra = cv2.cvtColor(np.dstack([rgb, alpha]), cv2.COLOR_RGBA2BGRA)
        cases.append((bgra, rgb, alpha))
    for array, colors, opacity in cases:
        options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if suffix == ".jp2" else []
        options = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else options
        data = cv2.imencode(suffix, array, options)[1].tobytes()
        image = read_image(data)
        atol = 0.01 if suffix == ".jp2" else 0  # Its lossless mode rounds.
        check(data, colors, opacity, atol=255 * atol)
        assert image.rgb.dtype == colors.dtype


def as_pillow(image):
    """What Pillow makes of its own image: RGB, and alpha or None."""
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return rgba[..., :3], rgba[..., 3]
    return np.asarray(image.convert("RGB")), None


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        *(("PNG", 6), ("TIFF", 8), ("BMP", 5), ("GIF", 6)),
        *(("WEBP", 10), ("JPEG2000", 6), ("JPEG", 5), ("AVIF", 10)),
    ],
)
def test_pillow(kind, count):
    rgba = Image.fromarray(np.dstack([SMOOTH, np.full(SMOOTH.shape[:2], 255, np.uint8)]))
    rgba.putalpha(Image.fromarray(np.repeat(np.arange(0, 240, 5, dtype=np.uint8)[:, None], 64, 1)))
    read = 0
    for mode in MODES:
        image = rgba if mode in ("LA", "RGBA", "RGBa") else rgba.convert("RGB")
        image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
        try:
            data = encode(image, kind, **({"lossless": True} if kind == "WEBP" else {}))
            colors, alpha = as_pillow(Image.open(io.BytesIO(data)))
        except (OSError, ValueError, KeyError):
            continue  # Pillow does not write or does not read such files.
        image = read_image(data)
        ours = image.rgb
        if alpha is not None:
            np.testing.assert_array_equal(image.alpha, alpha)
            ours, colors = (np.where(alpha[..., None] > 0, rgb, 0) for rgb in (ours, colors))
        # Premultiplied colors and those of CMYK are rounded twice.
        np.testing.assert_allclose(ours, colors, atol=1 if mode in ("CMYK", "RGBa") else 0)
        read += 1
    assert read == count


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_deep_jpeg_2000(bits, kind):
    # White, which Pillow wraps to black, among the colors.
    array, colors, alpha = pixels(16, kind)
    array = np.concatenate([array, np.full_like(array[:1], 65535)]) >> (16 - bits)
    data = imagecodecs.jpeg2k_encode(array, level=0, bitspersample=bits)
    image = read_image(data)
    assert image.rgb.dtype == np.uint16
    assert (image.rgb[-1] == 65535).all()
    colors = np.dstack([colors] * 3) if colors.ndim == 2 else colors
    np.testing.assert_allclose(image.rgb[:-1], colors, rtol=0, atol=2 ** (16 - bits))
    if alpha is not None:
        np.testing.assert_allclose(image.alpha[:-1], alpha, rtol=0, atol=2 ** (16 - bits))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_colors_that_numbers_tell(kind):
    flat = np.full((16, 16, 3), (200, 80, 60), np.uint8)

    def encoded(primaries, curve):
        if kind == "AVIF":
            return imagecodecs.avif_encode(flat, level=100, primaries=primaries, transfer=curve)
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.register_heif_opener()
        return encode(
            flat,
            "HEIF",
            quality=100,
            chroma=444,
            color_primaries=primaries,
            transfer_characteristics=curve,
            matrix_coefficients=6,
        )

    for curve in (1, 2, 13):  # BT.709, unspecified, sRGB.
        np.testing.assert_allclose(read_image(encoded(1, curve)).rgb, flat, atol=3)
    # Display P3 by its matrix (SMPTE EG 432-1, D65): more red, less green.
    matrix = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    linear = np.where(
        flat / 255 > 0.04045, ((flat / 255 + 0.055) / 1.055) ** 2.4, 0
    ) @ np.transpose(matrix)
    expected = 255 * (1.055 * np.clip(linear, 0, 1) ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(read_image(encoded(12, 13)).rgb, expected, atol=3)
    for curve, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(ColorizeError, match=rf"HDR colors \({name}\)"):
            read_image(encoded(9, curve))


@pytest.mark.parametrize("compression", ["jpeg", "jpegxr", "jpeg2000", "jpegxl", "webp"])
def test_tiff_that_ends_early(compression):
    stream = io.BytesIO()
    tifffile.imwrite(stream, RGB, photometric="rgb", compression=compression, metadata=None)
    data = stream.getvalue()
    assert read_image(data).rgb.shape == RGB.shape
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        end = file.pages[0].dataoffsets[0] + file.pages[0].databytecounts[0]
    assert end == len(data)
    for missing in (1, 9):
        with pytest.raises(ColorizeError, match=r"truncated|damaged"):
            read_image(data[:-missing])


def test_signed_numbers_of_32_bits_go_by_their_own_range():
    stream = io.BytesIO()
    Image.fromarray(GRAY.astype(np.int32)).save(stream, "TIFF")
    low, high = int(GRAY.min()), int(GRAY.max())
    expected = np.rint((GRAY.astype(float) - low) / (high - low) * 65535)
    np.testing.assert_array_equal(read_image(stream.getvalue()).rgb[..., 0], expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (imagecodecs.jpegls_encode(GRAY), "JPEG of another kind"),
        (imagecodecs.jpegxr_encode(RGB), "not a JPEG, PNG"),
    ],
)
def test_what_is_refused(data, reason):
    with pytest.raises(ColorizeError, match=reason):
        read_image(data)
