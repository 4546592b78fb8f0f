"""A web page that colorizes images. Loads no TensorFlow for models that need none."""

import importlib.util
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
    from keras_colorize.demo import page

    page.serve(models, host, port, max_megabytes)
