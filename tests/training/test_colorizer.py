import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import unet_generator
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.losses import (
    bce_discriminator_loss,
    bce_generator_loss,
    l1_loss,
    mean_delta_e_76,
)
from keras_colorize.training.optimizers import Adam

SGD = keras.optimizers.SGD


def values(variables) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def moved(before: list[np.ndarray], variables) -> list[np.ndarray]:
    return [value - old for old, value in zip(before, values(variables), strict=True)]


def gradients(loss, variables) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        value = loss()
    return [gradient.numpy() for gradient in tape.gradient(value, variables)]


def assert_close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


class TestUpdate:
    @pytest.mark.parametrize("normalization", ["batch", "instance", "spectral", "none"])
    def test_a_step_changes_both_networks(self, small_colorizer, batch, normalization):
        colorizer = small_colorizer(normalization=normalization)
        networks = (colorizer.generator, colorizer.discriminator)
        before = [values(network.trainable_variables) for network in networks]
        colorizer.train_step(batch)
        for network, old in zip(networks, before, strict=True):
            changes = moved(old, network.trainable_variables)
            assert all(np.any(change) for change in changes), network.name
        assert int(colorizer.generator_optimizer.iterations) == 1
        assert int(colorizer.discriminator_optimizer.iterations) == 1

    def test_each_optimizer_moves_its_own_network(self, small_colorizer, batch):
        for rates in ((0.1, 0.0), (0.0, 0.1)):
            colorizer = small_colorizer(*map(SGD, rates))
            networks = (colorizer.generator, colorizer.discriminator)
            before = [values(network.trainable_variables) for network in networks]
            colorizer.train_step(batch)
            for rate, old, network in zip(rates, before, networks, strict=True):
                changes = moved(old, network.trainable_variables)
                assert all(np.any(change) == bool(rate) for change in changes), network.name

    @pytest.mark.parametrize("weight", [0.9, 0.0])
    def test_the_generator_follows_the_weighted_losses(self, small_colorizer, batch, weight):
        colorizer = small_colorizer(SGD(1.0), SGD(0.0), reconstruction_weight=weight)
        twin = small_colorizer()
        lightness, ab = batch

        def loss():
            predicted_ab = twin.generator(lightness, training=True)
            logits = twin.discriminator([lightness, predicted_ab], training=True)
            adversarial = tf.reduce_mean(-tf.math.log(tf.sigmoid(logits)))
            reconstruction = tf.reduce_mean(tf.abs(predicted_ab - ab))
            return weight * reconstruction + (1 - weight) * adversarial

        expected = gradients(loss, [v.value for v in twin.generator.trainable_variables])
        before = values(colorizer.generator.trainable_variables)
        colorizer.train_step(batch)
        found = moved(before, colorizer.generator.trainable_variables)
        assert_close([-change for change in found], expected)

    def test_the_discriminator_judges_fakes_made_before_the_generator_moved(
        self, small_colorizer, batch
    ):
        colorizer = small_colorizer(SGD(10.0), SGD(1.0), normalization="none")
        twin = small_colorizer(normalization="none")
        lightness, ab = batch
        fake_ab = twin.generator(lightness, training=True)

        def loss():
            real = tf.sigmoid(twin.discriminator([lightness, ab], training=True))
            fake = tf.sigmoid(twin.discriminator([lightness, fake_ab], training=True))
            real_loss = -0.9 * tf.math.log(real) - 0.1 * tf.math.log(1 - real)
            return tf.reduce_mean(real_loss) + tf.reduce_mean(-tf.math.log(1 - fake))

        expected = gradients(loss, [v.value for v in twin.discriminator.trainable_variables])
        before = values(colorizer.discriminator.trainable_variables)
        colorizer.train_step(batch)
        found = moved(before, colorizer.discriminator.trainable_variables)
        assert_close([-change for change in found], expected)

    def test_without_adversarial_weight_it_is_the_plain_update(self, small_colorizer, batch):
        adversarial = small_colorizer(Adam(0.01), Adam(0.01), reconstruction_weight=1.0)
        plain = Colorizer(unet_generator(filters=2, dropout=0.0), l1_loss)
        plain.compile(Adam(0.01))
        for _ in range(2):
            logs = [colorizer.train_step(batch) for colorizer in (adversarial, plain)]
        assert_close(*(values(one.generator.variables) for one in (adversarial, plain)))
        assert float(logs[0]["l1_loss"]) == pytest.approx(float(logs[1]["l1_loss"]), rel=1e-5)


