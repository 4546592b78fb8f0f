"""A stand-in for TF Serving: the documented REST shape and PredictionService over real sockets.

Reference:
    https://www.tensorflow.org/tfx/serving/api_rest; prediction_service.proto, whose messages are
    those of the package tensorflow-serving-api.
"""

import base64
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


@dataclass
class StandIn(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Serves one SavedModel as `model`.

    Attributes:
        unavailable: how many of the next requests are answered with 503 or UNAVAILABLE.
        requests: how many came.
    """

    model: str
    signatures: dict
    unavailable: int = 0
    requests: int = 0
    rest_port: int = field(default=0)
    grpc_port: int = field(default=0)

    def is_unavailable(self) -> bool:
        self.requests += 1
        self.unavailable -= 1
        return self.unavailable >= 0

    def run(self, signature: str, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return self.signatures[signature or "serving_default"](**inputs)

    def Predict(self, request, context):  # noqa: N802
        if self.is_unavailable():
            context.abort(grpc.StatusCode.UNAVAILABLE, "model is loading")
        if request.model_spec.name != self.model:
            message = f"Servable not found for request: Latest({request.model_spec.name})"
            context.abort(grpc.StatusCode.NOT_FOUND, message)
        inputs = {name: tf.constant(tf.make_ndarray(t)) for name, t in request.inputs.items()}
        try:
            outputs = self.run(request.model_spec.signature_name, inputs)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response

    def answer(self, path: str, body: dict) -> tuple[int, dict]:
        """The status and body of an HTTP answer."""
        if self.is_unavailable():
            return 503, {"error": "model is loading"}
        if path != f"/v1/models/{self.model}:predict":
            return 404, {"error": f"Servable not found for request: {path}"}
        inputs = {
            name: tf.constant([base64.b64decode(value["b64"]) for value in values], tf.string)
            if name.endswith("_bytes")
            else tf.constant(values, tf.float32)
            for name, values in body["inputs"].items()
        }
        try:
            outputs = self.run(body.get("signature_name", ""), inputs)
        except tf.errors.InvalidArgumentError as error:
            return 400, {"error": error.message}
        # A single output stands there without its name.
        ((name, values),) = outputs.items()
        assert name.endswith("_bytes")  # Else they would not be base64.
        return 200, {"outputs": [{"b64": base64.b64encode(v).decode()} for v in values.numpy()]}


@contextmanager
def serving(signatures: dict, model: str, threads: int = 2) -> Iterator[StandIn]:
    """Serves a SavedModel's signatures on two free ports; so many gRPC requests at a time."""
    stand_in = StandIn(model, signatures)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content = stand_in.answer(self.path, body)
            encoded = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        def log_message(self, *_: object) -> None:
            pass

    rest = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    rpc = grpc.server(ThreadPoolExecutor(threads))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(stand_in, rpc)
    stand_in.rest_port = rest.server_port
    stand_in.grpc_port = rpc.add_insecure_port("127.0.0.1:0")
    thread = threading.Thread(target=rest.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    rpc.start()
    try:
        yield stand_in
    finally:
        rest.shutdown()
        rest.server_close()
        thread.join()
        rpc.stop(None).wait()
