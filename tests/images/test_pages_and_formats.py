import io
import tracemalloc

import numpy as np
import pytest
import tifffile
from image_files import ALPHA, RGB, RGB16, SMOOTH, encode, exif, tiff
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.images import (
    RgbImage,
    content_suffix,
    count_pages,
    encode_image,
    frame_durations,
    is_gray,
    read_image,
    read_image_size,
    read_pages,
    write_image,
    write_pages,
    writing,
)

FRAMES = [np.full((9, 14, 3), color, np.uint8) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP"])
def test_animations_are_read_and_written(tmp_path, image_format):
    path = tmp_path / f"a.{image_format.lower()}"
    frames = [Image.fromarray(frame) for frame in FRAMES]
    options = {"lossless": True} if image_format == "WEBP" else {}
    durations = [50, 120, 70]
    path.write_bytes(
        encode(
            frames[0],
            image_format,
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            **options,
        )
    )
    for _ in range(2):
        assert count_pages(path) == 3
        assert frame_durations(path) == durations
        images = [read_image(path, page=page) for page in range(3)]
        for image, frame in zip(images, FRAMES, strict=True):
            np.testing.assert_allclose(image.rgb, frame, atol=8)
        with pytest.raises(ColorizeError, match="it has no page 4"):
            read_image(path, page=3)
        write_pages(path, images, durations=durations)


@pytest.mark.parametrize("transparency", [None, 7])
def test_a_gray_gif_frame_before_colored_ones(transparency):
    """Its palette is the gray levels in order; Pillow draws the numbers of other colors over it."""
    gray = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    colors = np.full((16, 16, 3), (200, 40, 90), np.uint8)
    colors[:4, :4] = (10, 200, 30)
    options = {} if transparency is None else {"transparency": transparency, "disposal": 1}
    frames = [Image.fromarray(colors).quantize(2), gray, Image.fromarray(colors[::-1]).quantize(2)]
    data = encode(gray, "GIF", save_all=True, append_images=frames, duration=50, **options)
    images = list(read_pages(data, range(4)))
    np.testing.assert_array_equal(images[0].rgb[..., 0], np.asarray(gray))
    for image, expected in ((images[1], colors), (images[3], colors[::-1])):
        np.testing.assert_array_equal(image.rgb, expected)
    for number, image in enumerate(images):
        alone = read_image(data, page=number)
        np.testing.assert_array_equal(image.rgb, alone.rgb)
        np.testing.assert_array_equal(image.alpha, alone.alpha)


def test_pages_of_a_tiff(tmp_path):
    path = tmp_path / "a.tif"
    write_pages(path, iter([RgbImage(RGB16), RgbImage(RGB[:5], ALPHA[:5])]))
    assert count_pages(path) == 2 and frame_durations(path) == [0, 0]
    np.testing.assert_array_equal(read_image(path).rgb, RGB16)
    second = read_image(path, page=1)
    np.testing.assert_array_equal(second.rgb, RGB[:5])
    np.testing.assert_array_equal(second.alpha, ALPHA[:5])
    with pytest.raises(ColorizeError, match="it has no page 3"):
        read_image(path, page=2)


def test_pages_of_a_tiff_are_in_memory_one_by_one(tmp_path):
    page = np.zeros((200, 200, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([page] * 40), photometric="rgb")
    read_image(tmp_path / "a.tif")
    tracemalloc.start()
    for image in read_pages(tmp_path / "a.tif", range(40)):
        assert image.rgb.shape == page.shape
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * page.nbytes


def test_a_thumbnail_in_a_tiff_is_no_page(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(RGB[:2], photometric="rgb", subfiletype=1)
        writer.write(RGB, photometric="rgb")
    assert count_pages(path) == 1
    assert read_image_size(path) == (17, 12)
    np.testing.assert_array_equal(read_image(path).rgb, RGB)


def test_pages_that_cannot_be_written(tmp_path):
    images = [RgbImage(FRAMES[0]), RgbImage(FRAMES[1])]
    with pytest.raises(ColorizeError, match=r"a\.jpg: JPEG holds a single image"):
        write_pages(tmp_path / "a.jpg", images)
    with pytest.raises(ColorizeError, match=r"a\.gif: frames must have one size"):
        write_pages(tmp_path / "a.gif", [images[0], RgbImage(RGB)])
    with pytest.raises(ColorizeError, match=r"2 frames, but 1 durations"):
        write_pages(tmp_path / "a.gif", images, durations=[5])
    assert list(tmp_path.iterdir()) == []
    write_pages(tmp_path / "a.jpg", images[:1])
    assert read_image_size(tmp_path / "a.jpg") == (14, 9)


@pytest.mark.parametrize("suffix", [".gif", ".jp2", ".avif", ".heic", ".jxl"])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_more_formats(tmp_path, suffix, with_alpha):
    alpha = np.full(SMOOTH.shape[:2], 255, np.uint8)
    alpha[:9] = 0
    path = tmp_path / f"named.anything{suffix}"
    write_image(path, SMOOTH, alpha if with_alpha else None)
    assert content_suffix(path) == suffix
    assert read_image_size(path) == (64, 48)
    image = read_image(path)
    np.testing.assert_allclose(image.rgb[9:].astype(int), SMOOTH[9:], atol=40)
    if with_alpha:
        np.testing.assert_allclose(image.alpha, alpha, atol=2)
    else:
        assert image.alpha is None


@pytest.mark.parametrize("image_format", ["AVIF", "HEIF", "JXL"])
def test_orientation_is_applied_once(image_format):
    pillow_heif = pytest.importorskip("pillow_heif")
    pytest.importorskip("pillow_jxl")
    pillow_heif.register_heif_opener()
    data = encode(SMOOTH, image_format, exif=exif(6))
    # The encoders move the orientation to the format's own place, or leave it in EXIF alone.
    upright = (48, 64, 3) if image_format == "JXL" else (64, 48, 3)
    assert read_image(data).rgb.shape == upright


def test_a_missing_plugin_is_named(tmp_path, monkeypatch):
    from keras_colorize.images import finding, formats, readable_suffixes

    data = encode_image(".jxl", SMOOTH)
    monkeypatch.setattr(formats, "_PLUGINS", {"HEIF": "no_such_module", "JXL": "neither"})
    readable_suffixes.cache_clear()
    try:
        (tmp_path / "a.jxl").write_bytes(data)
        (tmp_path / "b.JPG").touch()
        (tmp_path / "c.psd").touch()
        (tmp_path / "d.heic").touch()
        (tmp_path / "e.heic").touch()
        assert finding.find_images(tmp_path) == ["b.JPG"]
        assert finding.unread_suffixes(tmp_path) == {".heic": 2, ".jxl": 1, ".psd": 1}
        with pytest.raises(
            ColorizeError, match=r"a\.jxl: .*pip install 'keras-colorize\[formats\]'"
        ):
            read_image(tmp_path / "a.jxl")
        with pytest.raises(ColorizeError, match=r"b\.heic: .*pip install"):
            write_image(tmp_path / "b.heic", SMOOTH)
    finally:
        readable_suffixes.cache_clear()


def test_content_suffix():
    assert content_suffix(encode(RGB, "PNG")) == ".png"
    assert content_suffix(tiff(RGB, photometric="rgb")) == ".tif"
    assert content_suffix(encode(RGB, "JPEG")) == ".jpg"
    with pytest.raises(ColorizeError, match=r"image of 4 bytes: .*not a JPEG"):
        content_suffix(b"RIFF")


def test_is_gray():
    gray = np.repeat(RGB[..., :1], 3, axis=2)
    assert is_gray(RgbImage(gray)) and is_gray(RgbImage(gray.astype(np.uint16) * 257))
    compressed = encode(gray, "JPEG", quality=40)
    assert is_gray(read_image(compressed))
    tinted = gray.copy()
    tinted[3, 3] = (100, 100, 110)
    assert not is_gray(RgbImage(tinted))
    assert not is_gray(RgbImage(RGB))


def test_large_heic_files_have_several_slices(monkeypatch):
    """libde265 refuses one of more than 16 MiB, so that nobody could read the file."""
    pytest.importorskip("pillow_heif")
    monkeypatch.setattr(writing, "_SLICE", 64 * 192)
    rgb = np.arange(192, dtype=np.uint8)[:, None, None].repeat(192, axis=1).repeat(3, axis=2)
    data = encode_image(".heic", rgb)
    at, lengths = data.index(b"mdat") + 4, []
    while at < len(data):
        lengths.append(int.from_bytes(data[at : at + 4]))
        at += 4 + lengths[-1]
    assert at == len(data)
    assert len(lengths) == 3
    np.testing.assert_allclose(read_image(data).rgb, rgb, atol=8)


@pytest.mark.parametrize("quality", [0, 101])
def test_quality_is_checked(quality):
    with pytest.raises(ColorizeError, match=f"quality must be 1 to 100; got {quality}"):
        encode_image(".jpg", RGB, quality=quality)


def test_quality_counts():
    sizes = [len(encode_image(".jpg", RGB, quality=quality)) for quality in (20, 95)]
    assert sizes[0] < sizes[1]
    assert Image.open(io.BytesIO(encode_image(".webp", RGB, quality=20))).size == (17, 12)
