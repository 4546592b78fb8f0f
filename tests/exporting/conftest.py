import functools
from collections.abc import Callable
from pathlib import Path

import pytest

import keras_colorize

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "openvino": ".xml"}


@pytest.fixture(scope="session")
def models(random_unet, shipped):
    from keras_colorize.models import unet_generator

    # At 32 and 64 pixels some convolutions are matrix products, which other runtimes lack.
    large = unet_generator(64, filters=2, initial_weights="keras", seed=1)
    return {"unet": random_unet, "unet_64": large, "paintings_and_photos": shipped}


@pytest.fixture(scope="session")
def exported(models, tmp_path_factory) -> Callable[[str, str], Path]:
    """The file of a model in a format, written when it is first asked for."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def exported(name: str, format: str) -> Path:
        path = folder / (name + SUFFIXES[format])
        if (name, format) == ("paintings_and_photos", "openvino"):
            # Tracing it a third time would take seconds.
            from keras_colorize.exporting.openvino import onnx_to_openvino

            onnx_to_openvino(exported(name, "onnx"), path)
        else:
            assert keras_colorize.export(models[name], path, format=format) == path
        return path

    return exported
