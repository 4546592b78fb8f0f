"""A web page that colorizes images. Loads no TensorFlow for models that need none."""

import errno
import importlib.util
import os
import socket
from collections.abc import Sequence

from keras_colorize.errors import ColorizeError


def serve(models: Sequence[str], host: str, port: int, max_megabytes: int) -> None:
    """Serves the page until the process is interrupted.

    Args:
        models: to choose from, the first by default; as for `offered_models`.
        host: address to listen on.
        port: 0 for any that is free.
        max_megabytes: of an upload.

    Raises:
        ColorizeError: there is no such model, nothing can listen on this address, or the extra
            demo is not installed.
    """
    if importlib.util.find_spec("gradio") is None:
        raise ColorizeError("demo: needs pip install 'keras-colorize[demo]'")
    with _listen(host, port) as listener:  # First: Gradio takes seconds to load.
        from keras_colorize.demo.results import offered_models

        offered = offered_models(models)
        from keras_colorize.demo import page

        page.serve(offered, listener, max_megabytes)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        code = getattr(error, "errno", None)
        reason = os.strerror(code) if code and code > 0 else error.args[-1]
        hint = "; choose another --port, 0 for any" if code == errno.EADDRINUSE else ""
        raise ColorizeError(f"{host}:{port}: cannot listen here ({reason}){hint}") from error
