"""The models that come with the package."""

import dataclasses

import cv2
import keras
import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2lab

import keras_colorize
from keras_colorize import pretrained
from keras_colorize.color import normalize
from keras_colorize.generators import resolve
from keras_colorize.models import efficientnet_generator
from keras_colorize.models.predict import has_vividness, vividness
from keras_colorize.recipe import load_recipe, recipe_paths


@pytest.mark.parametrize("name", pretrained.MODELS)
class TestEveryModel:
    def test_is_the_file_that_was_shipped(self, name):
        model = pretrained.MODELS[name]
        model.check()
        assert sum(path.stat().st_size for path in (model.path, model.onnx)) <= 20 * 2**20

    def test_has_the_recipe_that_trained_it(self, name):
        """As resolved, but for the folder of images and keys that recipes got later."""
        path = pretrained.MODELS[name].path.with_suffix(".toml")
        installed = load_recipe(recipe_paths()[name])
        differences = installed.differences(load_recipe(path))
        assert [key.partition(":")[0] for key in differences] in ([], ["data.path"])

    def test_has_a_card(self, name):
        card = pretrained.MODELS[name].card.read_text()
        for heading in ("Data", "Training", "Scores", "Limits", "License"):
            assert f"## {heading}" in card

    def test_loads_by_its_name_alone(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        generator = keras_colorize.load(name)
        assert generator.input_shape == (None, None, None, 1)
        assert has_vividness(generator)
        assert 0 <= vividness(generator) <= 1

    @pytest.mark.parametrize("recipe", ["{}", "{}_finetuned"])
    def test_its_weights_start_a_training(self, name, recipe):
        """A new network of the recipe, with its weights, computes the same."""
        recipe = load_recipe(recipe_paths()[recipe.format(name)])
        arguments = recipe.generator.model_dump(exclude={"network"})
        network = efficientnet_generator(**arguments | {"encoder_weights": "none"})
        resolve(name).copy_weights(network)
        lightness, _ = normalize(data.astronaut()[None, ::4, ::4])
        expected = keras_colorize.load(name)(lightness)
        assert np.ptp(expected) > 0.05
        np.testing.assert_allclose(network(lightness), expected, atol=1e-5)

    def test_all_of_its_encoder_sees(self, name):
        """In each block some outputs of ReLU6 depend on the image.

        They are constant, 0 or 6, in blocks that training at too high a rate has broken.
        """
        images = [getattr(data, image)() for image in ("astronaut", "chelsea", "coffee", "rocket")]
        images = [cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA) for image in images]
        lightness, _ = normalize(np.stack(images))
        generator = keras_colorize.load(name)
        activations = [
            layer.output
            for layer in generator.layers
            if layer.name.startswith("encoder_") and layer.name.endswith("_activation")
        ]
        assert len(activations) > 30
        for outputs in keras.Model(generator.input, activations)(lightness):
            height, width = outputs.shape[1:3]
            # The borders differ from the center even where nothing depends on the image.
            varies = np.ptp(outputs[:, height // 2, width // 2], axis=0) > 0.01
            assert varies.mean() > 0.2


def test_a_damaged_file_is_told(tmp_path, monkeypatch):
    class Elsewhere(pretrained.PretrainedModel):
        @property
        def path(self):
            return tmp_path / "model.keras"

    model = Elsewhere(**dataclasses.asdict(pretrained.MODELS[pretrained.DEFAULT]))
    monkeypatch.setitem(pretrained.MODELS, model.name, model)
    with pytest.raises(keras_colorize.ColorizeError, match=r"model\.keras: No such file.*again"):
        keras_colorize.load()
    model.path.write_bytes(b"nonsense")
    with pytest.raises(keras_colorize.ColorizeError, match=r"model\.keras: is damaged; install"):
        keras_colorize.load()


def test_real_photographs_get_believable_colors():
    """Of the astronaut's portrait: skin between red and yellow, and more color when vivid."""
    photograph = data.astronaut()
    face = np.s_[80:160, 190:250]
    chroma = {}
    for share in (0.0, 1.0):
        colorized = keras_colorize.colorize(photograph, vividness=share)
        a, b = np.moveaxis(rgb2lab(colorized)[face], -1, 0)[1:].mean(axis=(1, 2))
        assert a > 2 and b > 2
        chroma[share] = np.hypot(*np.moveaxis(rgb2lab(colorized), -1, 0)[1:]).mean()
    assert chroma[1.0] > chroma[0.0] > 3
