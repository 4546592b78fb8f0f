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

import keras_colorize
from keras_colorize import cards, cli, pretrained
from keras_colorize.color import normalize, render
from keras_colorize.console import log
from keras_colorize.generators import resolve
from keras_colorize.models import unet_generator
from keras_colorize.models.predict import both_ends, vividness
from keras_colorize.recipe import load_recipe
from keras_colorize.serving import colorizing
from keras_colorize.serving.saved_model import export_saved_model, load_predict_ab
from keras_colorize.training.run import Run


@pytest.fixture(scope="module")
def generator() -> keras.Model:
    # Weights large enough to give colors.
    model = unet_generator(32, filters=4, initial_weights="keras", seed=3)
    kernel = model.get_layer("final_convolution").kernel
    kernel.assign(0.3 * np.random.default_rng(0).standard_normal(kernel.shape))
    return model


@pytest.fixture(scope="module")
def run(generator: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose best model is the generator."""
    path = tmp_path_factory.mktemp("runs") / "mine"
    run = Run.open(path, load_recipe("paintings_cnn", ["generator.filters=4"]))
    run.model_file("best").parent.mkdir(parents=True)
    generator.save(run.model_file("best"))
    row = {"epoch": 1, "val_l1_loss": 0.07, "val_delta_e_76": 12.5}
    run.write_history([row, row | {"epoch": 2, "val_l1_loss": 0.0612}])
    return run


@pytest.fixture(scope="module")
def version(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's SavedModel, the next version in its folder."""
    folder = tmp_path_factory.mktemp("saved_models") / "tiny"
    (folder / "7").mkdir(parents=True)
    assert keras_colorize.export(run, folder) == folder / "8"
    return folder / "8"


# TensorFlow alone, and TF Serving's messages: importing Keras, us, or tensorflow-io fails.
SERVE = """
import sys
ABSENT = ("keras", "keras_colorize", "tensorflow_io")
sys.modules.update(dict.fromkeys(ABSENT))
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

def load(version):
    model = tf.saved_model.load(version)
    replayed = []
    for record in tf.data.TFRecordDataset(
        version + "/assets.extra/tf_serving_warmup_requests"
    ).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        model.signatures[request.model_spec.signature_name](**inputs)
        replayed.append(request.model_spec.signature_name)
    assert sorted(replayed) == sorted(model.signatures), replayed
    return model


model = load(sys.argv[1])
assert "colorize" in load(sys.argv[4]).signatures
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
    generator: keras.Model,
    version: Path,
    vivid: tuple[keras.Model, Path],
    images: list[np.ndarray],
    encode,
    tmp_path: Path,
) -> None:
    forms = ("GIF", "BMP", "JPEG", "PNG")
    lightness = np.random.default_rng(2).uniform(-1, 1, (5, 32, 32, 1)).astype("float32")
    encoded = {
        f"image{i}": np.frombuffer(encode(rgb, form), np.uint8)
        for i, (rgb, form) in enumerate(zip(images, forms, strict=True))
    }
    np.savez(tmp_path / "in.npz", lightness=lightness, **encoded)
    subprocess.run(
        [
            *(sys.executable, "-c", SERVE, str(version)),
            *(str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), str(vivid[1])),
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
            # Lightness is kept, but for rounding to 8 bits (decoders of JPEG round too); color
            # is new.
            before, after = rgb2lab(rgb), rgb2lab(colorized)
            assert np.abs(after[..., 0] - before[..., 0]).max() < (2 if form == "JPEG" else 0.6)
            assert np.abs(after[..., 1:]).mean() > 1
            offline = keras_colorize.colorize(rgb, generator)
            assert np.abs(colorized.astype(int) - offline).mean() < (2 if form == "JPEG" else 0.3)


def test_a_saved_model_is_not_exported_again(version: Path, tmp_path: Path) -> None:
    with pytest.raises(keras_colorize.ColorizeError, match="is a SavedModel already"):
        keras_colorize.export(version.parent, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_loads_as_a_keras_model_again(generator: keras.Model, version: Path) -> None:
    lightness = np.random.default_rng(2).uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    for model in (load_predict_ab(version), keras_colorize.load(version.parent)):
        expected = generator(lightness, training=False)
        np.testing.assert_allclose(model(lightness), expected, atol=1e-5)


def test_no_saved_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(keras_colorize.ColorizeError, match="no SavedModel with predict_ab"):
        keras_colorize.load(tmp_path)
    model = unet_generator(filters=1)
    with pytest.raises(keras_colorize.ColorizeError, match="is a file, must be a folder"):
        export_saved_model(model, tmp_path / "saved_model.pb")
    with pytest.raises(keras_colorize.ColorizeError, match="must be above 0"):
        export_saved_model(model, tmp_path / "new", max_megapixels=0)


def test_vividness_is_served(
    vivid: tuple[keras.Model, Path], signatures, images: list[np.ndarray], encode
) -> None:
    model = vivid[0]
    png = [encode(rgb, "PNG") for rgb in images]
    shares = [0.0, 1.0, 0.25, 0.6]
    answers = signatures["colorize"](image_bytes=tf.constant(png), vividness=tf.constant(shares))[
        "colorized_bytes"
    ]
    for rgb, share, answer in zip(images, shares, answers.numpy(), strict=True):
        served = np.asarray(Image.open(io.BytesIO(answer)))
        offline = keras_colorize.colorize(rgb, model, vividness=share)
        assert served.shape == rgb.shape
        assert np.abs(served.astype(int) - offline).mean() < 0.5
    own = signatures["serving_default"](image_bytes=tf.constant(png))["colorized_bytes"]
    assert own[2] == answers[2]
    # One for all, or one each.
    colorize = signatures["colorize"]
    same = colorize(image_bytes=tf.constant(png), vividness=tf.constant(0.25))["colorized_bytes"]
    np.testing.assert_array_equal(same, own)
    for shares, message in (([0.5, 0.5], "broadcast|compatible"), (1.5, "must be in 0..1")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            colorize(image_bytes=tf.constant(png), vividness=tf.constant(shares))


def test_one_bad_image_fails_the_request_and_is_named(signatures, encode) -> None:
    serve = signatures["serving_default"]
    good = encode(np.zeros((8, 8), "u1"), "PNG")
    large = encode(np.zeros((200, 101), "u1"), "PNG")
    for bad, reason in ((b"nonsense", "is no JPEG"), (good[:-20], "is damaged"), (large, "has ")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"image_bytes\[1\]: {reason}"):
            serve(image_bytes=tf.constant([good, bad, good]))
    assert len(serve(image_bytes=tf.constant([good]))["colorized_bytes"]) == 1


def test_orientation_and_alpha_are_served(signatures, images, encode) -> None:
    serve = signatures["serving_default"]
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = np.random.default_rng(0).integers(0, 256, images[0].shape[:2], np.uint8)
    rgba = np.dstack([images[0], alpha])
    encoded = [encode(images[0], "JPEG", exif=exif), encode(rgba, "PNG")]
    turned, kept = serve(image_bytes=tf.constant(encoded))["colorized_bytes"].numpy()
    assert Image.open(io.BytesIO(turned)).size == images[0].shape[:2]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(kept)))[..., 3], alpha)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_tiny_and_narrow_images_are_served(signatures, encode, form: str) -> None:
    shapes = [(1, 1), (1, 90), (90, 1), (5, 7), (31, 33)]
    random = np.random.default_rng(0)
    encoded = [encode(random.integers(0, 256, shape, np.uint8), form) for shape in shapes]
    served = signatures["serving_default"](image_bytes=tf.constant(encoded))["colorized_bytes"]
    sizes = [Image.open(io.BytesIO(png)).size for png in served.numpy()]
    assert sizes == [shape[::-1] for shape in shapes]


def test_every_output_has_an_entry_for_each_image(signatures, encode) -> None:
    """TF Serving's batching needs it, for warm-up requests too: it splits outputs by it."""
    inputs = {
        "image_bytes": tf.constant([encode(np.zeros((8, 8), "u1"), "PNG")] * 2),
        "vividness": tf.constant([0.0, 1.0]),
        "lightness": tf.zeros((2, 32, 32, 1)),
    }
    for signature in signatures.values():
        names = signature.structured_input_signature[1]
        for output in signature(**{name: inputs[name] for name in names}).values():
            assert output.shape[:1] == [2]


def test_strips_join(images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of a few rows give what one strip gives, but for rounding."""
    ab = tf.constant(np.random.default_rng(0).uniform(-0.4, 0.4, (1, 32, 64, 2)), tf.float32)
    one = [colorizing._recolor(tf.constant(rgb), ab).numpy() for rgb in images]
    monkeypatch.setattr(colorizing, "_STRIP_PIXELS", 1000)
    for rgb, whole in zip(images, one, strict=True):
        joined = colorizing._recolor(tf.constant(rgb), ab)
        assert joined.shape == rgb.shape
        assert np.abs(joined.numpy().astype(int) - whole).max() <= 1
        large = tf.image.resize(ab, rgb.shape[:2], method="bicubic")[0]
        rendered = render(normalize(rgb)[0], large).numpy()
        assert np.abs(rendered.astype(int) - whole).max() <= 1


def test_empty_batches_and_unfit_sides(version: Path, signatures) -> None:
    any_size = signatures
    fixed = tf.saved_model.load(version).signatures
    nothing = any_size["serving_default"](image_bytes=tf.constant([], tf.string))
    assert nothing["colorized_bytes"].shape == (0,)
    assert fixed["predict_ab"](lightness=tf.zeros((0, 32, 32, 1)))["ab"].shape == (0, 32, 32, 2)
    empty = tf.zeros((0, 64, 32, 1))
    assert any_size["predict_ab"](lightness=empty)["ab"].shape == (0, 64, 32, 2)
    assert any_size["predict_both_ends"](lightness=empty)["ends"].shape == (0, 16, 8, 4)
    assert any_size["predict_ab"](lightness=tf.zeros((1, 64, 96, 1)))["ab"].shape == (1, 64, 96, 2)
    for sides in ((31, 32), (64, 48), (0, 32)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must be multiples of 32, not"):
            any_size["predict_ab"](lightness=tf.zeros((1, *sides, 1)))


def test_weights_are_stored_once(vivid: tuple[keras.Model, Path]) -> None:
    model, version = vivid
    stored = sum(
        int(np.prod(shape))
        for name, shape in tf.train.list_variables(str(version / "variables" / "variables"))
        if name.endswith("VARIABLE_VALUE")
    )
    assert stored <= model.count_params()


def test_card_and_recipe_stand_beside(run: Run, version: Path) -> None:
    """And do not make a run of the SavedModel, which is the next version."""
    assert sorted(path.name for path in version.parent.iterdir()) == ["7", "8"]
    assert (version / "recipe.toml").read_text() == run.recipe_file.read_text()
    card = (version / "MODEL_CARD.md").read_text()
    assert "# mine" in card and "epoch 2" in card and "L1 0.0612" in card
    assert resolve(version).run is None
    assert keras_colorize.load(version).input_shape == (None, 32, 32, 1)


def test_card_of_a_pretrained_model(monkeypatch, tmp_path: Path) -> None:
    shipped = pretrained.MODELS[pretrained.DEFAULT]
    assert cards.card(resolve(None)) == shipped.card.read_text()
    recipe = shipped.path.with_suffix(".toml").read_text()
    assert cards.recipe_text(resolve(None)) == {"recipe.toml": recipe}
    (tmp_path / "mine.keras").touch()
    other = resolve(tmp_path / "mine.keras")
    assert "not known" in cards.card(other) and cards.recipe_text(other) == {}


def test_saved_models_of_earlier_versions_load(generator: keras.Model, tmp_path: Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint(
        "predict_ab",
        lambda lightness: {"ab": generator(lightness, training=False)},
        [tf.TensorSpec((None, 32, 32, 1), tf.float32, "lightness")],
    )
    archive.write_out(tmp_path / "1", verbose=False)
    lightness = np.random.default_rng(2).uniform(-1, 1, (2, 32, 32, 1)).astype("float32")
    expected = generator(lightness, training=False)
    loaded = keras_colorize.load(tmp_path)
    np.testing.assert_allclose(loaded(lightness), expected, atol=1e-5)


def test_vividness_of_earlier_versions_is_a_scalar(tmp_path: Path) -> None:
    lightness = keras.Input((None, None, 1))
    ends = keras.Model(lightness, keras.layers.Conv2D(4, 4, strides=4)(lightness))
    spec = [tf.TensorSpec((None, None, None, 1), tf.float32, "lightness")]
    archive = keras.export.ExportArchive()
    archive.add_endpoint("predict_ab", lambda lightness: {"ab": ends(lightness)[..., :2]}, spec)
    archive.add_endpoint(
        "predict_both_ends",
        lambda lightness: {"ends": ends(lightness), "vividness": tf.constant(0.25)},
        spec,
    )
    archive.write_out(tmp_path / "1", verbose=False)
    assert vividness(keras_colorize.load(tmp_path)) == 0.25


def test_an_export_says_what_it_does(
    generator: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    # As in a program that has not configured logging.
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.chdir(tmp_path)
    generator.save("model.keras")

    def export(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", [cli.NAME, "export", "model.keras", "-o", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr()

    steps = "loading model\ntracing the signatures\nwriting the SavedModel\n"
    assert export("served") == ("served/1\n", steps)
    steps = "loading model\nconverting to keras and writing\n"
    assert export("plain.keras", "--format=keras") == ("plain.keras\n", steps)
    assert export("plain.keras", "--format=keras", "--quiet") == ("plain.keras\n", "")


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
