"""From a recipe to images, batches and a compiled colorizer; only this file handles both."""

import functools
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from pydantic import BaseModel

from keras_colorize.console import log
from keras_colorize.data.cache import (
    CachedImages,
    LabCache,
    cache_bytes,
    cache_in_memory,
    cache_on_disk,
    find_on_disk,
    load_into_memory,
    memory_limit,
)
from keras_colorize.data.given import are_datasets, as_splits
from keras_colorize.data.lab import rgb_from_lab
from keras_colorize.data.pipeline import dataset_batches, training_batches, validation_batches
from keras_colorize.data.sharding import Shard
from keras_colorize.data.sources import (
    SPLITS,
    Folder,
    ImageSet,
    ReportProgress,
    Splits,
    list_folder,
    load_cifar10,
    load_painted_scenes,
    load_test_split,
)
from keras_colorize.errors import ColorizeError, first_line, shorten
from keras_colorize.generators import check_generator, resolve_initial_weights
from keras_colorize.models import efficientnet_generator, patch_discriminator, unet_generator
from keras_colorize.models.efficientnet.encoder import encoder_layers
from keras_colorize.parts import load_part, own_parts
from keras_colorize.recipe import Recipe
from keras_colorize.tables import (
    Data,
    Discriminator,
    Optimizers,
    OwnNetwork,
    Schedule,
    is_own_part,
)
from keras_colorize.training import losses
from keras_colorize.training.classifying import ClassifyingColorizer, class_rarity
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.distribution import Distribution, require_same
from keras_colorize.training.estimate import Estimate, measure, require_memory
from keras_colorize.training.loop import Training
from keras_colorize.training.optimizers import Adam, LossScaleOptimizer
from keras_colorize.training.schedule import FlooredExponentialDecay, Warmup, WarmupCosine

GivenImages: TypeAlias = Splits | Sequence[np.ndarray] | Sequence[tf.data.Dataset]
Network: TypeAlias = Callable[..., keras.Model]
Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule

RECONSTRUCTION_LOSSES = {
    "l1": losses.l1_loss,
    "l2": losses.l2_loss,
    "huber": losses.huber_loss,
    "delta_e": losses.delta_e_loss,
}

ADVERSARIAL_LOSSES = {
    "bce": (losses.bce_generator_loss, losses.bce_discriminator_loss),
    "least_squares": (
        losses.least_squares_generator_loss,
        losses.least_squares_discriminator_loss,
    ),
}
"""Of the generator and of the discriminator."""

PAINTED_SCENES = (2_000, 200, 200)
"""How many scenes are painted to train, validate and test, unless the recipe says."""

CIFAR10 = (50_000, 10_000)
"""How many images CIFAR-10 has to train on, and besides."""

_NO_LIMIT = 2.0**20  # As `data.memory_gib`: a petabyte.


def open_images(data: Data, progress: ReportProgress | None = None) -> Folder | Splits:
    """The images that the recipe's data table asks for; those of a folder are only listed."""
    if is_own_part(data.source):
        return _own_images(data, progress)
    return SOURCES[data.source](data)


def _own_images(data: Data, progress: ReportProgress | None = None) -> Splits:
    images = _result(data.source, load_part("data.source", data.source), data, progress)
    return as_splits(images, data.image_size, data.source)


def load_test_images(data: Data, image_size: int) -> ImageSet:
    """The images that the recipe's data table keeps for testing; of a folder it reads no others.

    Args:
        data: the table.
        image_size: height and width of the result, in pixels.
    """
    if data.source == "folder":
        return load_test_split(_folder(data.model_copy(update={"image_size": image_size})))
    images = open_images(data.for_testing(image_size))
    assert isinstance(images, Splits)
    return images.test


