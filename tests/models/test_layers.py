import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models.layers import (
    MATMUL_MAX_SIDE,
    AlignedResize,
    BatchNormalization,
    ChromaContrast,
    Conv2D,
    Conv2DTranspose,
    SpectralConv2D,
)


def bilinear_weights(size: int, new_size: int) -> np.ndarray:
    """(new_size, size): the first and the last pixel stay, the others are spread evenly."""
    places = np.linspace(0.0, size - 1.0, new_size)
    return np.maximum(1.0 - np.abs(places[:, None] - np.arange(size)), 0.0)


class TestAlignedResize:
    @pytest.mark.parametrize(("size", "new_size"), [(32, 35), (5, 9), (9, 4), (7, 7)])
    def test_bilinear_with_aligned_corners(self, size, new_size):
        images = np.random.default_rng(0).normal(size=(2, size, size, 3))
        weights = bilinear_weights(size, new_size)
        expected = np.einsum("ri,cj,nijk->nrck", weights, weights, images)
        found = AlignedResize(new_size)(images.astype("float32"))
        np.testing.assert_allclose(found, expected, atol=1e-5)
        for corner in (np.s_[:, 0, 0], np.s_[:, -1, 0], np.s_[:, -1, -1]):
            np.testing.assert_allclose(found.numpy()[corner], images[corner], atol=1e-6)

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16"])
    def test_keeps_the_dtype(self, policy):
        layer = AlignedResize(6, dtype=policy)
        assert layer(tf.ones((1, 4, 4, 2))).dtype == layer.compute_dtype
        assert layer.compute_output_shape((None, 4, 4, 2)) == (None, 6, 6, 2)

    def test_config(self):
        layer = AlignedResize.from_config(AlignedResize(35, name="resize").get_config())
        assert (layer.size, layer.name) == (35, "resize")


