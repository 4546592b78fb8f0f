"""Networks and their layers; plain arguments in, functional Keras models out.

One family of networks, one folder. Whatever the family, a generator maps `lightness` to `ab`.
"""

from keras_colorize.models.efficientnet import efficientnet_generator
from keras_colorize.models.plain_keras import plain
from keras_colorize.models.predict import predict_ab, set_vividness
from keras_colorize.models.transfer import copy_weights
from keras_colorize.models.unet import load_torch_weights, patch_discriminator, unet_generator

__all__ = [
    "copy_weights",
    "efficientnet_generator",
    "load_torch_weights",
    "patch_discriminator",
    "plain",
    "predict_ab",
    "set_vividness",
    "unet_generator",
]
