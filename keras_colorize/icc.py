"""ICC profiles: converts the colors of a file to sRGB.

8-bit images are converted by LittleCMS, through Pillow. Pillow does not pass it 16-bit images; for
those the two common kinds of profile (one gray tone curve; three tone curves and a matrix) are
computed here.
"""

import functools
import io
import struct

import cv2
import numpy as np
from PIL import Image, ImageCms

_INPUT_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GRAY_MODES = ("1", "L", "LA", "La", "I;16", "I;16B")
_STRIP_PIXELS = 2**18


@functools.lru_cache(maxsize=16)
def transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Builds the conversion from a profile to sRGB.

    Relative colorimetric with black point compensation: colors inside sRGB stay as they are,
    and black stays black.

    Args:
        profile: bytes of the profile; empty if the file has none.
        mode: Pillow's mode of the image.

    Returns:
        A transform from its own `input_mode` to 8-bit sRGB, or None if there is nothing to
        convert: the profile is missing, broken, made for other channels, or sRGB itself.
    """
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        input_mode = _INPUT_MODES[source.profile.xcolor_space]
        if input_mode == "L" and mode not in _GRAY_MODES:
            return None
        if (input_mode == "CMYK") != (mode == "CMYK"):
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            input_mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, KeyError):
        return None
    if input_mode == "CMYK":
        return transform
    ramp = np.linspace(0, 255, 9).astype(np.uint8)
    probe = np.stack(np.meshgrid(ramp, ramp, ramp), axis=-1).reshape(27, 27, 3)
    before = Image.fromarray(probe).convert(input_mode)
    after = np.asarray(ImageCms.applyTransform(before, transform), np.int16)
    change = np.abs(after - np.asarray(before.convert("RGB")))
    return transform if change.max() > 1 else None


def convert_16_bits(
    rgb: np.ndarray, profile: bytes, transform: ImageCms.ImageCmsTransform
) -> np.ndarray:
    """Converts a 16-bit image to sRGB.

    Profiles of other kinds than tone curves and a matrix are applied with 8 bits.

    Args:
        rgb: uint16, shape (H, W, 3); three equal channels for a gray profile.
        profile: bytes of its profile.
        transform: what `transform_to_srgb` returns for the profile.

    Returns:
        uint16, the same shape.

    Reference:
        ICC.1:2022, 10.6 and 10.18 (curves), annex F.3 (matrix-based profiles).
    """
    tags = _tags(profile)
    is_gray = profile[16:20] == b"GRAY"
    names = [b"kTRC"] * 3 if is_gray else [b"rTRC", b"gTRC", b"bTRC"]
    if profile[20:24] != b"XYZ " or b"A2B0" in tags or not all(name in tags for name in names):
        image = Image.fromarray(np.rint(rgb / 257).astype(np.uint8))
        srgb_8_bits = transform.apply(image.convert(transform.input_mode))
        return np.asarray(srgb_8_bits, np.uint16) * 257
    curves = [_tone_curve(tags[name]) for name in names]
    matrix = np.eye(3)
    if not is_gray:
        srgb = _tags(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        matrix = np.linalg.inv(_xyz_from_linear(srgb)) @ _xyz_from_linear(tags)
    result = np.empty_like(rgb)
    rows = max(1, _STRIP_PIXELS // rgb.shape[1])
    for top in range(0, rgb.shape[0], rows):
        strip = rgb[top : top + rows]
        linear = cv2.merge([curve[strip[..., channel]] for channel, curve in enumerate(curves)])
        linear = np.clip(cv2.transform(linear, matrix.astype(np.float32)), 0.0, 1.0)
        encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
        result[top : top + rows] = np.rint(encoded * 65535)
    return result


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The tagged elements of a profile, by signature."""
    count = struct.unpack_from(">I", profile, 128)[0]
    table = [struct.unpack_from(">4sII", profile, 132 + 12 * index) for index in range(count)]
    return {signature: profile[offset : offset + size] for signature, offset, size in table}


def _xyz_from_linear(tags: dict[bytes, bytes]) -> np.ndarray:
    """The matrix from linear RGB to the XYZ (D50) that profiles connect through."""
    columns = [np.frombuffer(tags[name][8:20], ">i4") for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return np.stack(columns, axis=1) / 65536


def _tone_curve(element: bytes) -> np.ndarray:
    """The linear value, float32, of each of the 65536 encoded values."""
    encoded = np.linspace(0.0, 1.0, 65536)
    if element[:4] == b"curv":
        count = struct.unpack_from(">I", element, 8)[0]
        values = np.frombuffer(element, ">u2", count, 12)
        if count > 1:
            linear = np.interp(encoded, np.linspace(0.0, 1.0, count), values / 65535)
        else:
            linear = encoded ** (values[0] / 256) if count else encoded
        return linear.astype(np.float32)
    # Parametric: (a x + b) ** g + e from x = d on, c x + f below.
    function = struct.unpack_from(">H", element, 8)[0]
    g, *rest = np.frombuffer(element, ">i4", (1, 3, 4, 5, 7)[function], 12) / 65536
    a, b = rest[:2] if rest else (1.0, 0.0)
    c, d = rest[2:4] if function >= 3 else (0.0, -b / a)
    e, f = rest[4:] if function == 4 else (rest[2], rest[2]) if function == 2 else (0.0, 0.0)
    power = np.maximum(a * encoded + b, 0.0) ** g + e
    return np.where(encoded >= d, power, c * encoded + f).astype(np.float32)
