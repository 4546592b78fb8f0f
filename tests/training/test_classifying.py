import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import efficientnet_generator
from keras_colorize.models.efficientnet.ab_classes import class_centers, class_targets
from keras_colorize.models.efficientnet.encoder import encoder_layers
from keras_colorize.training.classifying import ClassifyingColorizer, class_rarity
from keras_colorize.training.colorizer import Batch
from keras_colorize.training.losses import l1_loss
from keras_colorize.training.optimizers import Adam

CLASSES = len(class_centers())


@pytest.fixture
def batch() -> Batch:
    """Four images of 64x64, normalized."""
    random = np.random.default_rng(0)
    lightness = random.uniform(-1, 1, (4, 64, 64, 1)).astype("float32")
    ab = random.uniform(-0.3, 0.3, (4, 2, 2, 2)).astype("float32").repeat(32, 1).repeat(32, 2)
    return tf.constant(lightness), tf.constant(ab)


def small_colorizer(
    weight_average: float = 0.0, class_weight: float = 0.05
) -> ClassifyingColorizer:
    generator = efficientnet_generator(
        encoder_weights="none", frozen_stages=2, decoder_filters=(8, 8, 8, 8)
    )
    colorizer = ClassifyingColorizer(
        generator,
        l1_loss,
        class_weight=0.05,
        rarity=tf.ones(CLASSES),
        weight_average=weight_average,
        pretrained_layers=encoder_layers(generator),
    )
    colorizer.compile(Adam(1e-2))
    return colorizer


def test_both_heads_learn(batch: Batch) -> None:
    colorizer = small_colorizer()
    step = tf.function(colorizer.train_step)
    losses = []
    for _ in range(30):
        colorizer.reset_metrics()
        losses.append({name: float(value) for name, value in step(batch).items()})
    assert list(losses[0]) == list(colorizer.log_names)
    # It starts gray, with all classes alike.
    ab = batch[1].numpy()
    assert losses[0]["l1_loss"] == pytest.approx(np.abs(ab).mean(), rel=1e-5)
    assert losses[0]["class_loss"] == pytest.approx(np.log(CLASSES), rel=1e-5)
    first = losses[0]
    assert first["generator_loss"] == pytest.approx(
        first["l1_loss"] + 0.05 * first["class_loss"], rel=1e-5
    )
    assert losses[-1]["l1_loss"] < 0.9 * first["l1_loss"]
    assert losses[-1]["class_loss"] < 0.8 * first["class_loss"]


def test_validation_is_of_the_faithful_ab(batch: Batch) -> None:
    colorizer = small_colorizer()
    colorizer.train_step(batch)
    colorizer.reset_metrics()
    logs = colorizer.test_step(batch)
    predicted_ab = colorizer.generator(batch[0], training=False)  # its vividness is 0
    assert float(logs["l1_loss"]) == pytest.approx(float(l1_loss(batch[1], predicted_ab)), rel=1e-5)


def test_frozen_layers_stay_until_they_are_trained_too(batch: Batch) -> None:
    colorizer = small_colorizer()
    data = tf.data.Dataset.from_tensors(batch)

    def encoder() -> list[np.ndarray]:
        layers = encoder_layers(colorizer.generator)
        return [weight.copy() for layer in layers for weight in layer.get_weights()]

    before = encoder()
    colorizer.freeze(True)
    colorizer.fit(data, shuffle=False, verbose=0)
    for after, weight in zip(encoder(), before, strict=True):
        np.testing.assert_array_equal(after, weight)
    decoder = colorizer.generator.get_layer("decoder_stride16_convolution")
    first = decoder.get_weights()[0].copy()
    colorizer.fit(data, shuffle=False, verbose=0)
    assert not np.array_equal(decoder.get_weights()[0], first)
    colorizer.freeze(False)
    colorizer.fit(data, shuffle=False, verbose=0)
    changed = [not np.array_equal(*pair) for pair in zip(encoder(), before, strict=True)]
    # Stem and two stages never move: 1 + 2 + 2 * 3 convolutions of kernel and bias.
    assert changed == [False] * 2 * (1 + 2 + 2 * 3) + [True] * (len(before) - 18)
    assert int(colorizer.generator_optimizer.iterations) == 3


def test_averaged_weights(batch: Batch) -> None:
    """w' = w' + (1 - d) * (w - w'), where d is step / (step + 10) until it reaches its value."""
    colorizer = small_colorizer(weight_average=0.2)
    assert colorizer.output_generator is not colorizer.generator
    name = "decoder_stride16_convolution"
    raw, average = (
        network.get_layer(name).kernel
        for network in (colorizer.generator, colorizer.output_generator)
    )
    expected = raw.numpy()
    for step in range(1, 5):
        colorizer.train_step(batch)
        rest = 1 - min(0.2, step / (step + 10))
        expected = expected + rest * (raw.numpy() - expected)
        np.testing.assert_allclose(average, expected, atol=1e-6)
    predicted = colorizer(batch[0])
    np.testing.assert_array_equal(predicted, colorizer.output_generator(batch[0]))
    assert not np.array_equal(predicted, colorizer.generator(batch[0], training=False))


def test_rarity() -> None:
    """Three quarters of the places have one color, a quarter another."""
    common, rare = class_centers()[[100, 7]]
    ab = np.broadcast_to(common, (4, 8, 8, 2)).copy()
    ab[0] = rare
    lightness = np.zeros((4, 8, 8, 1), "float32")
    batches = [(lightness[:1], ab[:1]), (lightness[1:], ab[1:])]
    rarity = class_rarity(batches, 0.5).numpy()
    smoothed = 0.5 * np.array([0.75, 0.25, 0.0]) + 0.5 / CLASSES
    expected = 1 / smoothed
    expected /= (expected[:2] * [0.75, 0.25]).sum()
    np.testing.assert_allclose(rarity[[100, 7, 50]], expected, rtol=1e-4)
    np.testing.assert_allclose(class_rarity(batches, 0.0), 1.0, rtol=1e-5)
    frequency = class_targets(ab).numpy().mean(axis=(0, 1, 2))
    assert (rarity * frequency).sum() == pytest.approx(1.0, rel=1e-5)


def test_it_is_a_keras_model(batch: Batch) -> None:
    colorizer = small_colorizer()
    assert isinstance(colorizer, keras.Model)
    assert colorizer.predict(batch[0], verbose=0).shape == (4, 64, 64, 2)
