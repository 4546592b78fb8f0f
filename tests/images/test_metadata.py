import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from image_files import RGB, chunk, encode, exif, segment, tiff
from PIL import Image, ImageOps, IptcImagePlugin

from keras_colorize.images import Metadata, encode_image, read_image, write_image

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="6"/></x:xmpmeta>'
UPRIGHT_XMP = XMP.replace(b'"6"', b'"1"')
THUMBNAIL = encode(np.zeros((8, 8, 3), np.uint8), "JPEG")
DATE = 0x9003


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_jpeg_keeps_its_metadata(tmp_path, order):
    data = encode(RGB, "JPEG", dpi=(72, 72))
    original = exif(6, THUMBNAIL, order)
    extra = [segment(0xE1, b"Exif\0\0" + original), segment(0xFE, "Zürich".encode())]
    extra.append(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP))
    image = read_image(data[:20] + b"".join(extra) + data[20:])
    assert image.rgb.shape == (17, 12, 3)
    kept = image.metadata
    assert (kept.comment, kept.dpi, kept.xmp) == ("Zürich", (72.0, 72.0), UPRIGHT_XMP)
    assert THUMBNAIL not in kept.exif
    write_image(tmp_path / "new.jpg", image.rgb, metadata=kept)
    with Image.open(tmp_path / "new.jpg") as image:
        assert image.info["dpi"] == (72, 72)
        assert image.info["comment"].decode() == "Zürich"
        assert image.info["xmp"] == UPRIGHT_XMP
        tags = image.getexif()
        assert tags[0x0112] == 1 and tags[0x010F] == "Camera"
        assert tags.get_ifd(0x8769)[DATE] == "2001:02:03 04:05:06"
        assert not tags.get_ifd(1)  # The thumbnail's.
        assert ImageOps.exif_transpose(image).size == (12, 17)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".avif", ".heic", ".jxl"])
def test_exif_data_goes_from_format_to_format(suffix, order):
    source = Metadata(exif=exif(1, order=order), xmp=UPRIGHT_XMP)
    data = encode_image(suffix, RGB, metadata=source)
    metadata = read_image(data).metadata
    assert metadata.xmp.strip(b"\0") == UPRIGHT_XMP
    again = read_image(encode_image(".jpg", RGB, metadata=metadata)).metadata
    with Image.open(io.BytesIO(encode_image(".jpg", RGB, metadata=again))) as image:
        tags = image.getexif()
        assert tags[0x010F] == "Camera"
        assert tags.get_ifd(0x8769)[DATE] == "2001:02:03 04:05:06"
        assert tags.get(0x0112, 1) == 1


# A title and a caption of odd length, as IPTC records.
IPTC = b"".join(
    struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text
    for number, text in ((5, b"Title"), (120, "Über".encode()))
)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_iptc_data(suffix):
    resources = b"8BIM" + struct.pack(">HHI", 0x0425, 0, 3) + b"abc\0"  # Of another kind.
    resources += (
        b"8BIM" + struct.pack(">H", 0x0404) + b"\3odd" + struct.pack(">I", len(IPTC)) + IPTC
    )
    jpeg = encode(RGB, "JPEG")
    jpeg = jpeg[:20] + segment(0xED, b"Photoshop 3.0\0" + resources) + jpeg[20:]
    assert Image.open(io.BytesIO(jpeg)).info["photoshop"][0x0404] == IPTC
    sources = [jpeg]
    for tag in ((33723, 7, len(IPTC), IPTC, True), (34377, 1, len(resources), resources, True)):
        sources.append(tiff(RGB, photometric="rgb", extratags=[tag]))
    for source in sources:
        metadata = read_image(source).metadata
        assert metadata.iptc == IPTC
        data = encode_image(suffix, RGB, metadata=metadata)
        assert IptcImagePlugin.getiptcinfo(Image.open(io.BytesIO(data))) == {
            (2, 5): b"Title",
            (2, 120): "Über".encode(),
        }
        assert read_image(data).metadata.iptc == IPTC


