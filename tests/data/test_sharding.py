import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.data.pipeline import dataset_batches, training_batches
from keras_colorize.data.sharding import Shard
from tests.lab_caches import cache_lab


@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
def test_parts_make_up_each_batch(replicas):
    numbers = tf.random.shuffle(tf.range(23), seed=1)
    batches = tf.data.Dataset.from_tensor_slices(numbers).batch(5)
    split = Shard(replicas, 0, replicas).split(batches)
    assert len(split) == 5 * replicas
    elements = list(split.as_numpy_iterator())
    for index, batch in enumerate(batches.as_numpy_iterator()):
        parts = elements[index * replicas : (index + 1) * replicas]
        assert sum(share for _, share, _ in parts) == pytest.approx(1.0)
        assert all(images == len(batch) for _, _, images in parts)
        counted = [part for (part,), share, _ in parts if share]
        np.testing.assert_array_equal(np.concatenate(counted), batch)
        for (part,), share, _ in parts:
            assert len(part) == (share * len(batch) or 1)
            assert set(part) <= set(batch)


def test_each_process_has_its_own_replicas():
    batches = tf.data.Dataset.range(23).batch(5)

    def values(shard):
        return [part.tolist() for (part,), _, _ in shard.split(batches).as_numpy_iterator()]

    whole = iter(values(Shard(4, 0, 4)))
    first, second = iter(values(Shard(4, 0, 2))), iter(values(Shard(4, 2, 2)))
    for _ in range(5):  # batches
        for part in (first, first, second, second):
            assert next(part) == next(whole)


@pytest.mark.parametrize("first_batch", [0, 2])
def test_an_epoch_sees_each_image_once(first_batch):
    rgb = np.random.default_rng(0).integers(0, 256, (23, 32, 32, 3), np.uint8)
    cache, epoch = cache_lab(rgb), tf.Variable(3)
    arguments = {"epoch": epoch, "seed": 7, "crop": 0.7, "degraded_share": 0.5}
    arguments |= {"first_batch": first_batch}
    whole = [tf.concat(batch, -1) for batch in training_batches(cache, 5, **arguments)]
    parts = []
    for shard in (Shard(2, 0), Shard(2, 1)):
        batches = training_batches(cache, 5, **arguments, shard=shard)
        assert len(batches) == 5 - first_batch
        parts.append([tf.concat(batch, -1) for batch, _, _ in batches])
    for batch, one, other in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate([one, other]), batch)


def test_datasets_of_the_users_own_are_divided_too():
    rgb = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    images = tf.data.Dataset.from_tensor_slices(rgb)
    (whole,) = dataset_batches(images, 32, 3)
    ((part, share, count),) = dataset_batches(images, 32, 3, Shard(2, 1))
    np.testing.assert_array_equal(part[1], whole[1][1:])
    assert (float(share), float(count)) == (pytest.approx(2 / 3), 3.0)
