import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.errors import ColorizeError
from keras_colorize.models import patch_discriminator, unet_generator
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.losses import bce_discriminator_loss, bce_generator_loss, l1_loss
from keras_colorize.training.optimizers import Adam
from keras_colorize.training.state import Progress, load_state, save_state

SIZE = 16


def make(filters: int = 2, seed: int = 0, normalization: str = "spectral") -> AdversarialColorizer:
    colorizer = AdversarialColorizer(
        unet_generator(SIZE, filters=filters, seed=seed),
        patch_discriminator(32, filters=filters, seed=seed, normalization=normalization)
        if SIZE == 32
        else _discriminator(filters, seed, normalization),
        l1_loss,
        reconstruction_weight=0.9,
        adversarial_losses=(bce_generator_loss, bce_discriminator_loss),
        real_target=0.9,
    )
    colorizer.compile(Adam(1e-3), Adam(1e-3))
    return colorizer
