import keras
import numpy as np
import pytest

from keras_colorize.inference.keras_network import KerasNetwork
from keras_colorize.models import efficientnet_generator


@pytest.fixture(scope="session")
def generator():
    """A small network of strong, varied colors, 32x32."""
    lightness = keras.Input((32, 32, 1))
    weights = keras.initializers.RandomNormal(0, 0.8, seed=1)
    x = keras.layers.Conv2D(4, 5, padding="same", activation="tanh", kernel_initializer=weights)(
        lightness
    )
    weights = keras.initializers.RandomNormal(0, 0.2, seed=2)
    ab = keras.layers.Conv2D(2, 3, padding="same", activation="tanh", kernel_initializer=weights)(x)
    return keras.Model(lightness, ab)


@pytest.fixture(scope="session")
def network(generator):
    return KerasNetwork(generator)


@pytest.fixture
def paint():
    """Makes a smooth random color image of any size and depth."""

    def make(height, width, dtype=np.uint8, seed=0):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width]
        waves = rng.uniform(0.01, 0.2, (2, 3)), rng.uniform(0, 6, 3)
        phase = y[..., None] * waves[0][0] + x[..., None] * waves[0][1] + waves[1]
        noise = rng.uniform(-0.1, 0.1, (height, width, 1))
        values = np.clip(0.5 + 0.45 * np.sin(phase) + noise, 0, 1)
        return np.rint(values * np.iinfo(dtype).max).astype(dtype)

    return make


@pytest.fixture(scope="session")
def any_size_generator():
    """The pretrained encoder, a random decoder, strong colors; its vividness is 0.5."""
    model = efficientnet_generator(decoder_filters=(8, 8, 8, 8), vividness=0.5)
    random = np.random.default_rng(0)
    for name, deviation in (("faithful_ab", 0.01), ("class_logits", 0.1)):
        kernel = model.get_layer(name).kernel
        kernel.assign(random.normal(0, deviation, kernel.shape))
    return model


@pytest.fixture(scope="session")
def any_size_network(any_size_generator):
    return KerasNetwork(any_size_generator)
