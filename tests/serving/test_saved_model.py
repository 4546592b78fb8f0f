"""Exported models, as TF Serving and a process without Keras and this package see them."""

import io
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.color import rgb2lab
from tensorflow.core.framework import tensor_pb2

import keras_colorize
from keras_colorize.models import efficientnet_generator, unet_generator
from keras_colorize.models.predict import both_ends, vividness
from keras_colorize.serving.saved_model import export_saved_model, load_predict_ab

SIZES = ((40, 56), (32, 32), (75, 20), (120, 150))  # height, width


@pytest.fixture(scope="module")
def generator() -> keras.Model:
    # Weights large enough to give colours.
    model = unet_generator(32, filters=4, initial_weights="keras", seed=3)
    kernel = model.get_layer("final_convolution").kernel
    kernel.assign(0.3 * np.random.default_rng(0).standard_normal(kernel.shape))
    return model


@pytest.fixture(scope="module")
def folder(generator: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    assert export_saved_model(generator, folder) == folder / "1"
    return folder


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    smooth = [
        np.asarray(
            Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height))
        )
        for height, width in SIZES
    ]
    # The last with the grain of coloured dots, which shrinking averages.
    return [
        *smooth[:-1],
        (smooth[-1] // 2 + random.integers(0, 128, smooth[-1].shape)).astype("u1"),
    ]


def encode(rgb: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, form)
    return file.getvalue()


# TensorFlow alone: importing Keras, us, or the colour operations' package fails.
SERVE = """
import sys
ABSENT = ("keras", "keras_colorize", "tensorflow_io")
sys.modules.update(dict.fromkeys(ABSENT))
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
with np.load(sys.argv[2]) as file:
    images = [bytes(file[name]) for name in sorted(set(file) - {"lightness"})]
    lightness = file["lightness"]
colorized = model.signatures["serving_default"](image_bytes=tf.constant(images))["colorized_bytes"]
ab = model.signatures["predict_ab"](lightness=tf.constant(lightness))["ab"]
assert not any(map(sys.modules.get, ABSENT))
np.savez(
    sys.argv[3],
    ab=ab,
    **{f"png{i}": np.frombuffer(png, np.uint8) for i, png in enumerate(colorized.numpy())},
)
"""


def test_serves_in_a_process_with_tensorflow_alone(
    generator: keras.Model, folder: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    forms = ("GIF", "BMP", "JPEG", "PNG")
    lightness = np.random.default_rng(2).uniform(-1, 1, (5, 32, 32, 1)).astype("float32")
    encoded = {
        f"image{i}": np.frombuffer(encode(rgb, form), np.uint8)
        for i, (rgb, form) in enumerate(zip(pictures, forms, strict=True))
    }
    np.savez(tmp_path / "in.npz", lightness=lightness, **encoded)
    subprocess.run(
        [
            *(sys.executable, "-c", SERVE, str(folder / "1")),
            *(str(tmp_path / "in.npz"), str(tmp_path / "out.npz")),
        ],
        check=True,
    )
    with np.load(tmp_path / "out.npz") as answers:
        expected = generator(lightness, training=False)
        np.testing.assert_allclose(answers["ab"], expected, atol=1e-5)
        for i, form in enumerate(forms):
            rgb = np.asarray(Image.open(io.BytesIO(encoded[f"image{i}"])).convert("RGB"))
            colorized = np.asarray(Image.open(io.BytesIO(answers[f"png{i}"])))
            assert colorized.shape == rgb.shape
            # Lightness is kept, but for rounding to 8 bits (decoders of JPEG round too); colour
            # is new.
            before, after = rgb2lab(rgb), rgb2lab(colorized)
            assert np.abs(after[..., 0] - before[..., 0]).max() < (2 if form == "JPEG" else 0.6)
            assert np.abs(after[..., 1:]).mean() > 1
            offline = keras_colorize.colorize(rgb, generator)
            assert np.abs(colorized.astype(int) - offline).mean() < (2 if form == "JPEG" else 0.3)


@pytest.mark.parametrize("mode", ["P", "L", "RGB", "RGBA"])
def test_serves_every_bmp(folder: Path, pictures: list[np.ndarray], mode: str) -> None:
    """TensorFlow's decoder takes the indices of a palette for gray levels."""
    picture = Image.fromarray(pictures[0])
    picture = picture.quantize(16) if mode == "P" else picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, "BMP")
    serve = tf.saved_model.load(folder / "1").signatures["serving_default"]
    answer = serve(image_bytes=tf.constant([file.getvalue()]))["colorized_bytes"][0].numpy()
    before = rgb2lab(picture.convert("RGB"))
    after = rgb2lab(np.asarray(Image.open(io.BytesIO(answer))))
    assert np.abs(after[..., 0] - before[..., 0]).max() < 0.6


def test_a_saved_model_is_not_exported_again(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(keras_colorize.ColorizeError, match="is a SavedModel already"):
        keras_colorize.export(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_every_export_is_a_new_version(generator: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    assert export_saved_model(generator, tmp_path).name == "8"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7", "8"]


def test_loads_as_a_keras_model_again(generator: keras.Model, folder: Path) -> None:
    lightness = np.random.default_rng(2).uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    for model in (load_predict_ab(folder / "1"), keras_colorize.load(folder)):
        expected = generator(lightness, training=False)
        np.testing.assert_allclose(model(lightness), expected, atol=1e-5)


def test_no_saved_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(keras_colorize.ColorizeError, match="no SavedModel with predict_ab"):
        keras_colorize.load(tmp_path)
    with pytest.raises(keras_colorize.ColorizeError, match="is a file, must be a folder"):
        export_saved_model(unet_generator(filters=1), tmp_path / "saved_model.pb")


def test_warmup_requests_are_what_tf_serving_reads(folder: Path) -> None:
    path = folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
    signatures = []
    for record in tf.data.TFRecordDataset(str(path)):
        # PredictionLog.predict_log = 6, PredictLog.request = 1, as in TF Serving's apis/*.proto.
        request = only_field(only_field(record.numpy(), 6), 1)
        fields = read_fields(request)
        signatures.append(only_field(fields[1][0], 3).decode())
        ((name, tensor),) = [(only_field(m, 1), only_field(m, 2)) for m in fields[2]]
        proto = tensor_pb2.TensorProto.FromString(tensor)
        value = tf.make_ndarray(proto)
        answer = tf.saved_model.load(folder / "1").signatures[signatures[-1]](
            **{name.decode(): tf.constant(value)}
        )
        assert len(answer) == 1
    assert signatures == ["serving_default", "predict_ab"]


@pytest.fixture(scope="module")
def vivid(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    """A generator of any size with vividness 0.25, and its SavedModel."""
    model = efficientnet_generator(
        encoder_weights="none", decoder_filters=(8, 8, 8, 8), vividness=0.25
    )
    random = np.random.default_rng(0)
    for name in ("faithful_ab", "class_logits"):
        kernel = model.get_layer(name).kernel
        kernel.assign(random.normal(0, 0.3, kernel.shape))
    folder = tmp_path_factory.mktemp("saved_models") / "vivid"
    return model, export_saved_model(model, folder)


def test_vividness_is_served(vivid: tuple[keras.Model, Path], pictures: list[np.ndarray]) -> None:
    model, version = vivid
    signatures = tf.saved_model.load(version).signatures
    png = [encode(rgb, "PNG") for rgb in pictures]
    shares = [0.0, 1.0, 0.25, 0.6]
    answers = signatures["colorize"](image_bytes=tf.constant(png), vividness=tf.constant(shares))[
        "colorized_bytes"
    ]
    for rgb, share, answer in zip(pictures, shares, answers.numpy(), strict=True):
        served = np.asarray(Image.open(io.BytesIO(answer)))
        offline = keras_colorize.colorize(rgb, model, vividness=share)
        assert served.shape == rgb.shape
        assert np.abs(served.astype(int) - offline).mean() < 0.5
    own = signatures["serving_default"](image_bytes=tf.constant(png))["colorized_bytes"]
    assert own[2] == answers[2]


def test_a_saved_model_keeps_its_vividness(vivid: tuple[keras.Model, Path]) -> None:
    model, version = vivid
    loaded = keras_colorize.load(version)
    assert vividness(loaded) == 0.25
    for height, width in ((32, 32), (64, 96)):
        lightness = np.random.default_rng(2).uniform(-1, 1, (2, height, width, 1)).astype("float32")
        np.testing.assert_allclose(loaded(lightness), model(lightness), atol=1e-5)
    vivid_one = keras_colorize.load(version, vividness=1.0)
    ends = both_ends(model)(lightness).numpy()
    vivid_ab = tf.image.resize(ends[..., 2:], (64, 96))
    np.testing.assert_allclose(vivid_one(lightness), vivid_ab, atol=1e-5)


def test_warmup_requests_of_every_signature(vivid: tuple[keras.Model, Path]) -> None:
    path = vivid[1] / "assets.extra" / "tf_serving_warmup_requests"
    names = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = only_field(only_field(record.numpy(), 6), 1)
        names.append(only_field(read_fields(request)[1][0], 3).decode())
    assert names == ["serving_default", "predict_ab", "colorize", "predict_both_ends"]
    assert set(names) == set(tf.saved_model.load(vivid[1]).signatures)


def read_fields(message: bytes) -> dict[int, list[bytes]]:
    """The length-delimited fields of a protobuf message, read independently of the writer."""
    fields: dict[int, list[bytes]] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        key = varint()
        assert key & 7 == 2
        length = varint()
        fields.setdefault(key >> 3, []).append(message[position : position + length])
        position += length
    assert position == len(message)
    return fields


def only_field(message: bytes, number: int) -> bytes:
    (value,) = read_fields(message)[number]
    return value
