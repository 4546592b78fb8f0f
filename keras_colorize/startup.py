"""Loading TensorFlow without its start-up notes."""

import os
import re
import sys
import tempfile

from keras_colorize.errors import ColorizeError


def load_tensorflow() -> None:
    """Imports TensorFlow; silently unless TF_CPP_MIN_LOG_LEVEL asks for its notes.

    Some notes are printed by its libraries before that level counts, straight to file descriptor
    2. They are held back during the import, and shown if it fails.
    """
    if "tensorflow" in sys.modules or os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        import tensorflow

        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401  (it loads what TensorFlow loads lazily)
            import tensorflow  # noqa: F401
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def use_device(device: str) -> None:
    """Lets TensorFlow see one device alone, for the whole process.

    Args:
        device: "cpu" or "gpu:N".

    Raises:
        ColorizeError: there is no such device, or TensorFlow uses another already.
    """
    if not re.fullmatch(r"cpu|gpu:[0-9]+", device):
        raise ColorizeError(f"device: must be cpu or gpu:N, as gpu:0 (got {device})")
    load_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    number = None if device == "cpu" else int(device.removeprefix("gpu:"))
    if number is not None and number >= len(gpus):
        there = ", ".join(["cpu", *(f"gpu:{index}" for index in range(len(gpus)))])
        raise ColorizeError(f"device: no {device} here; there is {there}")
    visible = [] if number is None else [gpus[number]]
    try:
        tf.config.set_visible_devices(visible, "GPU")
    except RuntimeError as error:
        raise ColorizeError(
            f"device: TensorFlow uses others already; choose {device} before its first use"
        ) from error
