"""Models go to the Hugging Face Hub and come back, over real HTTP to a stand-in."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from hub_stand_in import TOKEN, hub_stand_in
from huggingface_hub import ModelCard, constants

import keras_colorize
from keras_colorize import ColorizeError, Run, hub, load_recipe
from keras_colorize.build import build_colorizer
from keras_colorize.evaluation.report import _ROWS
from keras_colorize.files import write_text
from keras_colorize.generators import resolve
from keras_colorize.models import unet_generator
from keras_colorize.parts import own_parts


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A Hub with a user who is logged in; the library's cache is in a folder of its own."""
    with hub_stand_in() as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


@pytest.fixture
def run(tmp_path, random_unet):
    """A run of two epochs, with a report."""
    local = [f"data.path={tmp_path}/secret", f"data.cache={tmp_path}/a", "data.memory_gib=2.0"]
    local += [f"training.initial_weights={tmp_path}/b.keras"]
    recipe = load_recipe("paintings_cnn", [*local, "generator.filters=4"])
    run = Run.open(tmp_path / "runs" / "mine", recipe)
    run.model_file("best").parent.mkdir()
    random_unet.save(run.model_file("best"))
    row = {"epoch": 1, "val_l1_loss": 0.07, "val_delta_e_76": 12.5}
    run.write_history([row, row | {"epoch": 2, "val_l1_loss": 0.0612}])
    models = {
        model: {row.metric: value for row in _ROWS}
        for model, value in (("gray", 0.5), ("best", 0.25))
    }
    metrics = {"pictures": 1200, "size": "32x32", "models": models}
    write_text(run.report_folder / "metrics.json", json.dumps(metrics))
    return run