def cache_images(
    data: Data,
    images: Folder | Splits,
    progress: ReportProgress | None = None,
    *,
    on_disk: bool = False,
) -> CachedImages:
    """Reads images and keeps their Lab, in memory where `data.memory_gib` is enough for it.

    Args:
        data: the recipe's data table.
        images: what `open_images` returns, or images that were given.
        progress: called now and then while images are read.
        on_disk: keep it on disk in any case.
    """
    folder, made_of = _cache_folder(data), data.model_dump(mode="json", exclude=_NOT_OF_IMAGES)
    size = cache_bytes(images.wanted, images.image_size)
    if on_disk or size > memory_limit(data.memory_gib):
        return cache_on_disk(images, folder, made_of, progress)
    if isinstance(images, Folder) and (found := find_on_disk(images, folder, made_of)):
        return load_into_memory(found)
    return cache_in_memory(images, progress)


_NOT_OF_IMAGES = {"flip", "crop", "degraded_share", "memory_gib", "cache"}
"""Keys of the data table that do not decide which images are read."""


def _cache_folder(data: Data) -> Path:
    if data.cache is not None:
        return Path(data.cache)
    home = os.environ.get("HOME", tempfile.gettempdir())  # Containers may have none.
    return Path(os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache") / "keras-colorize"


def build_training(
    recipe: Recipe,
    data: GivenImages | None = None,
    *,
    resumes: bool = False,
    distribution: Distribution | None = None,
    progress: ReportProgress | None = None,
) -> Training:
    """Reads the images and builds all that a training needs.

    The images are released afterwards; only what is made of them here is kept.

    Args:
        recipe: what to train.
        data: the images, unless the recipe says where they are.
        resumes: a saved state will replace all weights, so no initial ones are loaded.
        distribution: what to train on; None for one device.
        progress: called now and then while images are read.
    """
    own_parts(recipe)  # Fails now rather than after all images are read.
    if are_datasets(data):
        return _training_on_datasets(recipe, data, resumes, distribution)
    if data is None:
        images = open_images(recipe.data, progress)
    else:
        images = as_splits(data, recipe.data.image_size, "data")
    cached = cache_images(recipe.data, images, progress)
    del images
    log.info("%s", cached)
    if distribution:
        require_same(distribution, {"images": cached.fingerprint.encode()})
    tally = cached.tally
    shard = _shard(distribution)
    return Training(
        colorizer=build_colorizer(
            recipe,
            validation_batches(cached.train, recipe.training.batch_size),
            resumes=resumes,
            distribution=distribution,
        ),
        batches=functools.partial(build_training_batches, recipe, cached.train, shard=shard),
        validation=validation_batches(cached.validation, recipe.training.batch_size, shard),
        samples=rgb_from_lab(cached.validation.rows(0, recipe.training.sample_images)),
        fingerprint=cached.fingerprint,
        images={
            **tally.kept,
            "gray_skipped": tally.gray,
            "unreadable_skipped": len(tally.unreadable),
            "unreadable": tally.unreadable,
        },
        distribution=distribution,
    )


def estimate(
    recipe: Recipe,
    data: GivenImages | None = None,
    *,
    path: Path,
    epochs_done: int = 0,
    resumes: bool = False,
    strategy: str = "none",
    progress: ReportProgress | None = None,
    step_progress: ReportProgress | None = None,
) -> Estimate:
    """Estimates what a training would take, from a few steps on the first few images.

    Args:
        recipe: what to train.
        data: the images, unless the recipe says where they are.
        path: of the run.
        epochs_done: of a run that would be resumed.
        resumes: as for `build_training`.
        strategy: that would be used; the steps are on one device in any case.
        progress: called now and then while images are read.
        step_progress: called after each step, and before the first one, which is traced.

    Raises:
        ColorizeError: as for `build_training`, and if the training would not fit into memory.
    """
    own_parts(recipe)
    measured = functools.partial(
        measure,
        recipe,
        path=path,
        epochs_done=epochs_done,
        strategy=strategy,
        progress=step_progress,
    )
    if are_datasets(data):
        training = _training_on_datasets(recipe, data, resumes, distribution=None)
        lengths = [*map(len, data), 0]
        return measured(training, images=dict(zip(SPLITS, lengths, strict=True)), image_bytes=0)
    few = 2 * recipe.training.batch_size
    in_memory = recipe.data.model_copy(update={"memory_gib": _NO_LIMIT})
    if data is None and not is_own_part(recipe.data.source):
        counts = _count_images(recipe.data)
        rgb, lab, on_disk = _image_bytes(recipe.data, counts)
        limits = {f"{split}_images": min(few, count) for split, count in counts.items()}
        sample = in_memory.model_copy(update={**limits, "test_images": 0})
        given = None
    else:
        images = _own_images(recipe.data, progress) if data is None else data
        splits = as_splits(images, recipe.data.image_size, "data")
        sets: list[ImageSet] = [getattr(splits, split) for split in SPLITS]
        counts = {split: len(part) for split, part in zip(SPLITS, sets, strict=True)}
        _, lab, on_disk = _image_bytes(recipe.data, counts)
        rgb = 0  # The process has these already.
        train, validation, test = (ImageSet(part.rgb[:few], part.names[:few]) for part in sets)
        sample, given = in_memory, Splits(train, validation, test)
    small = recipe.model_copy(update={"data": sample})
    training = build_training(small, given, resumes=resumes, progress=progress)
    return measured(training, images=counts, image_bytes=rgb + lab, disk_bytes=on_disk)


def _image_bytes(data: Data, counts: Mapping[str, int]) -> tuple[int, int, int]:
    """Bytes that so many images take: 8-bit images and Lab in memory, and Lab on disk.

    Those of a folder are not in memory as 8-bit images, but for a few at a time.

    Raises:
        ColorizeError: so much memory is not free.
    """
    lab = cache_bytes(counts, data.image_size)
    is_on_disk = lab > memory_limit(data.memory_gib)
    rgb = 0 if data.source == "folder" else 3 * data.image_size**2 * sum(counts.values())
    in_memory, on_disk = (0, lab) if is_on_disk else (lab, 0)
    require_memory(data, counts, rgb + in_memory)
    return rgb, in_memory, on_disk


def _count_images(data: Data) -> Mapping[str, int]:
    """How many images of a source of the package there are of each split; reads none."""
    if data.source == "folder":
        return _folder(data).wanted
    if data.source == "painted_scenes":
        return dict(zip(SPLITS, _scenes(data), strict=True))
    train, held_out = CIFAR10
    validation = min(held_out, data.validation_images or held_out)
    found = (train, validation, held_out - validation)
    asked = (data.train_images, data.validation_images, data.test_images)
    return {
        split: count if limit is None else min(count, limit)
        for split, count, limit in zip(SPLITS, found, asked, strict=True)
    }


def _shard(distribution: Distribution | None) -> Shard | None:
    """The replicas that this process loads images for."""
    if distribution is None:
        return None
    return Shard(distribution.replicas, distribution.first, distribution.local)


def _training_on_datasets(
    recipe: Recipe,
    data: Sequence[tf.data.Dataset],
    resumes: bool,
    distribution: Distribution | None,
) -> Training:
    """The same for datasets, which are read anew in every epoch."""
    if len(data) != 2:
        raise ColorizeError(f"data: must be two datasets, train and validation (got {len(data)})")
    size, batch_size = recipe.data.image_size, recipe.training.batch_size
    shard = _shard(distribution)
    parts = 1 if shard is None else shard.local
    train, validation = (dataset_batches(images, size, batch_size, shard) for images in data)
    samples = data[1].take(recipe.training.sample_images)
    counts = [len(images) for images in data]
    fingerprint = f"tf.data {counts}"
    if distribution:
        require_same(distribution, {"images": fingerprint.encode()})
    return Training(
        colorizer=build_colorizer(
            recipe,
            dataset_batches(data[0], size, batch_size),
            resumes=resumes,
            distribution=distribution,
        ),
        batches=lambda epoch, first_batch: train.skip(first_batch * parts),
        validation=validation,
        samples=np.stack(list(samples.as_numpy_iterator())),
        fingerprint=fingerprint,
        images=dict(zip(("train", "validation"), counts, strict=True)),
        distribution=distribution,
    )


def build_training_batches(
    recipe: Recipe,
    lab_cache: LabCache,
    epoch: tf.Variable,
    first_batch: int,
    shard: Shard | None = None,
) -> tf.data.Dataset:
    """The batches of the epoch that `epoch` holds, without the first `first_batch`."""
    return training_batches(
        lab_cache,
        recipe.training.batch_size,
        epoch=epoch,
        seed=recipe.training.seed,
        flip=recipe.data.flip,
        crop=recipe.data.crop,
        degraded_share=recipe.data.degraded_share,
        first_batch=first_batch,
        shard=shard,
    )


def build_colorizer(
    recipe: Recipe,
    batches: tf.data.Dataset | None = None,
    *,
    resumes: bool = False,
    distribution: Distribution | None = None,
) -> Colorizer:
    """Networks, losses and optimizers, compiled and ready for `fit`.

    Args:
        recipe: what to build.
        batches: the training images, once: a cosine schedule needs the number of batches, and
            ab classes need their colors.
        resumes: as for `build_training`.
        distribution: as for `build_training`.
    """
    settings, rates = recipe.training, recipe.optimizers
    is_float16 = settings.precision == "mixed_float16"
    own = own_parts(recipe)
    options: dict[str, Any] = {
        "jit_compile": settings.jit_compile,
        "steps_per_execution": settings.steps_per_execution,
    }
    steps = 0 if batches is None else settings.epochs * len(batches)
    strategy = distribution.strategy if distribution else tf.distribute.get_strategy()
    with strategy.scope(), _precision(settings.precision):
        generator = _generator(recipe, own.get("generator.network"))
        if recipe.training.initial_weights and not resumes:
            resolve_initial_weights(recipe.training.initial_weights).copy_weights(generator)
        discriminator = recipe.discriminator and _discriminator(
            recipe, recipe.discriminator, own.get("discriminator.network")
        )
    own_loss = own.get("losses.reconstruction")
    common: dict[str, Any] = {
        "reconstruction_loss": _own_loss(own_loss, recipe.losses.reconstruction)
        if own_loss
        else RECONSTRUCTION_LOSSES[recipe.losses.reconstruction],
        "weight_average": settings.weight_average,
        "strategy": strategy,
    }
    base_rates = [rates.generator_learning_rate]
    if discriminator:
        base_rates.append(rates.discriminator_learning_rate)
    with strategy.scope():
        inner = [_optimizer(recipe, own, base, steps) for base in base_rates]
        optimizers = [*map(_scaling_losses, inner)] if is_float16 else inner
    if distribution:
        _require_plain_sums(inner[0], rates.name)
    if discriminator:
        adversarial = AdversarialColorizer(
            generator,
            discriminator,
            reconstruction_weight=recipe.losses.reconstruction_weight,
            adversarial_losses=ADVERSARIAL_LOSSES[recipe.losses.adversarial],
            real_target=recipe.losses.real_target,
            **common,
        )
        adversarial.compile(*optimizers, **options)
        return adversarial
    if recipe.generator.network == "efficientnet":
        if batches is None:
            raise ValueError("ab classes need the training images. Received: batches=None")
        colorizer: Colorizer = ClassifyingColorizer(
            generator,
            class_weight=recipe.losses.class_weight,
            rarity=class_rarity(batches, recipe.losses.class_rebalancing),
            pretrained_layers=encoder_layers(generator),
            **common,
        )
    else:
        colorizer = Colorizer(generator, **common)
    colorizer.compile(*optimizers, **options)
    if isinstance(inner[0], Adam):
        inner[0].scale_learning_rate(
            [v for layer in colorizer.pretrained_layers for v in layer.trainable_variables],
            rates.encoder_learning_rate_factor,
        )
    return colorizer


def _generator(recipe: Recipe, own: Network | None) -> keras.Model:
    if own is None:
        return GENERATORS[recipe.generator.network](recipe)
    generator = _own_network(own, recipe, recipe.generator, seed=2 * recipe.training.seed)
    check_generator(generator, recipe.generator.network)
    return generator


def _own_network(
    function: Network, recipe: Recipe, table: BaseModel | None, seed: int
) -> keras.Model:
    name = getattr(table, "network", "")
    network = _result(name, function, recipe.data.image_size, seed=seed, **_arguments(table))
    output = getattr(_of_kind(network, keras.Model, name), "output", None)
    if (dtype := getattr(output, "dtype", "float32")) != "float32":  # The policy's, by default.
        raise ColorizeError(
            f'{name}: must end in float32 (got {dtype}); give its last layer dtype="float32"'
        )
    return network


def _own_loss(function: Callable[..., Any], name: str) -> Callable[..., tf.Tensor]:
    """A loss of the user's own as a float32 scalar: the mean, as of those that Keras has."""
    ab = tf.TensorSpec((None, None, None, 2))
    trace = tf.function(function, autograph=False).get_concrete_function
    loss = _result(name, trace, ab, ab).structured_outputs
    if not (isinstance(loss, tf.Tensor | tf.TensorSpec) and loss.dtype.is_floating):
        raise ColorizeError(f"{name}: must return a tensor of real numbers (got {loss})")
    return lambda ab, predicted_ab: tf.cast(tf.reduce_mean(function(ab, predicted_ab)), tf.float32)


def _result(part: str, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a function of the user's own returns; an error of its own names it."""
    try:
        return function(*arguments, **keywords)
    except ColorizeError:
        raise
    except Exception as error:
        reason = shorten(first_line(error), 200)
        raise ColorizeError(f"{part}: fails with {type(error).__name__}: {reason}") from error


def _of_kind(value: Any, kind: type, part: str) -> Any:
    """What a function of the user's own returned, if it is of the right kind."""
    if not isinstance(value, kind):
        raise ColorizeError(
            f"{part}: must return a {kind.__module__.partition('.')[0]} {kind.__name__} "
            f"(got {type(value).__name__})"
        )
    return value


def _unet(recipe: Recipe) -> keras.Model:
    return unet_generator(
        recipe.data.image_size, seed=2 * recipe.training.seed, **_arguments(recipe.generator)
    )


def _efficientnet(recipe: Recipe) -> keras.Model:
    arguments = _arguments(recipe.generator)
    if recipe.training.initial_weights:  # They hold the encoder's.
        arguments["encoder_weights"] = "none"
    return efficientnet_generator(seed=recipe.training.seed, **arguments)


DISCRIMINATORS = {"patch": patch_discriminator}
GENERATORS = {"unet": _unet, "efficientnet": _efficientnet}


def _discriminator(
    recipe: Recipe, table: Discriminator | OwnNetwork, own: Network | None
) -> keras.Model:
    seed = 2 * recipe.training.seed + 1
    if own is not None:
        return _own_discriminator(own, recipe, table, seed)
    return DISCRIMINATORS[table.network](recipe.data.image_size, seed=seed, **_arguments(table))


def _own_discriminator(
    function: Network, recipe: Recipe, table: BaseModel, seed: int
) -> keras.Model:
    discriminator = _own_network(function, recipe, table, seed)
    shapes = [getattr(discriminator, f"{side}_shape", None) for side in ("input", "output")]
    match shapes:
        case [[(_, _, _, 1), (_, _, _, 2)], (None, *_)]:
            return discriminator
    name = getattr(table, "network", "")
    raise ColorizeError(
        f"{name}: no discriminator: must be [(N, S, S, 1), (N, S, S, 2)] -> (N, any number). "
        f"Received: {shapes[0]} -> {shapes[1]}"
    )


def _arguments(table: BaseModel | None) -> dict[str, Any]:
    """A network's table as arguments of the function that builds it."""
    return {} if table is None else table.model_dump(exclude={"network"})


def _optimizer(
    recipe: Recipe, own: Mapping[str, Callable[..., Any]], base: float, steps: int
) -> keras.optimizers.Optimizer:
    """The optimizer of one network, for a training of so many steps."""
    settings, schedule = recipe.optimizers, recipe.schedule
    build = own.get("optimizers.name") or OPTIMIZERS[settings.name]
    if own_shape := own.get("schedule.shape"):
        rate = _own_rate(_result(schedule.shape, own_shape, schedule, base, steps), schedule.shape)
    else:
        rate = SCHEDULES[schedule.shape](schedule, base, steps)
    optimizer = _of_kind(
        _result(settings.name, build, settings, rate), keras.optimizers.Optimizer, settings.name
    )
    if getattr(optimizer, "inner_optimizer", optimizer).use_ema:
        # Keras would put the averages in the place of the weights after each of its `fit`s.
        raise ColorizeError(
            f"{settings.name}: use_ema: must be False; training.weight_average averages weights"
        )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _own_rate(rate: Any, part: str) -> Rate:
    """What a schedule of the user's own returned, if it is one."""
    if isinstance(rate, Real) and not isinstance(rate, bool):
        return float(rate)
    if not callable(rate):  # As a `LearningRateSchedule` is.
        raise ColorizeError(
            f"{part}: must return a learning rate or a keras LearningRateSchedule (got {rate!r})"
        )
    return rate


def _scaling_losses(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The same, with scaled losses; one of the user's own may scale them already."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return optimizer
    return LossScaleOptimizer(optimizer)


def _require_plain_sums(optimizer: keras.optimizers.Optimizer, name: str) -> None:
    """Fails for what Keras does to the gradients of each replica, and not to their sum."""
    for option in ("clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps"):
        if getattr(optimizer, option):
            raise ColorizeError(
                f'{name}: {option} works on one device only, training.strategy = "none"'
            )


def _adam(settings: Optimizers, learning_rate: Rate) -> Adam:
    return Adam(
        learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        weight_decay=settings.weight_decay or None,
    )


def _sgd(settings: Optimizers, learning_rate: Rate) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(
        learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay or None
    )


def _lion(settings: Optimizers, learning_rate: Rate) -> keras.optimizers.Optimizer:
    return keras.optimizers.Lion(
        learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        weight_decay=settings.weight_decay or None,
    )


OPTIMIZERS = {"adam": _adam, "adamw": _adam, "sgd": _sgd, "lion": _lion}


def _exponential(schedule: Schedule, base: float, steps: int) -> Rate:
    decay = FlooredExponentialDecay(
        base, schedule.decay_rate, schedule.decay_steps, schedule.minimum_learning_rate
    )
    return Warmup(decay, schedule.warmup_steps) if schedule.warmup_steps else decay


def _cosine(schedule: Schedule, base: float, steps: int) -> Rate:
    return WarmupCosine(base, steps, schedule.warmup_steps, schedule.minimum_learning_rate)


def _constant(schedule: Schedule, base: float, steps: int) -> Rate:
    return Warmup(base, schedule.warmup_steps) if schedule.warmup_steps else base


SCHEDULES = {"exponential": _exponential, "cosine": _cosine, "constant": _constant}


def _folder(data: Data) -> Folder:
    if data.path is None:
        raise ColorizeError("data.path: is unset; say where the images are")
    keys = {"path", "image_size", "validation_share", "test_share", "split_by"}
    return list_folder(**data.model_dump(include=keys | {f"{split}_images" for split in SPLITS}))


def _cifar10(data: Data) -> Splits:
    return load_cifar10(
        data.image_size,
        train_images=data.train_images,
        validation_images=data.validation_images,
        test_images=data.test_images,
    )


def _painted_scenes(data: Data) -> Splits:
    return load_painted_scenes(data.image_size, *_scenes(data), seed=0)


def _scenes(data: Data) -> tuple[int, int, int]:
    """How many are painted to train, validate and test on."""
    train, validation, test = PAINTED_SCENES
    return (
        data.train_images or train,
        data.validation_images or validation,
        test if data.test_images is None else data.test_images,
    )


def _given(data: Data) -> Splits:
    raise ColorizeError(
        "the images were passed to fit as data, and are not kept; name a folder of images (--data)"
    )


SOURCES: dict[str, Callable[[Data], Folder | Splits]] = {
    "folder": _folder,
    "cifar10": _cifar10,
    "painted_scenes": _painted_scenes,
    "given": _given,
}


@contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Networks built inside compute in this precision; the user's own models do not."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
