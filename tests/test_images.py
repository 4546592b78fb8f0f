import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps, JpegImagePlugin
from skimage.color import lab2xyz, rgb2lab

from keras_colorize.errors import ColorizeError
from keras_colorize.images import (
    MAX_PIXELS,
    find_images,
    image_grid,
    read_image,
    read_image_size,
    read_rgb,
    square_thumbnail,
    write_image,
)

RNG = np.random.default_rng(7)
RGB = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
RGB16 = RNG.integers(0, 65536, (12, 17, 3), dtype=np.uint16)
ALPHA16 = RNG.integers(0, 65536, (12, 17), dtype=np.uint16)


def encode(image, image_format, **options):
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def tiff(pixels, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def png(width, height, bits, color_type, rows, chunks=()):
    """A PNG by its parts: raw `rows` without filter; color type 0 gray, 2 RGB, 4 gray + alpha."""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")):
        checksum = zlib.crc32(kind + body)
        file += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return file


# ---- ICC profiles, made here byte by byte --------------------------------------------------


def profile(space, tags, pcs=b"XYZ ", kind=b"mntr"):
    """An ICC profile (version 2.4): header, table of tags, elements."""
    tags = {b"wtpt": xyz_element(D50), **tags}
    offset = 132 + 12 * len(tags)
    table, body = b"", b""
    for name, element in tags.items():
        element += bytes(-len(element) % 4)
        table += name + struct.pack(">II", offset + len(body), len(element))
        body += element
    size = struct.pack(">I", offset + len(body))
    header = size + bytes(4) + struct.pack(">I", 0x02400000) + kind + space + pcs + bytes(12)
    header += b"acsp" + bytes(28) + struct.pack(">3i", *fixed(D50)) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def fixed(values):
    return [round(value * 65536) for value in values]


def xyz_element(values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *fixed(values))


def gamma_curve(gamma):
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def table_curve(values):
    return b"curv" + bytes(4) + struct.pack(f">I{len(values)}H", len(values), *values)


def srgb_curve():
    """The parametric curve of type 3 with the numbers of IEC 61966-2-1."""
    parameters = fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    return b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *parameters)


D50 = np.array((0.9642, 1.0, 0.8249))
D65 = np.array((0.95047, 1.0, 1.08883))
# Bradford's cone response matrix; https://www.brucelindbloom.com, "Chromatic Adaptation".
BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
)
# Chromaticities of the primaries, red, green, blue: IEC 61966-2-1, Adobe RGB (1998), Display P3.
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def xyz_from_linear(primaries):
    """Linear RGB to XYZ, both D65, from the chromaticities of the primaries."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def d50_from_d65():
    return np.linalg.inv(BRADFORD) @ np.diag(BRADFORD @ D50 / (BRADFORD @ D65)) @ BRADFORD


RGB_NAMES = (b"r", b"g", b"b")


def rgb_profile(primaries, curve):
    colorants = (d50_from_d65() @ xyz_from_linear(primaries)).T
    tags = {name + b"XYZ": xyz_element(xyz) for name, xyz in zip(RGB_NAMES, colorants, strict=True)}
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def srgb_encoded(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)


def srgb_linear(encoded):
    return np.where(encoded > 0.04045, ((encoded + 0.055) / 1.055) ** 2.4, encoded / 12.92)


def converted(values, primaries, linear):
    """Float sRGB 0..1 of encoded `values` 0..1, the profile's tone curve being `linear`."""
    matrix = np.linalg.solve(xyz_from_linear(SRGB), xyz_from_linear(primaries))
    return srgb_encoded(linear(values) @ matrix.T)


PROFILES = [
    pytest.param(ADOBE_RGB, gamma_curve(2.19921875), lambda v: v**2.19921875, id="adobe-rgb"),
    pytest.param(DISPLAY_P3, srgb_curve(), srgb_linear, id="display-p3"),
    pytest.param(SRGB, table_curve([0, 65535]), lambda v: v, id="linear"),
]


@pytest.mark.parametrize(("primaries", "curve", "linear"), PROFILES)
def test_8_bit_images_with_a_profile_become_srgb(primaries, curve, linear):
    icc = rgb_profile(primaries, curve)
    expected = converted(RGB / 255, primaries, linear) * 255
    for image_format in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if image_format == "WEBP" else {}
        data = encode(Image.fromarray(RGB), image_format, icc_profile=icc, **options)
        # LittleCMS has tables of limited precision in the darks.
        np.testing.assert_allclose(read_image(data).rgb, expected, atol=1.6)


