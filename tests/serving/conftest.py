"""Small exported models, which several modules of tests serve."""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_colorize.models import efficientnet_generator
from keras_colorize.serving.saved_model import export_saved_model

SIZES = ((40, 56), (32, 32), (75, 20), (120, 150))  # height, width


@pytest.fixture(scope="session")
def images() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    smooth = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
        )
        for height, width in SIZES
    ]
    # The last with the grain of colored dots, which shrinking averages.
    return [
        *smooth[:-1],
        (smooth[-1] // 2 + random.integers(0, 128, smooth[-1].shape)).astype("u1"),
    ]


@pytest.fixture(scope="session")
def vivid(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    """A generator of any size with vividness 0.25, and its SavedModel; at most 0.02 megapixels."""
    model = efficientnet_generator(
        encoder_weights="none", decoder_filters=(8, 8, 8, 8), vividness=0.25
    )
    random = np.random.default_rng(0)
    for name in ("faithful_ab", "class_logits"):
        kernel = model.get_layer(name).kernel
        kernel.assign(random.normal(0, 0.3, kernel.shape))
    folder = tmp_path_factory.mktemp("saved_models") / "vivid"
    texts = {"MODEL_CARD.md": "# vivid\n"}
    return model, export_saved_model(model, folder, max_megapixels=0.02, texts=texts)


@pytest.fixture(scope="session")
def signatures(vivid: tuple[keras.Model, Path]) -> Iterator[Mapping[str, Callable]]:
    """The functions of that SavedModel, loaded once."""
    loaded = tf.saved_model.load(vivid[1])
    yield loaded.signatures


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encodes an array or a Pillow image; options are Pillow's."""

    def encode(image: np.ndarray | Image.Image, form: str, **options: object) -> bytes:
        file = io.BytesIO()
        image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image.save(file, form, **options)
        return file.getvalue()

    return encode
