"""Procedurally painted landscapes, seas and still lifes in which lightness determines the color.

Seeded images for the quickstart and the tests. Lightness, texture and place of a thing show what
it is, and that decides its color, so a small network learns to colorize them in a minute or two.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from keras_colorize.data.painting import Material, Sketch, paint


def paint_scenes(count: int, image_size: int, seed: int) -> np.ndarray:
    """Paints scenes: landscapes, seas and still lifes, about as many of each.

    Args:
        count: how many; 0 or more.
        image_size: height and width, in pixels; 8 or more.
        seed: 0 or more. A scene depends on the seed, its index and the size only, so painting
            more of them leaves the first as they are.

    Returns:
        uint8, shape (count, image_size, image_size, 3), sRGB.
    """
    scenes = np.empty((count, image_size, image_size, 3), np.uint8)
    for index, scene in enumerate(scenes):
        sketch = Sketch(2 * image_size, np.random.default_rng((seed, index)))
        draw = _SCENES[sketch.rng.integers(len(_SCENES))]
        draw(sketch)
        cv2.resize(paint(sketch), (image_size, image_size), scene, interpolation=cv2.INTER_AREA)
    return scenes


class _Hour(NamedTuple):
    """The light of a time of day; lightness is L."""

    sky: Material
    sky_lightness: tuple[float, float]  # At the top of the image and at the horizon.
    sea: Material
    sea_lightness: tuple[float, float]  # At the horizon and near by.
    light: float  # What the lightness of things on the ground is multiplied by.


_DAY = _Hour(Material.DAY_SKY, (64, 93), Material.DAY_SEA, (46, 26), 1.0)
_EVENING = _Hour(Material.EVENING_SKY, (36, 86), Material.EVENING_SEA, (70, 20), 0.6)
_NIGHT = _Hour(Material.NIGHT_SKY, (12, 36), Material.NIGHT_SEA, (32, 8), 0.35)
_HOURS = (_DAY, _DAY, _DAY, _EVENING, _NIGHT)

# Materials and their lightness.
_FIELDS = ((Material.MEADOW, 50), (Material.MEADOW, 42), (Material.WHEAT, 72), (Material.EARTH, 36))
# Materials and their lightness from above to below.
_WALLS = ((Material.UMBER, (24, 10)), (Material.UMBER, (16, 8)), (Material.SLATE, (58, 46)))
_CLOTHS = ((Material.VELVET, (26, 16)), (Material.LINEN, (88, 74)), (Material.TIMBER, (40, 30)))
# Materials and their lightness in shadow and in light.
_VESSELS = ((Material.COPPER, (16, 58)), (Material.GLASS, (6, 30)))
# Likewise, with half the width and half the height.
_FRUITS = (
    (Material.LEMON, (50, 86), (0.08, 0.065)),
    (Material.PEAR, (34, 70), (0.075, 0.095)),
    (Material.ORANGE, (28, 63), (0.085, 0.085)),
    (Material.APPLE, (12, 45), (0.09, 0.08)),
    (Material.PLUM, (5, 28), (0.055, 0.055)),
)


def _landscape(sketch: Sketch) -> None:
    """Mountains, fields, a path, a house and trees under a sky."""
    rng = sketch.rng
    horizon = rng.uniform(0.35, 0.65)
    hour, _ = _sky(sketch, horizon)
    light = hour.light
    if rng.random() < 0.6:
        peaks = sketch.outline(horizon - rng.uniform(0.05, 0.2), 0.13, 4)
        tones = (94 * light, 58 * light)
        sketch.cover(peaks, Material.MOUNTAIN, tones, depth=0.16, texture=(8, 8, 6.0), angle=110)
    hills = sketch.outline(horizon, 0.04, 3)
    sketch.cover(hills, Material.MOUNTAIN, (50 * light, 42 * light), depth=0.1)
    top = horizon + 0.02
    while top < 0.9:
        edge = sketch.outline(top, 0.03, 2)
        material, tone = _FIELDS[rng.integers(len(_FIELDS))]
        tones = (1.08 * tone * light, 0.85 * tone * light)
        slope = int(rng.integers(-12, 12)) % 180
        sketch.cover(edge, material, tones, texture=(9, 4, 4.0), angle=slope)
        if rng.random() < 0.7:
            _bushes(sketch, edge, 0.025 + 0.12 * (top - horizon), light)
        top += rng.uniform(0.06, 0.28)
    if rng.random() < 0.4:
        _path(sketch, horizon + 0.03, light)
    if rng.random() < 0.4:
        _house(sketch, rng.uniform(0.15, 0.85), horizon + rng.uniform(0.08, 0.2), light)
    if rng.random() < 0.6:
        _tree(sketch, 0.12 + 0.76 * rng.beta(0.4, 0.4), rng.uniform(0.8, 0.95), light)
    thicket = sketch.outline(0.95, 0.08, 6)
    sketch.cover(thicket, Material.FOLIAGE, (26 * light, 10 * light), depth=0.15, angle=90)


def _sea(sketch: Sketch) -> None:
    """A sea with sails; sometimes a coast, a beach, the sun or the moon on the water."""
    rng = sketch.rng
    horizon = rng.uniform(0.35, 0.6)
    hour, sun = _sky(sketch, horizon)
    light = hour.light
    if rng.random() < 0.5:
        _coast(sketch, horizon, light)
    sketch.cover(horizon, hour.sea, hour.sea_lightness, texture=(22, 5, 2.0 + 6.0 * light))
    if sun is not None:
        for y in np.arange(horizon, 1.0, 0.03):
            sketch.glow(sun + rng.normal(0.0, 0.02), y, (rng.uniform(0.03, 0.09), 0.008), 34.0)
    for nearness in np.sort(rng.uniform(0.02, 0.5, rng.integers(4))):
        y = horizon + nearness * (1.0 - horizon)
        _boat(sketch, rng.uniform(0.1, 0.9), y, 0.06 + 0.2 * nearness, light)
    if rng.random() < 0.5:
        shore = sketch.outline(rng.uniform(0.8, 0.92), 0.1, 1)
        deep = hour.sea_lightness[1]
        sketch.cover(shore - 0.15, hour.sea, (deep, deep + 40 * light), depth=0.15)
        sketch.cover(shore - 0.03, hour.sea, (94 * light, 90 * light), depth=0.03)
        sketch.cover(shore, Material.SAND, (66 * light, 80 * light), depth=0.2, angle=170)


def _still_life(sketch: Sketch) -> None:
    """Fruit and a jug or flowers on a cloth before a wall, lit from the left."""
    rng = sketch.rng
    edge = rng.uniform(0.55, 0.68)
    wall, tones = _WALLS[rng.integers(len(_WALLS))]
    sketch.cover(0.0, wall, tones, depth=edge, angle=60)
    sketch.glow(0.2, 0.25, (0.4, 0.4), 8.0)
    cloth, tones = _CLOTHS[rng.integers(len(_CLOTHS))]
    sketch.cover(sketch.outline(edge, 0.015, 3), cloth, tones, texture=(3, 7, 4.0))
    hem = sketch.outline(rng.uniform(0.85, 0.95), 0.02, 4)
    folds = (0.7 * tones[1], 0.45 * tones[1])
    sketch.cover(hem, cloth, folds, depth=0.15, texture=(2, 12, 4.0), angle=90)
    centerpiece = _bouquet if rng.random() < 0.45 else _jug
    centerpiece(sketch, rng.uniform(0.25, 0.75), edge)
    kinds = rng.permutation(len(_FRUITS))[:3]
    for y in np.sort(rng.uniform(edge + 0.02, 0.84, rng.integers(3, 8))):
        material, tones, (width, height) = _FRUITS[kinds[rng.integers(len(kinds))]]
        x, scale = rng.uniform(0.12, 0.88), rng.uniform(0.85, 1.2) * (0.7 + 0.5 * y)
        width, height = scale * width, scale * height
        sketch.shadow(x + 0.5 * width, y + 0.75 * height, (1.5 * width, 0.5 * height), 0.6)
        sketch.ball(x, y, (width, height), material, tones)


_SCENES: tuple[Callable[[Sketch], None], ...] = (_landscape, _sea, _still_life)


def _sky(sketch: Sketch, horizon: float) -> tuple[_Hour, float | None]:
    """Draws a sky; returns the hour, and the x of the sun or moon if it stands in the sky."""
    rng = sketch.rng
    hour = _HOURS[rng.integers(len(_HOURS))]
    slant = int(rng.integers(25))
    sketch.cover(0.0, hour.sky, hour.sky_lightness, depth=horizon, angle=slant)
    if hour is _DAY:
        sketch.clouds(horizon, rng.uniform(0.0, 0.5))
        return hour, None
    x, y = rng.uniform(0.15, 0.85), horizon * rng.uniform(0.25, 0.9)
    sketch.glow(x, y, (0.2, 0.12), 14.0)
    sketch.disc(x, y, rng.uniform(0.025, 0.05), hour.sky, 95)
    return hour, x


def _bushes(sketch: Sketch, outline: np.ndarray, size: float, light: float) -> None:
    """Draws bushes along an outline."""
    for x in sketch.rng.random(sketch.rng.integers(2, 7)):
        radius = size * sketch.rng.uniform(0.6, 1.4)
        y = outline[int(x * len(outline))]
        sketch.ball(x, y, (1.3 * radius, radius), Material.FOLIAGE, (14 * light, 36 * light))


def _path(sketch: Sketch, top: float, light: float) -> None:
    """Draws a path winding from the bottom of the image up to `top`."""
    nearness = np.linspace(1.0, 0.0, 12)
    start, end, bend = sketch.rng.uniform(0.2, 0.8, 3)
    x = end + (start - end) * nearness + (bend - 0.5) * np.sin(np.pi * nearness**0.7)
    y = top + (1.0 - top) * nearness
    width = 0.01 + 0.12 * nearness**1.5
    left, right = np.stack((x - width, y), axis=1), np.stack((x + width, y), axis=1)
    sketch.polygon([*left, *right[::-1]], Material.EARTH, 76 * light, 80)


def _house(sketch: Sketch, x: float, y: float, light: float) -> None:
    """Draws a house that stands at (x, y), one half of its front in shadow."""
    width, height = sketch.rng.uniform(0.06, 0.1), sketch.rng.uniform(0.06, 0.09)
    left, right, eaves, ridge = x - width, x + width, y - height, y - 1.9 * height
    front = [(left, y), (left, eaves), (right, eaves), (right, y)]
    sketch.polygon(front, Material.CREAM, 88 * light)
    sketch.polygon([(x, y), (x, eaves), *front[2:]], Material.CREAM, 66 * light)
    roof = [(left, eaves), (x - 0.6 * width, ridge), (x + 0.7 * width, ridge), (right, eaves)]
    sketch.polygon(roof, Material.ROOF_TILES, 46 * light, 0)


def _tree(sketch: Sketch, x: float, y: float, light: float) -> None:
    """Draws a tree that stands at (x, y): a cypress or one with a broad crown."""
    rng = sketch.rng
    height = rng.uniform(0.4, 0.6)
    if rng.random() < 0.3:
        tones = (8 * light, 32 * light)
        sketch.ball(x, y - 0.5 * height, (0.06, 0.5 * height), Material.FOLIAGE, tones)
        return
    top = y - height
    trunk = [(x - 0.025, y), (x - 0.012, top), (x + 0.012, top), (x + 0.025, y)]
    sketch.polygon(trunk, Material.TIMBER, 18 * light)
    for dx, dy in rng.normal(0.0, (0.08, 0.06), (10, 2)):
        radius = rng.uniform(0.06, 0.1)
        tones = (12 * light, max(40 - 120 * (dx + dy), 16) * light)
        sketch.ball(x + dx, top + dy, (radius, 0.8 * radius), Material.FOLIAGE, tones)


def _coast(sketch: Sketch, horizon: float, light: float) -> None:
    """Draws a rocky coast that falls from one side of the image to the horizon."""
    rng = sketch.rng
    side, reach, height = rng.integers(2), rng.uniform(0.3, 0.7), rng.uniform(0.08, 0.3)
    fall = np.linspace(0.0, 1.0, 7)
    x = abs(side - reach * fall)
    y = horizon - height * (1.0 - fall) ** 0.7 * rng.uniform(0.6, 1.0, 7)
    foot = horizon + 0.02
    corners = [(side, foot), *np.stack((x, y), axis=1), (x[-1], foot)]
    sketch.polygon(corners, Material.MOUNTAIN, rng.uniform(42, 66) * light, 70)


def _boat(sketch: Sketch, x: float, y: float, size: float, light: float) -> None:
    """Draws a sailing boat that floats at (x, y); `size` is half its length."""
    rng = sketch.rng
    mast, boom, deck, keel = y - size * rng.uniform(1.8, 2.4), y - 0.35 * size, y - 0.2 * size, y
    bow = size * (2 * rng.integers(2) - 1)
    sketch.shadow(x, y + 0.15 * size, (size, 0.3 * size), 0.5)
    sketch.polygon([(x, mast), (x, boom), (x - 0.7 * bow, boom)], Material.CREAM, 72 * light)
    sketch.polygon([(x, mast), (x, boom), (x + bow, boom)], Material.CREAM, 92 * light)
    hull = [(x - size, deck), (x + size, deck), (x + 0.7 * size, keel), (x - 0.7 * size, keel)]
    sketch.polygon(hull, Material.TIMBER, 14 * light, 0)


def _jug(sketch: Sketch, x: float, edge: float) -> None:
    """Draws a copper jug or a glass bottle at the far edge of a table."""
    rng = sketch.rng
    material, tones = _VESSELS[rng.integers(len(_VESSELS))]
    width, height = rng.uniform(0.1, 0.15), rng.uniform(0.13, 0.18)
    y = edge - 0.5 * height
    sketch.shadow(x + 0.8 * width, y + 0.9 * height, (1.5 * width, 0.3 * height), 0.6)
    sketch.ball(x, y - 1.1 * height, (0.4 * width, 0.9 * height), material, tones)
    sketch.ball(x, y, (width, height), material, tones)


def _bouquet(sketch: Sketch, x: float, edge: float) -> None:
    """Draws a vase with leaves and blossoms at the far edge of a table."""
    for material, count, radius, tones in (
        (Material.FOLIAGE, 14, 0.07, (12, 34)),
        (Material.BLOSSOM, 10, 0.055, (55, 90)),
    ):
        for dx, dy in sketch.rng.normal(0.0, (0.11, 0.08), (count, 2)):
            sketch.ball(x + dx, edge - 0.32 + dy, (radius, radius), material, tones)
    sketch.shadow(x + 0.1, edge + 0.04, (0.15, 0.04), 0.6)
    sketch.ball(x, edge - 0.06, (0.085, 0.13), Material.GLASS, (8, 40))
