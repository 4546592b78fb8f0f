"""A client of TF Serving, over REST or gRPC; it loads no TensorFlow."""

import base64
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from urllib.parse import urlsplit

from keras_colorize.console import log
from keras_colorize.errors import ColorizeError

TIMEOUT = 60.0
"""Seconds that a call may take unless the client says otherwise."""

_PAUSES = (0.2, 0.4, 0.8, 1.6, None)  # Seconds between tries; after the last there is none.


class Client:
    """Colorizes images on a server that runs an exported model.

    A server that is not reachable or overloaded (no connection, HTTP 503, gRPC UNAVAILABLE) is
    tried again, with growing pauses, up to five times in all; the log `keras_colorize` says why.

    Args:
        url: REST: `http://HOST:8501/v1/models/NAME`, https too, `/versions/3` may follow;
            gRPC: `grpc://HOST:8500`, or `grpcs://` for TLS.
        model: the model's name, for gRPC alone.
        timeout: seconds for a call, pauses included; over REST, an answer that has begun may take
            longer.

    Raises:
        ColorizeError: for another URL, or if the package that it takes is not installed.
    """

    def __init__(self, url: str, *, model: str | None = None, timeout: float = TIMEOUT) -> None:
        if not timeout > 0:
            raise ColorizeError(f"timeout: must be above 0 seconds (got {timeout:g})")
        parts = urlsplit(url)
        is_rest = parts.scheme in ("http", "https") and parts.path.startswith("/v1/models/")
        is_grpc = parts.scheme in ("grpc", "grpcs") and not parts.path.strip("/")
        if not parts.netloc or not (is_rest or is_grpc):
            raise ColorizeError(
                f"{url}: must be http://HOST:8501/v1/models/NAME or grpc://HOST:8500"
            )
        if is_grpc != (model is not None):
            need = "name the model" if is_grpc else "the URL names the model; leave `model` out"
            raise ColorizeError(f"{url}: {need}")
        self.url = url
        self.timeout = timeout
        try:
            self._transport: _Transport = _Grpc(url, model or "") if is_grpc else _Rest(url)
        except ImportError as error:
            raise ColorizeError(
                f"{error.name} is missing: pip install 'keras-colorize[client]'"
            ) from None

    def colorize(self, image_bytes: bytes, vividness: float | None = None) -> bytes:
        """Colorizes one image.

        Args:
            image_bytes: a JPEG, PNG, GIF or BMP file.
            vividness: 0 (faithful) to 1 (vivid); by default the model's own.

        Returns:
            A PNG file of the same size.

        Raises:
            ColorizeError: if the server refuses the image or does not answer in time.
        """
        return self.colorize_batch([image_bytes], vividness)[0]

    def colorize_batch(
        self, images: Sequence[bytes], vividness: float | Sequence[float] | None = None
    ) -> list[bytes]:
        """Colorizes several images in one request, which fails if one of them cannot be read.

        Args:
            images: as for `colorize`, each.
            vividness: as for `colorize`; one for all, or one each.

        Returns:
            A PNG file for each image.

        Raises:
            ColorizeError: as `colorize`.
        """
        if isinstance(vividness, int | float):
            vividness = [vividness] * len(images)
        if vividness is not None and len(vividness) != len(images):
            raise ColorizeError(f"vividness: {len(vividness)} values for {len(images)} images")
        end = time.monotonic() + self.timeout
        reason = ""
        for pause in _PAUSES:
            try:
                left = max(end - time.monotonic(), 0.001)
                colorized = self._transport.predict(images, vividness, left)
                break
            except _UnavailableError as error:
                if pause is None or time.monotonic() + pause >= end:
                    raise ColorizeError(f"{self.url}: {error}") from None
                if str(error) != reason:  # Said once, not before every try.
                    reason = str(error)
                    log.info("%s: %s; trying again", self.url, reason)
                time.sleep(pause)
            except _ServerError as error:
                raise ColorizeError(f"{self.url}: {error}") from None
        if len(colorized) != len(images):
            count = f"{len(colorized)} results for {len(images)} images"
            raise ColorizeError(f"{self.url}: {count}")
        return colorized


class _Transport(Protocol):
    def predict(
        self, images: Sequence[bytes], vividness: Sequence[float] | None, timeout: float
    ) -> list[bytes]:
        """One try; raises `_ServerError`, or `_UnavailableError` where another may help."""


class _ServerError(Exception):
    """What the server says, in a line."""


class _UnavailableError(_ServerError):
    """The server is not reachable or overloaded."""


