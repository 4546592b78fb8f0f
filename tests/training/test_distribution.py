import json

import keras
import pytest
import tensorflow as tf

from keras_colorize import build
from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import load_recipe
from keras_colorize.tables import Training
from keras_colorize.training.cluster import find_cluster
from keras_colorize.training.distribution import (
    describe,
    lost_workers_named,
    open_distribution,
    require_same,
)


@pytest.fixture
def cluster(monkeypatch):
    task = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker"}}
    task["task"]["index"] = 1
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    return find_cluster(None)


@pytest.fixture(scope="module")
def mirrored():
    return open_distribution(Training(epochs=1, strategy="mirrored"), None)


def test_one_device_needs_no_strategy():
    if len(tf.config.list_physical_devices("GPU")) > 1:
        pytest.skip("several GPUs")
    assert open_distribution(Training(epochs=1), None) is None
    assert open_distribution(Training(epochs=1, strategy="none"), None) is None
    assert describe(None).startswith("none (")


def test_a_process_has_one_strategy(mirrored):
    again = open_distribution(Training(epochs=2, strategy="mirrored"), None)
    assert again.strategy is mirrored.strategy
    assert (again.replicas, again.first, again.local) == (again.local, 0, again.local)


def test_joining_must_come_first(cluster):
    tf.constant(0)
    with pytest.raises(ColorizeError, match="multi_worker must be the first use of TensorFlow"):
        open_distribution(Training(epochs=1), cluster)


def test_xla_is_for_one_device(cluster):
    with pytest.raises(ColorizeError, match=r"training\.jit_compile: must be false for several"):
        open_distribution(Training(epochs=1, jit_compile=True), cluster)


def test_lost_workers(cluster):
    gone = tf.errors.UnavailableError(None, None, "Collective ops is aborted by: Connection reset")
    line = "^worker 1 of 2: another worker is gone; start all of them"
    with pytest.raises(ColorizeError, match=line), lost_workers_named(cluster):
        raise gone
    with pytest.raises(tf.errors.UnavailableError), lost_workers_named(None):
        raise gone


def test_one_process_agrees_with_itself(mirrored):
    require_same(mirrored, {"state": b""})


@pytest.mark.parametrize("option", [{"clipnorm": 1.0}, {"gradient_accumulation_steps": 2}])
def test_what_keras_does_to_each_replicas_gradients(mirrored, monkeypatch, option):
    monkeypatch.setitem(
        build.OPTIMIZERS, "sgd", lambda settings, rate: keras.optimizers.SGD(rate, **option)
    )
    recipe = load_recipe("paintings_cnn", ["optimizers.name=sgd", "generator.filters=1"])
    (name,) = option
    with pytest.raises(ColorizeError, match=f"^sgd: {name} works on one device only, training"):
        build.build_colorizer(recipe, distribution=mirrored)