class TestConvolutions:
    """Ours and Keras's own are the same function, on maps of either path and in any form."""

    @pytest.mark.parametrize(
        "side", [2, MATMUL_MAX_SIDE // 2, MATMUL_MAX_SIDE, 6, 5, 2 * MATMUL_MAX_SIDE]
    )
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"use_bias": False},
            {"activation": "relu", "bias_initializer": "ones"},
            {"strides": 1},
            {"kernel_size": 3},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("name", ["Conv2D", "Conv2DTranspose"])
    def test_are_keras(self, name, options, side):
        options = {"filters": 6, "kernel_size": 4, "strides": 2, "padding": "same", **options}
        inputs = np.random.default_rng(0).normal(size=(3, side, side, 4)).astype("float32")
        ours = {"Conv2D": Conv2D, "Conv2DTranspose": Conv2DTranspose}[name](**options)
        kerass = getattr(keras.layers, name)(**options)
        kerass(inputs)
        ours(inputs)
        ours.set_weights(kerass.get_weights())
        (found, *gradients), (expected, *expected_gradients) = (
            self.pass_through(layer, tf.constant(inputs)) for layer in (ours, kerass)
        )
        np.testing.assert_allclose(found, expected, atol=2e-5)
        for gradient, expected_gradient in zip(gradients, expected_gradients, strict=True):
            np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-4, atol=1e-4)

    @staticmethod
    def pass_through(layer, inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            loss = tf.reduce_sum(outputs**2)
        variables = [variable.value for variable in layer.trainable_variables]
        return [outputs, *tape.gradient(loss, [inputs, *variables])]

    def test_groups(self):
        inputs = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype("float32")
        ours, kerass = (
            kind(6, 4, strides=2, padding="same", groups=2)
            for kind in (Conv2D, keras.layers.Conv2D)
        )
        expected = kerass(inputs)
        ours.build(inputs.shape)
        ours.set_weights(kerass.get_weights())
        np.testing.assert_allclose(ours(inputs), expected, atol=1e-5)


class TestBatchNormalization:
    # One channel of 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9 = 14.
    VALUES = np.float32([1, 2, 3, 6]).reshape(2, 2, 1, 1)
    VARIANCE, UNBIASED = 14 / 4, 14 / 3

    @pytest.fixture
    def layer(self):
        layer = BatchNormalization(momentum=0.9, epsilon=0.5)
        layer.build((None, 2, 1, 1))
        layer.gamma.assign([2.0])
        layer.beta.assign([1.0])
        return layer

    def test_training_normalizes_by_the_batch(self, layer):
        expected = 1 + 2 * (self.VALUES - 3) / np.sqrt(self.VARIANCE + 0.5)
        np.testing.assert_allclose(layer(self.VALUES, training=True), expected, rtol=1e-6)

    def test_running_statistics(self, layer):
        layer(self.VALUES, training=True)
        # From mean 0 and variance 1 a tenth of the way.
        assert layer.moving_mean.numpy() == pytest.approx([0.3])
        assert layer.moving_variance.numpy() == pytest.approx([0.9 + 0.1 * self.UNBIASED])
        layer(10 * self.VALUES, training=True)
        assert layer.moving_mean.numpy() == pytest.approx([0.9 * 0.3 + 0.1 * 30])
        first = 0.9 + 0.1 * self.UNBIASED
        assert layer.moving_variance.numpy() == pytest.approx([0.9 * first + 10 * self.UNBIASED])

    @pytest.mark.parametrize("training", [False, None])
    def test_inference_uses_the_running_statistics_and_leaves_them(self, layer, training):
        layer.moving_mean.assign([4.0])
        layer.moving_variance.assign([1.75])
        expected = 1 + 2 * (self.VALUES - 4) / np.sqrt(1.75 + 0.5)
        np.testing.assert_allclose(layer(self.VALUES, training=training), expected, rtol=1e-6)
        assert layer.moving_mean.numpy() == [4.0]
        assert layer.moving_variance.numpy() == [1.75]

    def test_frozen_means_inference(self, layer):
        layer.trainable = False
        expected = layer(self.VALUES, training=False)
        np.testing.assert_array_equal(layer(self.VALUES, training=True), expected)
        assert layer.moving_mean.numpy() == [0.0]

    def test_mixed_precision_keeps_float32_statistics(self):
        layer = BatchNormalization(momentum=0.9, dtype="mixed_bfloat16")
        assert layer(self.VALUES, training=True).dtype == tf.bfloat16
        assert layer.moving_variance.dtype == "float32"
        # 0.3 and 14/30 + 0.9 are no bfloat16 numbers.
        assert layer.moving_mean.numpy() == pytest.approx([0.3], rel=1e-6)
        assert layer.moving_variance.numpy() == pytest.approx([0.9 + 0.1 * self.UNBIASED], rel=1e-6)


class TestSpectralConv2D:
    SIZE, CHANNELS, FILTERS = 4, 3, 8

    @classmethod
    def make(cls) -> SpectralConv2D:
        layer = SpectralConv2D(
            cls.FILTERS,
            cls.SIZE,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.3, seed=1),
            bias_initializer=keras.initializers.RandomNormal(seed=2),
        )
        layer.build((None, cls.SIZE, cls.SIZE, cls.CHANNELS))
        return layer

    @pytest.fixture
    def layer(self):
        return self.make()

    @pytest.fixture(scope="class")
    @classmethod
    def settled(cls):
        """After so many iterations that only rounding moves the vectors."""
        layer = cls.make()
        for _ in range(150):
            cls.effective_matrix(layer, training=True)
        return layer

    @classmethod
    def effective_matrix(cls, layer, training=False) -> np.ndarray:
        """The normalized kernel as (fan-in, filters): what single ones at each place come to."""
        fan_in = cls.SIZE * cls.SIZE * cls.CHANNELS
        ones = np.eye(fan_in, dtype="float32")
        ones = ones.reshape(fan_in, cls.SIZE, cls.SIZE, cls.CHANNELS)
        return layer(ones, training=training).numpy()[:, 0, 0] - layer.bias.numpy()

    def test_largest_singular_value_approaches_one(self, layer):
        matrix = layer.kernel.numpy().reshape(-1, self.FILTERS)
        largest = []
        for _ in range(100):
            effective = self.effective_matrix(layer, training=True)
            largest.append(np.linalg.svd(effective, compute_uv=False)[0])
        # Power iteration comes to sigma from below.
        assert largest[0] > 1.05
        assert all(np.diff(largest) < 1e-6)
        assert largest[-1] == pytest.approx(1.0, abs=1e-4)
        expected = matrix / np.linalg.svd(matrix, compute_uv=False)[0]
        np.testing.assert_allclose(effective, expected, atol=1e-4)
        np.testing.assert_array_equal(layer.kernel.numpy().reshape(matrix.shape), matrix)

    def test_vectors_are_the_singular_ones(self, settled):
        matrix = settled.kernel.numpy().reshape(-1, self.FILTERS)
        left, _, right = np.linalg.svd(matrix)
        assert abs(left[:, 0] @ settled.v.numpy()) == pytest.approx(1.0, abs=1e-5)
        assert abs(right[0] @ settled.u.numpy()) == pytest.approx(1.0, abs=1e-5)

    def test_vectors_move_in_training_only(self, layer):
        u, v = layer.u.numpy(), layer.v.numpy()
        first = self.effective_matrix(layer)
        np.testing.assert_array_equal(self.effective_matrix(layer), first)
        np.testing.assert_array_equal(layer.u, u)
        np.testing.assert_array_equal(layer.v, v)
        # Both modes look one iteration ahead, so the first pass in training gives the same.
        np.testing.assert_array_equal(self.effective_matrix(layer, training=True), first)
        assert not np.array_equal(layer.u, u) and not np.array_equal(layer.v, v)

    def test_only_kernel_and_bias_are_trained(self, layer):
        assert [v.name for v in layer.trainable_variables] == ["kernel", "bias"]
        assert [v.name for v in layer.non_trainable_variables] == ["u", "v"]

    def test_gradient_flows_through_sigma(self, settled):
        random = np.random.default_rng(3)
        inputs = random.normal(size=(5, self.SIZE, self.SIZE, self.CHANNELS))
        weights = random.normal(size=(5, self.FILTERS))
        with tf.GradientTape() as tape:
            outputs = settled(inputs.astype("float32"), training=True)[:, 0, 0]
            loss = tf.reduce_sum(outputs * weights.astype("float32"))
        (gradient,) = tape.gradient(loss, [settled.kernel.value])

        def loss_without_bias(kernel):
            matrix = kernel.reshape(-1, self.FILTERS)
            sigma = np.linalg.svd(matrix, compute_uv=False)[0]
            return np.sum(inputs.reshape(5, -1) @ (matrix / sigma) * weights)

        kernel = settled.kernel.numpy().astype("float64")
        differences = np.empty_like(kernel)
        step = 1e-5
        for place in np.ndindex(kernel.shape):
            moved = np.zeros_like(kernel)
            moved[place] = step
            ahead, behind = loss_without_bias(kernel + moved), loss_without_bias(kernel - moved)
            differences[place] = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(gradient, differences, atol=2e-3 * np.abs(differences).max())
        # Along the kernel itself nothing changes: that is what stopping at sigma would miss.
        along = np.sum(gradient.numpy() * kernel)
        assert abs(along) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(kernel)

    def test_mixed_precision_estimates_sigma_in_float32(self):
        layer = SpectralConv2D(4, 3, dtype="mixed_bfloat16")
        assert layer(tf.ones((1, 3, 3, 2)), training=True).dtype == tf.bfloat16
        assert layer.u.dtype == layer.v.dtype == "float32"
        assert np.linalg.norm(layer.u.numpy()) == pytest.approx(1.0, rel=1e-6)

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_mixed_precision_rounds_the_kernel_once(self, layer, precision):
        """After it was divided, and not before."""
        mixed = SpectralConv2D(self.FILTERS, self.SIZE, dtype=f"mixed_{precision}")
        mixed.build((None, self.SIZE, self.SIZE, self.CHANNELS))
        mixed.set_weights(layer.get_weights())
        mixed.bias.assign(tf.zeros(self.FILTERS))
        layer.bias.assign(tf.zeros(self.FILTERS))
        expected = tf.cast(self.effective_matrix(layer), precision)
        np.testing.assert_array_equal(self.effective_matrix(mixed), expected)


class TestChromaContrast:
    def test_keeps_the_pivot_and_the_hue(self):
        ab = np.float32([[0.1, 0.0], [0.0, -0.2], [-0.03, 0.04]])
        expected = [[0.1, 0.0], [0.0, -0.4], [-0.015, 0.02]]
        np.testing.assert_allclose(ChromaContrast(2.0, 0.1)(ab), expected, atol=1e-6)

    @pytest.mark.parametrize("contrast", [0.5, 1.5])
    def test_gray_stays_gray_and_has_a_gradient(self, contrast):
        gray = tf.zeros((1, 2))
        with tf.GradientTape() as tape:
            tape.watch(gray)
            ab = ChromaContrast(contrast, 0.1)(gray)
        np.testing.assert_array_equal(ab, 0)
        assert np.isfinite(tape.gradient(ab, gray)).all()
