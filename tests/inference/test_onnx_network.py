import subprocess
import sys

import numpy as np
import pytest

import keras_colorize
from keras_colorize import Run, load_recipe, pretrained
from keras_colorize.errors import ColorizeError
from keras_colorize.generators import resolve
from keras_colorize.inference.keras_network import KerasNetwork
from keras_colorize.inference.onnx_network import OnnxNetwork

SHIPPED = pretrained.MODELS[pretrained.DEFAULT]


@pytest.fixture(scope="module")
def networks():
    return OnnxNetwork(SHIPPED.onnx), KerasNetwork(keras_colorize.load(SHIPPED.name))


@pytest.mark.parametrize("shape", [(160, 224), (32, 32)])
def test_it_predicts_what_keras_predicts(networks, paint, shape):
    images = np.stack([paint(*shape, seed=seed) for seed in range(2)])
    found, expected = (network.outputs(images) for network in networks)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=0.1)  # Of ab, about -128..127.
    assert np.abs(expected[..., 2:]).max() > 5


def test_it_has_the_same_settings(networks):
    onnx, keras = networks
    assert (onnx.name, onnx.size) == (keras.name, keras.size)
    assert onnx.vividness == pytest.approx(keras.vividness)


def test_colorizing_loads_no_tensorflow():
    program = (
        "import sys, numpy, keras_colorize\n"
        "image = numpy.tile(numpy.arange(0, 250, 5, numpy.uint8), (40, 1))\n"
        "print(keras_colorize.colorize(image).shape, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "(40, 50, 3) False\n", result.stderr


@pytest.mark.parametrize("model", [None, SHIPPED.path])
def test_one_network_is_kept_for_all_calls(model):
    assert resolve(model).network() is resolve(model).network()


def test_a_run_is_loaded_once(tmp_path, random_unet):
    run = Run.open(tmp_path / "mine", load_recipe("paintings_cnn", ["data.path=x"]))
    run.model_file("best").parent.mkdir()
    random_unet.save(run.model_file("best"))
    assert resolve(run.path).network() is resolve(str(run.path)).network()


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(SHIPPED.onnx.read_bytes()[:100_000])
    with pytest.raises(ColorizeError, match=r"model\.onnx: cannot be loaded \(.*\)$"):
        OnnxNetwork(path)
