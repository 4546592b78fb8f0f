import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import patch_discriminator, unet_generator
from keras_colorize.models.layers import BatchNormalization


def lightness(size: int = 32, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, size, size, 1)).astype("float32")


def test_parameters():
    # 4x4 convolutions with biases, and a scale and a shift for each of their channels.
    down = [(1, 64), (64, 128), (128, 256), (256, 512), (512, 512)]
    # Each of the up convolutions but the first sees as many channels again from the encoder.
    up = [(512, 512), (1024, 256), (512, 128), (256, 64)]
    expected = sum(16 * before * after + after + 2 * after for before, after in down + up)
    expected += 128 * 2 + 2
    assert expected == 16_654_722
    generator = unet_generator()
    assert sum(int(np.prod(v.shape)) for v in generator.trainable_variables) == expected
    # A running mean and variance for each normalized channel: 64 + 128 + ... + 64 = 2432.
    running = generator.count_params() - expected
    assert running == 2 * 2432


@pytest.mark.parametrize("normalization", ["batch", "instance"])
@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_outputs(size, normalization):
    generator = unet_generator(size, filters=2, normalization=normalization)
    assert generator.output_shape == (None, size, size, 2)
    for training in (False, True):
        ab = generator(lightness(size), training=training)
        assert (ab.shape, ab.dtype) == ((2, size, size, 2), tf.float32)
        assert 0 < np.abs(ab).max() < 1


def test_tanh_bounds_the_output():
    generator = unet_generator(filters=2)
    final = generator.get_layer("final_convolution")
    final.kernel.assign(1e4 * final.kernel)
    ab = generator(lightness(), training=False).numpy()
    assert (ab.min(), ab.max()) == (-1, 1)


@pytest.mark.parametrize("normalization", ["batch", "instance"])
def test_instance_normalization_has_nothing_to_learn(normalization):
    generator = unet_generator(filters=2, normalization=normalization)
    found = [isinstance(layer, BatchNormalization) for layer in generator.layers]
    assert sum(found) == (9 if normalization == "batch" else 0)
    learned = {v.name for v in generator.trainable_variables} - {"kernel", "bias"}
    assert learned == ({"gamma", "beta"} if normalization == "batch" else set())


def test_instance_normalization_takes_each_image_alone():
    generator = unet_generator(filters=2, normalization="instance", dropout=0.0)
    images = lightness(count=3)
    together = generator(images, training=True)
    alone = generator(images[1:2], training=True)
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def test_initial_weights():
    generator = unet_generator(filters=16)
    kernel = generator.get_layer("down4_convolution").kernel.numpy()
    assert (kernel.mean(), kernel.std()) == pytest.approx((0, 0.02), abs=3e-4)
    gamma = generator.get_layer("down5_normalization").gamma.numpy()
    assert (gamma.mean(), gamma.std()) == pytest.approx((1, 0.02), abs=6e-3)
    assert not np.any(generator.get_layer("down4_convolution").bias)

    generator = unet_generator(filters=16, initial_weights="keras")
    kernel = generator.get_layer("down4_convolution").kernel.numpy()
    limit = np.sqrt(6 / (16 * 64 + 16 * 128))  # Glorot and Bengio, 2010, equation 16.
    assert limit * 0.99 < np.abs(kernel).max() <= limit
    assert np.all(generator.get_layer("down5_normalization").gamma.numpy() == 1)


def test_seed_decides_the_weights():
    def weights(seed):
        weights = unet_generator(filters=2, seed=seed).weights
        return np.concatenate([v.numpy().ravel() for v in weights])

    np.testing.assert_array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))


def test_layers_draw_their_own_weights():
    weights = unet_generator(filters=4).weights
    firsts = {v.numpy().ravel()[:8].tobytes() for v in weights if v.name == "kernel"}
    assert len(firsts) == 10


def test_dropout():
    without = unet_generator(filters=2, dropout=0.0)
    np.testing.assert_array_equal(
        without(lightness(), training=True), without(lightness(), training=True)
    )
    generator = unet_generator(filters=2)
    names = [layer.name for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    assert names == ["up1_dropout", "up2_dropout"]
    first, second = (generator(lightness(), training=True).numpy() for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(
        generator(lightness(), training=False), generator(lightness(), training=False)
    )


def test_skips_join_outputs_of_the_same_size():
    generator = unet_generator(filters=2)
    joins = {
        name: [tensor.shape[1:] for tensor in generator.get_layer(f"{name}_join").input]
        for name in ("up1", "up2", "up3", "up4")
    }
    assert joins == {
        "up1": [(4, 4, 16), (4, 4, 16)],
        "up2": [(8, 8, 8), (8, 8, 8)],
        "up3": [(16, 16, 4), (16, 16, 4)],
        "up4": [(32, 32, 2), (32, 32, 2)],
    }


@pytest.fixture
def mixed_bfloat16():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def test_mixed_precision(mixed_bfloat16):
    generator = unet_generator(filters=2)
    assert {v.dtype for v in generator.weights} == {"float32"}
    assert generator.get_layer("up4_activation").output.dtype == "bfloat16"
    assert generator(lightness(), training=True).dtype == tf.float32
    for normalization in ("batch", "instance", "spectral", "none"):
        discriminator = patch_discriminator(filters=2, normalization=normalization)
        assert discriminator.get_layer("down4_activation").output.dtype == "bfloat16"
        logits = discriminator([lightness(), np.zeros((2, 32, 32, 2))], training=True)
        assert logits.dtype == tf.float32


LOAD = """
import sys
import numpy as np
import keras
import keras_colorize.models
for path in sys.argv[1:]:
    model = keras.saving.load_model(path, compile=False)
    with np.load(path + ".npz") as file:
        *inputs, expected = (file[name] for name in file.files)
    found = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    np.testing.assert_array_equal(found, expected, err_msg=path)
    print(model.name)
"""


def test_saved_networks_compute_the_same_in_another_process(tmp_path):
    images = lightness()
    ab = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 2)).astype("float32")
    paths = []
    for build, inputs, normalizations in (
        (unet_generator, [images], ("batch", "instance")),
        (patch_discriminator, [images, ab], ("batch", "instance", "spectral", "none")),
    ):
        for normalization in normalizations:
            network = build(filters=2, normalization=normalization)
            arguments = inputs if len(inputs) > 1 else inputs[0]
            network(arguments, training=True)  # Moves running statistics and singular vectors.
            paths.append(str(tmp_path / f"{network.name}_{normalization}.keras"))
            network.save(paths[-1])
            np.savez(f"{paths[-1]}.npz", *inputs, network(arguments, training=False))
    done = subprocess.run([sys.executable, "-c", LOAD, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["generator"] * 2 + ["discriminator"] * 4
