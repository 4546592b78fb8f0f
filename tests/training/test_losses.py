import math

import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.color import delta_e_76, join_lab
from keras_colorize.evaluation.metrics import ciede2000
from keras_colorize.training.losses import (
    bce_discriminator_loss,
    bce_generator_loss,
    class_loss,
    delta_e_loss,
    huber_loss,
    l1_loss,
    l2_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mean_delta_e_76,
)

AB = tf.constant([[[[0.5, -0.5], [0.1, 0.0]]]])
PREDICTED_AB = AB + tf.constant([[[[0.1, -0.2], [0.3, 0.0]]]])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (l1_loss, (0.1 + 0.2 + 0.3) / 4),
        (l2_loss, (0.01 + 0.04 + 0.09) / 4),
        # Beyond its delta of 0.05 the error less half of that.
        (huber_loss, (0.075 + 0.175 + 0.275) / 4),
        (mean_delta_e_76, 127 * (math.hypot(0.1, 0.2) + 0.3) / 2),
    ],
)
def test_reconstruction(loss, expected):
    assert float(loss(AB, PREDICTED_AB)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(PREDICTED_AB, AB)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(AB, AB)) == 0


def test_huber_is_squared_up_to_its_delta():
    ab = tf.zeros((1, 1, 1, 2))
    assert float(huber_loss(ab, ab + 0.02)) == pytest.approx(0.5 * 0.02**2 / 0.05)
    assert float(huber_loss(ab, ab + 0.05)) == pytest.approx(0.5 * 0.05)
    assert float(huber_loss(ab, ab - 0.3, delta=0.2)) == pytest.approx(0.3 - 0.1)


def test_delta_e_is_the_one_of_color():
    random = np.random.default_rng(0)
    lightness, ab, other = (
        random.uniform(-0.5, 0.5, (2, 4, 4, channels)).astype("float32") for channels in (1, 2, 2)
    )
    expected = delta_e_76(join_lab(lightness, ab), join_lab(lightness, other))
    assert float(mean_delta_e_76(ab, other)) == pytest.approx(np.mean(expected), rel=1e-5)


LOGITS = tf.constant([[0.0], [math.log(3.0)]])
"""Half and three quarters sure that an image is real."""


def test_generator_loss():
    expected = -(math.log(0.5) + math.log(0.75)) / 2
    assert float(bce_generator_loss(LOGITS)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("real_target", [1.0, 0.9])
def test_discriminator_losses(real_target):
    real, fake = bce_discriminator_loss(LOGITS, LOGITS, real_target)
    halves = -math.log(0.5)
    smoothed = -(real_target * math.log(0.75) + (1 - real_target) * math.log(0.25))
    assert float(real) == pytest.approx((halves + smoothed) / 2, rel=1e-6)
    assert float(fake) == pytest.approx((halves - math.log(0.25)) / 2, rel=1e-6)


def test_smoothing_is_one_sided():
    """The least loss of a real image is at its target, of a fake one at 0."""
    logits = tf.Variable([[math.log(0.9 / 0.1)]])
    with tf.GradientTape(persistent=True) as tape:
        real, fake = bce_discriminator_loss(logits, logits, 0.9)
    assert float(tape.gradient(real, logits)[0, 0]) == pytest.approx(0, abs=1e-6)
    assert float(tape.gradient(fake, logits)[0, 0]) == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize("real_target", [1.0, 0.9])
def test_least_squares(real_target):
    logits = tf.constant([[-1.0], [1.0], [0.0]])  # Scores of 0, 1 and 1/2.
    assert float(least_squares_generator_loss(logits)) == pytest.approx((1 + 0 + 0.25) / 3)
    real, fake = least_squares_discriminator_loss(logits, logits, real_target)
    errors = (real_target**2, (1 - real_target) ** 2, (0.5 - real_target) ** 2)
    assert float(real) == pytest.approx(sum(errors) / 3, rel=1e-6)
    assert float(fake) == pytest.approx((0 + 1 + 0.25) / 3)


def test_extreme_logits_stay_finite():
    large = tf.constant([[1000.0]])
    assert float(bce_generator_loss(-large)) == 1000
    real, fake = bce_discriminator_loss(large, large, 0.9)
    assert (float(real), float(fake)) == pytest.approx((100, 1000))


def test_generator_loss_does_not_saturate():
    """Where the discriminator is sure of a fake, the generator still gets a full gradient."""
    logits = tf.Variable([[-50.0]])
    with tf.GradientTape() as tape:
        loss = bce_generator_loss(logits)
    assert float(tape.gradient(loss, logits)[0, 0]) == pytest.approx(-1)


def test_delta_e_is_near_ciede2000():
    """At L = 50, over the colors that images have; apart from hue it is the same formula."""
    random = np.random.default_rng(0)
    ab = random.normal(0, 20, (1000, 1, 1, 2))
    predicted_ab = ab + random.normal(0, 12, ab.shape)
    exact = ciede2000(lab_at_50(ab), lab_at_50(predicted_ab)).numpy().ravel()
    found = [
        127 * float(delta_e_loss(*pair))
        for pair in zip(np.float32(ab / 127), np.float32(predicted_ab / 127), strict=True)
    ]
    assert np.corrcoef(found, exact)[0, 1] > 0.98
    assert np.mean(found) == pytest.approx(np.mean(exact), rel=0.1)


def lab_at_50(ab: np.ndarray) -> tf.Tensor:
    return tf.constant(np.concatenate([np.full((*ab.shape[:-1], 1), 50.0), ab], -1), tf.float32)


@pytest.mark.parametrize("ab", [(0.0, 0.0), (0.1, 0.0), (-0.8, 0.7)])
def test_delta_e_has_a_gradient_everywhere(ab):
    ab = tf.constant(ab, shape=(1, 1, 1, 2))
    for predicted_ab in (ab, ab * 0.5, -ab, tf.zeros_like(ab)):
        with tf.GradientTape() as tape:
            tape.watch(predicted_ab)
            loss = delta_e_loss(ab, predicted_ab)
        assert np.isfinite(tape.gradient(loss, predicted_ab)).all()
    assert 127 * float(delta_e_loss(ab, ab)) == pytest.approx(0.01, abs=1e-3)


def test_class_loss_weighs_places_by_their_classes():
    targets = tf.constant([[[[1.0, 0.0, 0.0], [0.0, 0.25, 0.75]]]])
    logits = tf.math.log(tf.constant([[[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]]]))
    weights = tf.constant([0.5, 1.0, 2.0])
    first = 0.5 * -math.log(0.5)
    second = (0.25 * 1 + 0.75 * 2) * -(0.25 * math.log(0.1) + 0.75 * math.log(0.8))
    assert float(class_loss(targets, logits, weights)) == pytest.approx((first + second) / 2)
