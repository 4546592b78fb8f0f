"""Networks and their layers; plain arguments in, functional Keras models out."""

from keras_colorize.models.any_size import predict_ab
from keras_colorize.models.discriminator import patch_discriminator
from keras_colorize.models.generator import unet_generator
from keras_colorize.models.torch_weights import load_torch_weights

__all__ = ["load_torch_weights", "patch_discriminator", "predict_ab", "unet_generator"]
