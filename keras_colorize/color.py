"""sRGB <-> CIE Lab <-> the normalized tensors networks work on.

The only file that imports tensorflow-io. All functions are pure TensorFlow, take NumPy arrays or
tensors with the channels last, work eagerly, in a graph and in `tf.data`, and return tensors.
"""

import warnings
from types import ModuleType

import tensorflow as tf

from keras_colorize.srgb import (
    AB_SCALE,
    CURVE_OFFSET,
    CURVE_POWER,
    CURVE_SLOPE,
    ENCODED_KNEE,
    GAMUT_TOLERANCE,
    LAB_KNEE,
    LAB_KNEE_ROOT,
    LAB_OFFSET,
    LAB_SLOPE,
    LIGHTNESS_SCALE,
    LINEAR_KNEE,
    LINEAR_RGB_FROM_XYZ,
    WHITE_D65,
    XYZ_FROM_LINEAR_RGB,
)

lab_operations: ModuleType | None = None
with warnings.catch_warnings():
    # Built for TF 2.16: its native plugins warn at import. The color operations are plain
    # TensorFlow and need none of them.
    warnings.simplefilter("ignore")
    try:
        from tensorflow_io import experimental

        lab_operations = experimental.color
    except ImportError:  # There is no wheel for Python 3.13.
        pass


def rgb_to_lab(rgb: tf.Tensor) -> tf.Tensor:
    """Converts sRGB to CIE Lab (D65, 2 degree observer).

    Args:
        rgb: float32 or float64, shape (..., 3), 0..1, gamma-encoded sRGB.

    Returns:
        Same shape and dtype; L in 0..100, a and b about -128..127.

    Reference:
        IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (Lab).
    """
    if lab_operations is not None:
        return lab_operations.rgb_to_lab(rgb)
    rgb = tf.convert_to_tensor(rgb)
    power = tf.pow((rgb + CURVE_OFFSET) / (1.0 + CURVE_OFFSET), CURVE_POWER)
    linear = tf.where(rgb > ENCODED_KNEE, power, rgb / CURVE_SLOPE)
    xyz = _product(linear, XYZ_FROM_LINEAR_RGB) / tf.constant(WHITE_D65, rgb.dtype)
    # The cube root of dark colors is not differentiable: `where` must not see it there.
    root = tf.pow(tf.maximum(xyz, LAB_KNEE), 1.0 / 3.0)
    x, y, z = tf.unstack(tf.where(xyz > LAB_KNEE, root, LAB_SLOPE * xyz + LAB_OFFSET), axis=-1)
    return tf.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def lab_to_rgb(lab: tf.Tensor) -> tf.Tensor:
    """Converts CIE Lab (D65, 2 degree observer) to sRGB.

    Colors outside the sRGB gamut are clipped per component, which shifts their hue; call
    `fit_gamut` first to keep it.

    Args:
        lab: float32 or float64, shape (..., 3); L in 0..100.

    Returns:
        Same shape and dtype; gamma-encoded sRGB, 0..1.

    Reference:
        IEC 61966-2-1:1999 (sRGB); CIE 15:2004 (Lab).
    """
    if lab_operations is not None:
        return lab_operations.lab_to_rgb(lab)
    lightness, a, b = tf.unstack(tf.convert_to_tensor(lab), axis=-1)
    b = tf.minimum(b, (lightness + 16.0) * (200.0 / 116.0))  # No Z below 0.
    linear = tf.clip_by_value(_linear_rgb(tf.stack([lightness, a, b], axis=-1)), 0.0, 1.0)
    root = tf.pow(tf.maximum(linear, LINEAR_KNEE), 1.0 / CURVE_POWER)
    encoded = (1.0 + CURVE_OFFSET) * root - CURVE_OFFSET
    return tf.where(linear > LINEAR_KNEE, encoded, CURVE_SLOPE * linear)


