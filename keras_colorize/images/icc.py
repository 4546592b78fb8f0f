"""ICC profiles: converts the colors of a file to sRGB.

8-bit images go through LittleCMS, by Pillow. Pillow passes it no 16-bit ones, and of these it
loses bits in the darks: the two common kinds of profile (one gray tone curve; three tone curves
and a matrix) are computed here, the others go through LittleCMS, by imagecodecs.
"""

import functools
import io
import struct
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageCms

from keras_colorize.images.arrays import strips
from keras_colorize.srgb import encoded_from_linear

_INPUT_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_MODES = {2: "L", 3: "RGB", 4: "CMYK"}

Point = tuple[float, float]
_D50 = np.array((0.9642, 1.0, 0.8249))
_BRADFORD = np.array(
    ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))
)


def to_srgb(samples: np.ndarray, profile: bytes = b"") -> np.ndarray:
    """Converts samples to sRGB.

    Args:
        samples: uint8 or uint16; shape (H, W) gray, (H, W, 3) RGB, or (H, W, 4) CMYK, 0 no ink.
        profile: an ICC profile; an empty or broken one, and one for other channels, is ignored.

    Returns:
        The same dtype, shape (H, W, 3).
    """
    mode = _MODES[2 if samples.ndim == 2 else samples.shape[2]]
    transform = _transform_to_srgb(profile, mode)
    if transform is None and mode == "RGB":
        return samples
    if transform is None and mode == "L":
        return cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)
    if samples.dtype == np.uint16 and transform is not None:
        return _convert_16_bits(samples, profile, transform)
    rgb = np.empty((*samples.shape[:2], 3), samples.dtype)
    for rows in strips(samples.shape):
        strip = samples[rows]
        if samples.dtype == np.uint16:
            paper = 65535.0 - strip
            rgb[rows] = np.rint(paper[..., :3] * (paper[..., 3:] / 65535))
            continue
        image = Image.fromarray(strip, mode)
        if transform is None:
            image = image.convert("RGB")
        else:
            image = transform.apply(image.convert(transform.input_mode))
        rgb[rows] = image
    return rgb


@functools.lru_cache(maxsize=16)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Builds the conversion from a profile to sRGB.

    Relative colorimetric with black point compensation: colors inside sRGB stay as they are,
    and black stays black.

    Args:
        profile: bytes of the profile; empty if the file has none.
        mode: "L", "RGB" or "CMYK", Pillow's mode of the image.

    Returns:
        A transform from its own `input_mode` to 8-bit sRGB, or None if there is nothing to
        convert: the profile is missing, broken, made for other channels, or sRGB itself.
    """
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        input_mode = _INPUT_MODES[source.profile.xcolor_space]
        if input_mode == "L" and mode != "L":
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


def _convert_16_bits(
    samples: np.ndarray, profile: bytes, transform: ImageCms.ImageCmsTransform
) -> np.ndarray:
    """Converts a 16-bit image to sRGB.

    Args:
        samples: uint16; shape (H, W) gray, (H, W, 3) RGB, or (H, W, 4) CMYK, 0 no ink.
        profile: bytes of its profile.
        transform: what `_transform_to_srgb` returns for the profile.

    Returns:
        uint16, shape (H, W, 3).

    Reference:
        ICC.1:2022, 10.6 and 10.18 (curves), annex F.3 (matrix-based profiles).
    """
    tags = _tags(profile)
    is_gray = profile[16:20] == b"GRAY"
    names = [b"kTRC"] * 3 if is_gray else [b"rTRC", b"gTRC", b"bTRC"]
    if profile[20:24] != b"XYZ " or b"A2B0" in tags or not all(name in tags for name in names):
        return _convert_by_littlecms(samples, profile, transform.input_mode)
    rgb = cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB) if samples.ndim == 2 else samples
    curves = [_tone_curve(tags[name]) for name in names]
    matrix = np.eye(3)
    if not is_gray:
        srgb = _tags(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        matrix = np.linalg.inv(_xyz_from_linear(srgb)) @ _xyz_from_linear(tags)
    result = np.empty_like(rgb)
    for rows in strips(rgb.shape):
        strip = rgb[rows]
        linear = cv2.merge([curve[strip[..., channel]] for channel, curve in enumerate(curves)])
        linear = np.clip(cv2.transform(linear, matrix.astype(np.float32)), 0.0, 1.0)
        result[rows] = np.rint(encoded_from_linear(linear) * 65535)
    return result


def rgb_profile(
    white: Point, primaries: tuple[Point, Point, Point], curve: Sequence[float]
) -> bytes:
    """Builds the profile of an RGB space.

    Args:
        white: chromaticity x, y of its white.
        primaries: those of red, green and blue.
        curve: g of `x ** g`, or g, a, b, c, d of `(a x + b) ** g` from x = d on, `c x` below.

    Returns:
        A profile of version 2.4 that is adapted to D50.

    Reference:
        ICC.1:2022, 10.18 and annex E (Bradford adaptation).
    """
    columns = np.array([_xyz(point) for point in primaries]).T
    linear = columns * np.linalg.solve(columns, _xyz(white))
    adaptation = np.diag(_BRADFORD @ _D50 / (_BRADFORD @ _xyz(white)))
    xyz = np.linalg.solve(_BRADFORD, adaptation @ _BRADFORD @ linear)
    kind = 0 if len(curve) == 1 else 3
    tone = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + _fixed(curve)
    elements = {b"wtpt": b"XYZ " + bytes(4) + _fixed(_D50)}
    for channel, column in zip((b"r", b"g", b"b"), xyz.T, strict=True):
        elements[channel + b"XYZ"] = b"XYZ " + bytes(4) + _fixed(column)
        elements[channel + b"TRC"] = tone
    table, body = struct.pack(">I", len(elements)), b""
    for name, element in elements.items():
        start = 132 + 12 * len(elements) + len(body)
        table += name + struct.pack(">II", start, len(element))
        body += element + bytes(-len(element) % 4)
    header = struct.pack(">I", 128 + len(table) + len(body)) + bytes(4) + b"\x02\x40\0\0"
    header += b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + _fixed(_D50) + bytes(48)
    return header + table + body


def _xyz(point: Point) -> np.ndarray:
    """XYZ, with Y = 1, of a chromaticity."""
    x, y = point
    return np.array((x / y, 1.0, (1 - x - y) / y))


def _fixed(values: Sequence[float] | np.ndarray) -> bytes:
    """Numbers as profiles store them: signed, 16 bits of them behind the point."""
    return np.rint(np.asarray(values) * 65536).astype(">i4").tobytes()


def _convert_by_littlecms(samples: np.ndarray, profile: bytes, input_mode: str) -> np.ndarray:
    """Converts a 16-bit image by a profile of any kind; Pillow takes 8 bits only."""
    import imagecodecs

    if samples.ndim == 2 and input_mode == "RGB":
        samples = cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)
    return imagecodecs.cms_transform(
        samples,
        profile,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        colorspace={"L": "gray", "RGB": "rgb", "CMYK": "cmyk"}[input_mode],
        outcolorspace="rgb",
        outdtype="uint16",
        intent=int(ImageCms.Intent.RELATIVE_COLORIMETRIC),
        flags=int(ImageCms.Flags.BLACKPOINTCOMPENSATION),
    )


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
