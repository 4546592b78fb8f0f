"""The examples of docs/extending.md work, and mistakes in own parts are reported."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import keras_colorize
from keras_colorize import ColorizeError, RecipeError, load_recipe
from keras_colorize.parts import PARAMETERS, own_parts

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text()


def block(language: str) -> str:
    """The only block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return text


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "my_parts.py").write_text(block("python"))
    (tmp_path / "mine.toml").write_text(block("toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_parts", raising=False)
    return tmp_path


def test_the_examples(folder):
    """Begun by the command, in a process of its own; resumed here."""
    assert own_parts(load_recipe(Path("mine.toml"))).keys() == PARAMETERS.keys()
    # Without the folder that Python puts in front by itself, as for an installed script.
    command = [sys.executable, "-P", "-m", "keras_colorize.cli", "fit", "mine.toml", "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("runs/mine: 1 epoch done; ")
    run = keras_colorize.fit("mine.toml", epochs=2, verbose=0)
    assert len(run.history) == 2
    assert run.recipe.generator.network == "my_parts:small_generator"
    # In a process that has not met the module and its layer.
    keras.saving.get_custom_objects().pop("my_parts>Scale")
    del sys.modules["my_parts"]
    assert keras_colorize.load(run.models["last"]).get_layer("scale")
    keras.saving.get_custom_objects().pop("my_parts>Scale")
    del sys.modules["my_parts"]
    report = keras_colorize.evaluate(run)
    assert report.names == tuple(f"test/{index:05d}" for index in range(8))


def test_a_run_whose_module_is_not_there(folder, monkeypatch):
    """And as a file that was copied. Where it is there, TensorFlow loads without its notes."""
    run = keras_colorize.fit("mine.toml", verbose=0)
    copy = folder / "elsewhere" / "copy.keras"
    copy.parent.mkdir()
    copy.write_bytes(run.models["best"].read_bytes())
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "keras_colorize", "evaluate", "runs/mine"]
    options = {"env": environment | {"PYTHONPATH": str(ROOT)}, "capture_output": True}
    assert subprocess.run(command, **options).stderr == b""

    best = run.models["best"].absolute()
    keras.saving.get_custom_objects().pop("my_parts>Scale")
    del sys.modules["my_parts"]
    sys.path.remove(str(folder))
    monkeypatch.chdir(copy.parent)
    unknown = "cannot be loaded as a Keras model: no class Scale of the module my_parts is "
    for path, remedy in (
        (best, "no module my_parts here or in PYTHONPATH (got 'my_parts:"),
        (copy, "import that module first, or name the model's run"),
    ):
        with pytest.raises(ColorizeError) as caught:
            keras_colorize.load(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: {unknown}")
        assert remedy in message and "\n" not in message


def test_losses_of_keras(folder):
    """They give a number for each pixel; a step is as long as with the mean of these."""
    histories = [
        keras_colorize.fit(
            "mine.toml",
            name=loss.partition(":")[2] or loss,
            overrides=[f"losses.reconstruction={loss}", "optimizers.name=sgd"],
            verbose=0,
        ).history
        for loss in ("keras.losses:mean_absolute_error", "l1")
    ]
    ours, theirs = ([row["val_l1_loss"] for row in history] for history in histories)
    assert ours == pytest.approx(theirs)


class TestMistakes:
    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("optimizers.name=nowhere:f", "optimizers.name: no module nowhere here or in PYTHON"),
            ("optimizers.name=my_parts.sub:f", "optimizers.name: no module my_parts.sub here or"),
            ("optimizers.name=my_parts:f", "optimizers.name: my_parts has no function f (got "),
            ("losses.reconstruction=my_parts:np", "my_parts has no function np"),
            (
                "losses.reconstruction=my_parts:gradients_of",
                "losses.reconstruction: my_parts:gradients_of must take (ab, predicted_ab): ",
            ),
            (
                "generator.depth=3",
                "generator.network: my_parts:small_generator must take (image_size, seed=, "
                "filters=, depth=): got an unexpected keyword argument 'depth'; further keys of "
                "the recipe's table are arguments (**_ takes those it does not use)",
            ),
            ("schedule.shape=damaged:f", "damaged cannot be imported: SyntaxError: "),
            ("schedule.shape=needy:f", "schedule.shape: needy needs no_such_package (got "),
        ],
    )
    def test_parts_that_cannot_be_used(self, folder, override, message):
        (folder / "damaged.py").write_text("def f(:\n")
        (folder / "needy.py").write_text("import no_such_package\n")
        (folder / "my_parts.py").write_text(
            block("python") + "\ndef gradients_of(ab):\n    return ab\n"
        )
        with pytest.raises(RecipeError) as caught:
            own_parts(load_recipe(Path("mine.toml"), [override]))
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_all_at_once(self, folder):
        recipe = load_recipe(Path("mine.toml"), ["schedule.shape=a:b", "optimizers.name=c:d"])
        with pytest.raises(RecipeError) as caught:
            own_parts(recipe)
        keys = [line.partition(":")[0] for line in str(caught.value).splitlines()]
        assert keys == ["optimizers.name", "schedule.shape"]

    @pytest.mark.parametrize(
        ("key", "part", "message"),
        [
            ("optimizers.name", "linear", "must return a keras Optimizer (got "),
            ("optimizers.name", "averaging", "averaging: use_ema: must be False; training.weight_"),
            ("optimizers.name", "failing", "failing: fails with RuntimeError: not now"),
            ("schedule.shape", "nothing", "must return a learning rate or a keras Learning"),
            ("losses.reconstruction", "no_loss", "must return a tensor of real numbers (got None)"),
            ("losses.reconstruction", "failing", "failing: fails with RuntimeError: not now"),
            ("discriminator.network", "one_input", "one_input: no discriminator: must be [(N, S,"),
            ("data.source", "failing", "failing: fails with RuntimeError: not now"),
            ("generator.network", "broken", "must return a keras Model (got int)"),
            ("generator.network", "flat", "flat: no generator: must be (N, S, S, 1) -> "),
            (
                "data.source",
                "broken_images",
                "train: must be a NumPy array, uint8 of shape (N, 32",
            ),
        ],
    )
    def test_what_they_return(self, folder, key, part, message):
        (folder / "bad_parts.py").write_text("import keras\nimport numpy as np\n" + BROKEN)
        sys.modules.pop("bad_parts", None)
        with pytest.raises(keras_colorize.ColorizeError) as caught:
            keras_colorize.fit("mine.toml", overrides=[f"{key}=bad_parts:{part}"], verbose=0)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (folder / "runs").exists()


BROKEN = """

def linear(optimizers, learning_rate):
    return learning_rate


def averaging(optimizers, learning_rate):
    return keras.optimizers.AdamW(learning_rate, use_ema=True)


def failing(one, other):
    raise RuntimeError("not now" + chr(10) + "maybe later")


def nothing(schedule, base_learning_rate, steps):
    pass


def no_loss(ab, predicted_ab):
    pass


def one_input(image_size, *, seed):
    both = keras.Input((image_size, image_size, 3))
    return keras.Model(both, keras.layers.Flatten()(both))


def broken(image_size, *, seed, filters):
    return 3


def flat(image_size, *, seed, filters):
    lightness = keras.Input((image_size, image_size, 1))
    return keras.Model(lightness, keras.layers.Flatten()(lightness))


def broken_images(data, progress):
    return np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 8, 8, 3), np.uint8)
"""
