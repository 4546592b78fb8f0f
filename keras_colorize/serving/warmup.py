"""Requests that TF Serving replays when it loads a model, so that the first user does not wait.

Reference:
    https://www.tensorflow.org/tfx/serving/saved_model_warmup.
"""

import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_colorize.serving import predict_proto


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
    log = predict_proto.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request.inputs.add(key=name).value.ParseFromString(tensor)
    return log.SerializeToString()
