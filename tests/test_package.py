import importlib
import os
import subprocess
import sys

import pytest

import keras_colorize


def test_public_names():
    names = (
        "fit estimate evaluate compare colorize colorize_files load export push_to_hub plot "
        "load_recipe Recipe RecipeError Run Estimate Report fetch_oxford_paintings FetchSummary"
    )
    assert set(keras_colorize.__all__) == {*names.split(), "ColorizeError"}
    for name in keras_colorize.__all__:
        assert getattr(keras_colorize, name).__name__ == name
        assert name in dir(keras_colorize)


def test_unknown_names():
    with pytest.raises(AttributeError, match="keras_colorize' has no attribute 'colourize'"):
        keras_colorize.colourize  # noqa: B018


def test_names_load_when_they_are_used():
    script = """
import sys, keras_colorize
heavy = {"tensorflow", "keras", "numpy", "pydantic", "keras_colorize.api"}
assert not heavy & sys.modules.keys()
keras_colorize.Run, keras_colorize.load_recipe, keras_colorize.fit
assert not {"tensorflow", "keras"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("level", [None, "0"])
def test_tensorflow_starts_silently_unless_it_is_asked_for(level, tmp_path):
    script = "import keras_colorize; keras_colorize.load()"
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr == "") == ("", level is None)


@pytest.mark.parametrize(
    ("earlier", "name"),
    [
        ("Picture", "RgbImage"),
        ("picture_grid", "image_grid"),
        ("picture_size", "read_image_size"),
        ("read_picture", "read_image"),
    ],
)
def test_earlier_names_of_images_warn(earlier, name):
    images = importlib.import_module("keras_colorize.images")
    with pytest.warns(DeprecationWarning, match=rf"images\.{earlier} is now {name}"):
        assert getattr(images, earlier) is getattr(images, name)
    with pytest.raises(AttributeError, match="has no attribute 'read_pictures'"):
        images.read_pictures  # noqa: B018


def test_the_oxford_dataset_is_not_loaded_with_data():
    script = """
import sys, keras_colorize.data.sources
assert not {"sqlite3", "asyncio", "keras_colorize.oxford"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    data = importlib.import_module("keras_colorize.data")
    with pytest.warns(DeprecationWarning, match=r"is now keras_colorize\.fetch_oxford_paintings"):
        assert data.fetch_oxford_paintings is keras_colorize.fetch_oxford_paintings
    with pytest.raises(AttributeError, match="data' has no attribute 'fetch'"):
        data.fetch  # noqa: B018
