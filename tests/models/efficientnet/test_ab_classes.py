import numpy as np
import pytest
import tensorflow as tf
from skimage.color import rgb2lab

from keras_colorize.color import AB_SCALE, rgb_to_lab
from keras_colorize.models.efficientnet.ab_classes import CELL, class_centers, class_targets


def test_centers_are_corners_of_cells_in_srgb() -> None:
    centers = class_centers() * AB_SCALE
    cells = centers / CELL
    np.testing.assert_allclose(cells, np.rint(cells), atol=1e-5)
    values = np.linspace(0, 1, 65)
    low = np.floor(rgb2lab(np.stack(np.meshgrid(values, values, values), axis=-1))[..., 1:] / CELL)
    corners = {(a + i, b + j) for a, b in low.reshape(-1, 2) for i in (0, 1) for j in (0, 1)}
    assert set(map(tuple, np.rint(cells))) == corners
    assert len(centers) == 221


def test_targets_are_shares_of_the_nearest_classes() -> None:
    centers = class_centers() * AB_SCALE

    def index(a: float, b: float) -> int:
        return int(np.abs(centers - [a, b]).sum(axis=1).argmin())

    # 3 of 12 units beyond a = 12, and 6 of 12 below b = 0.
    targets = class_targets(tf.constant([15.0, -6.0]) / AB_SCALE).numpy()
    expected = {(12, -12): 0.375, (12, 0): 0.375, (24, -12): 0.125, (24, 0): 0.125}
    assert {index(*color): targets[index(*color)] for color in expected} == pytest.approx(
        {index(*color): share for color, share in expected.items()}, abs=1e-5
    )
    assert targets.sum() == pytest.approx(1.0)


def test_the_mean_of_targets_is_the_color() -> None:
    rgb = np.random.default_rng(0).uniform(0, 1, (4, 50, 50, 3)).astype("float32")
    ab = rgb_to_lab(rgb)[..., 1:] / AB_SCALE
    targets = class_targets(ab).numpy()
    np.testing.assert_allclose(targets.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(targets @ class_centers(), ab, atol=1e-5)


def test_colors_beyond_srgb_have_targets_too() -> None:
    targets = class_targets(tf.constant([[2.0, -2.0], [-1.0, 1.0], [0.9, 0.9]])).numpy()
    np.testing.assert_allclose(targets.sum(axis=-1), 1, atol=1e-5)
