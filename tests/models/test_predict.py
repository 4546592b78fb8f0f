import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import predict_ab, unet_generator
from keras_colorize.models.predict import (
    both_ends,
    has_vividness,
    prediction_shape,
    set_vividness,
    vividness,
)

SIZE = 16


@pytest.fixture(scope="module")
def mirror() -> keras.Model:
    """A generator whose a is the lightness it sees, and b the opposite."""
    lightness = keras.Input((SIZE, SIZE, 1))
    model = keras.Model(lightness, keras.layers.Conv2D(2, 1, use_bias=False)(lightness))
    model.set_weights([np.float32([[[[1, -1]]]])])
    return model


def ramp(height: int, width: int) -> np.ndarray:
    """Lightness that grows evenly from the top left, (1, H, W, 1)."""
    rows, columns = (np.arange(n, dtype="float32") + 0.5 for n in (height, width))
    return (0.6 * rows[:, None] / height + 1.2 * columns / width - 0.9)[None, ..., None]


def test_images_of_the_generators_size_go_straight_through():
    generator = unet_generator(SIZE, filters=2)
    lightness = np.random.default_rng(0).uniform(-1, 1, (3, SIZE, SIZE, 1)).astype("float32")
    expected = generator(lightness, training=False)
    np.testing.assert_array_equal(predict_ab(generator, tf.constant(lightness)), expected)


def test_the_generator_sees_areas_averaged(mirror):
    """Each block of 3x5 pixels is one of the generator's: an image of blocks comes back whole."""
    small = np.random.default_rng(0).uniform(-1, 1, (SIZE, SIZE)).astype("float32")
    noise = np.random.default_rng(1).uniform(-1, 1, (SIZE, 3, SIZE, 5)).astype("float32")
    noise -= noise.mean(axis=(1, 3), keepdims=True)
    image = (small[:, None, :, None] + noise).reshape(1, 3 * SIZE, 5 * SIZE, 1)
    ab = predict_ab(mirror, tf.constant(image)).numpy()
    assert ab.shape == (1, 3 * SIZE, 5 * SIZE, 2)
    # Where a pixel's middle is a block's, bicubic interpolation gives the block's value.
    np.testing.assert_allclose(ab[0, 1::3, 2::5, 0], small, atol=1e-5)
    np.testing.assert_allclose(ab[..., 1], -ab[..., 0], atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(64, 48), (37, 101), (20, 300)])
def test_ab_lies_where_its_lightness_does(mirror, height, width):
    """A ramp stays a ramp, pixel for pixel; the border, where the outermost repeat, aside."""
    lightness = ramp(height, width)
    ab = predict_ab(mirror, tf.constant(lightness)).numpy()
    top, left = -(-2 * height // SIZE), -(-2 * width // SIZE)
    inner = np.s_[:, top:-top, left:-left, :1]
    np.testing.assert_allclose(ab[inner], lightness[inner], atol=0.02)
    if height % SIZE == 0 and width % SIZE == 0:
        np.testing.assert_allclose(ab[inner], lightness[inner], atol=1e-4)


def test_in_a_graph_of_unknown_sizes(mirror):
    signature = [tf.TensorSpec((None, None, None, 1))]
    predict = tf.function(lambda lightness: predict_ab(mirror, lightness), signature)
    for height, width in ((SIZE, SIZE), (40, 9), (1, 1)):
        ab = predict(ramp(height, width))
        assert ab.shape == (1, height, width, 2)
        assert np.isfinite(ab).all()


@pytest.fixture(scope="module")
def any_size_mirror() -> keras.Model:
    """The same for images of any size."""
    lightness = keras.Input((None, None, 1))
    model = keras.Model(lightness, keras.layers.Conv2D(2, 1, use_bias=False)(lightness))
    model.set_weights([np.float32([[[[1, -1]]]])])
    return model


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (256, 256, None, (160, 160)),
        (3000, 4000, 256, (256, 352)),  # 341.3 is nearer to 352 than to 320
        (4000, 3000, 128, (160, 128)),  # 170.7
        (10, 10, 64, (64, 64)),
        (1, 1, None, (160, 160)),
        (1, 5000, None, (160, 1280)),  # at most eight times as long
        (5000, 1, 100, (800, 96)),
        (100, 100, 40, (32, 32)),
    ],
)
def test_shape_at_which_a_generator_sees_an_image(any_size_mirror, height, width, size, expected):
    assert prediction_shape(any_size_mirror, height, width, size) == expected

    @tf.function
    def in_a_graph(height, width):
        return prediction_shape(any_size_mirror, height, width, size)

    found = in_a_graph(tf.constant(height), tf.constant(width))
    assert tuple(map(int, found)) == expected


def test_a_generator_of_one_size_sees_squares(mirror):
    assert prediction_shape(mirror, 300, 400, None) == (SIZE, SIZE)


@pytest.mark.parametrize(("height", "width"), [(96, 64), (37, 101), (400, 300)])
def test_a_generator_of_any_size_keeps_the_shape(any_size_mirror, height, width):
    lightness = ramp(height, width)
    ab = predict_ab(any_size_mirror, tf.constant(lightness), 64).numpy()
    inner = np.s_[:, 12:-12, 12:-12, :1]
    np.testing.assert_allclose(ab[inner], lightness[inner], atol=0.02)


def test_most_generators_have_no_vividness(mirror):
    assert not has_vividness(mirror)
    assert vividness(mirror) == 0
    assert both_ends(mirror) is mirror
    with pytest.raises(ValueError, match="vividness"):
        set_vividness(mirror, 1.0)
