"""A sketch of materials and lightnesses, painted with brush strokes.

A sketch gives every point a material, a lightness and a direction of the brush. Strokes from
broad to fine repeat it with the irregularity of a hand, and the palettes of the materials turn
lightness into color.

Reference:
    Haeberli, Paint by Numbers, SIGGRAPH 1990; Hertzmann, Painterly Rendering with Curved Brush
    Strokes of Multiple Sizes, SIGGRAPH 1998 (fine strokes only where the broad ones went wrong).
"""

from collections.abc import Sequence
from enum import IntEnum
from functools import cache

import cv2
import numpy as np

Window = tuple[slice, slice]
"""Rows and columns of a sketch."""


class Material(IntEnum):
    """What a stroke depicts, with how it is painted.

    Attributes:
        stray: how far the brush strays from the sketched direction, a standard deviation in
            degrees.
        palette: the (L, a, b) that the colors pass through from dark to light.
    """

    stray: float
    palette: tuple[tuple[float, float, float], ...]

    def __new__(cls, stray: float, *palette: tuple[float, float, float]) -> "Material":
        """Numbers the materials from 0 on."""
        material = int.__new__(cls, len(cls.__members__))
        material._value_ = len(cls.__members__)
        material.stray = stray
        material.palette = palette
        return material

    DAY_SKY = 12, (50, 0, -34), (70, -6, -24), (82, -5, -10), (90, 2, 10), (97, 1, 14)
    EVENING_SKY = 12, (20, 12, -30), (40, 20, -24), (55, 32, 6), (70, 28, 42), (92, 4, 44)
    NIGHT_SKY = 12, (4, 2, -12), (20, -2, -24), (40, -12, -16), (70, -8, 8), (97, -2, 18)
    CLOUD = 30, (60, 2, -12), (80, 2, -4), (92, 3, 8), (98, 0, 8)
    DAY_SEA = 5, (5, -2, -10), (25, -8, -24), (42, -16, -20), (60, -20, -8), (96, -2, 2)
    EVENING_SEA = 5, (5, 4, -12), (25, 8, -20), (45, 18, -2), (68, 24, 38), (95, -2, 36)
    NIGHT_SEA = 5, (2, 0, -6), (15, -4, -16), (35, -12, -14), (65, -8, 8), (97, -2, 18)
    SAND = 12, (25, 6, 12), (55, 9, 26), (78, 4, 24), (95, 0, 10)
    MOUNTAIN = 25, (25, 4, -16), (50, 2, -20), (70, -1, -14), (85, 1, -4), (97, 0, 4)
    FOLIAGE = 50, (3, -2, 2), (18, -12, 12), (35, -20, 26), (55, -20, 44), (75, -8, 52)
    MEADOW = 20, (12, -8, 8), (35, -20, 28), (55, -24, 44), (75, -14, 52), (95, -4, 20)
    WHEAT = 20, (15, 8, 12), (40, 14, 34), (60, 12, 50), (78, 4, 56), (95, 0, 24)
    EARTH = 20, (5, 3, 4), (25, 10, 16), (50, 12, 26), (80, 4, 20)
    CREAM = 8, (20, 12, 12), (55, 12, 26), (80, 4, 20), (97, 0, 6)
    TIMBER = 8, (3, 2, 2), (20, 10, 10), (40, 14, 22), (70, 6, 20)
    ROOF_TILES = 8, (10, 12, 8), (35, 34, 26), (55, 38, 36), (80, 12, 20)
    UMBER = 40, (3, 3, 3), (15, 7, 10), (30, 9, 18), (50, 7, 24)
    SLATE = 40, (25, -3, -6), (50, -5, -8), (75, -4, -2)
    LINEN = 12, (25, 2, -10), (55, 1, -8), (75, 1, 2), (97, 0, 8)
    VELVET = 12, (3, 6, 2), (18, 30, 14), (32, 46, 28), (55, 46, 32)
    LEMON = 10, (30, 10, 36), (60, 6, 62), (80, -2, 74), (97, -4, 30)
    PEAR = 10, (20, -4, 22), (45, -14, 42), (65, -16, 54), (95, -4, 24)
    ORANGE = 10, (12, 16, 16), (40, 38, 46), (60, 42, 62), (80, 18, 54), (97, 0, 12)
    APPLE = 10, (5, 14, 6), (25, 44, 26), (42, 58, 38), (65, 34, 32), (97, 2, 6)
    PLUM = 10, (2, 4, -4), (14, 20, -18), (30, 22, -28), (60, 6, -16), (97, 0, 0)
    COPPER = 10, (5, 6, 5), (25, 20, 22), (50, 26, 38), (75, 12, 38), (97, 0, 10)
    GLASS = 8, (2, -2, 1), (18, -14, 8), (40, -18, 12), (80, -6, 2), (97, 0, 0)
    BLOSSOM = 50, (25, 34, 2), (50, 48, 4), (72, 28, 2), (90, 6, 4), (98, 0, 4)


