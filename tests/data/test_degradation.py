import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from keras_colorize.data.degradation import BLUR_STEPS, degrade, random_degradations
from keras_colorize.data.pipeline import training_batches
from tests.lab_caches import cache_lab

SIDE = 160
SHARPEST, UNCHANGED = 1 / BLUR_STEPS, (0.0, 1.0, 0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def lightness() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (3, SIDE, SIDE, 1)).astype(np.float32)


def degraded(lightness, *degradations, seed: int = 0) -> np.ndarray:
    seeds = tf.constant([(seed, number) for number in range(len(lightness))], tf.int32)
    return degrade(tf.constant(lightness), tf.constant(degradations, tf.float32), seeds).numpy()


def test_none_leaves_images_as_they_are(lightness):
    np.testing.assert_allclose(degraded(lightness, *[UNCHANGED] * 3), lightness, atol=2e-7)


def test_blur_is_a_gaussian_of_each_image_its_own(lightness):
    """Against SciPy."""
    shares = [SHARPEST, SHARPEST / 2, 0.0]
    blurred = degraded(lightness, *[(share, 1.0, 0.0, 1.0, 0.0) for share in shares])
    for image, of, share in zip(blurred, lightness, shares, strict=True):
        expected = of[..., 0]
        if share:
            radius = round(3 * SHARPEST * SIDE)
            expected = scipy.ndimage.gaussian_filter(expected, share * SIDE, radius=radius)
        np.testing.assert_allclose(image[..., 0], expected, atol=1e-5)


def test_tones():
    ramp = np.tile(np.linspace(-1, 1, SIDE + 1, dtype=np.float32)[:SIDE, None], (2, SIDE, 1, 1))
    ramp = ramp.reshape(2, SIDE, SIDE, 1)
    faded, darkened = degraded(ramp, (0.0, 1.0, 0.2, 0.7, 0.0), (0.0, 1.5, 0.0, 1.0, 0.0))
    np.testing.assert_allclose(faded, 2 * (0.2 + 0.5 * (ramp[0] + 1) / 2) - 1, atol=1e-6)
    np.testing.assert_allclose(darkened, 2 * ((ramp[0] + 1) / 2) ** 1.5 - 1, atol=1e-6)


def test_grain():
    gray = np.zeros((3, SIDE, SIDE, 1), np.float32)
    grainy = degraded(gray, *[(0.0, 1.0, 0.0, 1.0, 0.05)] * 3)
    np.testing.assert_allclose(grainy.std(axis=(1, 2)), 0.05, rtol=0.03)
    np.testing.assert_allclose(grainy.mean(axis=(1, 2)), 0.0, atol=2e-3)
    assert np.abs(np.corrcoef(grainy.reshape(3, -1)) - np.eye(3)).max() < 0.03
    again = degraded(gray, *[(0.0, 1.0, 0.0, 1.0, 0.05)] * 3, seed=1)
    assert np.abs(np.corrcoef(grainy[0].ravel(), again[0].ravel())[0, 1]) < 0.03


def test_stays_in_range(lightness):
    grainy = degraded(lightness, *[(0.0, 1.0, 0.0, 1.0, 0.06)] * 3)
    assert grainy.min() == -1 and grainy.max() == 1


def test_what_is_drawn():
    values, seeds = random_degradations(4000, 0.25, (3, tf.constant(1)))
    is_degraded = (values.numpy() != np.float32(UNCHANGED)).any(axis=-1)
    assert 0.22 < is_degraded.mean() < 0.28
    blur, gamma, black, white, grain = values.numpy()[is_degraded].T
    assert 0.44 < (blur > 0).mean() < 0.56 and 0.44 < (grain > 0).mean() < 0.56
    assert 0.9 * SHARPEST < blur.max() <= SHARPEST
    assert 0.6 < gamma.min() < 0.64 and 1.6 < gamma.max() < 1.65
    assert black.min() >= 0 and 0.2 < black.max() <= 0.25
    assert 0.65 <= white.min() < 0.7 and white.max() <= 1
    assert 0.05 < grain.max() <= 0.06
    assert len({tuple(seed) for seed in seeds.numpy()}) == 4000


def test_training_batches_keep_the_colors():
    rgb = np.random.default_rng(0).integers(0, 256, (23, 32, 32, 3), np.uint8)
    cache = cache_lab(rgb)

    def batches(epoch: int = 3, **options) -> tuple[np.ndarray, np.ndarray]:
        number = tf.Variable(epoch)
        found = [*training_batches(cache, 5, epoch=number, seed=7, crop=0.7, **options)]
        return tuple(np.concatenate(part) for part in zip(*found, strict=True))

    lightness, ab = batches()
    degraded_lightness, same_ab = batches(degraded_share=0.5)
    np.testing.assert_array_equal(same_ab, ab)
    is_degraded = (np.abs(degraded_lightness - lightness) > 1e-5).any(axis=(1, 2, 3))
    assert 5 < is_degraded.sum() < 18
    np.testing.assert_array_equal(batches(degraded_share=0.5)[0], degraded_lightness)
    resumed, _ = batches(degraded_share=0.5, first_batch=2)
    np.testing.assert_array_equal(resumed, degraded_lightness[10:])
    assert not np.array_equal(batches(4, degraded_share=0.5)[0], batches(4)[0])
