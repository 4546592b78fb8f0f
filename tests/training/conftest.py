from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.models import patch_discriminator, unet_generator
from keras_colorize.training.colorizer import AdversarialColorizer, Batch
from keras_colorize.training.losses import bce_discriminator_loss, bce_generator_loss, l1_loss
from keras_colorize.training.optimizers import Adam


def small_colorizer(
    *optimizers: keras.optimizers.Optimizer,
    filters: int = 2,
    seed: int = 0,
    normalization: str = "batch",
    reconstruction_weight: float = 0.9,
    dropout: float = 0.0,
) -> AdversarialColorizer:
    """A GAN of tiny networks, compiled with the optimizers, by default Adam."""
    colorizer = AdversarialColorizer(
        unet_generator(filters=filters, seed=seed, dropout=dropout),
        patch_discriminator(filters=filters, seed=seed, normalization=normalization),
        l1_loss,
        reconstruction_weight=reconstruction_weight,
        adversarial_losses=(bce_generator_loss, bce_discriminator_loss),
        real_target=0.9,
    )
    colorizer.compile(*(optimizers or (Adam(1e-2), Adam(1e-2))))
    return colorizer


@pytest.fixture(name="small_colorizer")
def _small_colorizer() -> Callable[..., AdversarialColorizer]:
    return small_colorizer


@pytest.fixture
def batch() -> Batch:
    """Four images of 32x32, normalized."""
    random = np.random.default_rng(0)
    lightness = random.uniform(-1, 1, (4, 32, 32, 1)).astype("float32")
    ab = random.uniform(-0.5, 0.5, (4, 32, 32, 2)).astype("float32")
    return tf.constant(lightness), tf.constant(ab)
