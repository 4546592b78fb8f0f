"""The original's networks: U-Net generator, patch discriminator, weights of its checkpoints."""

from keras_colorize.models.unet.discriminator import patch_discriminator
from keras_colorize.models.unet.generator import unet_generator
from keras_colorize.models.unet.torch_weights import load_torch_weights

__all__ = ["load_torch_weights", "patch_discriminator", "unet_generator"]
