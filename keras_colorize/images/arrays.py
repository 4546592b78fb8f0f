"""Pixels in arrays: depth, orientation, shrinking, tiling."""

from collections.abc import Sequence

import cv2
import numpy as np

from keras_colorize.images.rgb_image import RgbImage

# Images are converted in strips of this many pixels, so that intermediate results stay small.
_STRIP_PIXELS = 2**18

_GRAY_TOLERANCE = 4  # Of 255.


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Rounds uint16 values to the nearest of uint8 (65535 becomes 255); uint8 is returned as is."""
    if pixels.dtype == np.uint8:
        return pixels
    return cv2.convertScaleAbs(pixels, alpha=1 / 257)


def stretched(samples: np.ndarray, low: float, high: float, bits: int) -> np.ndarray:
    """Stretches numbers so that `low` becomes 0 and `high` the most of 8 or 16 bits.

    Args:
        samples: numbers of any type and shape; what is not finite becomes 0.
        low: a number that becomes 0, as all below.
        high: a number that becomes 255 or 65535, as all above.
        bits: 8 or 16.

    Returns:
        uint8 or uint16, the same shape.
    """
    result = np.empty(samples.shape, np.uint8 if bits == 8 else np.uint16)
    most = 2**bits - 1
    scale = most / max(float(high) - float(low), 1e-300)
    for rows in strips(samples.shape):
        values = (samples[rows].astype(np.float64) - float(low)) * scale
        result[rows] = np.rint(np.clip(np.nan_to_num(values), 0, most))
    return result


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an array of rows upright, by its EXIF orientation; 1 or an unknown one: as is.

    The array is given up: it may be overwritten.
    """
    if orientation in (5, 6, 7, 8):
        pixels = cv2.transpose(pixels)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return pixels if flip is None else cv2.flip(pixels, flip, pixels)


def strips(shape: Sequence[int]) -> list[slice]:
    """Slices of rows, of about 2^18 pixels each, that cover an array of `shape`."""
    rows = max(1, _STRIP_PIXELS // max(1, shape[1]))
    return [slice(top, top + rows) for top in range(0, shape[0], rows)]


def on_color(image: RgbImage, color: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Returns the image as uint8, shape (H, W, 3), with a color behind its transparent parts.

    The pixels of the image are given up: they may be overwritten.
    """
    rgb = to_uint8(image.rgb)
    if image.alpha is not None:
        background = np.array(color, np.uint16)
        for rows in strips(rgb.shape):
            alpha = to_uint8(image.alpha[rows]).astype(np.uint16)[..., None]
            rgb[rows] = (rgb[rows] * alpha + background * (255 - alpha) + 127) // 255
    return rgb


def is_gray(image: RgbImage) -> bool:
    """Returns whether an image has no color: R, G and B are equal within rounding.

    Args:
        image: 8 or 16 bits. Its channels may differ by up to 4 of 255, as they do in a gray
            image that was compressed in color or converted from another profile.

    Returns:
        Whether that holds for every pixel.
    """
    for rows in strips(image.rgb.shape):
        red, green, blue = cv2.split(to_uint8(image.rgb[rows]))
        for one, other in ((red, green), (green, blue), (blue, red)):
            if cv2.absdiff(one, other).max() > _GRAY_TOLERANCE:
                return False
    return True


def square_thumbnail(rgb: np.ndarray, size: int) -> np.ndarray:
    """Crops the central square and resizes it: by area when shrinking, bicubic when enlarging.

    Args:
        rgb: uint8, shape (H, W, 3).
        size: side of the result, in pixels.

    Returns:
        uint8, shape (size, size, 3), memory of its own.
    """
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return square.copy()
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return cv2.resize(square, (size, size), interpolation=method)


def image_grid(
    rows: Sequence[Sequence[np.ndarray]], gap: int | tuple[int, int] = 2, scale: int = 1
) -> np.ndarray:
    """Tiles images of one size, with white gaps between them and around.

    Args:
        rows: uint8 images of shape (H, W, 3), a sequence for each row; a shorter row ends white.
        gap: width of the gaps, in pixels of the result; or between rows, and between columns.
        scale: every pixel of an image becomes a square of this side.

    Returns:
        uint8, shape (rows * (H * scale + gap) + gap, longest row * (W * scale + gap) + gap, 3).
    """
    above, before = gap if isinstance(gap, tuple) else (gap, gap)
    height, width = (side * scale for side in rows[0][0].shape[:2])
    down, across = above + height, before + width
    columns = max(len(row) for row in rows)
    grid = np.full((len(rows) * down + above, columns * across + before, 3), 255, np.uint8)
    for top, row in zip(range(above, len(grid), down), rows, strict=True):
        for left, image in zip(range(before, grid.shape[1], across), row, strict=False):
            large = image.repeat(scale, axis=0).repeat(scale, axis=1)
            grid[top : top + height, left : left + width] = large
    return grid