@pytest.mark.parametrize(("primaries", "curve", "linear"), PROFILES)
def test_16_bit_images_with_a_profile_become_srgb_without_loss(primaries, curve, linear):
    icc = rgb_profile(primaries, curve)
    expected = converted(RGB16 / 65535, primaries, linear)
    data = tiff(RGB16, photometric="rgb", iccprofile=icc)
    rgb = read_image(data).rgb
    assert rgb.dtype == np.uint16
    # In linear light, where the colorants' rounding to 1/65536 acts; 8 bits would miss by 4e-3.
    np.testing.assert_allclose(srgb_linear(rgb / 65535), srgb_linear(expected), atol=2e-4)


def test_profile_in_a_jpeg_is_applied():
    flat = np.full((16, 16, 3), (40, 200, 90), np.uint8)
    icc = rgb_profile(ADOBE_RGB, gamma_curve(2.19921875))
    data = encode(Image.fromarray(flat), "JPEG", quality=100, icc_profile=icc)
    expected = converted(flat / 255, ADOBE_RGB, lambda v: v**2.19921875) * 255
    np.testing.assert_allclose(read_rgb(data), expected, atol=3)


@pytest.mark.parametrize("bits", [8, 16])
def test_gray_profile(bits):
    icc = profile(b"GRAY", {b"kTRC": gamma_curve(1.75)})
    gray = RGB[..., 0] if bits == 8 else RGB16[..., 0]
    most = 2**bits - 1
    data = tiff(gray, photometric="minisblack", iccprofile=icc)
    rgb = read_image(data).rgb
    expected = srgb_encoded((gray / most) ** 1.75)[..., None] * most
    assert rgb.dtype == gray.dtype
    np.testing.assert_allclose(rgb, np.broadcast_to(expected, rgb.shape), atol=bits / 4)


def test_16_bit_image_with_a_profile_of_another_kind():
    # The curve of a gray profile that connects through Lab gives L, not luminance.
    icc = profile(b"GRAY", {b"kTRC": gamma_curve(1.0)}, pcs=b"Lab ")
    gray = np.linspace(0, 65535, 64).astype(np.uint16).reshape(4, 16)
    rgb = read_image(tiff(gray, photometric="minisblack", iccprofile=icc)).rgb
    lightness = rgb2lab(rgb / 65535)[..., 0]
    np.testing.assert_allclose(lightness, gray / 655.35, atol=0.6)


def test_srgb_broken_and_unfit_profiles_change_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = profile(b"GRAY", {b"kTRC": gamma_curve(1.0)})
    for icc in (srgb, b"not a profile", srgb[:200], gray):
        data = encode(Image.fromarray(RGB), "PNG", icc_profile=icc)
        np.testing.assert_array_equal(read_image(data).rgb, RGB)


def test_rgb_profile_on_a_gray_image():
    icc = rgb_profile(ADOBE_RGB, gamma_curve(1.0))
    data = encode(Image.fromarray(RGB[..., 0]), "PNG", icc_profile=icc)
    expected = srgb_encoded(RGB[..., :1] / 255) * 255
    np.testing.assert_allclose(read_rgb(data), np.broadcast_to(expected, RGB.shape), atol=1.6)


def cmyk_profile(colors):
    """A CMYK profile whose 16 corners have the Lab `colors`, (C, M, Y, K) counting K fastest."""
    encoded = [
        round(value) for lightness, a, b in colors for value in (lightness * 2.55, a + 128, b + 128)
    ]
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + struct.pack(">4B", 4, 3, 2, 0)
    lut += struct.pack(">9i", *fixed(np.eye(3).ravel()))
    lut += identity * 4 + bytes(encoded) + identity * 3
    return profile(b"CMYK", {b"A2B0": lut, b"A2B1": lut}, pcs=b"Lab ", kind=b"prtr")


CYAN_INK, BLUE_INK = (70.0, -15.0, -20.0), (40.0, 10.0, -30.0)


def cmyk_jpeg(cmyk, **options):
    pixels = np.full((16, 16, 4), cmyk, np.uint8)
    return encode(Image.fromarray(pixels, mode="CMYK"), "JPEG", quality=100, **options)


