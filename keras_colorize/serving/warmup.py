"""Requests that TF Serving replays when it loads a model, so that the first user does not wait.

Reference:
    https://www.tensorflow.org/tfx/serving/saved_model_warmup; the field numbers are those of
    tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf


def write_warmup_requests(
    version: Path, size: int, max_pixels: int, has_vividness: bool = False
) -> None:
    """Writes one request for each signature into a SavedModel.

    Args:
        version: the SavedModel's folder.
        size: of the generator's input.
        max_pixels: of an image that the SavedModel takes.
        has_vividness: whether the SavedModel has the signatures of such generators.
    """
    side = min(size, math.isqrt(max_pixels))
    image = np.array([tf.io.encode_png(np.zeros((side, side, 3), np.uint8)).numpy()], object)
    lightness = np.zeros((1, size, size, 1), np.float32)
    requests = {
        "serving_default": {"image_bytes": image},
        "predict_ab": {"lightness": lightness},
    }
    if has_vividness:
        requests["colorize"] = {"image_bytes": image, "vividness": np.ones(1, np.float32)}
        requests["predict_both_ends"] = {"lightness": lightness}
    folder = version / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for signature, inputs in requests.items():
            writer.write(_prediction_log(signature, inputs))


def _prediction_log(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A serialized PredictionLog of one PredictRequest."""
    model_spec = _field(3, signature.encode())
    request = _field(1, model_spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
