"""Generators in Keras's own layers compute what they computed before, wherever they are loaded."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_colorize
from keras_colorize.models import plain, unet_generator
from keras_colorize.models.layers import AlignedResize, Enlarge
from keras_colorize.models.predict import both_ends, vividness


@pytest.fixture(scope="module")
def unet() -> keras.Model:
    """With weights that are all different, so that none can take another's place."""
    model = unet_generator(32, filters=4, initial_weights="keras")
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("normalization"):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return model


@pytest.fixture(scope="module")
def shipped() -> keras.Model:
    return keras_colorize.load()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")


# Keras alone: importing this package or TensorFlow's color operations fails.
LOAD = """
import sys
ABSENT = ("keras_colorize", "tensorflow_io")
sys.modules.update(dict.fromkeys(ABSENT))
import keras
import numpy as np

folder = sys.argv[1]
with np.load(f"{folder}/in.npz") as file:
    inputs = dict(file)
models = {
    name: keras.saving.load_model(f"{folder}/{name}.keras") for name in ("unet", "shipped")
}
answers = {
    name: models[name.partition(" ")[0]](lightness, training=False)
    for name, lightness in inputs.items()
}
np.savez(f"{folder}/out.npz", **answers)
"""


def test_loads_in_a_process_without_this_package(unet, shipped, tmp_path):
    models = {"unet": unet, "shipped": shipped}
    for name, model in models.items():
        plain(model).save(tmp_path / f"{name}.keras")
    inputs = {
        "unet": noise(3, 32, 32, 1),
        "shipped": noise(2, 32, 96, 1),
        "shipped larger": noise(1, 160, 128, 1),
    }
    np.savez(tmp_path / "in.npz", **inputs)
    subprocess.run([sys.executable, "-c", LOAD, tmp_path], check=True)
    with np.load(tmp_path / "out.npz") as answers:
        for name, lightness in inputs.items():
            expected = models[name.partition(" ")[0]](lightness, training=False)
            assert np.ptp(expected) > 0.1
            np.testing.assert_allclose(answers[name], expected, atol=1e-5)


def test_vividness_can_still_be_set(shipped, tmp_path):
    path = tmp_path / "plain.keras"
    plain(shipped).save(path)
    loaded = keras_colorize.load(path, vividness=1.0)
    assert vividness(loaded) == 1.0 != vividness(shipped)
    lightness = noise(1, 32, 64, 1)
    ends = both_ends(loaded)(lightness)
    np.testing.assert_allclose(ends, both_ends(shipped)(lightness), atol=1e-6)
    enlarge = loaded.get_layer("ab")
    np.testing.assert_allclose(loaded(lightness), enlarge(ends[..., 2:]), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Enlarge(2), (None, None, 2)),
        (Enlarge(3), (None, None, 1)),
        (Enlarge(4), (None, None, 2)),
        (AlignedResize(35), (5, 9, 3)),
    ],
)
def test_resizing(layer, shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    for height, width in ((5, 9), (1, 1)):
        if shape[0] in (None, height):
            images = noise(2, height, width, shape[-1])
            np.testing.assert_allclose(plain(model)(images), model(images), atol=1e-6)


def test_mixed_precision_becomes_float32(unet):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = unet_generator(32, filters=4)
        mixed.set_weights(unet.get_weights())
        lightness = noise(2, 32, 32, 1)
        np.testing.assert_allclose(plain(mixed)(lightness), unet(lightness), atol=1e-5)
    finally:
        keras.config.set_dtype_policy("float32")
