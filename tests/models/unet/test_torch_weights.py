import sys

import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.models import load_torch_weights, patch_discriminator, unet_generator
from keras_colorize.models.unet.torch_weights import checkpoint_names

NETWORKS = {
    "generator": lambda: unet_generator(filters=2),
    "discriminator, batch": lambda: patch_discriminator(filters=2),
    "discriminator, spectral": lambda: patch_discriminator(filters=2, normalization="spectral"),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    return NETWORKS[request.param]()


def targets(network) -> dict:
    return {name: variable for la in network.layers for name, variable in checkpoint_names(la)}


def checkpoint(network) -> dict[str, np.ndarray]:
    """Random weights as PyTorch stores them: kernels (out, in, kh, kw), counters beside them."""
    random = np.random.default_rng(0)
    state = {}
    for name, variable in targets(network).items():
        shape = tuple(variable.shape)
        if len(shape) == 4:
            height, width, inputs, outputs = shape
            shape = (outputs, inputs, height, width)
        state[name] = random.normal(size=shape).astype("float32")
        if name.endswith("running_var"):
            state[name.replace("running_var", "num_batches_tracked")] = np.array(9)
        if name.endswith("weight_u"):
            state[name.replace("weight_u", "weight_v")] = np.zeros(7, "float32")
    return state


def values(network) -> list[np.ndarray]:
    return [variable.numpy() for variable in network.variables]


def test_every_variable_of_the_networks_has_a_name(network):
    # But the dropouts' random states and the spectral v, which the first iteration overwrites.
    unnamed = {v.name for v in network.variables} - {v.name for v in targets(network).values()}
    assert unnamed <= {"seed_generator_state", "v"}
    named = {id(v) for v in targets(network).values()}
    assert all(id(v) in named for v in network.variables if v.name not in unnamed)


def test_loads_every_array(network):
    state = checkpoint(network)
    load_torch_weights(network, state)
    for name, variable in targets(network).items():
        expected = state[name]
        if expected.ndim == 4:
            expected = np.moveaxis(expected, (2, 3, 1, 0), (0, 1, 2, 3))
        np.testing.assert_array_equal(variable, expected, err_msg=name)


def test_missing_names(network):
    state, before = checkpoint(network), values(network)
    del state["final.model.0.bias"], state["down1.model.0.bias"]
    with pytest.raises(ColorizeError, match=r"lacks down1\.model\.0\.bias, final\.model\.0\.bias$"):
        load_torch_weights(network, state)
    np.testing.assert_equal(values(network), before)


def test_unknown_names(network):
    state, before = checkpoint(network), values(network)
    state["down9.model.0.weight"] = np.zeros(3)
    with pytest.raises(ColorizeError, match=f"^{network.name}: .*down9.model.0.weight"):
        load_torch_weights(network, state)
    np.testing.assert_equal(values(network), before)


def test_wrong_shapes(network):
    state, before = checkpoint(network), values(network)
    state["final.model.0.weight"] = state["final.model.0.weight"][:, :1]
    with pytest.raises(ColorizeError, match=r"final\.model\.0\.weight must have shape") as caught:
        load_torch_weights(network, state)
    assert "Received: " in str(caught.value) and "\n" not in str(caught.value)
    np.testing.assert_equal(values(network), before)


def test_a_checkpoint_of_another_variant():
    batch, spectral = patch_discriminator(filters=2), NETWORKS["discriminator, spectral"]()
    before = values(batch)
    with pytest.raises(ColorizeError, match="discriminator: the checkpoint lacks down2"):
        load_torch_weights(batch, checkpoint(spectral))
    np.testing.assert_equal(values(batch), before)


def test_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ColorizeError, match=r"model\.pt: needs PyTorch: pip install"):
        load_torch_weights(unet_generator(filters=2), "model.pt")


class TestPt:
    @pytest.fixture
    def torch(self):
        return pytest.importorskip("torch")

    def test_loads_a_file(self, torch, tmp_path, network):
        state = checkpoint(network)
        path = tmp_path / "model.pt"
        torch.save({name: torch.from_numpy(array) for name, array in state.items()}, path)
        load_torch_weights(network, path)
        kernel = targets(network)["final.model.0.weight"]
        np.testing.assert_array_equal(kernel, state["final.model.0.weight"].transpose(2, 3, 1, 0))

    def test_other_files(self, torch, tmp_path):
        network = unet_generator(filters=2)
        before = values(network)
        (tmp_path / "text.pt").write_text("no checkpoint")
        torch.save([1, 2], tmp_path / "list.pt")
        torch.save({"epoch": 3}, tmp_path / "numbers.pt")
        for name in ("text.pt", "list.pt", "numbers.pt", "missing.pt"):
            with pytest.raises(ColorizeError, match=f"{name}: no PyTorch checkpoint") as caught:
                load_torch_weights(network, str(tmp_path / name))
            assert "\n" not in str(caught.value)
        np.testing.assert_equal(values(network), before)
