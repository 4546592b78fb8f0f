"""Loading TensorFlow without its start-up notes."""

import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Imports TensorFlow; silently if TF_CPP_MIN_LOG_LEVEL is 3, as the command line sets it.

    Some notes are printed by its libraries before that level counts, straight to file descriptor
    2. They are held back during the import, and shown if it fails.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3" or "tensorflow" in sys.modules:
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
