import os
import signal

import pytest

# Before TensorFlow loads: its start-up notes are not what a test is about.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A shell starts commands in the background with Ctrl-C ignored, and processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def random_unet():
    """A U-Net of 32x32 whose weights are all different, so that none can take another's place."""
    import numpy as np

    from keras_colorize.models import unet_generator

    model = unet_generator(32, filters=4, initial_weights="keras")
    random = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("normalization"):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    return model


@pytest.fixture(scope="session")
def shipped():
    """The default model; tests leave it as it is."""
    import keras_colorize

    return keras_colorize.load()
