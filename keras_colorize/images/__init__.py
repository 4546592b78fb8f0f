"""Image files <-> NumPy arrays: finding, reading, shrinking, tiling and writing images.

No TensorFlow here. Whatever a file holds (EXIF orientation, an ICC profile, CMYK, a palette,
16 bits, transparency), what comes out is upright, gamma-encoded sRGB. docs/images.md lists what
is read, written, kept and refused.
"""

from typing import TYPE_CHECKING, Any

from keras_colorize.errors import warn_renamed
from keras_colorize.images.arrays import image_grid, is_gray, square_thumbnail, to_uint8
from keras_colorize.images.finding import find_images, unread_suffixes
from keras_colorize.images.formats import (
    MAX_PIXELS,
    MAX_SIDE,
    SUFFIXES,
    WRITTEN_SUFFIXES,
    content_suffix,
    readable_suffixes,
)
from keras_colorize.images.memory import MAX_MEMORY, Needs, check_reading, needs
from keras_colorize.images.opening import name_of
from keras_colorize.images.pages import count_pages, frame_durations, write_pages
from keras_colorize.images.reading import read_image, read_image_size, read_pages, read_rgb
from keras_colorize.images.rgb_image import Metadata, RgbImage
from keras_colorize.images.writing import JPEG_QUALITY, encode_image, write_image

__all__ = [
    "JPEG_QUALITY",
    "MAX_MEMORY",
    "MAX_PIXELS",
    "MAX_SIDE",
    "SUFFIXES",
    "WRITTEN_SUFFIXES",
    "Metadata",
    "Needs",
    "RgbImage",
    "check_reading",
    "content_suffix",
    "count_pages",
    "encode_image",
    "find_images",
    "frame_durations",
    "image_grid",
    "is_gray",
    "name_of",
    "needs",
    "read_image",
    "read_image_size",
    "read_pages",
    "read_rgb",
    "readable_suffixes",
    "square_thumbnail",
    "to_uint8",
    "unread_suffixes",
    "write_image",
    "write_pages",
]

if not TYPE_CHECKING:  # Else every name would be one of this module's.
    _EARLIER_NAMES = {
        "Picture": RgbImage,
        "picture_grid": image_grid,
        "picture_size": read_image_size,
        "read_picture": read_image,
    }

    def __getattr__(name: str) -> Any:
        if name not in _EARLIER_NAMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        renamed = _EARLIER_NAMES[name]
        warn_renamed(f"keras_colorize.images.{name}", renamed.__name__)
        return renamed
