"""Reconstruction and adversarial losses; pure functions from batches to scalars."""

import tensorflow as tf

from keras_colorize.color import AB_SCALE


def l1_loss(ab: tf.Tensor, predicted_ab: tf.Tensor) -> tf.Tensor:
    """Mean absolute error of normalized ab, (N, H, W, 2) -> scalar; the original's loss."""
    return tf.reduce_mean(tf.abs(ab - predicted_ab))


def l2_loss(ab: tf.Tensor, predicted_ab: tf.Tensor) -> tf.Tensor:
    """Mean squared error of normalized ab, (N, H, W, 2) -> scalar."""
    return tf.reduce_mean(tf.square(ab - predicted_ab))


def huber_loss(ab: tf.Tensor, predicted_ab: tf.Tensor, delta: float = 0.05) -> tf.Tensor:
    """Squared error up to `delta`, absolute beyond, (N, H, W, 2) -> scalar.

    Scaled by 1 / delta, so that it approaches `l1_loss` for large errors.

    Reference:
        Huber, 1964, https://doi.org/10.1214/aoms/1177703732.
    """
    error = tf.abs(ab - predicted_ab)
    inside = tf.minimum(error, delta)
    return tf.reduce_mean(inside * (error - 0.5 * inside)) / delta


def bce_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Non-saturating loss: binary cross-entropy of the fakes against "real", -> scalar.

    Reference:
        Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661.
    """
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def bce_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Binary cross-entropy of real logits against `real_target` and of fake logits against 0.

    Args:
        real_logits: (N, patches).
        fake_logits: (N, patches).
        real_target: 1, or less to smooth the labels of the real side alone.

    Returns:
        The two scalars, real first; the original minimizes their sum.

    Reference:
        Salimans et al., 2016, https://arxiv.org/abs/1606.03498 (one-sided label smoothing).
    """
    real_loss = tf.reduce_mean(tf.nn.softplus(real_logits) - real_target * real_logits)
    fake_loss = tf.reduce_mean(tf.nn.softplus(fake_logits))
    return real_loss, fake_loss


def mean_delta_e_76(ab: tf.Tensor, predicted_ab: tf.Tensor) -> tf.Tensor:
    """Mean Delta E*ab of normalized ab at the same lightness, (N, H, W, 2) -> scalar.

    Not for training: its gradient is not finite where the prediction is exact.
    """
    return AB_SCALE * tf.reduce_mean(tf.norm(ab - predicted_ab, axis=-1))
