"""Samples as files hold them -> sRGB pixels."""

import cv2
import numpy as np
from PIL import Image

from keras_colorize.images.arrays import strips
from keras_colorize.images.icc import convert_16_bits, transform_to_srgb

_MODES = {2: "L", 3: "RGB", 4: "CMYK"}


def to_srgb(samples: np.ndarray, profile: bytes = b"") -> np.ndarray:
    """Converts samples to sRGB.

    Args:
        samples: uint8 or uint16; shape (H, W) gray, (H, W, 3) RGB, or (H, W, 4) CMYK, 0 no ink.
        profile: an ICC profile; an empty or broken one, and one for other channels, is ignored.

    Returns:
        The same dtype, shape (H, W, 3).
    """
    mode = _MODES[2 if samples.ndim == 2 else samples.shape[2]]
    transform = transform_to_srgb(profile, mode)
    if transform is None and mode == "RGB":
        return samples
    if transform is None and mode == "L":
        return cv2.cvtColor(samples, cv2.COLOR_GRAY2RGB)
    if samples.dtype == np.uint16 and transform is not None:
        return convert_16_bits(samples, profile, transform)
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
