import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from keras_colorize.color import normalize
from keras_colorize.data.cache import MemoryCache
from keras_colorize.data.lab import LAB_STEPS
from keras_colorize.data.pipeline import training_batches, validation_batches
from tests.lab_caches import cache_lab

COUNT, BATCH = 83, 8  # Ten whole batches, and one of three.


@pytest.fixture(scope="module")
def rgb() -> np.ndarray:
    """Images as random as they can be, so no two are alike, nor one and its mirror image."""
    return np.random.default_rng(0).integers(0, 256, (COUNT, 6, 6, 3), np.uint8)


@pytest.fixture(scope="module")
def known(rgb) -> np.ndarray:
    """What each image becomes, as it is and mirrored, (2 * COUNT, S, S, 3)."""
    return np.concatenate([together(normalize(side)) for side in (rgb, rgb[:, :, ::-1])])


def together(batch) -> np.ndarray:
    return np.concatenate([tensor.numpy() for tensor in batch], axis=-1)


def training(rgb, epoch: int = 0, seed: int = 0, **options) -> tf.data.Dataset:
    number = tf.Variable(epoch, dtype=tf.int32)
    return training_batches(cache_lab(rgb), BATCH, epoch=number, seed=seed, **options)


def drawn(batches: tf.data.Dataset, known: np.ndarray) -> list[tuple[int, bool]]:
    """Number of each image and whether it is mirrored, in order; each is one of the known."""
    found = []
    for image in np.concatenate([together(batch) for batch in batches]):
        differences = np.abs(known - image).max(axis=(1, 2, 3))
        nearest = int(differences.argmin())
        assert differences[nearest] < 1.6e-5  # half a step of the cache, and float32's rounding
        found.append((nearest % COUNT, nearest >= COUNT))
    return found


class TestTraining:
    def test_every_image_once(self, rgb, known):
        for epoch in (0, 1, 666):
            numbers = [number for number, _ in drawn(training(rgb, epoch), known)]
            assert sorted(numbers) == list(range(COUNT))
            assert numbers != sorted(numbers)

    def test_shapes(self, rgb):
        batches = training(rgb)
        assert len(batches) == 11
        sizes = [len(lightness) for lightness, _ in batches]
        assert sizes == [BATCH] * 10 + [3]
        lightness, ab = batches.element_spec
        assert lightness == tf.TensorSpec((None, 6, 6, 1), tf.float32)
        assert ab == tf.TensorSpec((None, 6, 6, 2), tf.float32)

    def test_seed_and_epoch_decide(self, rgb, known):
        assert drawn(training(rgb, 3, seed=1), known) == drawn(training(rgb, 3, seed=1), known)
        orders = [
            tuple(drawn(training(rgb, epoch, seed), known))
            for epoch, seed in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1))
        ]
        assert len(set(orders)) == len(orders)

    def test_each_iteration_reads_the_epoch(self, rgb, known):
        epoch = tf.Variable(0, dtype=tf.int32)
        batches = training_batches(cache_lab(rgb), BATCH, epoch=epoch, seed=0)
        first = drawn(batches, known)
        epoch.assign(1)
        assert drawn(batches, known) == drawn(training(rgb, 1), known)
        epoch.assign(0)
        assert drawn(batches, known) == first

    @pytest.mark.parametrize("first_batch", [1, 7, 10])
    def test_an_interrupted_epoch_goes_on(self, rgb, first_batch):
        rest = training(rgb, 5, first_batch=first_batch)
        assert len(rest) == 11 - first_batch
        expected = list(training(rgb, 5))[first_batch:]
        for found, batch in zip(rest, expected, strict=True):
            np.testing.assert_array_equal(together(found), together(batch))

    def test_about_half_are_mirrored(self, rgb, known):
        sides = np.array(
            [[side for _, side in sorted(drawn(training(rgb, epoch), known))] for epoch in range(8)]
        )
        # 664 draws: their standard deviation is 13.
        assert abs(sides.sum() - sides.size / 2) < 40
        # No image keeps its side, but for one in 128.
        assert np.mean(sides.any(axis=0) & ~sides.all(axis=0)) > 0.9

    def test_flip_can_be_left_out(self, rgb, known):
        assert not any(side for _, side in drawn(training(rgb, flip=False), known))

    def test_flipping_leaves_the_order(self, rgb, known):
        plain, flipped = (drawn(training(rgb, flip=flip), known) for flip in (False, True))
        assert [number for number, _ in plain] == [number for number, _ in flipped]


