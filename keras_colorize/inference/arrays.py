"""Colorizes one image that is a NumPy array."""

from pathlib import Path

import numpy as np
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.images import check_reading, needs, read_image
from keras_colorize.inference.prediction import Network, squash
from keras_colorize.inference.recolor import recolor


def colorize_array(
    image: np.ndarray | Image.Image | str | Path,
    network: Network,
    *,
    vividness: float | None = None,
    prediction_size: int | None = None,
) -> np.ndarray:
    """Colorizes a gray or color image of any size at its full resolution.

    The image keeps its lightness L; colors it had are replaced. What goes in decides what
    comes out: the type stays, and so does transparency.

    Args:
        image: gamma-encoded sRGB or gray of shape (H, W), (H, W, 1), (H, W, 3) or, with alpha,
            (H, W, 4); uint8, uint16 of any byte order or floating point in 0..1 (worked on with
            16 bits). A Pillow image is taken as its array, not turned by its EXIF orientation
            (`PIL.ImageOps.exif_transpose` does that); palettes, CMYK and the like become RGB. A
            path is read as `colorize_files` reads it.
        network: predicts the colors.
        vividness: 0..1; by default the network's own.
        prediction_size: short side at which a network of any size sees the image.

    Returns:
        sRGB of the same type, in the machine's byte order, shape (H, W, 3), or (H, W, 4) with the
        given alpha.

    Raises:
        ColorizeError: the array is not such an image, the file cannot be read, or the network
            has no such setting.
    """
    image = _as_array(image)
    _check(image)
    network.check(vividness, prediction_size)
    is_float = np.issubdtype(image.dtype, np.floating)
    alpha = image[..., 3:] if image.ndim == 3 and image.shape[2] == 4 else None
    gray_or_rgb = image[..., None] if image.ndim == 2 else image[..., :3]
    if is_float:
        gray_or_rgb = np.rint(gray_or_rgb.astype(np.float64) * 65535).astype(np.uint16)
    rgb = np.array(np.broadcast_to(gray_or_rgb, (*gray_or_rgb.shape[:2], 3)), order="C")
    height, width = rgb.shape[:2]
    small = squash(rgb, network.shape(height, width, prediction_size))
    recolor(rgb, network.predict(small[None], vividness)[0])
    if is_float:
        rgb = (rgb / 65535).astype(image.dtype)
    return rgb if alpha is None else np.concatenate([rgb, alpha], axis=-1)


def _as_array(image: np.ndarray | Image.Image | str | Path) -> np.ndarray:
    """An image in the machine's byte order, whatever holds it."""
    if image is None:
        raise ColorizeError("image: None, which cv2.imread returns for a file that it cannot read")
    if isinstance(image, str | Path):
        check_reading(image, needs(image))
        decoded = read_image(image)
        if decoded.alpha is None:
            return decoded.rgb
        return np.dstack([decoded.rgb, decoded.alpha])
    if isinstance(image, Image.Image) and image.mode in ("1", "P", "PA", "LA", "CMYK", "YCbCr"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    array = np.asarray(image)
    if array.ndim == 0:
        kind = type(image).__name__
        raise ColorizeError(f"image: must be a path, a Pillow image or an array; received {kind}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check(image: np.ndarray) -> None:
    """Raises a ColorizeError unless `image` is what `colorize_array` takes."""
    shape = image.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise ColorizeError(
            f"image: the shape must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); received {shape}"
        )
    if 0 in shape:
        raise ColorizeError(f"image: it has no pixels; received the shape {shape}")
    if np.issubdtype(image.dtype, np.floating):
        low, high = image.min(), image.max()
        if not (low >= 0 and high <= 1):  # Also true of NaN.
            raise ColorizeError(
                f"image: floating-point values must be in 0..1; received {low:g}..{high:g}"
            )
    elif image.dtype not in (np.uint8, np.uint16):
        raise ColorizeError(
            f"image: the type must be uint8, uint16 or floating point; received {image.dtype}"
        )
