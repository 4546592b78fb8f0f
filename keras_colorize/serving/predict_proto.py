"""The messages of TF Serving's Predict call and of its warm-up requests, without TensorFlow.

`tensorflow-serving-api` would bring them, and all of TensorFlow. They are declared here as far as
they are used, in a pool of their own, so that they do not collide with TensorFlow's.

Reference:
    tensorflow_serving/apis/{predict,model,prediction_log}.proto;
    tensorflow/core/framework/{tensor,tensor_shape,types}.proto.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PREDICT = "/tensorflow.serving.PredictionService/Predict"
DT_FLOAT, DT_STRING = 1, 7

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "tensorflow.serving"

# Message -> field -> its number, type, and whether it is repeated.
_MESSAGES: dict[str, dict[str, tuple[int, int | str, bool]]] = {
    "Dim": {"size": (1, _Field.TYPE_INT64, False)},
    "TensorShapeProto": {"dim": (2, "Dim", True)},
    "TensorProto": {
        "dtype": (1, _Field.TYPE_INT32, False),
        "tensor_shape": (2, "TensorShapeProto", False),
        "float_val": (5, _Field.TYPE_FLOAT, True),
        "string_val": (8, _Field.TYPE_BYTES, True),
    },
    # On the wire a map is a repeated message of key and value.
    "Entry": {"key": (1, _Field.TYPE_STRING, False), "value": (2, "TensorProto", False)},
    "ModelSpec": {
        "name": (1, _Field.TYPE_STRING, False),
        "signature_name": (3, _Field.TYPE_STRING, False),
    },
    "PredictRequest": {"model_spec": (1, "ModelSpec", False), "inputs": (2, "Entry", True)},
    "PredictResponse": {"outputs": (1, "Entry", True)},
    "PredictLog": {"request": (1, "PredictRequest", False)},
    "PredictionLog": {"predict_log": (6, "PredictLog", False)},
}


def _declare() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(
        name="keras_colorize_predict.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, repeated) in fields.items():
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_POOL = _declare()
PredictRequest, PredictResponse, PredictionLog = (
    message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
    for name in ("PredictRequest", "PredictResponse", "PredictionLog")
)