class TestValidation:
    def test_everything_in_order_and_as_it_is(self, rgb, known):
        batches = validation_batches(cache_lab(rgb), BATCH)
        assert len(batches) == 11
        for _ in range(2):
            assert drawn(batches, known) == [(number, False) for number in range(COUNT)]
        assert batches.element_spec == training(rgb).element_spec


class TestNormalize:
    def test_lab_of_scikit_image(self, rgb):
        lightness, ab = (tensor.numpy() for tensor in normalize(rgb))
        assert (lightness.dtype, ab.dtype) == (np.float32, np.float32)
        expected = skimage.color.rgb2lab(rgb)
        np.testing.assert_allclose(50 * (lightness + 1), expected[..., :1], atol=1e-3)
        np.testing.assert_allclose(127 * ab, expected[..., 1:], atol=2e-3)

    def test_ranges(self):
        corners = np.array(np.meshgrid(*[[0, 255]] * 3), np.uint8).reshape(3, -1).T
        lightness, ab = normalize(corners)
        assert float(tf.reduce_min(lightness)) == pytest.approx(-1, abs=1e-6)
        assert float(tf.reduce_max(lightness)) == pytest.approx(1, abs=1e-5)
        # Green's a of -86 and magenta's of 98; blue's b of -108 and yellow's of 94.
        np.testing.assert_allclose(np.min(ab, axis=0) * 127, [-86.18, -107.85], atol=0.05)
        np.testing.assert_allclose(np.max(ab, axis=0) * 127, [98.25, 94.48], atol=0.05)


def test_no_autotuning(rgb):
    # Its thread sleeps for up to a minute, and the end of an epoch may have to wait for it.
    for batches in (training(rgb), validation_batches(cache_lab(rgb), BATCH)):
        assert batches.options().autotune.enabled is False


class TestCrops:
    def test_are_squares_of_the_image_enlarged(self):
        """On a ramp the values at a crop's corners tell where it lies."""
        side = 33
        ramp = np.zeros((COUNT, side, side, 3), np.int16)
        ramp[..., 1] = np.arange(side)[:, None] * 100
        ramp[..., 2] = np.arange(side) * 100
        cache = MemoryCache(COUNT, side)
        cache.append(ramp)
        epoch = tf.Variable(0)
        crops = [
            ab.numpy() * LAB_STEPS / 100 / (side - 1)
            for _, ab in training_batches(cache, BATCH, epoch=epoch, seed=0, flip=False, crop=0.5)
        ]
        ab = np.concatenate(crops)
        assert ab.shape == (COUNT, side, side, 2)
        top, left = ab[:, 0, 0, 0], ab[:, 0, 0, 1]
        height, width = ab[:, -1, 0, 0] - top, ab[:, 0, -1, 1] - left
        np.testing.assert_allclose(height, width, atol=1e-4)
        assert ((height > 0.499) & (height < 1.001)).all()
        assert 0.7 < height.mean() < 0.8
        assert min(top.min(), left.min()) >= -1e-4
        assert max((top + height).max(), (left + width).max()) <= 1 + 1e-4
        assert np.abs(np.corrcoef(top / (1.001 - height), left / (1.001 - width))[0, 1]) < 0.5

    def test_follow_seed_and_epoch_alone(self, rgb):
        def lightness(epoch: int, **options) -> np.ndarray:
            batches = training(rgb, epoch, crop=0.6, **options)
            return np.concatenate([lightness for lightness, _ in batches])

        first = lightness(3)
        np.testing.assert_array_equal(lightness(3), first)
        np.testing.assert_array_equal(lightness(3, first_batch=4), first[4 * BATCH :])
        assert not np.array_equal(lightness(4), first)
        assert not np.array_equal(lightness(3, seed=1), first)
