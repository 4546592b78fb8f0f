import numpy as np
import pytest
from skimage.color import rgb2lab

from keras_colorize.data.painting import Material, Sketch, paint


def painted(material: Material, lightness: float, size: int = 64) -> np.ndarray:
    sketch = Sketch(size, np.random.default_rng(1))
    sketch.cover(0.0, material, (lightness, lightness), texture=(2, 2, 0.0))
    return rgb2lab(paint(sketch))


@pytest.mark.parametrize(
    ("material", "expected"),
    [
        (Material.LINEN, (75, 1, 2)),
        (Material.UMBER, (30, 9, 18)),
        (Material.MEADOW, (55, -24, 44)),
        (Material.NIGHT_SKY, (20, -2, -24)),
        (Material.ROOF_TILES, (35, 34, 26)),
    ],
)
def test_a_material_has_its_palettes_color_at_that_lightness(material, expected):
    lab = painted(material, expected[0])
    # The strokes differ in lightness and tint, on purpose: the mean is what is asked for.
    np.testing.assert_allclose(lab.mean(axis=(0, 1)), expected, atol=3.0)


def test_strokes_are_visible():
    lightness = painted(Material.SLATE, 50.0)[..., 0]
    assert 1.5 < lightness.std() < 6.0


@pytest.mark.parametrize("material", Material)
def test_palettes_go_from_dark_to_light(material):
    lightness = [stop[0] for stop in material.palette]
    assert lightness == sorted(lightness)
    assert all(0 <= value <= 100 for value in lightness)


def test_a_ball_is_lit_from_the_upper_left():
    sketch = Sketch(100, np.random.default_rng(1))
    sketch.ball(0.5, 0.5, (0.4, 0.4), Material.ORANGE, (20, 60))
    material, lightness, _ = np.moveaxis(sketch.plan, -1, 0)
    assert (material[50, 50], material[5, 5]) == (Material.ORANGE, 0)
    assert lightness[35, 35] > lightness[50, 50] > lightness[70, 70]


def test_things_may_stand_half_or_wholly_outside_the_image():
    sketch = Sketch(20, np.random.default_rng(1))
    for x in (-2.0, -0.1, 1.1, 3.0):
        sketch.ball(x, 0.5, (0.2, 0.2), Material.PLUM, (10, 30))
        sketch.shadow(x, 0.5, (0.2, 0.2), 0.5)
        sketch.glow(x, 0.5, (0.2, 0.2), 20.0)
        sketch.polygon([(x, 0.2), (x + 0.2, 0.2), (x, 0.6)], Material.CREAM, 80)
    assert sketch.plan[10, 0, 0] == sketch.plan[10, 19, 0] == Material.PLUM