def split_lab(lab: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits Lab into the normalized tensors that networks work on.

    Args:
        lab: float, shape (..., 3); L in 0..100.

    Returns:
        `lightness` of shape (..., 1), -1..1, and `ab` of shape (..., 2), about -1..1.
    """
    return lab[..., :1] / LIGHTNESS_SCALE - 1.0, lab[..., 1:] / AB_SCALE


def bytes_to_lab(rgb: tf.Tensor) -> tf.Tensor:
    """Lab of 8-bit images.

    Args:
        rgb: shape (..., 3), sRGB in 0..255; uint8, or float32 after resizing.

    Returns:
        As `rgb_to_lab`, float32.
    """
    return rgb_to_lab(tf.cast(rgb, tf.float32) / 255.0)


def normalize(rgb: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The normalized lightness and ab of 8-bit images.

    Args:
        rgb: as for `bytes_to_lab`.

    Returns:
        `lightness` of shape (..., 1), -1..1, and `ab` of shape (..., 2), about -1..1; float32.
    """
    return split_lab(bytes_to_lab(rgb))


def join_lab(lightness: tf.Tensor, ab: tf.Tensor) -> tf.Tensor:
    """Joins normalized lightness and ab to Lab; the inverse of `split_lab`.

    Args:
        lightness: float, shape (..., 1), -1..1.
        ab: same dtype, shape (..., 2), about -1..1.

    Returns:
        Lab of shape (..., 3); L in 0..100.
    """
    return tf.concat([(lightness + 1.0) * LIGHTNESS_SCALE, ab * AB_SCALE], axis=-1)


def fit_gamut(lab: tf.Tensor, steps: int = 12) -> tf.Tensor:
    """Maps Lab colors into the sRGB gamut at constant L and hue, by reducing chroma only.

    Pixels already inside are returned unchanged. The others move toward the gray of their
    lightness; the largest chroma that fits is found by bisection.

    Args:
        lab: float32, shape (..., 3); L in 0..100.
        steps: bisection steps; 12 leave less than 1/4000 of the chroma.

    Returns:
        Same shape and dtype, every pixel inside sRGB.
    """
    lab = tf.convert_to_tensor(lab)
    outside = tf.where(tf.logical_not(_in_gamut(lab)))
    colors = tf.gather_nd(lab, outside)
    lightness, ab = colors[:, :1], colors[:, 1:]
    low = tf.zeros_like(lightness)
    width = tf.ones_like(lightness)
    for _ in range(steps):
        width = width / 2.0
        fits = _in_gamut(tf.concat([lightness, ab * (low + width)], axis=-1))
        low = tf.where(fits[:, None], low + width, low)
    return tf.tensor_scatter_nd_update(lab, outside, tf.concat([lightness, ab * low], axis=-1))


def render(lightness: tf.Tensor, ab: tf.Tensor) -> tf.Tensor:
    """The 8-bit image of normalized lightness and ab, gamut-mapped to sRGB.

    Args:
        lightness: float32, shape (..., 1), -1..1.
        ab: float32, shape (..., 2), about -1..1.

    Returns:
        uint8 sRGB of shape (..., 3).
    """
    rgb = lab_to_rgb(fit_gamut(join_lab(lightness, ab)))
    return tf.cast(tf.round(rgb * 255.0), tf.uint8)


def delta_e_76(lab: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Color difference Delta E*ab, the Euclidean distance in Lab.

    Args:
        lab: float, shape (..., 3).
        other: the same shape and dtype.

    Returns:
        Shape (...), 0 or more; about 2.3 is just noticeable.

    Reference:
        CIE 15:2004, 8.2.1.
    """
    return tf.norm(lab - other, axis=-1)


def _in_gamut(lab: tf.Tensor) -> tf.Tensor:
    """Whether each color of (..., 3) has all linear sRGB components in 0..1; shape (...)."""
    rgb = _linear_rgb(lab)
    inside = (rgb >= -GAMUT_TOLERANCE) & (rgb <= 1.0 + GAMUT_TOLERANCE)
    return tf.reduce_all(inside, axis=-1)


def _linear_rgb(lab: tf.Tensor) -> tf.Tensor:
    """The linear components of Lab colors, (..., 3), not clipped."""
    lightness, a, b = tf.unstack(lab, axis=-1)
    fy = (lightness + 16.0) / 116.0
    xyz = tf.stack([fy + a / 500.0, fy, fy - b / 200.0], axis=-1)
    xyz = tf.where(xyz > LAB_KNEE_ROOT, xyz * xyz * xyz, (xyz - LAB_OFFSET) / LAB_SLOPE)
    return _product(xyz * tf.constant(WHITE_D65, lab.dtype), LINEAR_RGB_FROM_XYZ)


def _product(colors: tf.Tensor, matrix: tuple[tuple[float, ...], ...]) -> tf.Tensor:
    return tf.tensordot(colors, tf.transpose(tf.constant(matrix, colors.dtype)), axes=1)
