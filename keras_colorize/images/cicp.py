"""Color spaces given as numbers for primaries and curve, as PNG, AVIF and HEIC do.

Reference:
    ITU-T H.273 (coding-independent code points), tables 2 and 3.
"""

from keras_colorize import srgb
from keras_colorize.images.icc import Point, rgb_profile
from keras_colorize.images.opening import RefusedError

D65: Point = (0.3127, 0.3290)
SRGB_PRIMARIES: tuple[Point, Point, Point] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
SRGB_CURVE = (
    srgb.CURVE_POWER,
    1 / (1 + srgb.CURVE_OFFSET),
    srgb.CURVE_OFFSET / (1 + srgb.CURVE_OFFSET),
    1 / srgb.CURVE_SLOPE,
    srgb.ENCODED_KNEE,
)

SRGB, UNSPECIFIED, BT709 = 13, 2, (1, 6, 14, 15)
"""Numbers of curves; those of BT.709 are one curve."""

_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
# Of each number white and primaries; and tone curves as `rgb_profile` takes them.
_PRIMARIES: dict[int, tuple[Point, tuple[Point, Point, Point]]] = {
    1: (D65, SRGB_PRIMARIES),
    4: ((0.310, 0.316), ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08))),
    5: (D65, ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06))),
    6: (D65, ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
    7: (D65, ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
    9: (D65, ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
    11: ((0.314, 0.351), ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
    12: (D65, ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))),
}
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys(BT709, _BT709_CURVE),
    4: (2.2,),
    5: (2.8,),
    8: (1.0,),
    SRGB: SRGB_CURVE,
}
_HDR = {16: "PQ", 18: "HLG"}


def profile(primaries: int, curve: int) -> bytes | None:
    """Builds the profile of an RGB space that is given as numbers.

    Returns:
        The profile; None if a number is unspecified or unknown.

    Raises:
        RefusedError: the curve is one of HDR.
    """
    if primaries not in _PRIMARIES:
        return None
    if curve in _HDR:
        raise RefusedError(f"HDR colors ({_HDR[curve]}); convert it to SDR first")
    return rgb_profile(*_PRIMARIES[primaries], _CURVES[curve]) if curve in _CURVES else None
