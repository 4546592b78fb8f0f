import subprocess
import sys

import numpy as np
import pytest
import skimage.color
import tensorflow as tf

from keras_colorize import color, srgb


@pytest.fixture(scope="module")
def rgb_grid():
    """Every fifth 8-bit level of each component: 52 ** 3 colors, black to white."""
    levels = np.arange(0, 256, 5, dtype=np.float32) / 255.0
    return np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(52, -1, 3)


@pytest.fixture(scope="module")
def lab_grid():
    """Lab far beyond sRGB: 51 lightnesses, 43 ** 2 ab, with gray."""
    lightness = np.linspace(0.0, 100.0, 51, dtype=np.float32)
    ab = np.linspace(-126.0, 126.0, 43, dtype=np.float32)
    return np.stack(np.meshgrid(lightness, ab, ab), axis=-1).reshape(51, -1, 3)


def linear_rgb(lab):
    """Linear sRGB of Lab without clipping, in float64 by the equations of CIE 15 and IEC 61966."""
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float64), -1, 0)
    y = (lightness + 16.0) / 116.0
    root = np.stack([y + a / 500.0, y, y - b / 200.0], axis=-1)
    xyz = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    to_xyz = np.array(  # Linear sRGB to XYZ as published by B. Lindbloom.
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    return (xyz * srgb.WHITE_D65) @ np.linalg.inv(to_xyz).T


@pytest.fixture(params=["tensorflow-io", "ours"])
def implementation(request, monkeypatch):
    if request.param == "ours":  # As where tensorflow-io is not installed.
        monkeypatch.setattr(color, "lab_operations", None)


def test_ours_agrees_with_tensorflow_io(rgb_grid, lab_grid, monkeypatch):
    rgb, lab = np.float64(rgb_grid), np.float64(lab_grid)
    expected_lab, expected_rgb = color.rgb_to_lab(rgb), color.lab_to_rgb(lab)
    normalized, _ = color.split_lab(color.rgb_to_lab(rgb_grid))
    monkeypatch.setattr(color, "lab_operations", None)
    np.testing.assert_allclose(color.rgb_to_lab(rgb), expected_lab, atol=1e-5)
    np.testing.assert_allclose(color.lab_to_rgb(lab), expected_rgb, atol=1e-5)
    ours, _ = color.split_lab(color.rgb_to_lab(rgb_grid))
    np.testing.assert_allclose(ours, normalized, atol=1e-5)


def test_colors_convert_without_tensorflow_io():
    program = (
        "import sys; sys.modules['tensorflow_io'] = None\n"
        "from keras_colorize import color\n"
        "assert color.lab_operations is None\n"
        "print(*color.rgb_to_lab([[1.0, 0.0, 0.0]]).numpy()[0].round(2))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == ["53.24", "80.09", "67.2"], result.stderr


def test_the_gamut_table_is_that_of_fit_gamut():
    lightness = np.linspace(0, 100, 100 * srgb.LIGHTNESS_STEPS + 1, dtype=np.float32)
    hue = np.radians(np.linspace(0, 360, 360 * srgb.HUE_STEPS + 1, dtype=np.float32))
    lightness, hue = np.meshgrid(lightness, hue, indexing="ij")
    lab = np.stack([lightness, 200.0 * np.cos(hue), 200.0 * np.sin(hue)], axis=-1)
    chroma = np.linalg.norm(color.fit_gamut(lab)[..., 1:], axis=-1)
    np.testing.assert_allclose(srgb.max_chroma(), np.maximum(chroma, 1e-3), atol=0.06)


@pytest.mark.usefixtures("implementation")
class TestConversion:
    def test_lab_agrees_with_scikit_image(self, rgb_grid):
        expected = skimage.color.rgb2lab(rgb_grid.astype(np.float64))
        np.testing.assert_allclose(color.rgb_to_lab(rgb_grid), expected, atol=1e-3)

    def test_rgb_agrees_with_scikit_image(self, rgb_grid):
        lab = skimage.color.rgb2lab(rgb_grid.astype(np.float64)).astype(np.float32)
        expected = skimage.color.lab2rgb(lab.astype(np.float64))
        np.testing.assert_allclose(color.lab_to_rgb(lab), expected, atol=1e-5)

    # Of B. Lindbloom's calculator (brucelindbloom.com, sRGB, D65, no adaptation). His matrix and
    # the one used here differ from the sixth digit on, which is up to 0.003 at blue.
    @pytest.mark.parametrize(
        ("rgb", "lab"),
        [
            ((0, 0, 0), (0.0, 0.0, 0.0)),
            ((1, 1, 1), (100.0, 0.0, 0.0)),
            ((1, 0, 0), (53.2408, 80.0925, 67.2032)),
            ((0, 1, 0), (87.7347, -86.1827, 83.1793)),
            ((0, 0, 1), (32.2970, 79.1875, -107.8602)),
            ((1, 1, 0), (97.1393, -21.5537, 94.4780)),
            ((0, 1, 1), (91.1132, -48.0875, -14.1312)),
            ((1, 0, 1), (60.3242, 98.2343, -60.8249)),
        ],
    )
    def test_lab_of_published_colors(self, rgb, lab):
        found = color.rgb_to_lab(np.array([[rgb]], np.float32))
        np.testing.assert_allclose(found[0, 0], lab, atol=5e-3)

    def test_8_bit_colors_come_back_exactly(self, rgb_grid):
        back = color.lab_to_rgb(color.rgb_to_lab(rgb_grid))
        np.testing.assert_array_equal(np.rint(back * 255.0), np.rint(rgb_grid * 255.0))

    def test_float64_stays_float64(self):
        lab = color.rgb_to_lab(np.array([[[0.2, 0.4, 0.6]]]))
        assert lab.dtype == tf.float64
        np.testing.assert_allclose(color.lab_to_rgb(lab), [[[0.2, 0.4, 0.6]]], atol=1e-6)


class TestNormalizedTensors:
    def test_split(self):
        lightness, ab = color.split_lab(tf.constant([[75.0, 63.5, -127.0]]))
        np.testing.assert_array_equal(lightness, [[0.5]])
        np.testing.assert_array_equal(ab, [[0.5, -1.0]])

    def test_join_is_the_inverse(self, lab_grid):
        joined = color.join_lab(*color.split_lab(lab_grid))
        np.testing.assert_allclose(joined, lab_grid, atol=1e-5)


class TestFitGamut:
    def test_colors_inside_are_returned_bit_for_bit(self, rgb_grid):
        lab = color.rgb_to_lab(rgb_grid).numpy()
        assert color.fit_gamut(lab).numpy().tobytes() == lab.tobytes()

    def test_all_colors_come_inside(self, lab_grid):
        linear = linear_rgb(color.fit_gamut(lab_grid))
        assert linear.min() > -2e-4
        assert linear.max() < 1.0002

    def test_no_component_is_clipped_afterwards(self, lab_grid):
        fitted = color.fit_gamut(lab_grid).numpy()
        rgb = np.rint(color.lab_to_rgb(fitted).numpy() * 255.0).astype(np.float32) / 255.0
        # Rounding to 8 bits costs up to about 0.7 in Lab, clipping up to 100.
        np.testing.assert_allclose(color.rgb_to_lab(rgb), fitted, atol=1.0)

    def test_lightness_and_hue_stay_and_chroma_never_grows(self, lab_grid):
        fitted = color.fit_gamut(lab_grid).numpy()
        np.testing.assert_array_equal(fitted[..., 0], lab_grid[..., 0])
        before, after = (
            lab[..., 1].astype(np.float64) + 1j * lab[..., 2] for lab in (lab_grid, fitted)
        )
        aligned = after * before.conj()
        np.testing.assert_allclose(aligned.imag, 0.0, atol=2e-3)
        assert aligned.real.min() >= 0.0
        assert (abs(after) <= abs(before)).all()

    def test_no_chroma_is_given_away(self, lab_grid):
        fitted = color.fit_gamut(lab_grid).numpy()
        reduced = (fitted != lab_grid).any(axis=-1)
        assert reduced.mean() > 0.5
        more = fitted + np.float32([0.0, 1 / 1000, 1 / 1000]) * lab_grid
        linear = linear_rgb(more[reduced])
        assert ((linear < 0.0) | (linear > 1.0)).any(axis=-1).all()

    def test_gray_has_nothing_to_lose(self):
        gray = np.zeros((1, 101, 3), np.float32)
        gray[..., 0] = np.arange(101)
        np.testing.assert_array_equal(color.fit_gamut(gray), gray)


class TestRender:
    def test_8_bit_images_come_back(self, rgb_grid):
        rgb = color.render(*color.split_lab(color.rgb_to_lab(rgb_grid)))
        assert rgb.dtype == tf.uint8
        np.testing.assert_array_equal(rgb, np.rint(rgb_grid * 255.0))

    def test_colors_beyond_srgb_keep_their_lightness(self, lab_grid):
        rgb = tf.cast(color.render(*color.split_lab(lab_grid)), tf.float32) / 255.0
        # Rounding to 8 bits costs up to 0.25 in L; clipping would cost up to 60.
        np.testing.assert_allclose(color.rgb_to_lab(rgb)[..., 0], lab_grid[..., 0], atol=0.3)


def test_delta_e_76_is_the_distance():
    found = color.delta_e_76(tf.constant([[50.0, 1.0, 2.0]]), tf.constant([[52.0, 4.0, 8.0]]))
    np.testing.assert_allclose(found, [7.0], rtol=1e-6)


# A graph rounds otherwise: at the rim of the gamut that may turn the last bisection step of
# `fit_gamut`, 1 / 4096 of a chroma of up to 178.
@pytest.mark.parametrize(
    ("function", "tolerance"),
    [(color.rgb_to_lab, 1e-4), (color.lab_to_rgb, 5e-5), (color.fit_gamut, 0.045)],
)
def test_the_same_in_a_graph_and_in_tf_data(function, tolerance, rgb_grid, lab_grid):
    values = rgb_grid if function is color.rgb_to_lab else lab_grid
    eager = function(values).numpy()
    traced = tf.function(function, input_signature=[tf.TensorSpec([None, None, 3], tf.float32)])
    np.testing.assert_allclose(traced(values), eager, rtol=0, atol=tolerance)
    (mapped,) = tf.data.Dataset.from_tensors(values).map(function)
    np.testing.assert_allclose(mapped, eager, rtol=0, atol=tolerance)