@pytest.mark.parametrize("resources", [b"", b"8BIM", b"8BIM\4\4", b"8BIM\4\4\0\0\xff\xff\xff\xff"])
def test_broken_resources_are_silent(resources):
    data = encode(RGB, "JPEG")
    data = data[:20] + segment(0xED, b"Photoshop 3.0\0" + resources) + data[20:]
    assert read_image(data).metadata.iptc == b""


@pytest.mark.parametrize("is_packed", [False, True])
def test_xmp_of_jpeg_xl(is_packed):
    pytest.importorskip("pillow_jxl")
    data = encode(RGB, "JXL", xmp=UPRIGHT_XMP, compress_metadata=is_packed)
    assert read_image(data).metadata.xmp == UPRIGHT_XMP
    assert read_image(encode(RGB, "JXL")).metadata.xmp == b""
    broken = (
        data.replace(b"xml ", b"xml_") if not is_packed else data.replace(b"brob", b"brob"[::-1])
    )
    assert read_image(broken).metadata.xmp == b""


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp"])
def test_resolution(suffix):
    data = encode_image(suffix, RGB, metadata=Metadata(dpi=(300.0, 150.0)))
    np.testing.assert_allclose(read_image(data).metadata.dpi, (300, 150), rtol=1e-3)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_allclose(
            [float(side) for side in image.info["dpi"]], (300, 150), rtol=1e-3
        )


def test_resolution_of_exif_data_and_of_a_turned_image():
    data = encode(RGB, "JPEG", exif=b"Exif\0\0" + exif(6))
    assert read_image(data).metadata.dpi == (300, 300)
    turned = tiff(
        RGB,
        photometric="rgb",
        resolution=(200, 100),
        resolutionunit=3,
        extratags=[(274, 3, 1, 6, True)],
    )
    np.testing.assert_allclose(read_image(turned).metadata.dpi, (254, 508))


def test_texts_of_a_png(tmp_path):
    texts = {"Title": "Über", "Author": "nobody", "Comment": "a" * 2000}
    data = encode(RGB, "PNG")
    packed = b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 2000)
    chunks = chunk(b"tEXt", b"Author\0nobody") + chunk(*packed)
    chunks += chunk(b"iTXt", b"Title\0\0\0\0\0" + "Über".encode())
    metadata = read_image(data[:33] + chunks + data[33:]).metadata
    assert metadata.text == texts
    write_image(tmp_path / "a.png", RGB, metadata=metadata)
    with Image.open(tmp_path / "a.png") as image:
        assert image.text == texts


@pytest.mark.parametrize("suffix", [".jpg", ".gif", ".tif"])
def test_comments(suffix):
    data = encode_image(suffix, RGB, metadata=Metadata(comment="by hand"))
    assert read_image(data).metadata.comment == "by hand"


def test_a_tiff_with_exif_directories_is_read_by_others(tmp_path):
    write_image(tmp_path / "a.tif", RGB, metadata=Metadata(exif=exif(1, order=">")))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.asarray(), RGB)
        assert file.pages[0].tags["ExifTag"].value["DateTimeOriginal"] == "2001:02:03 04:05:06"


def test_orientation_that_only_xmp_tells():
    mark = b"http://ns.adobe.com/xap/1.0/\0"
    data = encode(RGB, "JPEG")
    image = read_image(data[:20] + segment(0xE1, mark + XMP) + data[20:])
    assert image.rgb.shape == (17, 12, 3)


def test_metadata_that_no_jpeg_can_hold_is_left_out():
    huge = Metadata(exif=exif(1) + bytes(70000), comment="short")
    metadata = read_image(encode_image(".jpg", RGB, metadata=huge)).metadata
    assert (metadata.exif, metadata.comment) == (b"", "short")
