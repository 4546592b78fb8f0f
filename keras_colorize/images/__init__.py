"""Image files <-> NumPy arrays: finding, reading, shrinking, tiling and writing images.

No TensorFlow here. Whatever a file holds (EXIF orientation, an ICC profile, CMYK, a palette,
16 bits, transparency), what comes out is upright, gamma-encoded sRGB. docs/images.md lists what
is read, written, kept and refused.
"""

from keras_colorize.images.arrays import is_gray, picture_grid, square_thumbnail, to_uint8
from keras_colorize.images.finding import find_images, unread_suffixes
from keras_colorize.images.formats import (
    MAX_PIXELS,
    MAX_SIDE,
    SUFFIXES,
    WRITTEN_SUFFIXES,
    content_suffix,
    readable_suffixes,
)
from keras_colorize.images.pages import count_pages, frame_durations, write_pages
from keras_colorize.images.picture import Metadata, Picture
from keras_colorize.images.reading import picture_size, read_picture, read_rgb
from keras_colorize.images.writing import JPEG_QUALITY, encode_image, write_image

__all__ = [
    "JPEG_QUALITY",
    "MAX_PIXELS",
    "MAX_SIDE",
    "SUFFIXES",
    "WRITTEN_SUFFIXES",
    "Metadata",
    "Picture",
    "content_suffix",
    "count_pages",
    "encode_image",
    "find_images",
    "frame_durations",
    "is_gray",
    "picture_grid",
    "picture_size",
    "read_picture",
    "read_rgb",
    "readable_suffixes",
    "square_thumbnail",
    "to_uint8",
    "unread_suffixes",
    "write_image",
    "write_pages",
]