def test_cmyk_jpeg_by_its_profile():
    paper, black = (100.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    colors = []
    for corner in range(16):
        cyan, magenta, _, key = ((corner >> shift) & 1 for shift in (3, 2, 1, 0))
        light = BLUE_INK if cyan and magenta else CYAN_INK if cyan else paper
        colors.append(black if key else light)
    icc = cmyk_profile(colors)
    inks = {
        (0, 0, 0, 0): paper,
        (255, 0, 0, 0): CYAN_INK,
        (255, 255, 0, 0): BLUE_INK,
        (0, 0, 0, 255): black,
    }
    for cmyk, lab in inks.items():
        rgb = read_rgb(cmyk_jpeg(cmyk, icc_profile=icc))
        xyz = np.linalg.solve(d50_from_d65(), lab2xyz(np.array(lab), illuminant="D50"))
        expected = srgb_encoded(np.linalg.solve(xyz_from_linear(SRGB), xyz)) * 255
        np.testing.assert_allclose(rgb, np.broadcast_to(expected, rgb.shape), atol=3)


def test_cmyk_jpeg_without_a_profile():
    # (255 - ink) (255 - key) / 255: a little cyan, more yellow, some black.
    rgb = read_rgb(cmyk_jpeg((51, 0, 102, 51)))
    np.testing.assert_allclose(rgb, np.broadcast_to((163.2, 204, 122.4), rgb.shape), atol=3)


# ---- Orientation, depth, transparency ------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(image_format, orientation):
    # Three blocks that no turn or mirroring leaves in place.
    blocks = np.full((16, 32, 3), 255, np.uint8)
    blocks[:8, :16], blocks[8:, :16], blocks[:8, 16:] = (200, 30, 30), (30, 160, 40), (40, 60, 200)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encode(Image.fromarray(blocks), image_format, exif=exif, **options.get(image_format, {}))
    tagged = Image.fromarray(blocks)
    tagged.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(tagged)).astype(int)
    rgb = read_rgb(data)
    assert rgb.shape == upright.shape
    assert np.abs(rgb - upright).max() <= 3


