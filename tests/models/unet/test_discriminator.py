import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import patch_discriminator
from keras_colorize.models.layers import BatchNormalization, SpectralConv2D


def images(size: int = 32, count: int = 2) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.uniform(-1, 1, (count, size, size, c)).astype("float32") for c in (1, 2)]


# 4x4 convolutions with biases: 3 -> 64 -> 128 -> 256 -> 512 -> 1.
CONVOLUTIONS = 3_136 + 131_200 + 524_544 + 2_097_664 + 8_193
NORMALIZED = 128 + 256 + 512


@pytest.mark.parametrize(
    ("normalization", "trained", "kept"),
    [
        ("batch", CONVOLUTIONS + 2 * NORMALIZED, 2 * NORMALIZED),
        ("instance", CONVOLUTIONS, 0),
        # A vector u of each normalized kernel's filters and a v of its inputs.
        ("spectral", CONVOLUTIONS, NORMALIZED + 16 * (64 + 128 + 256)),
        ("none", CONVOLUTIONS, 0),
    ],
)
def test_parameters(normalization, trained, kept):
    discriminator = patch_discriminator(normalization=normalization)
    assert sum(int(np.prod(v.shape)) for v in discriminator.trainable_variables) == trained
    assert discriminator.count_params() == trained + kept
    if normalization == "batch":
        assert trained == 2_766_529


@pytest.mark.parametrize("normalization", ["batch", "instance", "spectral", "none"])
@pytest.mark.parametrize(("size", "patches"), [(32, 1), (64, 5 * 5), (128, 13 * 13)])
def test_one_logit_a_patch(size, patches, normalization):
    discriminator = patch_discriminator(size, filters=2, normalization=normalization)
    assert discriminator.output_shape == (None, patches)
    for training in (False, True):
        logits = discriminator(images(size), training=training)
        assert (logits.shape, logits.dtype) == ((2, patches), tf.float32)
        assert np.isfinite(logits).all() and np.any(logits)


@pytest.mark.parametrize("normalization", ["batch", "instance", "spectral", "none"])
def test_the_three_middle_blocks_are_normalized(normalization):
    discriminator = patch_discriminator(filters=2, normalization=normalization)
    spectral = [la.name for la in discriminator.layers if isinstance(la, SpectralConv2D)]
    layers = [la.name for la in discriminator.layers if la.name.endswith("normalization")]
    middle = ["down2", "down3", "down4"]
    own_layer = normalization in ("batch", "instance")
    assert spectral == [f"{n}_convolution" for n in middle if normalization == "spectral"]
    assert layers == [f"{n}_normalization" for n in middle if own_layer]
    batch = [isinstance(discriminator.get_layer(name), BatchNormalization) for name in layers]
    assert batch == [normalization == "batch"] * len(layers)


def test_logits_are_unbounded():
    discriminator = patch_discriminator(filters=2)
    final = discriminator.get_layer("final_convolution")
    final.kernel.assign(1e7 * final.kernel)
    assert np.abs(discriminator(images(), training=False)).max() > 1


@pytest.mark.parametrize("changed", [0, 1])
def test_depends_on_lightness_and_ab(changed):
    discriminator = patch_discriminator(filters=2, normalization="none")
    inputs = images()
    before = discriminator(inputs, training=False).numpy()
    inputs[changed] = -inputs[changed]
    assert not np.any(discriminator(inputs, training=False).numpy() == before)


def test_spectral_norm_bounds_what_a_block_can_amplify():
    discriminator = patch_discriminator(filters=4, normalization="spectral")
    for _ in range(30):
        discriminator(images(), training=True)
    for name in ("down2", "down3", "down4"):
        layer = discriminator.get_layer(f"{name}_convolution")
        matrix = layer.kernel.numpy().reshape(-1, layer.filters)
        sigma = np.linalg.svd(matrix, compute_uv=False)[0]
        assert layer.v.numpy() @ matrix @ layer.u.numpy() == pytest.approx(sigma, rel=0.02)


def test_seed_decides_the_weights():
    def weights(seed):
        model = patch_discriminator(filters=2, seed=seed, normalization="spectral")
        return np.concatenate([v.numpy().ravel() for v in model.weights])

    np.testing.assert_array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))