class TestStatistics:
    def test_batch_norm_moves_in_training(self, small_colorizer, batch):
        colorizer = small_colorizer()
        for network, passes in ((colorizer.generator, 1), (colorizer.discriminator, 3)):
            running = [v for v in network.variables if v.name == "moving_variance"]
            assert len(running) == {"generator": 9, "discriminator": 3}[network.name]
            before = values(running)
            colorizer.train_step(batch)
            assert all(np.all(change != 0) for change in moved(before, running))
            # From 1 by momentum 0.9 a pass, towards small variances of the first steps.
            assert running[0].numpy() == pytest.approx(before[0] * 0.9**passes, abs=0.25)

    @pytest.mark.parametrize("normalization", ["batch", "spectral"])
    def test_a_test_step_changes_nothing(self, small_colorizer, batch, normalization):
        colorizer = small_colorizer(normalization=normalization, dropout=0.5)
        colorizer.train_step(batch)
        colorizer.reset_metrics()
        owners = [part for pair in colorizer.networks.values() for part in pair]
        variables = [v for owner in owners for v in owner.variables]
        before = values(variables)
        logs = [colorizer.test_step(batch)["generator_loss"] for _ in range(2)]
        np.testing.assert_equal(values(variables), before)
        assert float(logs[0]) == pytest.approx(float(logs[1]))


class TestLogs:
    def test_names(self, small_colorizer, batch):
        colorizer = small_colorizer()
        for step in (colorizer.train_step, colorizer.test_step):
            assert tuple(step(batch)) == AdversarialColorizer.log_names

    def test_figures_of_one_batch(self, small_colorizer, batch):
        colorizer = small_colorizer()
        lightness, ab = batch
        predicted_ab = colorizer.generator(lightness, training=False)
        real, fake = (
            colorizer.discriminator([lightness, one], training=False) for one in (ab, predicted_ab)
        )
        real_loss, fake_loss = bce_discriminator_loss(real, fake, 0.9)
        real_accuracy, fake_accuracy = np.mean(real > 0), np.mean(fake <= 0)
        l1, adversarial = l1_loss(ab, predicted_ab), bce_generator_loss(fake)
        expected = {
            "generator_loss": 0.9 * l1 + 0.1 * adversarial,
            "l1_loss": l1,
            "adversarial_loss": adversarial,
            "discriminator_loss": (real_loss + fake_loss) / 2,
            "discriminator_real_loss": real_loss,
            "discriminator_fake_loss": fake_loss,
            "discriminator_accuracy": (real_accuracy + fake_accuracy) / 2,
            "discriminator_real_accuracy": real_accuracy,
            "discriminator_fake_accuracy": fake_accuracy,
            "delta_e_76": mean_delta_e_76(ab, predicted_ab),
        }
        logs = {name: float(value) for name, value in colorizer.test_step(batch).items()}
        assert logs == pytest.approx({name: float(v) for name, v in expected.items()}, rel=1e-5)

    @pytest.mark.parametrize("bias", [-1.0, 1.0])
    def test_accuracies(self, small_colorizer, batch, bias):
        """A discriminator that always says real, or always fake, is right half of the time."""
        colorizer = small_colorizer()
        final = colorizer.discriminator.get_layer("final_convolution")
        final.kernel.assign(tf.zeros_like(final.kernel))
        final.bias.assign([bias])
        logs = colorizer.test_step(batch)
        assert float(logs["discriminator_real_accuracy"]) == (bias > 0)
        assert float(logs["discriminator_fake_accuracy"]) == (bias < 0)
        assert float(logs["discriminator_accuracy"]) == 0.5

    def test_every_image_weighs_the_same(self, small_colorizer, batch):
        colorizer = small_colorizer()
        three, one = ([tensor[part] for tensor in batch] for part in (slice(3), slice(3, 4)))

        def figures(*batches):
            colorizer.reset_metrics()
            for part in batches:
                logs = colorizer.test_step(part)
            return np.array([float(value) for value in logs.values()])

        expected = (3 * figures(three) + figures(one)) / 4
        np.testing.assert_allclose(figures(three, one), expected, rtol=1e-5)

    def test_fit_and_evaluate_log_them(self, small_colorizer, batch):
        colorizer = small_colorizer()
        data = tf.data.Dataset.from_tensor_slices(batch).batch(3)
        history = colorizer.fit(
            data, validation_data=data, epochs=2, shuffle=False, verbose=0
        ).history
        names = [*AdversarialColorizer.log_names]
        assert sorted(history) == sorted(names + [f"val_{name}" for name in names])
        found = colorizer.evaluate(data, return_dict=True, verbose=0)
        last = {name: history[f"val_{name}"][-1] for name in names}
        assert found == pytest.approx(last, rel=1e-5)
        # In inference mode an image's figures don't depend on its batch.
        colorizer.reset_metrics()
        whole = {name: float(value) for name, value in colorizer.test_step(batch).items()}
        assert found == pytest.approx(whole, rel=1e-4)


