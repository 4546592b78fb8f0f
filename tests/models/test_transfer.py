import keras
import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.models import efficientnet_generator, set_vividness, unet_generator
from keras_colorize.models.plain_keras import plain
from keras_colorize.models.transfer import copy_weights


def predictions(*generators: keras.Model, size: int) -> list[np.ndarray]:
    lightness = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 1)).astype("float32")
    return [np.asarray(generator(lightness, training=False)) for generator in generators]


def test_of_a_copy_in_layers_of_keras_alone(random_unet):
    """As `export --format keras` writes it: models stand for layers without weights."""
    target = unet_generator(32, filters=4)
    copy_weights(plain(random_unet), target, "plain")
    found, expected = predictions(target, random_unet, size=32)
    np.testing.assert_array_equal(found, expected)


def test_of_the_pretrained_model(shipped):
    """The vividness stays the target's, 0, as its recipe says."""
    target = efficientnet_generator(encoder_weights="none")
    copy_weights(shipped, target, "shipped")
    same = keras.models.clone_model(shipped)
    same.set_weights(shipped.get_weights())
    set_vividness(same, 0.0)
    found, expected = predictions(target, same, size=64)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected).max() > 0.01


def test_a_model_with_more_weights_is_another_network(random_unet):
    inner = keras.Sequential([keras.Input((32, 32, 2)), keras.layers.Conv2D(2, 1)], name="more")
    other = keras.Model(random_unet.input, inner(random_unet.output))
    with pytest.raises(ColorizeError, match=r"other: is another network: has .*kernel besides"):
        copy_weights(other, unet_generator(32, filters=4), "other")
