"""Encoded images -> pixels in a TensorFlow graph, of core operations alone."""

from keras_colorize.serving.decoding.images import MAX_SIDE, decode_image

__all__ = ["MAX_SIDE", "decode_image"]
