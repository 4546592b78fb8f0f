"""LiteRT (TensorFlow Lite) files, for phones and embedded devices."""

from pathlib import Path

import keras
import tensorflow as tf

from keras_colorize.exporting.tracing import trace
from keras_colorize.files import whole_file


def export_litert(generator: keras.Model, path: Path) -> None:
    """Writes a generator as a LiteRT file of built-in operations alone, whole or not at all.

    Its signature `serving_default` is the function that `trace` gives.

    Args:
        generator: `lightness` -> `ab`.
        path: the `.tflite` file; replaced if it is there.
    """
    module = tf.Module()
    module.serve = trace(generator)
    function = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    content = converter.convert()
    with whole_file(path) as beside:
        beside.write_bytes(content)
