"""What is in an ONNX file."""

import math
from collections import Counter

import numpy as np
import pytest

from keras_colorize.models.predict import vividness

onnx = pytest.importorskip("onnx", reason="needs keras-colorize[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs keras-colorize[onnx]")
pytest.importorskip("tf2onnx", reason="needs keras-colorize[onnx]")

from keras_colorize.exporting.onnx import export_onnx  # noqa: E402


@pytest.fixture(scope="module")
def default(exported):
    return onnx.load(exported("paintings_and_photos", "onnx"))


def test_a_clean_graph(default):
    """One node for each layer: what tf2onnx alone makes of upsampling are chains of nodes."""
    nodes = Counter(node.op_type for node in default.graph.node)
    assert (nodes["Conv"], nodes["Resize"]) == (56, 3)
    assert not nodes.keys() & {"Tile", "Shape", "Gather", "Slice", "Loop", "If", "Cast"}


def test_says_how_to_use_it(default, shipped):
    assert {entry.key: entry.value for entry in default.metadata_props} == {
        "name": "paintings_and_photos",
        "prediction_size": "160",
        "multiple": "32",
        "stride": "4",
        "vividness": f"{vividness(shipped):.6g}",
    }
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (default.graph.input[0], default.graph.output[0])
    ]
    assert shapes == [
        ["batch", "height", "width", 1],
        ["batch", "height/4", "width/4", 4],
    ]


def test_half_the_size(random_unet, exported, tmp_path):
    path = tmp_path / "half.onnx"
    export_onnx(random_unet, path, half=True)
    saved = exported("unet", "onnx").stat().st_size - path.stat().st_size
    large = sum(math.prod(weight.shape) for weight in random_unet.weights if weight.ndim > 1)
    assert saved > 1.9 * large
    session = onnxruntime.InferenceSession(path)
    known = session.get_modelmeta().custom_metadata_map
    assert known == {"name": "half", "prediction_size": "32", "multiple": "32", "stride": "1"}
    lightness = np.random.default_rng(1).uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    (ab,) = session.run(["ab"], {"lightness": lightness})
    np.testing.assert_allclose(ab, random_unet(lightness), atol=2e-3)
    stored = {tensor.data_type for tensor in onnx.load(path).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in stored