@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_orientation_of_16_bits(orientation):
    upright = np.rot90(RGB16, -1) if orientation == 6 else RGB16
    data = tiff(RGB16, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    np.testing.assert_array_equal(read_image(data).rgb, upright)
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    rows = RGB16.astype(">u2")
    data = png(17, 12, 16, 2, [row.tobytes() for row in rows], [(b"eXIf", exif)])
    np.testing.assert_array_equal(read_image(data).rgb, upright)


def test_16_bits_are_kept():
    gray, white_is_zero = RGB16[..., 0], 65535 - RGB16[..., 0]
    as_rgb = np.repeat(gray[..., None], 3, axis=2)
    premultiplied = np.dstack([RGB16 // 2, np.full_like(gray, 32768)])
    big_endian = np.dstack([gray, ALPHA16]).astype(">u2")
    for data, rgb, alpha in [
        (encode(Image.fromarray(gray), "PNG"), as_rgb, None),
        (tiff(gray, photometric="minisblack"), as_rgb, None),
        (tiff(white_is_zero, photometric="miniswhite"), as_rgb, None),
        (tiff(RGB16, photometric="rgb", compression="zlib", predictor=True), RGB16, None),
        (tiff(np.dstack([RGB16, ALPHA16]), photometric="rgb", extrasamples=[2]), RGB16, ALPHA16),
        (png(17, 12, 16, 4, [row.tobytes() for row in big_endian]), as_rgb, ALPHA16),
    ]:
        image = read_image(data)
        np.testing.assert_array_equal(image.rgb, rgb)
        np.testing.assert_array_equal(image.alpha, alpha)
    image = read_image(tiff(premultiplied, photometric="rgb", extrasamples=[1]))
    np.testing.assert_allclose(image.rgb, RGB16, atol=2)


def test_transparent_color_of_a_16_bit_gray_png():
    gray = np.array([[5, 700]], ">u2")
    data = png(2, 1, 16, 0, [gray.tobytes()], [(b"tRNS", struct.pack(">H", 700))])
    np.testing.assert_array_equal(read_image(data).alpha, [[65535, 0]])


def test_transparency_is_kept():
    rgba = Image.fromarray(np.dstack([RGB, ALPHA]))
    gray_alpha = Image.fromarray(np.dstack([RGB[..., 0], ALPHA]))
    as_rgb = np.repeat(RGB[..., :1], 3, axis=2)
    for data, rgb in [
        (encode(rgba, "PNG"), RGB),
        (encode(rgba, "TIFF"), RGB),
        (encode(rgba, "WEBP", lossless=True, exact=True), RGB),
        (encode(gray_alpha, "PNG"), as_rgb),
    ]:
        image = read_image(data)
        np.testing.assert_array_equal(image.rgb, rgb)
        np.testing.assert_array_equal(image.alpha, ALPHA)


def test_read_rgb_shows_white_through_transparency():
    data = encode(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG")
    weight = ALPHA[..., None] / 255
    np.testing.assert_allclose(read_rgb(data), RGB * weight + 255 * (1 - weight), atol=0.51)


def test_palette_with_transparency_and_one_bit():
    indexed = Image.fromarray(np.array([[0, 1, 2]], np.uint8), mode="P")
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image = read_image(encode(indexed, "PNG", transparency=bytes([255, 128, 0])))
    np.testing.assert_array_equal(image.rgb, [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    np.testing.assert_array_equal(image.alpha, [[255, 128, 0]])
    for image_format in ("PNG", "TIFF", "BMP"):
        one_bit = Image.fromarray(np.array([[True, False]]))
        np.testing.assert_array_equal(
            read_rgb(encode(one_bit, image_format)), [[[255] * 3, [0] * 3]]
        )


def test_first_frame_of_several():
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    for image_format, options in (("TIFF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        data = encode(first, image_format, save_all=True, append_images=[second], **options)
        np.testing.assert_array_equal(read_rgb(data), RGB)


def test_the_content_decides_not_the_suffix(tmp_path):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(Image.fromarray(RGB), "PNG"))
    np.testing.assert_array_equal(read_rgb(path), RGB)
    assert read_image_size(path) == (17, 12)


# ---- What cannot be read -------------------------------------------------------------------


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow, of metadata cut off.
def test_truncated_files_are_named_on_one_line(tmp_path, image_format, share):
    path = tmp_path / "image"
    # A comment, as a thumbnail would, holds what ends a whole JPEG.
    options = {"comment": b"\xff\xd9"} if image_format == "JPEG" else {}
    data = encode(Image.fromarray(RGB), image_format, **options)
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ColorizeError) as raised:
        read_rgb(path)
    assert str(raised.value).startswith(f"{path}: cannot be read (")
    assert "\n" not in str(raised.value)


def test_truncated_16_bit_png():
    data = encode(Image.fromarray(RGB16[..., 0]), "PNG")
    with pytest.raises(ColorizeError, match="cannot be read"):
        read_rgb(data[: len(data) // 2])


def test_missing_foreign_and_empty_files(tmp_path):
    with pytest.raises(ColorizeError, match=r"none\.jpg: cannot be read \(No such file"):
        read_rgb(tmp_path / "none.jpg")
    for content, reason in ((b"", "empty"), (b"plain text", "not a JPEG, PNG, WebP, BMP, TIFF")):
        (tmp_path / "text.png").write_bytes(content)
        with pytest.raises(ColorizeError, match=rf"text\.png: cannot be read \({reason}"):
            read_rgb(tmp_path / "text.png")


def test_decompression_bombs_are_refused_by_their_header(tmp_path):
    side = int(MAX_PIXELS**0.5)
    (tmp_path / "bomb.png").write_bytes(png(side, side + 1, 8, 2, []))
    for read in (read_image, read_image_size):
        with pytest.raises(ColorizeError, match="268 megapixels; at most 268 are taken"):
            read(tmp_path / "bomb.png")


# ---- Finding, shrinking, tiling, writing ---------------------------------------------------


def test_find_images(tmp_path):
    names = ["a/deep/er/c.TiFf", "a/z.png", "a-b/y.jpg", "b.JPG", "d.webp", "e.bmp", "f.jpeg"]
    others = [".hidden.jpg", ".git/a.png", "a/notes.txt", "jpg", "h.psd"]
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert find_images(tmp_path) == names
    with pytest.raises(ColorizeError, match="not a folder"):
        find_images(tmp_path / "jpg")


def test_find_images_follows_links_once_and_leaves_out_what_is_no_file(tmp_path):
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    for path in (tree / "z" / "a.png", elsewhere / "b.png"):
        path.parent.mkdir(parents=True)
        path.touch()
    (tree / "a link").symlink_to(tree / "z")  # Found under its own name.
    (tree / "test").symlink_to(elsewhere)
    (tree / "z" / "loop").symlink_to(tree)
    (tree / "gone.png").symlink_to(tmp_path / "nowhere")  # Reading it will tell.
    os.mkfifo(tree / "pipe.png")
    (tree / "folder.png").mkdir()
    assert find_images(tree) == ["gone.png", "test/b.png", "z/a.png"]


def test_find_images_warns_of_a_folder_that_cannot_be_searched(tmp_path):
    (tmp_path / "a.png").touch()
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # Deeper than any path may be long.
        os.mkdir("x" * 250, dir_fd=folder)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    with pytest.warns(UserWarning, match=r"x: cannot be searched \(File name too long\)"):
        assert find_images(tmp_path) == ["a.png"]


def test_square_thumbnail_crops_the_centre_and_averages():
    rgb = np.zeros((4, 10, 3), np.uint8)
    rgb[:, 3:5], rgb[:, 5:7] = 100, (10, 20, 30)  # The square is columns 3 to 6.
    expected = [[[100] * 3, [10, 20, 30]]] * 2
    np.testing.assert_array_equal(square_thumbnail(rgb, 2), expected)
    same = square_thumbnail(rgb, 4)
    assert same.shape == (4, 4, 3)
    assert not np.shares_memory(same, rgb)
    assert square_thumbnail(rgb, 9).shape == (9, 9, 3)


def test_image_grid():
    red, blue = np.full((2, 3, 3), (255, 0, 0), np.uint8), np.full((2, 3, 3), (0, 0, 255), np.uint8)
    grid = image_grid([[red, blue], [blue]], gap=1, scale=2)
    assert grid.shape == (2 * 5 + 1, 2 * 7 + 1, 3)
    np.testing.assert_array_equal(grid[1:5, 1:7], np.full((4, 6, 3), (255, 0, 0)))
    np.testing.assert_array_equal(grid[6:10, 1:7], np.full((4, 6, 3), (0, 0, 255)))
    assert (grid[6:, 7:] == 255).all()
    assert (grid[:, [0, 7, 14]] == 255).all()
    gaps = [np.int64(1), (1, 1)]
    np.testing.assert_array_equal(
        [image_grid([[red, blue], [blue]], gap=gap, scale=2) for gap in gaps], [grid, grid]
    )


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_and_tiff_keep_everything(tmp_path, suffix, bits, alpha):
    rgb = RGB if bits == 8 else RGB16
    alpha = None if not alpha else ALPHA if bits == 8 else ALPHA16
    path = tmp_path / "new" / f"image{suffix}"
    write_image(path, rgb, alpha)
    image = read_image(path)
    np.testing.assert_array_equal(image.rgb, rgb)
    np.testing.assert_array_equal(image.alpha, alpha)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if path.suffix == ".tif" and alpha is not None:
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].tags["ExtraSamples"].value == (2,)  # Unassociated alpha.


def test_formats_of_8_bits(tmp_path):
    smooth = np.linspace(0, 255, 32 * 48 * 3).reshape(32, 48, 3)
    for suffix, tolerance in ((".bmp", 0.51), (".webp", 12), (".jpg", 6)):
        path = tmp_path / f"image{suffix}"
        write_image(path, np.rint(smooth * 257).astype(np.uint16))
        np.testing.assert_allclose(read_rgb(path), smooth, atol=tolerance)
    with Image.open(tmp_path / "image.jpg") as image:
        assert JpegImagePlugin.get_sampling(image) == 0  # 4:4:4
    write_image(tmp_path / "alpha.bmp", RGB, ALPHA)
    np.testing.assert_array_equal(read_image(tmp_path / "alpha.bmp").alpha, ALPHA)


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ColorizeError, match="JPEG cannot hold transparency"):
        write_image(tmp_path / "a.jpg", RGB, ALPHA)
    with pytest.raises(ColorizeError, match="unknown image suffix"):
        write_image(tmp_path / "a.psd", RGB)
    with pytest.raises(ColorizeError, match="cannot hold an image of 20000x1"):
        write_image(tmp_path / "a.webp", np.zeros((1, 20000, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.png").mkdir()
    with pytest.raises(ColorizeError, match=r"a\.png: cannot be written \(Is a directory"):
        write_image(tmp_path / "a.png", RGB)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