class TestPlainColorizer:
    @pytest.fixture
    def colorizer(self):
        colorizer = Colorizer(unet_generator(filters=2, dropout=0.0), l1_loss)
        colorizer.compile(SGD(1.0))
        return colorizer

    def test_a_step_follows_the_reconstruction_loss(self, colorizer, batch):
        lightness, ab = batch
        twin = unet_generator(filters=2, dropout=0.0)
        expected = gradients(
            lambda: tf.reduce_mean(tf.abs(twin(lightness, training=True) - ab)),
            [v.value for v in twin.trainable_variables],
        )
        before = values(colorizer.generator.trainable_variables)
        colorizer.train_step(batch)
        found = moved(before, colorizer.generator.trainable_variables)
        assert_close([-change for change in found], expected)

    def test_logs(self, colorizer, batch):
        for step in (colorizer.train_step, colorizer.test_step):
            colorizer.reset_metrics()
            logs = step(batch)
            assert tuple(logs) == ("generator_loss", "l1_loss", "delta_e_76")
            assert float(logs["generator_loss"]) == float(logs["l1_loss"])

    def test_trains_its_generator_alone(self, colorizer):
        assert list(colorizer.networks) == ["generator"]

    def test_predicts(self, colorizer, batch):
        lightness, _ = batch
        predicted = colorizer.predict(lightness, verbose=0)
        expected = colorizer.generator(lightness, training=False)
        np.testing.assert_allclose(predicted, expected, atol=1e-6)


def test_a_step_in_mixed_precision(small_colorizer, batch):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        colorizer = small_colorizer(normalization="spectral", dropout=0.5)
    finally:
        keras.config.set_dtype_policy(before)
    logs = tf.function(colorizer.train_step)(batch)
    assert all(np.isfinite(value) for value in logs.values())
    for network in (colorizer.generator, colorizer.discriminator):
        assert {v.dtype for v in network.trainable_variables} == {"float32"}
        assert all(np.isfinite(v).all() for v in network.weights)


def test_several_steps_per_execution(batch):
    """The same updates and figures, with an odd batch left over."""
    data = tf.data.Dataset.from_tensor_slices(batch).batch(1).repeat(2).take(5)
    logs = []
    for steps in (1, 3):
        colorizer = Colorizer(unet_generator(filters=2, dropout=0.0), l1_loss)
        colorizer.compile(Adam(1e-3), steps_per_execution=steps)
        logs.append(colorizer.fit(data, shuffle=False, verbose=0).history)
        assert int(colorizer.generator_optimizer.iterations) == 5
    assert logs[0].keys() == logs[1].keys()
    for name, (value,) in logs[0].items():
        assert logs[1][name] == pytest.approx([value], rel=1e-3), name