class _Rest:
    """Reference: https://www.tensorflow.org/tfx/serving/api_rest."""

    def __init__(self, url: str) -> None:
        import requests

        self._requests = requests
        self._session = requests.Session()
        self._url = f"{url.rstrip('/')}:predict"

    def predict(
        self, images: Sequence[bytes], vividness: Sequence[float] | None, timeout: float
    ) -> list[bytes]:
        inputs: dict[str, Any] = {
            "image_bytes": [{"b64": base64.b64encode(image).decode()} for image in images]
        }
        if vividness is not None:
            inputs["vividness"] = list(vividness)
        body: dict[str, Any] = {"signature_name": _signature(vividness), "inputs": inputs}
        try:
            answer = self._session.post(self._url, json=body, timeout=timeout)
        except self._requests.Timeout:
            raise _ServerError("no answer in time") from None
        except self._requests.ConnectionError as error:
            raise _UnavailableError(f"no connection{_cause(error)}") from None
        except self._requests.RequestException as error:
            raise _ServerError(_one_line(str(error))) from None
        content = self._json(answer)
        if answer.status_code != 200:
            reason = content.get("error") or f"HTTP {answer.status_code} {answer.reason}"
            kind = _UnavailableError if answer.status_code == 503 else _ServerError
            raise kind(_one_line(str(reason)))
        try:
            return [base64.b64decode(output["b64"]) for output in content["outputs"]]
        except (KeyError, TypeError, ValueError):
            raise _ServerError("no colorized images in the answer") from None

    def _json(self, answer: Any) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        return content if isinstance(content, dict) else {}


class _Grpc:
    """Reference: tensorflow_serving/apis/prediction_service.proto."""

    def __init__(self, url: str, model: str) -> None:
        import grpc

        from keras_colorize.serving import predict_proto

        self._grpc, self._proto, self._model = grpc, predict_proto, model
        parts = urlsplit(url)
        # Images are larger than the 4 MB that gRPC allows by default.
        sizes = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        if parts.scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(parts.netloc, credentials, options=sizes)
        else:
            self._channel = grpc.insecure_channel(parts.netloc, options=sizes)
        self._predict: Callable[..., Any] = self._channel.unary_unary(
            predict_proto.PREDICT,
            request_serializer=predict_proto.PredictRequest.SerializeToString,
            response_deserializer=predict_proto.PredictResponse.FromString,
        )

    def predict(
        self, images: Sequence[bytes], vividness: Sequence[float] | None, timeout: float
    ) -> list[bytes]:
        request = self._proto.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = _signature(vividness)
        value = request.inputs.add(key="image_bytes").value
        value.dtype = self._proto.DT_STRING
        value.tensor_shape.dim.add(size=len(images))
        value.string_val.extend(images)
        if vividness is not None:
            value = request.inputs.add(key="vividness").value
            value.dtype = self._proto.DT_FLOAT
            value.tensor_shape.dim.add(size=len(vividness))
            value.float_val.extend(vividness)
        try:
            response = self._predict(request, timeout=timeout)
        except self._grpc.RpcError as error:
            code = error.code()
            kind = _UnavailableError if code == self._grpc.StatusCode.UNAVAILABLE else _ServerError
            if code == self._grpc.StatusCode.DEADLINE_EXCEEDED:
                raise _ServerError("no answer in time") from None
            raise kind(_one_line(error.details() or code.name)) from None
        outputs = {entry.key: entry.value.string_val for entry in response.outputs}
        if "colorized_bytes" not in outputs:
            raise _ServerError("no colorized images in the answer")
        return list(outputs["colorized_bytes"])


def _signature(vividness: Sequence[float] | None) -> str:
    return "serving_default" if vividness is None else "colorize"


def _cause(error: BaseException) -> str:
    """What the operating system says, as " (Connection refused)"; it is below other errors."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror:
            return f" ({below.strerror})"
        below = below.__cause__ or below.__context__
    return ""


_NODES = r"\{\{function_node [^}]*\}\}|\[\[.*?\]\]|\[Op:[^\]]*\]"
# Its parts are in brackets, as in "assertion failed: [image_bytes[2]: is damaged]".
_ASSERTION = r"assertion failed: ((?:\[(?:[^][]|\[[^][]*\])*\] ?)+)"


def _one_line(message: str) -> str:
    """A server's message without the graph's nodes; of a failed check only what it says."""
    message = re.sub(_NODES, " ", message, flags=re.DOTALL)
    message = " ".join(message.split())
    if found := re.search(_ASSERTION, message):
        message = found[1].strip()[1:-1].replace("] [", " ")
    return message
