"""A pretrained EfficientNet-Lite encoder, a small decoder, and two heads: ab, and ab classes."""

from keras_colorize.models.efficientnet.generator import efficientnet_generator

__all__ = ["efficientnet_generator"]
