import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.color import normalize
from keras_colorize.data.lab import LAB_STEPS, lab_from_rgb, normalize_8_bits, rgb_from_lab
from tests.lab_caches import cache_lab


@pytest.fixture(scope="module")
def every_color():
    """Every third 8-bit color, and so every value of each component; uint8, (256, 86, 256, 3)."""
    levels = np.arange(256, dtype=np.uint8)
    red, green, blue = np.meshgrid(levels, levels[::3], levels, indexing="ij")
    return np.stack([red, green, blue], axis=-1)


def expected(rgb: np.ndarray) -> np.ndarray:
    return tf.concat(normalize(rgb), axis=-1).numpy()


def test_agrees_with_tensorflow_io(every_color):
    for rgb in every_color[::8]:
        np.testing.assert_allclose(normalize_8_bits(rgb), expected(rgb), rtol=0, atol=1e-5)


def test_images_come_back_exactly(every_color):
    np.testing.assert_array_equal(rgb_from_lab(lab_from_rgb(every_color)), every_color)


@pytest.mark.parametrize(("count", "size"), [(5, 200), (70, 32)])  # by 1; by 32 and 6
def test_within_half_a_step(count, size):
    rgb = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)
    lab = lab_from_rgb(rgb)
    assert lab.dtype == np.int16
    # Half a step, and what `normalize_8_bits` differs by.
    np.testing.assert_allclose(lab / LAB_STEPS, expected(rgb), rtol=0, atol=0.54 / LAB_STEPS)


@pytest.mark.parametrize("size", [32, 48, 80, 112])
def test_an_image_is_converted_alike_beside_any_others(size):
    """Or a cache that was filled in two parts would differ from one filled at once."""
    rgb = np.random.default_rng(2).integers(0, 256, (41, size, size, 3), np.uint8)
    together = lab_from_rgb(rgb)
    for count in (1, 7, 32):
        parts = [lab_from_rgb(rgb[start : start + count]) for start in range(0, len(rgb), count)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_ends_of_the_range():
    # White's L may be a little above 100 in float32; it must not become the darkest.
    ends = np.zeros((2, 1, 1, 3), np.uint8)
    ends[1] = 255
    np.testing.assert_array_equal(lab_from_rgb(ends)[..., 0].ravel(), [-LAB_STEPS, LAB_STEPS])


def test_a_cache_lets_go_of_the_images():
    rgb = np.zeros((3, 8, 8, 3), np.uint8)
    reference = weakref.ref(rgb)
    cache = cache_lab(rgb)
    del rgb
    gc.collect()
    assert reference() is None
    assert cache.rows(0, 9).shape == (3, 8, 8, 3)
