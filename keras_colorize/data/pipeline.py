"""From uint8 pictures in memory to batches of normalized lightness and ab, in tf.data."""

import math

import numpy as np
import tensorflow as tf

from keras_colorize.color import rgb_to_lab, split_lab


def training_batches(
    rgb: np.ndarray,
    batch_size: int,
    *,
    epoch: tf.Variable,
    seed: int,
    flip: bool = True,
    first_batch: int = 0,
) -> tf.data.Dataset:
    """Batches of one epoch, shuffled and flipped as (seed, epoch) alone decide.

    Every iteration over the dataset reads `epoch` anew. An epoch that was interrupted goes on
    exactly where it stopped by `first_batch`.

    Args:
        rgb: uint8, shape (N, S, S, 3), sRGB.
        batch_size: pictures a batch; the last one may have fewer.
        epoch: integer scalar, read when an iteration starts.
        seed: of shuffling and flipping.
        flip: whether half of the pictures, drawn anew each epoch, are mirrored left to right.
        first_batch: batches of the epoch to leave out.

    Returns:
        A dataset of (`lightness` (B, S, S, 1), `ab` (B, S, S, 2)), float32, with known length.
    """
    pictures = tf.constant(rgb)
    count = len(rgb)

    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        number = tf.cast(epoch, tf.int32)
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=(seed, number))
        mirrored = tf.random.stateless_uniform((count,), seed=(seed + 1, number)) < 0.5
        positions = tf.data.Dataset.from_tensor_slices((order, mirrored & flip))
        return positions.skip(first_batch * batch_size).batch(batch_size)

    def load(order: tf.Tensor, mirrored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        batch = tf.gather(pictures, order)
        batch = tf.where(mirrored[:, None, None, None], tf.reverse(batch, axis=[2]), batch)
        return normalize(batch)

    batches = tf.data.Dataset.range(1).flat_map(one_epoch)
    batches = batches.apply(
        tf.data.experimental.assert_cardinality(math.ceil(count / batch_size) - first_batch)
    )
    return _prefetched(batches.map(load, num_parallel_calls=2))


def validation_batches(rgb: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Batches in the given order, as they are.

    Args:
        rgb: uint8, shape (N, S, S, 3), sRGB.
        batch_size: pictures a batch; the last one may have fewer.

    Returns:
        A dataset of (`lightness`, `ab`) like `training_batches`.
    """
    batches = tf.data.Dataset.from_tensor_slices(rgb).batch(batch_size)
    return _prefetched(batches.map(normalize, num_parallel_calls=2))


def normalize(rgb: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """uint8 sRGB, shape (..., 3) -> normalized float32 `lightness` (..., 1) and `ab` (..., 2)."""
    return split_lab(rgb_to_lab(tf.cast(rgb, tf.float32) / 255.0))


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Makes batches ahead of need, by plain numbers instead of tf.data's autotuning.

    The end of an epoch would wait for the tuner's thread, which wakes ever more rarely, at last
    once a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(4).with_options(options)
