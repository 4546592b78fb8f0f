"""Weights in half the space."""

import math

import keras
import numpy as np
import pytest

from keras_colorize.exporting.half import save_half, to_half


def test_a_model_loads_as_any_other(random_unet, tmp_path):
    path, whole = tmp_path / "half.keras", tmp_path / "whole.keras"
    save_half(random_unet, path)
    random_unet.save(whole)
    saved = whole.stat().st_size - path.stat().st_size
    assert saved > 1.8 * sum(math.prod(weight.shape) for weight in random_unet.weights)
    loaded = keras.saving.load_model(path, compile=False)
    for weight, expected in zip(loaded.weights, random_unet.weights, strict=True):
        assert weight.dtype == "float32"
        expected = expected.numpy()
        if expected.size >= 1024:
            expected = expected.astype("float16").astype("float32")
        np.testing.assert_array_equal(weight.numpy(), expected)


@pytest.mark.parametrize(
    ("value", "count", "dtype", "becomes"),
    [
        (0.1, 1024, "float32", "float16"),
        (0.1, 1023, "float32", "float32"),
        (7e4, 1024, "float32", "float32"),  # above float16's greatest, 65504
        (np.nan, 1024, "float32", "float32"),
        (1, 1024, "int32", "int32"),
    ],
)
def test_only_what_float16_holds(value, count, dtype, becomes):
    array = np.full(count, value, dtype)
    half = to_half(array)
    assert half.dtype == becomes
    np.testing.assert_allclose(half, array, rtol=1e-3)
