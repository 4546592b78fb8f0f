"""From a recipe to pictures, batches and a compiled colorizer; only this file knows both sides."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_colorize.data.pipeline import training_batches, validation_batches
from keras_colorize.data.sources import (
    Progress,
    Splits,
    load_cifar10,
    load_folder,
    load_painted_scenes,
)
from keras_colorize.errors import ColorizeError
from keras_colorize.models import patch_discriminator, unet_generator
from keras_colorize.recipe import Data, Recipe
from keras_colorize.training import losses
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.optimizers import Adam
from keras_colorize.training.schedule import FlooredExponentialDecay

RECONSTRUCTION_LOSSES = {
    "l1": losses.l1_loss,
    "l2": losses.l2_loss,
    "huber": losses.huber_loss,
}

PAINTED_SCENES = (2_000, 200, 200)
"""How many scenes are painted to train, validate and test, unless the recipe says."""


def load_pictures(data: Data, progress: Progress | None = None) -> Splits:
    """Reads, downloads or paints what the recipe's data table asks for."""
    sources = {"folder": _folder, "cifar10": _cifar10, "painted_scenes": _painted_scenes}
    return sources[data.source](data, progress)


def fingerprint(splits: Splits) -> str:
    """What tells these training and validation pictures from others."""
    digest = hashlib.blake2b(digest_size=16)
    for images in (splits.train, splits.validation):
        digest.update(repr(images.rgb.shape).encode())
        digest.update(images.rgb.data)
    return digest.hexdigest()


def build_training_batches(
    recipe: Recipe, lab_cache: tf.Variable, epoch: tf.Variable, first_batch: int
) -> tf.data.Dataset:
    """The batches of the epoch that `epoch` holds, without the first `first_batch`."""
    return training_batches(
        lab_cache,
        recipe.training.batch_size,
        epoch=epoch,
        seed=recipe.training.seed,
        flip=recipe.data.flip,
        first_batch=first_batch,
    )


def build_validation_batches(recipe: Recipe, lab_cache: tf.Variable) -> tf.data.Dataset:
    """The validation pictures, in order."""
    return validation_batches(lab_cache, recipe.training.batch_size)


def build_colorizer(recipe: Recipe) -> Colorizer:
    """Networks, losses and optimizers, compiled and ready for `fit`."""
    size, seed = recipe.data.image_size, recipe.training.seed
    reconstruction_loss = RECONSTRUCTION_LOSSES[recipe.losses.reconstruction]
    options: dict[str, Any] = {
        "jit_compile": recipe.training.jit_compile,
        "steps_per_execution": recipe.training.steps_per_execution,
    }
    rates = recipe.optimizers
    with _precision(recipe.training.precision):
        generator = unet_generator(size, seed=2 * seed, **recipe.generator.model_dump())
        if recipe.discriminator is None:
            colorizer = Colorizer(generator, reconstruction_loss)
            colorizer.compile(_adam(recipe, rates.generator_learning_rate), **options)
            return colorizer
        discriminator = patch_discriminator(
            size, seed=2 * seed + 1, **recipe.discriminator.model_dump()
        )
    adversarial = AdversarialColorizer(
        generator,
        discriminator,
        reconstruction_loss,
        reconstruction_weight=recipe.losses.reconstruction_weight,
        adversarial_losses=(losses.bce_generator_loss, losses.bce_discriminator_loss),
        real_target=recipe.losses.real_target,
    )
    adversarial.compile(
        _adam(recipe, rates.generator_learning_rate),
        _adam(recipe, rates.discriminator_learning_rate),
        **options,
    )
    return adversarial


def _adam(recipe: Recipe, base_learning_rate: float) -> Adam:
    schedule, settings = recipe.schedule, recipe.optimizers
    rate = FlooredExponentialDecay(
        base_learning_rate,
        schedule.decay_rate,
        schedule.decay_steps,
        schedule.minimum_learning_rate,
    )
    return Adam(rate, beta_1=settings.beta_1, beta_2=settings.beta_2, epsilon=settings.epsilon)


def _folder(data: Data, progress: Progress | None) -> Splits:
    if data.path is None:
        raise ColorizeError("data.path: is unset; say where the pictures are")
    return load_folder(
        data.path,
        data.image_size,
        validation_share=data.validation_share,
        test_share=data.test_share,
        split_by=data.split_by,
        train_images=data.train_images,
        validation_images=data.validation_images,
        test_images=data.test_images,
        progress=progress,
    )


def _cifar10(data: Data, progress: Progress | None) -> Splits:
    return load_cifar10(
        data.image_size,
        train_images=data.train_images,
        validation_images=data.validation_images,
        test_images=data.test_images,
    )


def _painted_scenes(data: Data, progress: Progress | None) -> Splits:
    asked = (data.train_images, data.validation_images, data.test_images)
    train, validation, test = (
        default if count is None else count
        for count, default in zip(asked, PAINTED_SCENES, strict=True)
    )
    return load_painted_scenes(data.image_size, train, validation, test, seed=0)


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Networks built inside compute in this precision; the user's own models do not."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
