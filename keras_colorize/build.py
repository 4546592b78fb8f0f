"""From a recipe to images, batches and a compiled colorizer; only this file knows both sides."""

import functools
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from pydantic import BaseModel

from keras_colorize.data.pipeline import cache_lab, training_batches, validation_batches
from keras_colorize.data.sources import (
    Progress,
    Splits,
    load_cifar10,
    load_folder,
    load_painted_scenes,
)
from keras_colorize.errors import ColorizeError
from keras_colorize.models import efficientnet_generator, patch_discriminator, unet_generator
from keras_colorize.models.efficientnet.encoder import encoder_layers
from keras_colorize.recipe import Data, Recipe, Schedule
from keras_colorize.training import losses
from keras_colorize.training.classifying import ClassifyingColorizer, class_rarity
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.loop import Training
from keras_colorize.training.optimizers import Adam
from keras_colorize.training.schedule import FlooredExponentialDecay, WarmupCosine

RECONSTRUCTION_LOSSES = {
    "l1": losses.l1_loss,
    "l2": losses.l2_loss,
    "huber": losses.huber_loss,
    "delta_e": losses.delta_e_loss,
}

PAINTED_SCENES = (2_000, 200, 200)
"""How many scenes are painted to train, validate and test, unless the recipe says."""


def load_pictures(data: Data, progress: Progress | None = None) -> Splits:
    """Reads, downloads or paints what the recipe's data table asks for."""
    return SOURCES[data.source](data, progress)


def fingerprint(splits: Splits) -> str:
    """Hash of the training and validation images."""
    digest = hashlib.blake2b(digest_size=16)
    for images in (splits.train, splits.validation):
        digest.update(repr(images.rgb.shape).encode())
        digest.update(images.rgb.data)
    return digest.hexdigest()


def build_training(recipe: Recipe, progress: Progress | None = None) -> Training:
    """Reads the images and builds all that a training needs.

    The images themselves are let go; what is kept of them is made of them here.

    Args:
        recipe: what to train.
        progress: called now and then while images are read.
    """
    splits = load_pictures(recipe.data, progress)
    lab_train, lab_validation = cache_lab(splits.train.rgb), cache_lab(splits.validation.rgb)
    return Training(
        colorizer=build_colorizer(recipe, lab_train),
        batches=functools.partial(build_training_batches, recipe, lab_train),
        validation=build_validation_batches(recipe, lab_validation),
        samples=splits.validation.rgb[: recipe.training.sample_images].copy(),
        fingerprint=fingerprint(splits),
        images=_counts(splits),
    )


def _counts(splits: Splits) -> dict[str, object]:
    """How many images are used and skipped."""
    return {
        "train": len(splits.train),
        "validation": len(splits.validation),
        "test": len(splits.test),
        "gray_skipped": splits.gray,
        "unreadable_skipped": len(splits.unreadable),
        "unreadable": list(splits.unreadable),
    }


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
        crop=recipe.data.crop,
        first_batch=first_batch,
    )


def build_validation_batches(recipe: Recipe, lab_cache: tf.Variable) -> tf.data.Dataset:
    """The validation pictures, in order."""
    return validation_batches(lab_cache, recipe.training.batch_size)


def build_colorizer(recipe: Recipe, lab_train: tf.Variable | None = None) -> Colorizer:
    """Networks, losses and optimizers, compiled and ready for `fit`.

    Args:
        recipe: what to build.
        lab_train: Lab cache of the training images: a cosine schedule needs their number, and
            ab classes need their colors.
    """
    settings, rates = recipe.training, recipe.optimizers
    options: dict[str, Any] = {
        "jit_compile": settings.jit_compile,
        "steps_per_execution": settings.steps_per_execution,
    }
    steps = 0
    if lab_train is not None:
        steps = settings.epochs * math.ceil(lab_train.shape[0] / settings.batch_size)
    with _precision(settings.precision):
        generator = GENERATORS[recipe.generator.network](recipe)
        discriminator = recipe.discriminator and _discriminator(recipe)
    common: dict[str, Any] = {
        "reconstruction_loss": RECONSTRUCTION_LOSSES[recipe.losses.reconstruction],
        "weight_average": settings.weight_average,
    }
    adam = _adam(recipe, rates.generator_learning_rate, steps)
    if discriminator:
        adversarial = AdversarialColorizer(
            generator,
            discriminator,
            reconstruction_weight=recipe.losses.reconstruction_weight,
            adversarial_losses=(losses.bce_generator_loss, losses.bce_discriminator_loss),
            real_target=recipe.losses.real_target,
            **common,
        )
        adversarial.compile(
            adam, _adam(recipe, rates.discriminator_learning_rate, steps), **options
        )
        return adversarial
    if recipe.generator.network == "efficientnet":
        if lab_train is None:
            raise ValueError("ab classes need the training images. Received: lab_train=None")
        colorizer: Colorizer = ClassifyingColorizer(
            generator,
            class_weight=recipe.losses.class_weight,
            rarity=class_rarity(
                validation_batches(lab_train, settings.batch_size),
                recipe.losses.class_rebalancing,
            ),
            pretrained_layers=encoder_layers(generator),
            **common,
        )
    else:
        colorizer = Colorizer(generator, **common)
    colorizer.compile(adam, **options)
    adam.scale_learning_rate(
        [v for layer in colorizer.pretrained_layers for v in layer.trainable_variables],
        rates.encoder_learning_rate_factor,
    )
    return colorizer


def _unet(recipe: Recipe) -> keras.Model:
    return unet_generator(
        recipe.data.image_size, seed=2 * recipe.training.seed, **_arguments(recipe.generator)
    )


def _efficientnet(recipe: Recipe) -> keras.Model:
    return efficientnet_generator(seed=recipe.training.seed, **_arguments(recipe.generator))


GENERATORS = {"unet": _unet, "efficientnet": _efficientnet}


def _discriminator(recipe: Recipe) -> keras.Model:
    return patch_discriminator(
        recipe.data.image_size,
        seed=2 * recipe.training.seed + 1,
        **_arguments(recipe.discriminator),
    )


def _arguments(table: BaseModel | None) -> dict[str, Any]:
    """A network's table as arguments of the function that builds it."""
    return {} if table is None else table.model_dump(exclude={"network"})


def _adam(recipe: Recipe, base_learning_rate: float, steps: int) -> Adam:
    """The optimizer of one network, for a training of so many steps."""
    settings = recipe.optimizers
    optimizer = Adam(
        SCHEDULES[recipe.schedule.shape](recipe.schedule, base_learning_rate, steps),
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        weight_decay=settings.weight_decay or None,
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _exponential(schedule: Schedule, base: float, steps: int) -> FlooredExponentialDecay:
    return FlooredExponentialDecay(
        base, schedule.decay_rate, schedule.decay_steps, schedule.minimum_learning_rate
    )


def _cosine(schedule: Schedule, base: float, steps: int) -> WarmupCosine:
    return WarmupCosine(base, steps, schedule.warmup_steps, schedule.minimum_learning_rate)


SCHEDULES = {"exponential": _exponential, "cosine": _cosine}


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


SOURCES = {"folder": _folder, "cifar10": _cifar10, "painted_scenes": _painted_scenes}


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Networks built inside compute in this precision; the user's own models do not."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
