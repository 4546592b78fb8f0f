import io
import warnings

import imagecodecs
import numpy as np
import pytest
from image_files import RGB, SMOOTH, encode, exif, flat_jpeg, segment
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.images import read_image, read_rgb

NOISE = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
PLAIN = encode(NOISE, "JPEG", quality=90)
MIDDLE = (PLAIN.rfind(b"\xff\xda") + len(PLAIN)) // 2


def zeroed(count):
    return PLAIN[:MIDDLE] + bytes(count) + PLAIN[MIDDLE + count :]


def progressive(scans_left):
    data = encode(SMOOTH, "JPEG", progressive=True)
    for _ in range(scans_left):
        data = data[: data.rfind(b"\xff\xda")]
    return data


DAMAGED = {
    "half, with an end": (PLAIN[:MIDDLE] + b"\xff\xd9", "damaged: a part of its data is missing"),
    "a hole": (PLAIN[:MIDDLE] + PLAIN[MIDDLE + 600 :], "damaged"),
    "zeros": (zeroed(600), "damaged"),
    "a few zeros": (zeroed(48), "damaged"),
    "truncated": (PLAIN[:MIDDLE], "truncated"),
    "truncated in its last bytes": (PLAIN[:-6], "truncated"),
    "last scan missing": (progressive(1), "truncated"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_and_can_be_allowed(name, tmp_path, capfd):
    data, reason = DAMAGED[name]
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ColorizeError, match=rf"photo\.jpg: cannot be read \({reason}"):
        read_image(path)
    with pytest.warns(UserWarning, match=rf"photo\.jpg: {reason}.*; what can be read of it"):
        image = read_image(path, allow_damaged=True)
    original = read_rgb(PLAIN) if len(image.rgb) == 64 else SMOOTH
    # What stands before the damage is there.
    np.testing.assert_allclose(image.rgb[:8], original[:8], atol=40)
    assert capfd.readouterr() == ("", "")


def test_what_libjpeg_cannot_start_on_is_refused(capfd):
    for data in (PLAIN[:100], PLAIN[:300], PLAIN[:2] + segment(0xFE, b"x" * 9)):
        for allow in (False, True):
            with pytest.raises(ColorizeError, match=r"truncated|damaged"):
                read_image(data, allow_damaged=allow)
    assert capfd.readouterr() == ("", "")


def test_files_that_are_whole_all_the_same():
    expected = read_rgb(PLAIN)
    jfif = PLAIN.index(b"JFIF") + 5
    for data in (
        PLAIN[:-2],
        PLAIN[:-1],
        PLAIN + b"more",
        PLAIN[:-2] + b"abc\xff\xd9",
        PLAIN[:jfif] + b"\x02" + PLAIN[jfif + 1 :],  # JFIF of an unknown version.
    ):
        np.testing.assert_array_equal(read_rgb(data), expected)
    whole = encode(SMOOTH, "JPEG", progressive=True)
    np.testing.assert_array_equal(read_rgb(whole[:-2]), read_rgb(whole))


def test_zeros_may_be_a_flat_area():
    white = np.full((256, 256, 3), 255, np.uint8)
    for options in ({"optimize": True}, {"progressive": True}, {"optimize": True, "quality": 30}):
        data = encode(white, "JPEG", **options)
        assert (read_rgb(data) == 255).all()
    assert bytes(32) in encode(white, "JPEG", optimize=True)


@pytest.mark.parametrize("sampling", [(0x22, 0x21, 0x11), (0x31, 0x11, 0x11), (0x22,), (0x11,)])
def test_unusual_chroma_resolutions(sampling):
    assert (read_rgb(flat_jpeg(sampling)) == 128).all()


def test_unusual_chroma_resolutions_that_end_early():
    """Nothing tells whether more than the end marker is missing."""
    data = flat_jpeg((0x22, 0x21, 0x11))[:-2]
    for cut in (data, data[:-4]):
        with pytest.raises(ColorizeError, match="truncated"):
            read_rgb(cut)


def test_pixels_are_those_of_libjpeg_in_pillow():
    for options in ({"quality": 50}, {"subsampling": 1}, {"progressive": True, "optimize": True}):
        data = encode(SMOOTH, "JPEG", **options)
        np.testing.assert_array_equal(read_rgb(data), Image.open(io.BytesIO(data)))


def test_lossless_jpeg():
    for pixels in (RGB, RGB[..., 0].copy()):
        data = imagecodecs.jpeg8_encode(pixels, lossless=True)
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        np.testing.assert_array_equal(read_rgb(data), expected)


@pytest.mark.parametrize("bits", [12, 16])
def test_more_than_8_bits_become_16(bits):
    smooth = (SMOOTH.astype(np.uint16) * 257) >> (16 - bits)
    for pixels in (smooth, smooth[..., 1].copy()):
        options = {"level": 98} if bits == 12 else {"lossless": True}
        data = imagecodecs.jpeg8_encode(pixels, bitspersample=bits, **options)
        rgb = read_image(data).rgb
        assert rgb.dtype == np.uint16
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
        # Chroma is stored at half the resolution.
        np.testing.assert_allclose(
            rgb / 65535, expected / (2**bits - 1), atol=0.03 if bits == 12 else 1e-4
        )
        with pytest.raises(ColorizeError, match="truncated"):
            read_image(data[:-20])


def test_an_unknown_number_of_bits_is_refused():
    data = PLAIN.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x12")
    with pytest.raises(ColorizeError, match="JPEG of 18 bits a channel"):
        read_image(data)


@pytest.mark.parametrize("broken", [exif()[:30], b"II*\0\xff\xff\xff\x7f", b"", b"junk" * 9])
def test_broken_exif_data_is_silent(broken):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = PLAIN[:2] + segment(0xE1, b"Exif\0\0" + broken) + PLAIN[2:]
        np.testing.assert_array_equal(read_image(data).rgb, read_rgb(PLAIN))
