import cv2
import numpy as np
import pytest
import skimage.color
import skimage.metrics
import tensorflow as tf

from keras_colorize.color import rgb_to_lab
from keras_colorize.evaluation import metrics

# L1 a1 b1 L2 a2 b2 and the CIEDE2000 between them. Source: G. Sharma, W. Wu, E. N. Dalal, The
# CIEDE2000 color-difference formula: implementation notes, supplementary test data, and
# mathematical observations, Color Research and Application 30 (1), 2005, table 1;
# http://www2.ece.rochester.edu/~gsharma/ciede2000/dataNprograms/ciede2000testdata.txt
SHARMA_PAIRS = np.array(
    [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ]
)


@pytest.fixture
def colorized(photographs):
    """The same with colors rotated and noise: differences from none to large."""
    rng = np.random.default_rng(7)
    strength = np.linspace(0.0, 1.0, len(photographs))[:, None, None, None]
    mixed = (1 - strength) * photographs + strength * photographs[..., [1, 2, 0]]
    noisy = mixed + strength * rng.normal(0.0, 20.0, photographs.shape)
    return np.rint(noisy.clip(0, 255)).astype(np.uint8)


def lab_of(rgb, dtype=np.float32):
    return rgb_to_lab(rgb.astype(dtype) / 255).numpy()


class TestCiede2000:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_published_pairs_both_ways(self, dtype):
        assert SHARMA_PAIRS.shape == (34, 7)
        lab, other = SHARMA_PAIRS[:, :3].astype(dtype), SHARMA_PAIRS[:, 3:6].astype(dtype)
        for found in (metrics.ciede2000(lab, other), metrics.ciede2000(other, lab)):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, SHARMA_PAIRS[:, 6], atol=1e-4)

    def test_agrees_with_scikit_image(self, photographs, colorized):
        lab, other = lab_of(photographs, np.float64), lab_of(colorized, np.float64)
        expected = skimage.color.deltaE_ciede2000(lab, other)
        np.testing.assert_allclose(metrics.ciede2000(lab, other), expected, atol=1e-9)
        found = metrics.ciede2000(lab.astype(np.float32), other.astype(np.float32))
        np.testing.assert_allclose(found, expected, atol=1e-3)

    def test_equal_and_gray_colors(self, photographs):
        lab = lab_of(photographs)
        np.testing.assert_array_equal(metrics.ciede2000(lab, lab), np.zeros(lab.shape[:-1]))
        gray = lab * np.float32([1.0, 0.0, 0.0])
        found = metrics.ciede2000(lab, gray).numpy()
        expected = skimage.color.deltaE_ciede2000(lab.astype(np.float64), gray.astype(np.float64))
        np.testing.assert_allclose(found, expected, atol=1e-3)


class TestPerceptionShares:
    def test_the_bounds_belong_to_the_lower_class(self):
        delta_e = np.float32([[[0.0, 1.0], [1.01, 2.0]], [[10.0, 10.5], [49.0, 49.5]]])
        found = metrics.perception_shares(delta_e)
        expected = [[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.25, 0.5, 0.25]]
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_nothing_falls_between_the_classes(self, photographs, colorized):
        delta_e = metrics.ciede2000(lab_of(photographs), lab_of(colorized))
        shares = metrics.perception_shares(delta_e)
        assert shares.shape == (len(photographs), len(metrics.PERCEPTION_BOUNDS))
        np.testing.assert_allclose(tf.reduce_sum(shares, axis=-1), 1.0, atol=1e-6)


class TestLabAccuracy:
    def test_by_hand(self):
        # L of gray 128, 116 and 115 is 53.585, 48.96 and 48.56; times 2.55: 137, 125 and 124.
        original = np.full((1, 1, 4, 3), 128, np.uint8)
        other = original.copy()
        other[0, 0, 1] = 116
        other[0, 0, 2] = 115
        other[0, 0, 3] = (255, 0, 0)
        np.testing.assert_array_equal(metrics.lab_accuracy(original, other), [0.5])

    def test_images_are_evaluated_apart(self, photographs, colorized):
        found = metrics.lab_accuracy(photographs, colorized)
        for index in (0, 60, 191):
            pair = photographs[index], colorized[index]
            lab, other = (cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(int) for rgb in pair)
            assert found[index] == (abs(lab - other) <= 12.75).all(axis=-1).mean()
        assert found[0] == 1.0
        assert 0.0 < found[60] < 1.0


class TestPsnr:
    def test_agrees_with_scikit_image(self, photographs, colorized):
        found = metrics.psnr(photographs, colorized).numpy()
        for index in (20, 60, 191):
            pair = photographs[index], colorized[index]
            expected = skimage.metrics.peak_signal_noise_ratio(*pair, data_range=255)
            assert found[index] == pytest.approx(expected, abs=1e-3)

    def test_one_level_everywhere(self):
        dark = np.zeros((1, 8, 8, 3), np.uint8)
        # Mean squared error 1: 20 * log10(255).
        assert metrics.psnr(dark, dark + 1).numpy() == pytest.approx([48.1308], abs=1e-4)

    def test_identical_images_are_finite(self, photographs):
        np.testing.assert_array_equal(metrics.psnr(photographs, photographs), 100.0)


class TestSsim:
    def test_agrees_with_scikit_image(self, photographs, colorized):
        found = metrics.ssim(photographs, colorized).numpy()
        for index in (0, 60, 191):
            expected = skimage.metrics.structural_similarity(
                photographs[index],
                colorized[index],
                channel_axis=-1,
                data_range=255,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            assert found[index] == pytest.approx(expected, abs=1e-4)
        assert found[0] == pytest.approx(1.0)

    @pytest.mark.parametrize("size", [1, 2, 7, 10, 11])
    def test_images_smaller_than_the_window(self, photographs, size):
        small = photographs[:3, :size, :size]
        np.testing.assert_allclose(metrics.ssim(small, small), 1.0, atol=1e-6)
        assert (metrics.ssim(small, 255 - small).numpy() < 0.95).all()


class TestColorfulness:
    def test_by_hand(self):
        # Half red, half green: red - green is +255 and -255 (mean 0, deviation 255), and
        # (red + green) / 2 - blue is 127.5 everywhere: 255 + 0.3 * 127.5.
        halves = np.zeros((1, 2, 2, 3), np.uint8)
        halves[0, 0] = (255, 0, 0)
        halves[0, 1] = (0, 255, 0)
        assert metrics.colorfulness(halves).numpy() == pytest.approx([293.25])
        # Absolute, both differences are constant: 0 + 0.3 * sqrt(255 ** 2 + 127.5 ** 2).
        assert metrics.colorfulness_absolute(halves).numpy() == pytest.approx([85.5296], abs=1e-4)

    def test_gray_has_none(self):
        gray = np.repeat(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1), 3, axis=-1)
        assert metrics.colorfulness(gray)[0] == 0.0
        assert metrics.colorfulness_absolute(gray)[0] == 0.0

    def test_formula_on_photographs(self, photographs):
        red, green, blue = np.moveaxis(photographs.astype(np.float64), -1, 0)
        differences = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, 192, -1)
        for function, pair in (
            (metrics.colorfulness, differences),
            (metrics.colorfulness_absolute, abs(differences)),
        ):
            expected = np.hypot(*pair.std(axis=-1)) + 0.3 * np.hypot(*pair.mean(axis=-1))
            np.testing.assert_allclose(function(photographs), expected, rtol=1e-4)
