"""Every format answers in its own runtime as Keras does."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import keras_colorize
from keras_colorize.models.predict import both_ends

SHAPES = {
    "unet": ((1, 32, 32, 1), (3, 32, 32, 1)),
    "unet_64": ((1, 64, 64, 1), (2, 64, 64, 1)),
    "paintings_and_photos": ((1, 160, 128, 1), (2, 32, 96, 1)),
}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, shape).astype("float32")


def run_onnx(path: Path, inputs: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    answers = [session.run(names, {"lightness": lightness}) for lightness in inputs]
    return [dict(zip(names, answer, strict=True)) for answer in answers]


def run_litert(path: Path, inputs: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    from ai_edge_litert.interpreter import Interpreter

    predict = Interpreter(str(path)).get_signature_runner()
    return [predict(lightness=lightness) for lightness in inputs]


def run_openvino(path: Path, inputs: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    import openvino

    # On processors with AMX it would compute in bfloat16.
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = model.outputs[0].any_name
    return [{name: model({"lightness": lightness})[name]} for lightness in inputs]


RUNTIMES = {
    "onnx": (run_onnx, ("onnx", "tf2onnx", "onnxruntime")),
    "litert": (run_litert, ("ai_edge_litert",)),
    "openvino": (run_openvino, ("onnx", "tf2onnx", "openvino")),
}


@pytest.mark.parametrize("format", RUNTIMES)
@pytest.mark.parametrize("name", SHAPES)
def test_answers_as_keras_does(models, exported, name, format):
    run, packages = RUNTIMES[format]
    if not all(map(importlib.util.find_spec, packages)):
        pytest.skip(f"needs pip install 'keras-colorize[{format}]'")
    inputs = [noise(*shape) for shape in SHAPES[name]]
    output = "ends" if name == "paintings_and_photos" else "ab"
    model = both_ends(models[name])
    for lightness, answer in zip(inputs, run(exported(name, format), inputs), strict=True):
        assert list(answer) == [output]
        np.testing.assert_allclose(answer[output], model(lightness), atol=1e-5)


def test_openvino_knows_what_onnx_does(exported):
    openvino = pytest.importorskip("openvino", reason="needs keras-colorize[openvino]")
    model = openvino.Core().read_model(exported("paintings_and_photos", "openvino"))
    known = {key: model.get_rt_info(["framework", key]).value for key in ("name", "stride")}
    assert known == {"name": "paintings_and_photos", "stride": "4"}


def test_a_keras_file_needs_no_layer_of_ours(random_unet, tmp_path):
    path = keras_colorize.export(random_unet, tmp_path / "unet.keras", format="keras")
    loaded = keras_colorize.load(path)
    assert {type(layer).__module__.partition(".")[0] for layer in loaded.layers} == {"keras"}
    lightness = noise(1, 32, 32, 1)
    np.testing.assert_allclose(loaded(lightness), random_unet(lightness), atol=1e-5)


@pytest.mark.parametrize(
    ("output", "format", "message"),
    [
        ("a.onnx", "tensorrt", "format: must be one of saved_model, keras, onnx, .*tensorrt"),
        ("a.keras", "onnx", r"a\.keras: must be a file with the suffix \.onnx for onnx"),
        ("folder.xml", "openvino", r"folder\.xml: must be a file with the suffix \.xml"),
        ("a.onnx", "saved_model", r"a\.onnx: a SavedModel is a folder; .* by --format onnx"),
        ("a.tflite", "saved_model", r"a \.tflite file is written by --format litert"),
    ],
)
def test_refuses_before_it_loads_a_model(tmp_path, output, format, message):
    (tmp_path / "folder.xml").mkdir()
    with pytest.raises(keras_colorize.ColorizeError, match=message):
        keras_colorize.export("no model", tmp_path / output, format=format)


def test_a_limit_is_for_servers(tmp_path):
    with pytest.raises(keras_colorize.ColorizeError, match="max_megapixels: is for saved_model"):
        keras_colorize.export("no model", tmp_path / "a.onnx", format="onnx", max_megapixels=3)


@pytest.mark.parametrize(("format", "output"), [("onnx", "a.onnx"), ("openvino", "a.xml")])
def test_names_the_extra_that_is_missing(monkeypatch, tmp_path, format, output):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(keras_colorize.ColorizeError) as raised:
        keras_colorize.export("no model", tmp_path / output, format=format)
    assert str(raised.value) == f"{format}: needs pip install 'keras-colorize[{format}]'"
