"""How far a colorized image is from the original, and how colorful it is.

All functions are pure and take NumPy arrays or tensors with the channels last. `ciede2000` compares
pixel by pixel, like `keras_colorize.color.delta_e_76`; the others take a batch of N images and
give one value for each.
"""

import itertools
import math

import cv2
import numpy as np
import tensorflow as tf

PERCEPTION_BOUNDS = {
    "imperceptible": 1.0,
    "on_close_look": 2.0,
    "at_a_glance": 10.0,
    "more_similar_than_opposite": 49.0,
    "nearly_opposite": math.inf,
}
"""How visible a Delta E is. Each class reaches from the bound before it, exclusive, to its own,
inclusive. The table in common use (https://zschuessler.github.io/DeltaE/learn) leaves gaps at
10 to 11 and 49 to 100; here the former belongs to "more similar", the latter to "nearly opposite".
"""

LAB_TOLERANCE = 12.75
"""5 % of 255: the largest difference of an 8-bit channel that `lab_accuracy` accepts."""

PSNR_CEILING = 100.0
"""PSNR of identical images in dB, so that a mean over images stays finite."""

_TURN = 2.0 * math.pi


def ciede2000(lab: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Color difference CIEDE2000, with the parametric factors at 1.

    Args:
        lab: float32 or float64, shape (..., 3).
        other: the same shape and dtype.

    Returns:
        Shape (...), 0 or more; about 1 is just noticeable.

    Reference:
        G. Sharma, W. Wu, E. N. Dalal: The CIEDE2000 color-difference formula: implementation
        notes, supplementary test data, and mathematical observations. Color Research and
        Application 30 (1), 2005. Numbers in the comments are its equations.
    """
    lightness_1, a_1, b_1 = tf.unstack(lab, axis=-1)
    lightness_2, a_2, b_2 = tf.unstack(other, axis=-1)

    # Chroma and hue, with a stretched near gray (2-7).
    chroma = (_length(a_1, b_1) + _length(a_2, b_2)) / 2.0
    stretch = 1.5 - 0.5 * _saturation(chroma)
    a_1, a_2 = a_1 * stretch, a_2 * stretch
    chroma_1, chroma_2 = _length(a_1, b_1), _length(a_2, b_2)
    hue_1, hue_2 = _hue(a_1, b_1), _hue(a_2, b_2)

    # Differences, the hue's along the shorter arc (8-11).
    # Opposite hues differ by +-pi: the margin keeps rounding from changing the sign.
    turn = hue_2 - hue_1
    turn -= tf.where(tf.abs(turn) > math.pi + 1e-5, _TURN * tf.sign(turn), 0.0)
    delta_lightness = lightness_2 - lightness_1
    delta_chroma = chroma_2 - chroma_1
    delta_hue = 2.0 * tf.sqrt(chroma_1 * chroma_2) * tf.sin(turn / 2.0)

    # Means (12-14). The hue of a gray is arbitrary, but then delta_hue is 0 and cancels it.
    lightness = (lightness_1 + lightness_2) / 2.0
    chroma = (chroma_1 + chroma_2) / 2.0
    hue = tf.math.floormod(hue_1 + turn / 2.0, _TURN)

    # Weights, and the tilt of the ellipses near blue (15-21).
    hue_weight = (
        1.0
        - 0.17 * tf.cos(hue - math.radians(30.0))
        + 0.24 * tf.cos(2.0 * hue)
        + 0.32 * tf.cos(3.0 * hue + math.radians(6.0))
        - 0.20 * tf.cos(4.0 * hue - math.radians(63.0))
    )
    from_middle = (lightness - 50.0) ** 2
    delta_lightness /= 1.0 + 0.015 * from_middle / tf.sqrt(20.0 + from_middle)
    delta_chroma /= 1.0 + 0.045 * chroma
    delta_hue /= 1.0 + 0.015 * chroma * hue_weight
    from_blue = (hue - math.radians(275.0)) / math.radians(25.0)
    angle = math.radians(60.0) * tf.exp(-(from_blue**2))
    rotation = -2.0 * _saturation(chroma) * tf.sin(angle)

    # (22); the sum is 0 or more but for rounding.
    squared = (
        delta_lightness**2 + delta_chroma**2 + delta_hue**2 + rotation * delta_chroma * delta_hue
    )
    return tf.sqrt(tf.maximum(squared, 0.0))


def perception_shares(delta_e: tf.Tensor) -> tf.Tensor:
    """Shares of the pixels that fall into each class of `PERCEPTION_BOUNDS`.

    Args:
        delta_e: float, shape (N, H, W), 0 or more.

    Returns:
        Shape (N, 5), float32, in the order of `PERCEPTION_BOUNDS`; each row sums to 1.
    """
    within = [
        tf.reduce_mean(tf.cast(delta_e <= bound, tf.float32), axis=(1, 2))
        for bound in PERCEPTION_BOUNDS.values()
    ]
    return tf.stack(
        [within[0], *(wider - share for share, wider in itertools.pairwise(within))], axis=-1
    )


def lab_accuracy(rgb: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share of the pixels whose three 8-bit OpenCV Lab channels all differ by 12.75 at most.

    OpenCV stores L * 255 / 100, a + 128 and b + 128, so the tolerance is 5 in L and 12.75 in a, b.

    Args:
        rgb: uint8 array, shape (N, H, W, 3).
        other: the same shape and dtype.

    Returns:
        Float array of shape (N,), 0..1.
    """
    difference = cv2.absdiff(_opencv_lab(rgb), _opencv_lab(other)).reshape(rgb.shape)
    return (difference <= LAB_TOLERANCE).all(axis=-1).mean(axis=(1, 2))


def psnr(rgb: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Peak signal-to-noise ratio over all three channels.

    Args:
        rgb: uint8, shape (N, H, W, 3).
        other: the same shape and dtype.

    Returns:
        Shape (N,), float32, in dB; `PSNR_CEILING` at most.
    """
    return tf.minimum(tf.image.psnr(rgb, other, max_val=255), PSNR_CEILING)


def ssim(rgb: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Structural similarity, averaged over the three channels.

    The window is Gaussian, 11 pixels wide with a standard deviation of 1.5, and stays inside the
    image; in a smaller image it is as wide as fits with an odd number of pixels.

    Args:
        rgb: uint8, shape (N, H, W, 3); height and width static.
        other: the same shape and dtype.

    Returns:
        Shape (N,), float32, -1..1; 1 for identical images.

    Reference:
        Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error
        visibility to structural similarity. IEEE Transactions on Image Processing 13 (4), 2004.
    """
    side = min(rgb.shape[1], rgb.shape[2])
    window = min(11, side - 1 + side % 2)
    return tf.image.ssim(rgb, other, max_val=255, filter_size=window)


def colorfulness(rgb: tf.Tensor) -> tf.Tensor:
    """Colorfulness of Hasler and Suesstrunk, from signed opponent differences as they define it.

    Args:
        rgb: uint8, shape (N, H, W, 3).

    Returns:
        Shape (N,), float32; 0 for gray, about 15 slightly, 45 averagely, 109 extremely colorful.

    Reference:
        D. Hasler, S. Suesstrunk: Measuring colourfulness in natural images. Proc. SPIE 5007, 2003.
    """
    return _colorfulness(*_opponents(rgb))


def colorfulness_absolute(rgb: tf.Tensor) -> tf.Tensor:
    """The variant of `colorfulness` that takes the absolute opponent differences.

    Not the published measure, but what DDColor and other colorization papers report.

    Args:
        rgb: uint8, shape (N, H, W, 3).

    Returns:
        Shape (N,), float32, 0 or more.
    """
    red_green, yellow_blue = _opponents(rgb)
    return _colorfulness(tf.abs(red_green), tf.abs(yellow_blue))


def _length(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Chroma of (a, b)."""
    return tf.sqrt(a * a + b * b)


def _hue(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Hue angle of (a, b) in radians, 0 up to a full turn."""
    return tf.math.floormod(tf.atan2(b, a), _TURN)


def _saturation(chroma: tf.Tensor) -> tf.Tensor:
    """CIEDE2000's switch from 0 near gray to 1 for vivid colors, with its middle about 25."""
    power = chroma**7
    return tf.sqrt(power / (power + 25.0**7))


def _opencv_lab(rgb: np.ndarray) -> np.ndarray:
    """8-bit OpenCV Lab of a batch, converted as one tall image: shape (N * H, W, 3)."""
    return cv2.cvtColor(rgb.reshape(-1, *rgb.shape[2:]), cv2.COLOR_RGB2Lab)


def _opponents(rgb: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The differences red - green and (red + green) / 2 - blue, each of shape (N, H, W)."""
    red, green, blue = tf.unstack(tf.cast(rgb, tf.float32), axis=-1)
    return red - green, (red + green) / 2.0 - blue


def _colorfulness(red_green: tf.Tensor, yellow_blue: tf.Tensor) -> tf.Tensor:
    """Spread of both differences plus 0.3 times their means; shape (N,)."""
    mean_1, variance_1 = tf.nn.moments(red_green, axes=(1, 2))
    mean_2, variance_2 = tf.nn.moments(yellow_blue, axes=(1, 2))
    return tf.sqrt(variance_1 + variance_2) + 0.3 * tf.sqrt(mean_1**2 + mean_2**2)
