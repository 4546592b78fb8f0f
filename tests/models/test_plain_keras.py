"""Generators in Keras's own layers compute what they computed before, wherever they are loaded."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_colorize
from keras_colorize.models import plain, unet_generator
from keras_colorize.models.layers import AlignedResize, ChromaContrast, Enlarge
from keras_colorize.models.predict import both_ends, vividness


@pytest.fixture(scope="module")
def saved(random_unet, shipped, tmp_path_factory) -> Path:
    """A folder with two plain models."""
    folder = tmp_path_factory.mktemp("plain")
    for name, model in {"unet": random_unet, "shipped": shipped}.items():
        plain(model).save(folder / f"{name}.keras")
    return folder


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")


# Keras alone: importing this package or TensorFlow's color operations fails.
LOAD = """
import sys
ABSENT = ("keras_colorize", "tensorflow_io")
sys.modules.update(dict.fromkeys(ABSENT))
import keras
import numpy as np

folder, inputs, outputs = sys.argv[1:]
models = {
    name: keras.saving.load_model(f"{folder}/{name}.keras") for name in ("unet", "shipped")
}
with np.load(inputs) as file:
    np.savez(outputs, **{name: models[name.partition(" ")[0]](file[name]) for name in file})
"""


def test_loads_in_a_process_without_this_package(random_unet, shipped, saved, tmp_path):
    models = {"unet": random_unet, "shipped": shipped}
    inputs = {
        "unet": noise(3, 32, 32, 1),
        "shipped": noise(2, 32, 96, 1),
        "shipped larger": noise(1, 160, 128, 1),
    }
    paths = tmp_path / "in.npz", tmp_path / "out.npz"
    np.savez(paths[0], **inputs)
    subprocess.run([sys.executable, "-c", LOAD, saved, *paths], check=True)
    with np.load(paths[1]) as answers:
        for name, lightness in inputs.items():
            expected = models[name.partition(" ")[0]](lightness, training=False)
            assert np.ptp(expected) > 0.01
            np.testing.assert_allclose(answers[name], expected, atol=1e-5)


def test_vividness_can_still_be_set(shipped, saved):
    loaded = keras_colorize.load(saved / "shipped.keras", vividness=1.0)
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
        (ChromaContrast(1.5, 0.125), (None, None, 2)),
        (ChromaContrast(0.7, 0.125), (5, 9, 2)),
    ],
)
def test_our_own_layers(layer, shape):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs))
    for height, width in ((5, 9), (1, 1)):
        if shape[0] in (None, height):
            images = noise(2, height, width, shape[-1])
            np.testing.assert_allclose(plain(model)(images), model(images), atol=1e-6)


def test_mixed_precision_becomes_float32(random_unet):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = unet_generator(32, filters=4)
        mixed.set_weights(random_unet.get_weights())
        lightness = noise(2, 32, 32, 1)
        np.testing.assert_allclose(plain(mixed)(lightness), random_unet(lightness), atol=1e-5)
    finally:
        keras.config.set_dtype_policy("float32")
