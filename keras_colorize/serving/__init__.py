"""Models as servers load them, and clients of such servers; the client loads no TensorFlow."""

from keras_colorize.serving.client import Client

__all__ = ["Client"]
