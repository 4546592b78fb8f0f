import json

import keras
import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.models import unet_generator
from keras_colorize.training.colorizer import Colorizer
from keras_colorize.training.losses import l1_loss
from keras_colorize.training.optimizers import Adam
from keras_colorize.training.state import Progress, load_state, save_state

PROGRESS = Progress(
    "these images", epoch=2, batch=5, seconds=1.25, history=[{"epoch": 1, "val_l1_loss": 0.1 / 3}]
)


def variables(colorizer: Colorizer) -> list[keras.Variable]:
    """All that training changes."""
    owners = [part for pair in colorizer.networks.values() for part in pair]
    return [v for owner in [*owners, *colorizer.means.values()] for v in owner.variables]


def values(colorizer: Colorizer) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables(colorizer)]


@pytest.fixture
def colorizer(small_colorizer):
    return small_colorizer(normalization="spectral", dropout=0.5)


@pytest.fixture
def state(tmp_path, small_colorizer, batch):
    """The state after a step, and the colorizer that made it."""
    colorizer = small_colorizer(seed=1, normalization="spectral", dropout=0.5)
    colorizer.train_step(batch)
    path = tmp_path / "checkpoints" / "state.npz"
    save_state(path, colorizer, PROGRESS)
    return path, colorizer


def test_round_trip(state, colorizer):
    path, original = state
    before = values(colorizer)
    assert load_state(path, colorizer) == PROGRESS
    np.testing.assert_equal(values(colorizer), values(original))
    changed = [not np.array_equal(*pair) for pair in zip(before, values(colorizer), strict=True)]
    # All but biases that start at zero, constants of the optimizers and such.
    assert sum(changed) > 0.8 * len(changed)


def test_states_of_earlier_versions_are_read(state, colorizer):
    path, _ = state
    with np.load(path) as arrays:
        progress = json.loads(str(arrays["progress"]))
    progress["pictures"] = progress.pop("fingerprint")
    change(path, progress=np.array(json.dumps(progress)))
    assert load_state(path, colorizer) == PROGRESS


def test_training_goes_on_as_it_would_have(state, colorizer, batch):
    path, original = state
    load_state(path, colorizer)
    for _ in range(2):
        for one in (colorizer, original):
            one.train_step(batch)
    np.testing.assert_equal(values(colorizer), values(original))


def test_holds_everything_that_a_step_changes(colorizer, batch):
    """No variable that trains is out of the state's sight."""
    seen = {id(variable) for variable in variables(colorizer)}
    colorizer.train_step(batch)
    owners = (colorizer, colorizer.generator_optimizer, colorizer.discriminator_optimizer)
    hidden = [v for owner in owners for v in owner.variables if id(v) not in seen]
    assert [v.path for v in hidden] == []


def test_replaces_the_file_whole(state):
    path, original = state
    save_state(path, original, Progress("others"))
    with np.load(path) as file:
        assert json.loads(str(file["progress"]))["fingerprint"] == "others"
    assert [file.name for file in path.parent.iterdir()] == ["state.npz"]


def test_files_that_are_no_state(state, colorizer):
    path, _ = state
    content = path.read_bytes()
    before = values(colorizer)
    for damaged in (b"", b"no state", content[:100], content[: len(content) // 2], content[:-9]):
        path.write_bytes(damaged)
        with pytest.raises(ColorizeError, match=r"state\.npz: cannot be read \("):
            load_state(path, colorizer)
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
    with pytest.raises(ColorizeError, match=r"state\.npz: cannot be read \("):
        load_state(path, colorizer)
    path.unlink()
    with pytest.raises(ColorizeError, match=r"state\.npz: .*No such file"):
        load_state(path, colorizer)
    np.testing.assert_equal(values(colorizer), before)


def test_damage_of_any_kind_is_one_line(state, colorizer):
    path, _ = state
    content = path.read_bytes()
    # Names, methods, sizes: the archive's directory, and each file's header.
    directory = content.rindex(b"PK\x01\x02")
    random = np.random.default_rng(0)
    refused = 0
    for number in range(60):
        damaged = bytearray(content)
        start = directory if number % 2 else content.rindex(b"PK\x03\x04")
        damaged[start + random.integers(200) % (len(content) - start)] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            load_state(path, colorizer)
        except ColorizeError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            assert str(error).endswith("; delete it, and the run begins anew")
    assert refused > 10


def change(path, **changed):
    with np.load(path) as arrays:
        np.savez(path, **(dict(arrays) | changed))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("generator.0", lambda old: old.astype("float64"), "the state of other networks"),
        ("generator.0", lambda old: old.astype("complex64"), "the state of other networks"),
        ("generator.0", lambda old: old * np.nan, "damaged, not all of generator.0 is finite"),
        ("generator.adam.2", lambda old: old + np.inf, "not all of generator.adam.2 is finite"),
        ("progress", lambda old: np.array('{"fingerprint": 3}'), "cannot be read"),
        ("progress", lambda old: np.array('{"fingerprint": "", "epoch": 1.5}'), "cannot be read"),
        ("progress", lambda old: np.array('{"fingerprint": "", "history": [1]}'), "cannot be read"),
        ("progress", lambda old: np.array("[" * 99_999), "cannot be read"),
    ],
)
def test_values_that_no_state_has(state, colorizer, name, value, message):
    path, _ = state
    before = values(colorizer)
    with np.load(path) as arrays:
        old = arrays[name]
    change(path, **{name: value(old)})
    with pytest.raises(ColorizeError, match=f"{message}.*; delete it, and the run begins anew$"):
        load_state(path, colorizer)
    np.testing.assert_equal(values(colorizer), before)


@pytest.mark.parametrize(
    "options", [{"filters": 3}, {"normalization": "batch"}, {"normalization": "none"}]
)
def test_the_state_of_other_networks(state, small_colorizer, options):
    path, _ = state
    other = small_colorizer(**{"normalization": "spectral", "dropout": 0.5} | options)
    before = values(other)
    with pytest.raises(ColorizeError, match="the state of other networks"):
        load_state(path, other)
    np.testing.assert_equal(values(other), before)


def test_the_state_of_a_gan_is_none_of_a_cnn(state):
    path, _ = state
    plain = Colorizer(unet_generator(filters=2, dropout=0.5), l1_loss)
    plain.compile(Adam(1e-3))
    before = values(plain)
    with pytest.raises(ColorizeError, match="the state of other networks"):
        load_state(path, plain)
    np.testing.assert_equal(values(plain), before)
