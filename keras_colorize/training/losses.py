"""Reconstruction and adversarial losses; pure functions from batches to scalars."""

import tensorflow as tf

from keras_colorize.srgb import AB_SCALE


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


def delta_e_loss(ab: tf.Tensor, predicted_ab: tf.Tensor) -> tf.Tensor:
    """Mean color difference at equal lightness, near CIEDE2000, (N, H, W, 2) -> scalar.

    Differences in chroma and hue count less where colors are strong, and those of a more near
    gray, as in CIEDE2000; its dependence on the hue itself is left out. Divided by 127, so that
    it compares with `l1_loss`.

    Reference:
        Sharma et al., 2005, https://doi.org/10.1002/col.20070.
    """
    ab, predicted_ab = ab * AB_SCALE, predicted_ab * AB_SCALE
    tiny = 1e-4  # Keeps the gradients of the roots finite.
    chroma = (_chroma(ab, tiny) + _chroma(predicted_ab, tiny)) / 2.0
    seventh = tf.pow(tf.minimum(chroma, 200.0) / 25.0, 7.0)
    stretch = 1.5 - 0.5 * tf.sqrt(seventh / (seventh + 1.0))
    scale = tf.stack([stretch, tf.ones_like(stretch)], axis=-1)
    ab, predicted_ab = ab * scale, predicted_ab * scale
    first, second = _chroma(ab, tiny), _chroma(predicted_ab, tiny)
    mean = (first + second) / 2.0
    chroma_difference = tf.square(first - second)
    hue_difference = tf.reduce_sum(tf.square(ab - predicted_ab), axis=-1) - chroma_difference
    squared = chroma_difference / tf.square(1.0 + 0.045 * mean) + tf.maximum(
        hue_difference, 0.0
    ) / tf.square(1.0 + 0.015 * mean)
    return tf.reduce_mean(tf.sqrt(squared + tiny)) / AB_SCALE


def _chroma(ab: tf.Tensor, tiny: float) -> tf.Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(ab), axis=-1) + tiny)


def class_loss(targets: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Cross-entropy of ab classes, each place weighted by the rarity of its color, -> scalar.

    Args:
        targets: probabilities, float32, shape (..., classes).
        logits: the same shape.
        weights: of each class, shape (classes,); their mean over all images is 1.

    Reference:
        Zhang et al., 2016, https://arxiv.org/abs/1603.08511, equation 2.
    """
    entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(entropy * tf.linalg.matvec(targets, weights))


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


def least_squares_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Mean squared error of the fakes' scores against 1, -> scalar.

    A score is (1 + logit) / 2, so that logits are above 0 for what looks more real than fake, as
    with the other losses.

    Reference:
        Mao et al., 2017, https://arxiv.org/abs/1611.04076.
    """
    return tf.reduce_mean(tf.square((1.0 + fake_logits) / 2.0 - 1.0))


def least_squares_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean squared error of real scores against `real_target` and of fake scores against 0.

    Arguments and returns as those of `bce_discriminator_loss`; scores as those of
    `least_squares_generator_loss`.
    """
    real_loss = tf.reduce_mean(tf.square((1.0 + real_logits) / 2.0 - real_target))
    fake_loss = tf.reduce_mean(tf.square((1.0 + fake_logits) / 2.0))
    return real_loss, fake_loss


def mean_delta_e_76(ab: tf.Tensor, predicted_ab: tf.Tensor) -> tf.Tensor:
    """Mean Delta E*ab of normalized ab at the same lightness, (N, H, W, 2) -> scalar.

    Not for training: its gradient is not finite where the prediction is exact.
    """
    return AB_SCALE * tf.reduce_mean(tf.norm(ab - predicted_ab, axis=-1))