# What a cool, a plain and a warm stroke add to (a, b).
_TINTS = ((-2.0, -5.0), (0.0, 0.0), (3.0, 6.0))
_PLAIN = 1

# How many of the broadest and of the finest strokes lie side by side across an image.
_BROAD, _FINE = 13, 110

_BYTES_PER_L = 2.55  # Lightness is kept in a byte.
_DARKEST, _LIGHTEST = 3.0, 252.0  # As bytes.


class Sketch:
    """What an image shows; x goes right, y down, both 0..1; lightness is L of 0..100.

    Attributes:
        plan: uint8, shape (size, size, 3): material, lightness * 2.55, direction of the brush
            in degrees (0 horizontal, 90 vertical).
        rng: the source of all randomness.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.plan = np.zeros((size, size, 3), np.uint8)
        self.rng = rng
        self._size = size
        self._centers = (np.arange(size, dtype=np.float32) + 0.5) / size

    def outline(self, top: float, relief: float, waves: int) -> np.ndarray:
        """A wavy line between `top - relief` and `top + relief`, of about so many waves.

        Returns:
            The y of each column, float32, shape (size,).
        """
        heights = self.rng.uniform(-relief, relief, (1, waves + 3)).astype(np.float32)
        return top + cv2.resize(heights, (self._size, 1), interpolation=cv2.INTER_CUBIC)[0]

    def cover(
        self,
        outline: np.ndarray | float,
        material: Material,
        lightness: tuple[float, float],
        *,
        depth: float = 0.5,
        texture: tuple[int, int, float] = (5, 5, 3.0),
        angle: int = 0,
    ) -> None:
        """Covers everything below an outline.

        Args:
            outline: the y of each column, shape (size,), or of all.
            material: what the cover is made of.
            lightness: at the outline, and from `depth` below it on.
            depth: how far the lightness runs from the first to the second.
            texture: rows and columns of the smooth noise on the lightness, and its strength.
            angle: direction of the brush, in degrees of 0..179.
        """
        below = self._centers[:, None] - outline
        first, second = lightness
        values = first + (second - first) / depth * np.minimum(below, depth)
        self._put(np.s_[:, :], below >= 0, material, values + self._noise(*texture), angle)

    def clouds(self, bottom: float, cover: float) -> None:
        """Puts clouds above `bottom`; the larger `cover` of 0..1, the more."""
        rows = round(bottom * self._size)
        noise = self._noise(8, 4, 1.0)[:rows]
        height = noise - (1.0 - 2.0 * cover)
        values = 84.0 + 10.0 * np.minimum(height, 1.2)
        self._put(np.s_[:rows, :], height > 0, Material.CLOUD, values, 160)

    def ball(
        self,
        x: float,
        y: float,
        radius: tuple[float, float],
        material: Material,
        lightness: tuple[float, float],
    ) -> None:
        """Puts an ellipsoid lit from the upper left: from shadow to light, and a highlight.

        Args:
            x: of the center.
            y: of the center.
            radius: half the width and half the height.
            material: what it is made of.
            lightness: in its shadow and in its light.
        """
        window, u, v = self._around(x, y, radius)
        square = u * u + v * v
        dark, light = lightness
        lit = 0.65 * np.sqrt(np.maximum(1.0 - square, 0.0)) - 0.45 * u - 0.6 * v
        values = dark + (light - dark) * np.maximum(lit, 0.0) + 25.0 * (lit > 0.96)
        around = np.degrees(np.arctan2(u, -v)) % 180.0  # The brush follows the form.
        self._put(window, square < 1.0, material, values, around)

    def disc(self, x: float, y: float, radius: float, material: Material, lightness: float) -> None:
        """Puts a flat disc: the sun or the moon."""
        window, u, v = self._around(x, y, (radius, radius))
        self._put(window, u * u + v * v < 1.0, material, np.array(lightness), 45)

    def polygon(
        self,
        corners: Sequence[Sequence[float]],
        material: Material,
        lightness: float,
        angle: int = 90,
    ) -> None:
        """Fills a polygon, given its (x, y), with one tone."""
        points = (np.array(corners) * self._size).astype(np.int32)
        cv2.fillPoly(self.plan, [points], (int(material), _BYTES_PER_L * lightness, angle))

    def shadow(self, x: float, y: float, radius: tuple[float, float], strength: float) -> None:
        """Darkens an ellipse by up to `strength` of 0..1."""
        (rows, columns), u, v = self._around(x, y, radius)
        fade = 1.0 - strength * np.minimum(np.maximum(1.5 * (1.0 - u * u - v * v), 0.0), 1.0)
        self.plan[rows, columns, 1] = self.plan[rows, columns, 1] * fade

    def glow(self, x: float, y: float, radius: tuple[float, float], strength: float) -> None:
        """Lightens around a point by up to `strength` of L; `radius` is the standard deviation."""
        (rows, columns), u, v = self._around(x, y, (3.0 * radius[0], 3.0 * radius[1]))
        light = _BYTES_PER_L * strength * np.exp(-4.5 * (u * u + v * v))
        lit = self.plan[rows, columns, 1] + light
        self.plan[rows, columns, 1] = np.minimum(lit, _LIGHTEST)

    def _noise(self, rows: int, columns: int, strength: float) -> np.ndarray:
        """Smooth noise of about that standard deviation; float32, shape (size, size)."""
        knots = self.rng.normal(0.0, strength, (rows, columns)).astype(np.float32)
        return cv2.resize(knots, (self._size, self._size), interpolation=cv2.INTER_CUBIC)

    def _around(
        self, x: float, y: float, radius: tuple[float, float]
    ) -> tuple[Window, np.ndarray, np.ndarray]:
        """The window around an ellipse, and the coordinates in it, -1..1 inside the ellipse."""
        width, height = radius
        left, right, top, bottom = (
            max(int(edge * self._size), 0)
            for edge in (x - width, x + width, y - height, y + height)
        )
        rows, columns = slice(top, bottom + 1), slice(left, right + 1)
        u = (self._centers[columns] - x) / width
        v = (self._centers[rows] - y) / height
        return (rows, columns), u[None, :], v[:, None]

    def _put(
        self,
        window: Window,
        inside: np.ndarray,
        material: Material,
        lightness: np.ndarray,
        angle: np.ndarray | int,
    ) -> None:
        """Writes those points of a window that are inside."""
        values = np.minimum(np.maximum(_BYTES_PER_L * lightness, _DARKEST), _LIGHTEST)
        for channel, value in enumerate((material, values, angle)):
            np.copyto(self.plan[(*window, channel)], value, where=inside, casting="unsafe")


def paint(sketch: Sketch) -> np.ndarray:
    """Paints a sketch with strokes from broad to fine; the fine ones mend what the broad ones hid.

    Args:
        sketch: what to paint; its `rng` places the strokes.

    Returns:
        uint8, shape (size, size, 3), sRGB.
    """
    plan, rng = sketch.plan, sketch.rng
    size = len(plan)
    # What each point shows: tint and material as one number, and lightness.
    canvas = plan[..., :2].copy()
    canvas[..., 0] += _PLAIN * len(Material)
    width = size / _BROAD
    x, y = rng.integers(0, size, (2, _BROAD**2))
    _stroke(canvas, plan, x, y, width, rng)
    while (width := width / 2) > max(1.1, size / _FINE):
        x, y = rng.integers(0, size, (2, int((size / width) ** 2)))
        shown, wanted = canvas[y, x].astype(np.int16), plan[y, x].astype(np.int16)
        wrong = shown[:, 0] % len(Material) != wanted[:, 0]
        wrong |= abs(shown[:, 1] - wanted[:, 1]) > 38  # 15 of L: more than strokes differ by.
        _stroke(canvas, plan, x[wrong], y[wrong], width, rng)
    return _colors()[canvas[..., 0], canvas[..., 1]]


def _stroke(
    canvas: np.ndarray,
    plan: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    width: float,
    rng: np.random.Generator,
) -> None:
    """Puts a stroke at each (x, y) on the canvas, of what the plan has there.

    A stroke is cool, plain or warm by chance, and a bundle of bristles: parallel lines with
    ragged ends that differ a little in lightness. One finer than two pixels is a dot.
    """
    material, lightness, angle = plan[y, x].T
    codes = material + len(Material) * rng.integers(0, len(_TINTS), len(x))
    if width < 2.0:
        canvas[y, x] = np.stack((codes, lightness), axis=-1)
        return
    bristles = max(1, round(width / 4))
    shape = (len(x), bristles)
    across = width * ((np.arange(bristles) + 0.5) / bristles - 0.5)
    back, ahead = width * rng.uniform(1.0, 2.0, (2, *shape))
    direction = np.radians(angle + rng.normal(0.0, _strays()[material]))[:, None]
    cos, sin = np.cos(direction), np.sin(direction)
    x, y = x[:, None] - across * sin, y[:, None] + across * cos
    values = (lightness + rng.normal(0.0, 6.0, len(x)))[:, None] + rng.normal(0.0, 5.0, shape)
    lines = np.empty((*shape, 6), np.int32)
    lines[..., 0], lines[..., 1] = x - back * cos, y - back * sin
    lines[..., 2], lines[..., 3] = x + ahead * cos, y + ahead * sin
    lines[..., 4] = codes[:, None]
    lines[..., 5] = np.minimum(np.maximum(values, _DARKEST), _LIGHTEST)
    thickness = round(1.4 * width / bristles)
    for x0, y0, x1, y1, code, value in lines.reshape(-1, 6).tolist():
        cv2.line(canvas, (x0, y0), (x1, y1), (code, value), thickness)


@cache
def _strays() -> np.ndarray:
    """`Material.stray` of every material."""
    return np.array([material.stray for material in Material])


@cache
def _colors() -> np.ndarray:
    """The color of each tint and material at each lightness: uint8 sRGB, shape (84, 256, 3)."""
    values = np.arange(256) / _BYTES_PER_L
    lab = np.empty((len(_TINTS), len(Material), 256, 3), np.float32)
    lab[..., 0] = values
    for material in Material:
        lightness, *ab = np.transpose(material.palette)
        for channel, stops in enumerate(ab, start=1):
            lab[:, material, :, channel] = np.interp(values, lightness, stops)
    lab[..., 1:] += np.array(_TINTS, np.float32)[:, None, None, :]
    rgb = cv2.cvtColor(lab.reshape(-1, 256, 3), cv2.COLOR_Lab2RGB)
    return np.rint(255.0 * rgb.clip(0.0, 1.0)).astype(np.uint8)
