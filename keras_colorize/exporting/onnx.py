"""ONNX files, for ONNX Runtime and the many programs that read them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tf2onnx

from keras_colorize.exporting.half import to_half
from keras_colorize.exporting.tracing import metadata, trace
from keras_colorize.files import whole_file

OPSET = 17

_DESCRIPTION = (
    "lightness: L / 50 - 1 of CIE Lab (D65). ab: a / 127 and b / 127. "
    "ends: ab at vividness 0, then ab at vividness 1; blend them as (1 - vividness) and vividness."
)


def export_onnx(generator: keras.Model, path: Path, *, half: bool = False) -> None:
    """Writes a generator as an ONNX file, whole or not at all.

    Its input is `lightness`, its output `ends` or `ab`, as `trace` has them; all but the channels
    can vary where they can in the generator. `metadata` is in its `metadata_props`.

    Args:
        generator: `lightness` -> `ab`.
        path: the `.onnx` file; replaced if it is there.
        half: store the weights as float16, which halves the file; they are cast when it is
            loaded, and computing stays float32.
    """
    function = trace(generator)
    model, _ = tf2onnx.convert.from_function(
        function,
        function.input_signature,
        opset=OPSET,
        custom_op_handlers={"ResizeNearestNeighbor": (_resize_by_factors, [])},
    )
    if half:
        _store_half(model.graph)
    model.doc_string = _DESCRIPTION
    model.graph.name = path.stem
    properties = metadata(generator, path.stem)
    onnx.helper.set_model_props(model, properties)
    sides = ("height", "width")
    _name_axes(model.graph.input[0], ("batch", *sides))
    stride = properties["stride"]
    _name_axes(model.graph.output[0], ("batch", *(f"{side}/{stride}" for side in sides)))
    onnx.checker.check_model(model, full_check=True)
    with whole_file(path) as beside:
        onnx.save(model, beside)


def _resize_by_factors(graph: Any, node: Any, *_: Any) -> None:
    """Converts nearest resizing by constant factors; tf2onnx would compute sizes from shapes."""
    factors = next(each for each in node.inputs[1].inputs if each.is_const())
    scales = np.array([1, 1, *factors.get_tensor_value()], np.float32)
    before = graph.make_node("Transpose", node.input[:1], {"perm": (0, 3, 1, 2)})
    resize = graph.make_node(
        "Resize",
        [before.output[0], "", graph.make_const(f"{node.name}_scales", scales).output[0]],
        {
            "mode": "nearest",
            "nearest_mode": "floor",
            "coordinate_transformation_mode": "asymmetric",
        },
    )
    name, outputs = node.name, node.output
    described = {"shapes": node.output_shapes, "dtypes": node.output_dtypes}
    graph.remove_node(name)
    graph.make_node(
        "Transpose", resize.output, {"perm": (0, 2, 3, 1)}, name=name, outputs=outputs, **described
    )


def _store_half(graph: onnx.GraphProto) -> None:
    """Makes the large weights float16, each cast to float32 by a node."""
    casts = []
    for tensor in graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        stored = to_half(array)
        if stored is not array:
            name = tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(stored, f"{name}_half"))
            to = onnx.TensorProto.FLOAT
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], name=name, to=to))
    nodes = [*casts, *graph.node]  # A node comes after those that it takes from.
    del graph.node[:]
    graph.node.extend(nodes)


def _name_axes(value: onnx.ValueInfoProto, names: tuple[str, ...]) -> None:
    """Names the axes that can vary."""
    for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=False):
        if not axis.HasField("dim_value"):
            axis.dim_param = name