@pytest.fixture
def no_server(server, monkeypatch):
    """A port that nobody listens to, on the machine of the stand-in."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def assert_same(model: keras.Model, other: keras.Model) -> None:
    np.testing.assert_equal(model.get_weights(), other.get_weights())


def test_a_run_goes_there_and_comes_back(server, run, random_unet, tmp_path, monkeypatch):
    address = keras_colorize.push_to_hub(run, "ann/paint", license="mit", message="First")
    assert address.startswith(f"{server.address}/ann/paint/commit/")
    files = server.files["ann/paint"]
    assert set(files) == {*hub.FILES}
    assert server.messages == ["First"] and not server.private
    card = ModelCard(files["README.md"].decode())
    assert card.data.to_dict() == {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-to-image",
        "tags": ["keras-colorize", "image-colorization"],
    }
    assert card.text.startswith("\n# mine\n")
    assert "epoch 2" in card.text and "L1 0.0612" in card.text
    assert "On 1,200 test images, 32x32:" in card.text
    assert "|  | gray | best |\n| --- | ---: | ---: |\n| L1, normalized ab | 0.5000 |" in card.text
    (tmp_path / "mine.toml").write_bytes(files["recipe.toml"])
    differences = load_recipe(tmp_path / "mine.toml").differences(run.recipe)
    local = "data.path", "data.memory_gib", "data.cache", "training.initial_weights"
    assert sorted(line.split(": unset, not ")[0] for line in differences) == sorted(local)
    assert str(tmp_path) not in files["recipe.toml"].decode()

    loaded = keras_colorize.load("hf://ann/paint")
    assert_same(loaded, random_unet)
    assert resolve("hf://ann/paint").name == "ann/paint"
    assert sorted(server.downloads) == sorted(files)  # Once, and then from the cache.
    # Keras reads it by itself, and without network it is the cached one.
    assert_same(keras.saving.load_model("hf://ann/paint"), random_unet)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert_same(keras_colorize.load("hf://ann/paint"), random_unet)
    gray = np.full((20, 30), 99, np.uint8)
    expected = keras_colorize.colorize(gray, random_unet)
    np.testing.assert_array_equal(keras_colorize.colorize(gray, "hf://ann/paint"), expected)


def test_what_is_new_there_is_downloaded(server, tmp_path):
    models = [unet_generator(32, filters=1, seed=seed) for seed in (0, 1)]
    first = keras_colorize.push_to_hub(models[0], "ann/paint", private=True)
    assert server.private == {"ann/paint"}
    assert_same(keras_colorize.load("hf://ann/paint"), models[0])
    keras_colorize.push_to_hub(models[1], "ann/paint")
    assert_same(keras_colorize.load("hf://ann/paint"), models[1])
    revision = first.rpartition("/")[2]
    assert_same(keras_colorize.load(f"hf://ann/paint@{revision}"), models[0])  # From the cache.
    assert "How it was trained is not known." in server.files["ann/paint"]["README.md"].decode()
    assert "recipe.toml" not in server.files["ann/paint"]


def test_the_pretrained_model_has_its_own_card(server):
    keras_colorize.push_to_hub(None, "ann/default")
    card = ModelCard(server.files["ann/default"]["README.md"].decode())
    assert card.data.license == "mit"
    assert card.text.strip() == resolve(None).pretrained.card.read_text().strip()
    assert b'"paintings' not in server.files["ann/default"]["recipe.toml"]
    assert resolve("hf://ann/default").load().input_shape == (None, None, None, 1)


def test_training_starts_from_it(server):
    pushed = unet_generator(32, filters=1, seed=5)
    keras_colorize.push_to_hub(pushed, "ann/paint")
    recipe = load_recipe("quickstart", ["generator.filters=1"])
    recipe = load_recipe(recipe, ["training.initial_weights=hf://ann/paint"])
    assert recipe.training.initial_weights == "hf://ann/paint"
    assert_same(build_colorizer(recipe).generator, pushed)


def test_what_its_recipe_names_is_not_imported(server, run, tmp_path, monkeypatch):
    (tmp_path / "foreign_part.py").write_text("def loss(ab, predicted_ab): ...")
    monkeypatch.syspath_prepend(tmp_path)
    keras_colorize.push_to_hub(run, "ann/paint")
    recipe = load_recipe(run.recipe, ["losses.reconstruction=foreign_part:loss"])
    server.files["ann/paint"]["recipe.toml"] = recipe.to_toml().encode()
    keras_colorize.load("hf://ann/paint")
    assert "foreign_part" not in sys.modules
    own_parts(recipe)
    assert "foreign_part" in sys.modules


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://ann/none", "hf://ann/none: no such repository at http.*; if it is private, log in"),
        ("hf://ann", "hf://ann: must be hf://user/name or hf://user/name@revision"),
        ("hf://ann/empty@v2", "hf://ann/empty: has no such revision"),
        ("hf://ann/empty", r"hf://ann/empty: has no Keras model \(config.json\)"),
        ("hf://ann/damaged", "damaged.*: cannot be loaded as a Keras model: "),
        ("hf://a..b/c", "hf://a..b/c: .*"),
    ],
)
def test_what_cannot_be_loaded(server, address, message):
    server.files |= {"ann/empty": {"README.md": b"#"}, "ann/damaged": {"config.json": b"{"}}
    with pytest.raises(ColorizeError, match=message) as caught:
        keras_colorize.load(address)
    assert "\n" not in str(caught.value)


def test_without_network(no_server):
    model = unet_generator(32, filters=1)
    cases = [
        (lambda: keras_colorize.load("hf://ann/none"), "and the model was not downloaded before"),
        (lambda: keras_colorize.push_to_hub(model, "ann/paint"), "cannot be reached: "),
    ]
    for call, message in cases:
        with pytest.raises(ColorizeError, match=message) as caught:
            call()
        assert "http://127.0.0.1:9" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "ann/paint", "ann/paint: not logged in to http.*; log in by `hf auth login`"),
        ("hf_bad", "ann/paint", "answers: .*log in by .*, or set HF_TOKEN with the right to do"),
        (TOKEN, "other/paint", "answers: You don't have the rights to create a model; log in"),
        (TOKEN, "paint", "paint: must be user/name"),
        (TOKEN, "ann/paint@v1", "ann/paint@v1: must be user/name"),
    ],
)
def test_who_may_not_push(server, tmp_path, monkeypatch, token, repository, message):
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ColorizeError, match=message) as caught:
        keras_colorize.push_to_hub(unet_generator(32, filters=1), repository)
    assert "\n" not in str(caught.value)
    assert not server.messages


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (keras_colorize.load, lambda _: keras_colorize.push_to_hub(None, "ann/paint")):
        with pytest.raises(ColorizeError, match=r"needs pip install 'keras-colorize\[hub\]'"):
            call("hf://ann/paint")


def test_a_report_that_is_none(server, run):
    file = run.report_folder / "metrics.json"
    for content, message in ((None, "No such file"), ("{}", "no report of this version")):
        file.unlink() if content is None else file.write_text(content)
        with pytest.raises(ColorizeError, match=f"metrics.json: {message}.*; evaluate"):
            keras_colorize.push_to_hub(run, "ann/paint", report=run.report_folder)
    assert not server.messages


def test_command(server, run, tmp_path):
    """In a real process, which the library's own environment variables reach."""
    command = [sys.executable, "-m", "keras_colorize.cli", "push", str(run.path), "ann/paint"]
    environment = os.environ | {"HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [*command, "--private"], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    commit, use = done.stdout.splitlines()
    assert commit == f"{server.address}/ann/paint/commit/{server.sha('ann/paint')}"
    assert use.endswith("keras-colorize colorize IMAGE -o OUT --model hf://ann/paint")
    assert server.private == {"ann/paint"}
    command = [*command[:3], "export", "hf://ann/paint", "-o", str(tmp_path / "plain.keras")]
    command += ["--format", "keras", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
