import tracemalloc

import keras
import numpy as np
import pytest
from skimage.color import rgb2lab

from keras_colorize.errors import ColorizeError
from keras_colorize.images import square_thumbnail
from keras_colorize.inference.keras_network import KerasNetwork
from keras_colorize.inference.prediction import squash


@pytest.mark.parametrize("side", [10, 32, 90])
def test_a_square_is_seen_as_in_training(paint, side):
    image = paint(side, side)
    np.testing.assert_array_equal(squash(image, (32, 32)), square_thumbnail(image, 32))


def test_the_whole_image_is_squashed():
    wide = np.zeros((8, 4000, 3), np.uint8)
    wide[:, :1000], wide[:, 1000:] = (200, 0, 0), (0, 0, 100)
    squashed = squash(wide, (16, 16))
    np.testing.assert_array_equal(squashed[:, :4], np.full((16, 4, 3), (200, 0, 0)))
    np.testing.assert_array_equal(squashed[:, 4:], np.full((16, 12, 3), (0, 0, 100)))


def test_a_long_image_is_shrunk_before_it_grows():
    long = np.zeros((1, 400_000, 3), np.uint8)
    long[:, :100_000] = 200
    tracemalloc.start()
    squashed = squash(long, (160, 1280))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
    np.testing.assert_array_equal(squashed[:, :320], np.full((160, 320, 3), 200))
    assert not squashed[:, 320:].any()


def test_16_bits_are_squashed_to_8(paint):
    image = paint(64, 96, np.uint16)
    means = image.reshape(32, 2, 32, 3, 3).mean(axis=(1, 3)) / 257
    np.testing.assert_allclose(squash(image, (32, 32)), means, atol=0.51)


def test_prediction_is_of_normalized_lightness(generator, paint):
    squares = np.stack([paint(32, 32, seed=seed) for seed in range(3)])
    lightness = rgb2lab(squares / 255)[..., :1] / 50 - 1
    expected = np.asarray(generator(lightness.astype(np.float32), training=False)) * 127
    np.testing.assert_allclose(KerasNetwork(generator).predict(squares), expected, atol=0.01)


def test_values_that_are_not_finite_are_refused():
    lightness = keras.Input((4, 4, 1))
    ab = keras.layers.Conv2D(2, 1, kernel_initializer=keras.initializers.Constant(np.nan))
    network = KerasNetwork(keras.Model(lightness, ab(lightness)))
    with pytest.raises(ColorizeError, match="not finite"):
        network.predict(np.zeros((1, 4, 4, 3), np.uint8))
