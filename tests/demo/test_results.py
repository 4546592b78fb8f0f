"""What the page shows, without the page."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import keras_colorize
from keras_colorize import ColorizeError, pretrained
from keras_colorize.demo import results as module
from keras_colorize.demo.results import Results, offered_models, paint_examples
from keras_colorize.generators import resolve
from keras_colorize.images import read_image, write_image
from keras_colorize.inference.onnx_network import OnnxNetwork
from keras_colorize.recipe import load_recipe
from keras_colorize.training.run import Run

MODEL = pretrained.DEFAULT


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results({MODEL: resolve(MODEL)}, tmp_path / "results")


def write_noise(path: Path, dtype: type = np.uint8, alpha: bool = False) -> Path:
    random = np.random.default_rng(0)
    top = np.iinfo(dtype).max
    rgb = random.integers(0, top, (45, 60, 3), dtype, endpoint=True)
    opacity = random.integers(0, top, (45, 60), dtype, endpoint=True) if alpha else None
    write_image(path, rgb, opacity)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
def test_png_is_what_colorize_returns(
    results: Results, tmp_path: Path, dtype: type, alpha: bool
) -> None:
    image = write_noise(tmp_path / "noise.png", dtype, alpha)
    png = results.color(image, MODEL, 0.85, ".png")
    assert png.name == "noise_color.png"
    written = read_image(png)
    expected = keras_colorize.colorize(image, vividness=0.85)
    assert written.rgb.dtype == dtype
    np.testing.assert_array_equal(written.rgb, expected[..., :3])
    if alpha:
        np.testing.assert_array_equal(written.alpha, expected[..., 3])
        jpeg = read_image(results.color(image, MODEL, 0.85, ".jpg"))
        clear = written.alpha < 0.01 * np.iinfo(dtype).max
        assert jpeg.rgb[clear].min() > 200, "white shows through"


def test_another_vividness_does_not_run_the_network(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    outputs = OnnxNetwork.outputs

    def count(network: OnnxNetwork, images: np.ndarray) -> np.ndarray:
        runs.append(images.shape)
        return outputs(network, images)

    monkeypatch.setattr(OnnxNetwork, "outputs", count)
    image = write_noise(tmp_path / "noise.png")
    shares = (0.0, results.vividness(MODEL), 1.0, None)
    files = [results.color(image, MODEL, share, ".jpg") for share in shares]
    assert len(runs) == 1
    assert len({file.read_bytes() for file in files}) == 3, "None is the model's own"


def test_a_model_that_changes_is_used(tmp_path: Path) -> None:
    from keras_colorize.models import unet_generator  # Loads TensorFlow.

    file, model = write_noise(tmp_path / "noise.png"), tmp_path / "best.keras"
    model.touch()
    results = Results({"run": resolve(model)}, tmp_path / "results")
    colors = []
    for bias in (0.0, 0.3):
        generator = unet_generator(32, filters=1)
        generator.get_layer("final_convolution").bias.assign([bias, bias])
        generator.save(model)
        colors.append(read_image(results.color(file, "run", None, ".png")).rgb)
    assert (colors[0] != colors[1]).any()


def test_gray_keeps_lightness(results: Results, tmp_path: Path) -> None:
    image = tmp_path / "flat.png"
    write_image(image, np.full((40, 50, 3), (200, 30, 60), np.uint8))
    gray = read_image(results.gray(image)).rgb
    assert gray.shape == (40, 50, 3)
    assert np.ptp(gray.astype(int), axis=-1).max() <= 1
    assert abs(int(gray[20, 20, 1]) - 103) <= 1  # L is 43.3, as of gray 103.


def test_old_results_are_removed_and_made_anew(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_RESULTS", 2)
    image = write_noise(tmp_path / "noise.png")
    first = results.color(image, MODEL, 0.0, ".png")
    pixels = first.read_bytes()
    results.color(image, MODEL, 0.3, ".png")
    assert results.color(image, MODEL, 0.0, ".png") == first, "used again, so it is new"
    results.color(image, MODEL, 0.6, ".png")
    assert first.exists()
    results.color(image, MODEL, 0.9, ".png")
    assert not first.exists()
    assert len(list((tmp_path / "results").glob("*/*"))) == 2
    assert results.color(image, MODEL, 0.0, ".png").read_bytes() == pixels


def test_what_is_too_large_is_refused_by_its_header(results: Results, tmp_path: Path) -> None:
    image = tmp_path / "large.png"
    Image.new("1", (13_000, 10_000)).save(image)
    with pytest.raises(
        ColorizeError, match=r"large\.png: 130.0 megapixels take 1\.6 GB at work as png"
    ):
        results.gray(image)


def test_offered_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(offered_models([])) == [MODEL]
    for name in ("done", "new"):
        Run.open(Path("runs", name), load_recipe("paintings_cnn"))
    model = Path("runs/done/models/best.keras")
    model.parent.mkdir()
    model.touch()
    assert list(offered_models([])) == [MODEL, "runs/done"]
    shutil.move("runs", "mine")
    assert list(offered_models(["mine", MODEL])) == ["mine/done", MODEL]
    assert offered_models(["mine/done"])["mine/done"].path == Path("mine/done/models/best.keras")
    with pytest.raises(ColorizeError, match="has no model yet"):
        offered_models(["mine/new"])
    with pytest.raises(ColorizeError, match="nowhere: no model"):
        offered_models([MODEL, "nowhere"])


def test_examples_are_gray_scenes(tmp_path: Path) -> None:
    examples = paint_examples(tmp_path)
    assert len(examples) == 4
    for example in examples:
        rgb = read_image(example).rgb.astype(int)
        assert rgb.shape == (768, 768, 3)
        assert np.ptp(rgb, axis=-1).max() <= 1
        assert rgb.std() > 20
