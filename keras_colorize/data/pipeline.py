"""From cached Lab, or datasets of images, to batches of normalized lightness and ab, in tf.data."""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_colorize.color import normalize
from keras_colorize.data.cache import LabCache
from keras_colorize.data.degradation import degrade, random_degradations
from keras_colorize.data.lab import LAB_STEPS
from keras_colorize.data.sharding import Shard
from keras_colorize.errors import ColorizeError


def training_batches(
    lab_cache: LabCache,
    batch_size: int,
    *,
    epoch: tf.Variable,
    seed: int,
    flip: bool = True,
    crop: float = 1.0,
    degraded_share: float = 0.0,
    first_batch: int = 0,
    shard: Shard | None = None,
) -> tf.data.Dataset:
    """Batches of one epoch, shuffled, flipped, cropped and degraded as (seed, epoch) alone decide.

    Every iteration over the dataset reads `epoch` anew. An interrupted epoch resumes
    exactly where it stopped with `first_batch`.

    Args:
        lab_cache: Lab of N images of SxS pixels.
        batch_size: images in a batch; the last one may have fewer.
        epoch: integer scalar, read when an iteration starts.
        seed: of shuffling, flipping, cropping and degrading.
        flip: whether half of the images, drawn anew each epoch, are mirrored left to right.
        crop: smallest side of the random square crops, as a share of S; each is enlarged to S
            bilinearly. 1 for whole images.
        degraded_share: share of images whose lightness is degraded (`degradation.py`).
        first_batch: number of batches of the epoch to skip.
        shard: the replicas to load parts of each batch for.

    Returns:
        A dataset of (`lightness` (B, S, S, 1), `ab` (B, S, S, 2)), float32, with known length; with
        a shard of ((`lightness`, `ab`), share, images), as `Shard.split` returns them.
    """
    count = len(lab_cache)

    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        number = tf.cast(epoch, tf.int32)
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=(seed, number))
        mirrored = tf.random.stateless_uniform((count,), seed=(seed + 1, number)) < 0.5
        boxes = _random_boxes(count, crop, (seed + 2, number))
        drawn: tuple[tf.Tensor, ...] = (order, mirrored & flip, boxes)
        if degraded_share > 0.0:
            drawn += random_degradations(count, degraded_share, (seed + 3, number))
        positions = tf.data.Dataset.from_tensor_slices(drawn)
        return positions.skip(first_batch * batch_size).batch(batch_size)

    def load(
        order: tf.Tensor, mirrored: tf.Tensor, boxes: tf.Tensor, *degradations: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        lab = lab_cache.read(order)
        lab = tf.where(mirrored[:, None, None, None], tf.reverse(lab, axis=[2]), lab)
        if crop < 1.0:
            lab = tf.image.crop_and_resize(lab, boxes, tf.range(len(boxes)), lab.shape[1:3])
        lightness, ab = _split(lab)
        return degrade(lightness, *degradations) if degradations else lightness, ab

    batches = tf.data.Dataset.range(1).flat_map(one_epoch)
    batches = batches.apply(
        tf.data.experimental.assert_cardinality(math.ceil(count / batch_size) - first_batch)
    )
    return _loaded(batches, load, shard, lab_cache.parallel_reads)


def validation_batches(
    lab_cache: LabCache, batch_size: int, shard: Shard | None = None
) -> tf.data.Dataset:
    """Batches in the given order, unchanged.

    Args:
        lab_cache: Lab of N images of SxS pixels.
        batch_size: images in a batch; the last one may have fewer.
        shard: as for `training_batches`.

    Returns:
        A dataset like `training_batches`.
    """
    positions = tf.data.Dataset.range(len(lab_cache)).batch(batch_size)

    def load(order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _split(lab_cache.read(order))

    return _loaded(positions, load, shard, lab_cache.parallel_reads)


def dataset_batches(
    images: tf.data.Dataset, image_size: int, batch_size: int, shard: Shard | None = None
) -> tf.data.Dataset:
    """Batches of a dataset of the user's own; each iteration reads it anew.

    Args:
        images: one image at a time, uint8, shape (image_size, image_size, 3), sRGB, of known
            number.
        image_size: of the recipe.
        batch_size: images a batch; the last one may have fewer.
        shard: as for `training_batches`.

    Returns:
        A dataset like `training_batches`.

    Raises:
        ColorizeError: the dataset has something else in it, or no known length.
    """
    expected = tf.TensorSpec((image_size, image_size, 3), tf.uint8)
    spec = getattr(images, "element_spec", type(images).__name__)
    if spec != expected:
        raise ColorizeError(
            f"data: datasets must give one image at a time, uint8 of shape {expected.shape}, where "
            f"{image_size} is data.image_size (got {spec})"
        )
    if images.cardinality() < 1:
        raise ColorizeError(
            "data: the number of images in a dataset must be known, and not 0 (it is "
            f"{images.cardinality()}); see tf.data.experimental.assert_cardinality"
        )
    return _loaded(images.batch(batch_size), normalize, shard)


def _random_boxes(count: int, crop: float, seed: tuple[int, tf.Tensor]) -> tf.Tensor:
    """Square crops as shares of the image: top, left, bottom, right; float32 (count, 4)."""
    random = tf.random.stateless_uniform((count, 3), seed=seed)
    side = crop + (1.0 - crop) * random[:, :1]
    corner = random[:, 1:] * (1.0 - side)
    return tf.concat([corner, corner + side], axis=-1)


def _split(cached: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Part of a Lab cache -> normalized float32 `lightness` and `ab`."""
    normalized = tf.cast(cached, tf.float32) / LAB_STEPS
    return normalized[..., :1], normalized[..., 1:]


def _loaded(
    batches: tf.data.Dataset, load: Callable[..., Any], shard: Shard | None, calls: int = 2
) -> tf.data.Dataset:
    """Loads batches whole, or the parts that the replicas of this process have of each."""
    if shard is None:
        return _ahead(batches, load, calls)
    return _ahead(shard.split(batches), lambda part, *weights: (load(*part), *weights), calls)


def _ahead(batches: tf.data.Dataset, function: Callable[..., Any], calls: int) -> tf.data.Dataset:
    """Maps batches in advance (prefetching), without tf.data's autotuning.

    With autotuning the end of an epoch waits for the tuner's thread, which sleeps longer each
    time, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    if calls > 2:  # They wait for a disk, more of them than there may be cores.
        options.threading.private_threadpool_size = calls
    return batches.map(function, num_parallel_calls=calls).prefetch(8).with_options(options)
