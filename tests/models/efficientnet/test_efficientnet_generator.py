import keras
import numpy as np
import pytest

from keras_colorize.models import efficientnet_generator
from keras_colorize.models.efficientnet.ab_classes import class_centers
from keras_colorize.models.efficientnet.encoder import encoder_layers
from keras_colorize.models.efficientnet.generator import Heads
from keras_colorize.models.predict import both_ends, set_vividness, vividness
from keras_colorize.models.transfer import copy_weights

SETTINGS = {
    "encoder_weights": "none",
    "decoder_filters": (8, 8, 8, 8),
    "temperature": 0.5,
    "vivid_chroma": 1.25,
}


@pytest.fixture(scope="module")
def generator() -> keras.Model:
    """Random weights, and heads that give colors."""
    model = efficientnet_generator(**SETTINGS, vividness=0.25)
    random = np.random.default_rng(0)
    for name in ("faithful_ab", "class_logits"):
        kernel = model.get_layer(name).kernel
        kernel.assign(random.normal(0, 0.3, kernel.shape))
    return model


@pytest.fixture
def lightness() -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, 64, 96, 1)).astype("float32")


def test_any_sides_that_are_multiples_of_32(generator) -> None:
    for height, width in ((32, 32), (64, 160)):
        ab = generator(np.zeros((1, height, width, 1), np.float32))
        assert ab.shape == (1, height, width, 2)
        assert ab.dtype == "float32"


def test_it_starts_gray() -> None:
    model = efficientnet_generator(encoder_weights="none", decoder_filters=(4, 4, 4, 4))
    ab = model(np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 1)).astype("float32"))
    np.testing.assert_array_equal(ab, 0)


def test_ends_are_the_regression_and_the_annealed_mean(generator, lightness) -> None:
    heads = Heads(generator)
    features = heads.features(lightness)
    faithful_ab = heads.faithful_ab(features).numpy()
    logits = heads.class_logits(features).numpy() / 0.5
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    vivid_ab = 1.25 * shares / shares.sum(axis=-1, keepdims=True) @ class_centers()
    ends = both_ends(generator)(lightness).numpy()
    assert ends.shape == (2, 16, 24, 4)
    np.testing.assert_allclose(ends[..., :2], faithful_ab, atol=1e-5)
    np.testing.assert_allclose(ends[..., 2:], vivid_ab, atol=1e-5)


def test_vivid_colors_take_from_the_regression_and_gain_contrast(generator, lightness) -> None:
    model = efficientnet_generator(
        **SETTINGS,
        vivid_regression=0.25,
        vivid_contrast=1.5,
        vivid_pivot=8.0,
    )
    copy_weights(generator, model, "generator")
    faithful_ab, class_ab = np.split(both_ends(generator)(lightness).numpy(), 2, axis=-1)
    blend = 0.25 * faithful_ab + 0.75 * class_ab
    chroma = 127 * np.linalg.norm(blend, axis=-1, keepdims=True)
    ends = both_ends(model)(lightness).numpy()
    np.testing.assert_allclose(ends[..., :2], faithful_ab, atol=1e-6)
    np.testing.assert_allclose(ends[..., 2:], blend * np.sqrt(chroma / 8), atol=1e-6)


def test_without_vivid_settings_there_are_the_layers_of_earlier_runs(generator) -> None:
    """A run's state is in the order of its layers."""
    names = [layer.name for layer in generator.layers]
    last = names[names.index("decoder_stride4_activation") + 1 :]
    heads = "class_logits annealed class_probabilities faithful_ab vivid_ab ends vividness ab"
    assert last == heads.split()


def test_vividness_blends_the_ends(generator, lightness) -> None:
    assert vividness(generator) == 0.25
    blends = {}
    for share in (0.0, 0.25, 1.0):
        set_vividness(generator, share)
        blends[share] = generator(lightness).numpy()
    assert np.abs(blends[1.0] - blends[0.0]).mean() > 0.01
    set_vividness(generator, 0.25)
    np.testing.assert_allclose(blends[0.25], 0.75 * blends[0.0] + 0.25 * blends[1.0], atol=1e-6)


def test_a_saved_model_keeps_its_vividness(generator, lightness, tmp_path) -> None:
    generator.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert vividness(loaded) == 0.25
    np.testing.assert_array_equal(loaded(lightness), generator(lightness))


@pytest.mark.parametrize("stages", [0, 3, 7])
def test_frozen_stages_are_not_trained(stages: int) -> None:
    model = efficientnet_generator(
        encoder_weights="none", frozen_stages=stages, decoder_filters=(4, 4, 4, 4)
    )
    frozen = encoder_layers(model, stages)
    trained = set(map(id, model.trainable_variables))
    assert not any(id(v) in trained for layer in frozen for v in layer.variables)
    others = [layer for layer in encoder_layers(model) if layer not in frozen]
    assert all(id(v) in trained for layer in others for v in layer.variables)
    for name in ("vividness", "vivid_ab"):
        assert not any(id(v) in trained for v in model.get_layer(name).variables)


def test_seeds_decide_the_weights() -> None:
    def kernels(seed: int) -> list[np.ndarray]:
        model = efficientnet_generator(
            encoder_weights="none", decoder_filters=(4, 4, 4, 4), seed=seed
        )
        return [weight for weight in model.get_weights() if weight.ndim == 4 and weight.std() > 0]

    first, again, other = kernels(0), kernels(0), kernels(1)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    changed = [not np.array_equal(one, two) for one, two in zip(first, other, strict=True)]
    assert len(changed) - sum(changed) == 2  # the centers of classes, and vividness
