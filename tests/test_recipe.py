import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

import keras_colorize
import keras_colorize.tables
from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import (
    Recipe,
    RecipeError,
    load_recipe,
    recipe_header,
    recipe_paths,
)
from keras_colorize.tables import Data, EfficientNet, UNet

SMALL = """\
[data]
source = "painted_scenes"

[training]
epochs = 3
"""

# What the original's three trainings were made of, as its author's tables give it; Adam's settings,
# the floor, the batch and the image size are common to all.
ORIGINAL = {
    "data.image_size": 32,
    "data.flip": True,
    "generator.normalization": "batch",
    "generator.filters": 64,
    "generator.dropout": 0.5,
    "discriminator.filters": 64,
    "losses.reconstruction": "l1",
    "optimizers.beta_1": 0.5,
    "optimizers.beta_2": 0.999,
    "optimizers.epsilon": 1e-8,
    "schedule.decay_rate": 0.1,
    "schedule.minimum_learning_rate": 1e-6,
    "training.batch_size": 32,
    "training.precision": "float32",
}
PAINTINGS = {
    "data.source": "folder",
    "data.path": None,
    "data.train_images": 10_000,
    "data.validation_images": 2_000,
    "training.epochs": 666,
    "training.keep_epochs": (200, 466, 666),
}
CIFAR10 = {
    "data.source": "cifar10",
    "data.train_images": 50_000,
    "data.validation_images": 10_000,
    "training.keep_epochs": (),
}
BATCH_NORM = {
    "discriminator.normalization": "batch",
    "generator.initial_weights": "normal",
    "discriminator.initial_weights": "normal",
    "losses.reconstruction_weight": 0.99,
    "losses.real_target": 0.9,
    "optimizers.generator_learning_rate": 3e-4,
    "optimizers.discriminator_learning_rate": 6e-5,
    "schedule.decay_steps": 60_000,
}
SPECTRAL_NORM = {
    "discriminator.normalization": "spectral",
    "generator.initial_weights": "keras",
    "discriminator.initial_weights": "keras",
    "losses.reconstruction_weight": 0.985,
    "losses.real_target": 1.0,
    "optimizers.generator_learning_rate": 2e-4,
    "optimizers.discriminator_learning_rate": 2e-4,
    "schedule.decay_steps": 40_000,
}
RECIPES = {
    "paintings_gan_batch_norm": ORIGINAL | PAINTINGS | BATCH_NORM,
    "cifar10_gan_batch_norm": ORIGINAL | CIFAR10 | BATCH_NORM | {"training.epochs": 200},
    "cifar10_gan_spectral_norm": ORIGINAL | CIFAR10 | SPECTRAL_NORM | {"training.epochs": 100},
    # The original has no such training: its paintings with its spectral norm's settings.
    "paintings_gan_spectral_norm": ORIGINAL | PAINTINGS | SPECTRAL_NORM,
}


@pytest.fixture
def write(tmp_path):
    """Writes a recipe file and gives its path."""

    def write(text: str | bytes, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def get(recipe: Recipe, key: str) -> object:
    table, _, name = key.partition(".")
    return getattr(getattr(recipe, table), name)


def mistakes(path: Path, *overrides: str) -> list[str]:
    """The lines of the message, without the file's folder."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


class TestInstalled:
    def test_names(self):
        assert list(recipe_paths()) == sorted(
            [
                *RECIPES,
                "paintings_and_photos",
                "paintings_and_photos_finetuned",
                "paintings_cnn",
                "quickstart",
            ]
        )

    @pytest.mark.parametrize("name", RECIPES)
    def test_settings_of_the_original(self, name):
        recipe = load_recipe(name)
        assert recipe.name == name
        assert {key: get(recipe, key) for key in RECIPES[name]} == RECIPES[name]

    def test_the_cnn_is_the_gans_generator_on_its_images_alone(self):
        cnn, gan = load_recipe("paintings_cnn"), load_recipe("paintings_gan_batch_norm")
        assert cnn.discriminator is None
        assert (cnn.data, cnn.generator, cnn.schedule) == (gan.data, gan.generator, gan.schedule)
        assert cnn.optimizers.generator_learning_rate == 3e-4
        assert cnn.losses.reconstruction == "l1"

    def test_quickstart_needs_nothing(self):
        data = load_recipe("quickstart").data
        assert (data.source, data.path) == ("painted_scenes", None)

    @pytest.mark.parametrize("name", recipe_paths())
    def test_header_says_purpose_needs_costs_and_scores(self, name):
        header = recipe_header(recipe_paths()[name]).splitlines()
        assert [line.partition(":")[0] for line in header[1:]] == ["Needs", "Costs", "Scores"]


def test_defaults_are_the_originals(write):
    recipe = load_recipe(write(SMALL))
    assert recipe.name == "mine"
    assert recipe.discriminator is None
    expected = {
        **ORIGINAL,
        "data.validation_share": 0.1,
        "data.test_share": 0.1,
        "losses.real_target": 1.0,
        "losses.reconstruction_weight": 0.99,
        "optimizers.generator_learning_rate": 3e-4,
        "optimizers.discriminator_learning_rate": 6e-5,
        "schedule.decay_steps": 60_000,
        "training.seed": 0,
        "training.keep_epochs": (),
        "training.checkpoint_minutes": 5.0,
        "training.jit_compile": False,
        "training.steps_per_execution": 1,
    }
    del expected["discriminator.filters"]
    assert {key: get(recipe, key) for key in expected} == expected


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "key", "value"),
        [
            ("training.epochs=7", "training.epochs", 7),
            (" training.epochs = 7 ", "training.epochs", 7),
            ("training.epochs=1_000", "training.epochs", 1000),
            ("generator.dropout=0", "generator.dropout", 0.0),
            ("optimizers.epsilon=1e-7", "optimizers.epsilon", 1e-7),
            ("data.flip=false", "data.flip", False),
            ("generator.normalization=instance", "generator.normalization", "instance"),
            ('generator.normalization="instance"', "generator.normalization", "instance"),
            ("training.keep_epochs=[1, 3]", "training.keep_epochs", (1, 3)),
        ],
    )
    def test_values_are_toml_or_plain_strings(self, write, override, key, value):
        assert get(load_recipe(write(SMALL), [override]), key) == value

    @pytest.mark.parametrize(
        "path", ["/pictures/a=b", "C:/My pictures", "été #2", "07", "2019", "1e5", "true"]
    )
    def test_a_path_needs_no_quotes(self, write, path):
        recipe = load_recipe(write(SMALL), ["data.source=folder", f"data.path={path}"])
        assert recipe.data.path == path

    @pytest.mark.parametrize(
        ("path", "spelling"),
        [
            *(("./a/b", "a/b"), ("a/b/", "a/b"), ("a//b", "a/b"), ("'a/b'", "a/b")),
            *(("~/a/b", "/home/a/b"), ("~no such user/a", "~no such user/a")),
        ],
    )
    def test_a_path_has_one_spelling(self, write, monkeypatch, path, spelling):
        monkeypatch.setenv("HOME", "/home")
        recipe = load_recipe(write(SMALL), ["data.source=folder", f"data.path={path}"])
        assert recipe.data.path == spelling

    def test_a_later_one_wins(self, write):
        overrides = ["training.epochs=5", "training.seed=1", "training.epochs=6"]
        training = load_recipe(write(SMALL), overrides).training
        assert (training.epochs, training.seed) == (6, 1)

    def test_one_can_add_a_table(self, write):
        recipe = load_recipe(write(SMALL), ["discriminator.filters=8"])
        assert recipe.discriminator.filters == 8

    def test_a_recipe_can_be_overridden(self, write):
        recipe = load_recipe(write(SMALL))
        other = load_recipe(recipe, ["training.epochs=9"])
        assert (other.name, other.training.epochs) == ("mine", 9)
        assert recipe.training.epochs == 3

    @pytest.mark.parametrize("override", ["", "training", "epochs=3", "=3", ".x=3", "training.=3"])
    def test_malformed(self, write, override):
        assert mistakes(write(SMALL), override) == [f"--set {override}: must be table.key=VALUE"]

    def test_one_value_each(self, write):
        override = "training.epochs=1\n[generator]\nfilters=0"
        (line,) = mistakes(write(SMALL), override)
        assert line.startswith(
            r"--set training.epochs=1\n[generator]\nfilters=0: must be one value"
        )
        assert load_recipe(write(SMALL), ["training.keep_epochs=[1,\n3]"]).training.keep_epochs

    @pytest.mark.parametrize(
        "override",
        [
            "training.epochs=" + "9" * 5000,
            "training.epochs=" + "[" * 5000,
            "training." + "x." * 5000 + "y=1",
            "x" * 5000 + ".y=1",
            "x" * 5000,
            "training.ep\nochs=1",
        ],
        ids=range(6),
    )
    def test_huge_ones(self, write, override):
        (line,) = mistakes(write(SMALL), override)
        assert line.startswith("--set ") and len(line) < 300

    def test_every_mistake_is_told(self, write):
        path = write(SMALL.replace("epochs = 3", "epochs = 3\nseed = -1"))
        assert mistakes(path, "training.epochs=many", "nonsense", "data.sorce=x", "a.b=1") == [
            "--set nonsense: must be table.key=VALUE",
            "--set data.sorce=x: data.sorce: no such key; did you mean source?",
            '--set training.epochs=many: training.epochs: should be a valid integer (got "many")',
            "--set a.b=1: a: no such table",
            "mine.toml:6: training.seed: should be greater than or equal to 0 (got -1)",
        ]

    def test_a_key_that_is_no_table(self, write):
        path = write("seed = 1\n" + SMALL)
        assert mistakes(path, "seed.x=1") == [
            "--set seed.x=1: seed is no table",
            "mine.toml:1: seed: no such key",
        ]


class TestMistakes:
    @pytest.mark.parametrize(
        ("table", "line", "message"),
        [
            ("data", "image_size = 40", "should be a multiple of 16 (got 40)"),
            ("data", "image_size = 16", "should be greater than or equal to 32 (got 16)"),
            ("data", "train_images = 1.0", "should be a valid integer (got 1.0)"),
            ("data", "flip = 1", "should be a valid boolean (got 1)"),
            ("data", "path = 3", "should be a valid string (got 3)"),
            (
                "data",
                "train_images = 3_000_000_000",
                "should be less than 2147483648 (got 3000000000)",
            ),
            ("data", 'split_by = "artist"', "should be 'file' or 'folder' (got \"artist\")"),
            ("data", "test_share = 1", "should be less than 1 (got 1)"),
            ("data", "test_share = nan", "should be a finite number (got nan)"),
            ("generator", 'dropout = "0.5"', 'should be a valid number (got "0.5")'),
            ("generator", "filters = true", "should be a valid integer (got true)"),
            ("losses", "real_target = 0.5", "should be greater than 0.5 (got 0.5)"),
            ("optimizers", "epsilon = 0", "should be greater than 0 (got 0)"),
            ("schedule", "decay_steps = []", "should be a valid integer (got [])"),
            ("training", "seed = 2024-02-30T00:00:00Z", None),
            ("training", "seed = 2024-02-29", "should be a valid integer (got 2024-02-29)"),
            ("training", "keep_epochs = 3", "should be a valid array (got 3)"),
            ("training", 'precision = ["a", true]', None),
            ("training", "checkpoint_minutes = 0.0", "should be greater than 0 (got 0.0)"),
        ],
    )
    def test_a_wrong_value(self, write, table, line, message):
        """Each line is the seventh."""
        text = '[data]\nsource = "cifar10"\n[training]\nepochs = 1\n\n'
        if table == "data":
            text = f"[training]\nepochs = 1\n\n\n[data]\nsource = 'cifar10'\n{line}\n"
        elif table == "training":
            text = f"[data]\nsource = 'cifar10'\n\n\n[training]\nepochs = 1\n{line}\n"
        else:
            text += f"[{table}]\n{line}\n"
        key = line.partition(" ")[0]
        found = mistakes(write(text))
        if message is not None:
            assert found == [f"mine.toml:7: {table}.{key}: {message}"]
        assert len(found) == 1 and found[0].startswith("mine.toml:7: ")

    def test_several_at_once(self, write):
        path = write(
            """\
# A comment = 1
[data]
source = "pictures"   # no such source

[discriminator]
normalisation = "batch"

[nonsense]
x = 1

[training]
batch_size = 0
keep_epochs = [
    1,
    0,
]
"""
        )
        sources = "'folder', 'cifar10', 'painted_scenes', 'given' or 'module:function'"
        assert mistakes(path) == [
            f'mine.toml:3: data.source: should be {sources} (got "pictures")',
            "mine.toml:6: discriminator.normalisation: no such key; did you mean normalization?",
            "mine.toml:8: nonsense: no such table",
            "mine.toml:11: training.epochs: is missing",
            "mine.toml:12: training.batch_size: should be greater than or equal to 1 (got 0)",
            "mine.toml:13: training.keep_epochs.1: should be greater than or equal to 1 (got 0)",
        ]

    @pytest.mark.parametrize(
        ("override", "meant"),
        [
            ("optimizer.beta_1=0.9", "optimizers"),
            ("data.pth=x", "path"),
            ("generator.filter=8", "filters"),
            ("discriminator.filter=8", "filters"),
            ("training.epoch=8", "epochs"),
        ],
    )
    def test_the_key_that_was_meant(self, write, override, meant):
        (line,) = mistakes(write(SMALL), override)
        assert line.endswith(f"; did you mean {meant}?")

    def test_no_key_of_another_network_is_named(self, write):
        (line,) = mistakes(write(SMALL), "generator.vividnes=1")
        assert line.endswith("generator.vividnes: no such key")

    def test_missing_tables_have_no_line(self, write):
        assert mistakes(write("")) == [
            "mine.toml: data: is missing",
            "mine.toml: training: is missing",
        ]

    def test_a_key_before_all_tables(self, write):
        assert mistakes(write("epochs = 3\n" + SMALL)) == ["mine.toml:1: epochs: no such key"]

    @pytest.mark.parametrize("text", ["data = 3", "[[data]]\nsource = 'cifar10'"])
    def test_what_is_no_table(self, write, text):
        (mistake,) = mistakes(write(f"{text}\n[training]\nepochs = 1\n"))
        assert mistake.startswith("mine.toml:1: data: should be a table (got ")

    @pytest.mark.parametrize("source", ["cifar10", "painted_scenes"])
    def test_a_path_without_a_folder_source(self, write, source):
        text = f'[data]\nsource = "{source}"\n'
        end = "\n[training]\nepochs = 1\n"
        path = write(f'{text}path = "pictures"{end}')
        reason = f'data.path: is for source = "folder", not "{source}" (got "pictures")'
        assert mistakes(path) == [f"mine.toml:3: {reason}"]
        assert mistakes(write(text + end), "data.path=pictures") == [
            f"--set data.path=pictures: {reason}"
        ]

    def test_shares_that_leave_nothing(self, write):
        path = write(SMALL.replace("[training]", "validation_share = 0.9\n\n[training]"))
        assert mistakes(path) == [
            "mine.toml:1: data: validation_share + test_share must leave some images to train on "
            "(got 0.9 + 0.1)"
        ]

    def test_a_value_of_many_lines_stays_on_one(self, write):
        path = write('[data]\nsource = """\na\nb"""\n[training]\nepochs = 0\n')
        source, epochs = mistakes(path)
        assert source.startswith("mine.toml:2: ") and source.endswith(r'(got "a\nb")')
        assert epochs.startswith("mine.toml:6: ")

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ('data.source = "cifar10"\ndata.flip = "no"', 2),
            ('data = {source = "cifar10", flip = "no"}', 1),
            ('[data]\nsource = "cifar10"\n"flip" = "no"', 3),
            ("[data]\n'source' = 'cifar10'\n'flip' = 'no'", 3),
            ('data."source" = "cifar10"\ndata."flip" = "no"', 2),
            ('data.source = "cifar10"\ndata . flip = "no"', 2),
            ('["data"]\nsource = "cifar10"\nflip = "no"', 3),
            ('[ data ] # here\n  source = "cifar10"\n\tflip = "no"', 3),
            ('[losses]\nreal_target = 1.0\n["data"]\nsource = "cifar10"\nflip = "no"', 5),
        ],
    )
    def test_all_ways_to_write_a_key(self, write, text, line):
        path = write(f"{text}\n[training]\nepochs = 1\n")
        message = 'data.flip: should be a valid boolean (got "no")'
        assert mistakes(path) == [f"mine.toml:{line}: {message}"]

    @pytest.mark.parametrize(
        ("text", "where"),
        [
            ('[data]\nsource = "cifar10\n', ":2"),
            ("[data]\nsource = folder\n", ":2"),
            ("[data]\nflip = true\nflip = true\n", ":3"),
            ("[data]\n[data]\n", ":2"),
            ("[training]\nkeep_epochs = [1,\n", ""),
        ],
    )
    def test_invalid_toml(self, write, text, where):
        (mistake,) = mistakes(write(text))
        assert mistake.startswith(f"mine.toml{where}: not TOML: ")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("epochs = " + "9" * 5000, "mine.toml:3: an integer of too many digits"),
            ("epochs = " + "[" * 5000, "mine.toml:3: nested too deeply"),
            ("epochs = " + "{a=" * 5000, "mine.toml:3: nested too deeply"),
            ("epochs = 0x" + "f" * 5000, "mine.toml:3: training.epochs: "),
            ("a." * 5000 + "b = 1", "mine.toml:2: training.a: no such table"),
            (
                f'epochs = "{"x" * 10**6}"',
                "mine.toml:3: training.epochs: should be a valid integer",
            ),
            (f"{'x' * 10**6} = 1", "mine.toml:3: training.xxx"),
            (f'"new\\nline{"x" * 10**6}" = 1', r"mine.toml:2: training.new\nlinexxx"),
            (f'seed = 1\n"{"x" * 10**6}" = 2\n"{"x" * 10**6}" = 3', "mine.toml:5: not TOML: "),
        ],
        ids=range(9),
    )
    def test_huge_things(self, write, line, message):
        text = f"data.source = 'cifar10'\n[training]\n{line}\n"
        found = [one for one in mistakes(write(text)) if "is missing" not in one]
        assert len(found) == 1
        assert found[0].startswith(message) and len(found[0]) < 250

    def test_values_that_numbers_of_networks_round_to_one(self, write):
        (line,) = mistakes(write(SMALL), "optimizers.beta_2=0.9999999999999999")
        assert "optimizers.beta_2: should be less than 0.99999997" in line
        (line,) = mistakes(write(SMALL), f"data.test_images={2**31}")
        assert "data.test_images: should be less than 2147483648" in line

    def test_a_path_with_a_nul(self, write):
        path = write('[data]\nsource = "folder"\npath = "a\\u0000b"\n[training]\nepochs = 1\n')
        assert mistakes(path) == [
            r'mine.toml:3: data.path: must hold no NUL character (got "a\u0000b")'
        ]

    def test_files_that_cannot_be_read(self, write, tmp_path):
        assert mistakes(write(b"\xff\xfe[data]")) == ["mine.toml:1: not UTF-8 text"]
        assert mistakes(write(b"[data]\n# \xff")) == ["mine.toml:2: not UTF-8 text"]
        with pytest.raises(RecipeError, match=r"^a\\x00b\.toml: no file's name"):
            load_recipe("a\0b.toml")
        assert mistakes(tmp_path / "no.toml") == ["no.toml: No such file or directory"]
        (tmp_path / "folder.toml").mkdir()
        assert mistakes(tmp_path / "folder.toml") == ["folder.toml: Is a directory"]

    def test_an_unknown_name(self):
        with pytest.raises(RecipeError) as caught:
            load_recipe("quikstart")
        message = str(caught.value)
        assert message.startswith("quikstart: no recipe of this name; the installed ones are ")
        assert all(name in message for name in recipe_paths())
        assert message.endswith("; did you mean quickstart?")
        assert "\n" not in message

    def test_errors_are_expected_failures(self):
        with pytest.raises(ColorizeError):
            load_recipe("quikstart")
        with pytest.raises(ValueError):
            load_recipe("quikstart")


def test_a_name_a_path_and_a_file_beside(write, tmp_path, monkeypatch):
    write(SMALL, "plain")
    write(SMALL, "quickstart.toml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paintings_cnn").mkdir()
    assert load_recipe("plain").name == "plain"
    assert load_recipe(Path("quickstart.toml")).training.epochs == 3
    assert load_recipe("quickstart").training.epochs != 3
    assert load_recipe("paintings_cnn").data.source == "folder"


@pytest.mark.parametrize("name", recipe_paths())
def test_round_trip(name, write):
    recipe = load_recipe(name)
    text = recipe.to_toml()
    again = load_recipe(write(text, f"{name}.toml"))
    assert again == recipe
    assert again.differences(recipe) == []
    # Every value is written out, but those that are unset.
    tables = tomllib.loads(text)
    unset = {"initial_weights", "strategy"}
    assert tables["training"].keys() | unset == type(recipe.training).model_fields.keys()
    assert ("discriminator" in tables) == (recipe.discriminator is not None)


def test_differences(write):
    recipe = load_recipe(write(SMALL))
    overrides = [
        "training.epochs=4",
        "data.source=folder",
        "data.path=a b",
        "data.flip=false",
        "discriminator.normalization=none",
        "training.keep_epochs=[1]",
    ]
    other = load_recipe(recipe, overrides)
    assert other.differences(recipe) == [
        "data.flip: false, not true",
        'data.path: "a b", not unset',
        'data.source: "folder", not "painted_scenes"',
        "discriminator.filters: 64, not unset",
        'discriminator.initial_weights: "normal", not unset',
        'discriminator.network: "patch", not unset',
        'discriminator.normalization: "none", not unset',
        "training.epochs: 4, not 3",
        "training.keep_epochs: [1], not []",
    ]
    assert recipe.differences(other)[0] == "data.flip: true, not false"
    assert recipe.differences(load_recipe(recipe)) == []


def test_frozen(write):
    recipe = load_recipe(write(SMALL))
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training = None
    with pytest.raises(ValidationError, match="frozen"):
        recipe.training.epochs = 4
    assert isinstance(recipe.training.keep_epochs, tuple)


def test_loads_no_tensorflow():
    script = """
import sys
from keras_colorize.recipe import load_recipe
load_recipe("quickstart", ["training.epochs=1"])
print(sorted({name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras", "numpy"}))
"""
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert (found.stdout, found.stderr) == ("[]\n", "")


class TestNetworks:
    EFFICIENTNET = """
    [data]
    source = "painted_scenes"
    image_size = 64
    [generator]
    network = "efficientnet"
    decoder_filters = [8, 8, 8, 8]
    [training]
    epochs = 2
    """

    def test_without_the_key_it_is_the_unet(self, write):
        recipe = load_recipe(write(SMALL))
        assert recipe.generator == UNet()
        assert 'network = "unet"' in recipe.to_toml()
        table = {"normalization": "instance"}
        assert Recipe.model_validate(
            {"data": {"source": "painted_scenes"}, "generator": table, "training": {"epochs": 1}}
        ).generator == UNet(normalization="instance")

    def test_a_resolved_recipe_comes_back(self, write, tmp_path):
        recipe = load_recipe(write(self.EFFICIENTNET))
        assert isinstance(recipe.generator, EfficientNet)
        assert recipe.generator.decoder_filters == (8, 8, 8, 8)
        path = tmp_path / "again.toml"
        path.write_text(recipe.to_toml())
        assert load_recipe(path).differences(recipe) == []

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            (
                "generator.network=resnet",
                "generator.network: should be 'unet', 'efficientnet' or 'module:function' "
                '(got "resnet")',
            ),
            ("generator.filters=4", "generator.filters: no such key"),
            ("generator.frozen_stages=8", "generator.frozen_stages: "),
            ("generator.decoder_filters=[8, 8]", "generator.decoder_filters: "),
            ("data.image_size=48", "data.image_size: must be a multiple of 32"),
            ("discriminator.filters=4", 'discriminator: is for network = "unet"; delete'),
            ("data.crop=0", "data.crop: should be greater than 0 (got 0)"),
            ("schedule.shape=linear", "schedule.shape: "),
        ],
    )
    def test_mistakes_are_told(self, write, override, message):
        (line,) = mistakes(write(self.EFFICIENTNET), override)
        assert message in line
        assert "efficientnet." not in line

    def test_frozen_epochs_need_a_pretrained_encoder(self, write):
        (line,) = mistakes(write(SMALL), "training.frozen_epochs=1")
        assert 'training.frozen_epochs: is for network = "efficientnet"' in line


def keys_of(table: type[BaseModel]) -> dict[str, FieldInfo]:
    return {f"{table.__name__}.{name}": field for name, field in table.model_fields.items()}


def test_every_key_is_described():
    tables = [one for one in vars(keras_colorize.tables).values() if isinstance(one, type)]
    tables = [one for one in tables if issubclass(one, keras_colorize.tables.Table)]
    fields = {key: field for table in tables for key, field in keys_of(table).items()}
    assert len(fields) > 40
    undescribed = [key for key, field in fields.items() if not (field.description or "").strip()]
    assert undescribed == []


OWN = """\
[data]
source = "mine:images"
path = "somewhere"

[generator]
network = "mine.networks:small"
width = 8
kernels = [3, 1]

[discriminator]
network = "mine:critic"

[losses]
reconstruction = "mine:loss"

[optimizers]
name = "mine:optimizer"

[schedule]
shape = "mine:schedule"

[training]
epochs = 1
"""


class TestOwnParts:
    def test_are_kept(self, write):
        recipe = load_recipe(write(OWN))
        again = load_recipe(write(recipe.to_toml(), "again.toml"))
        assert again.differences(recipe) == []
        assert recipe.generator.model_extra == {"width": 8, "kernels": [3, 1]}
        other = load_recipe(recipe, ["generator.width=4"])
        assert other.differences(recipe) == ["generator.width: 4, not 8"]

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("data.source=mine", "should be 'folder', 'cifar10', 'painted_scenes', 'given' or"),
            ("losses.reconstruction=a:b:c", "'delta_e' or 'module:function' (got \"a:b:c\")"),
            ("optimizers.name=mine:", "should be 'adam', 'adamw', 'sgd', 'lion' or 'module:func"),
            ("schedule.shape=:f", "'cosine', 'constant' or 'module:function' (got \":f\")"),
            ("schedule.shape=3", "'cosine', 'constant' or 'module:function' (got 3)"),
            ("discriminator.network=mine", "should be 'patch' or 'module:function' (got \"mine\")"),
            ("optimizers.name=adamw", "optimizers.weight_decay: must be above 0 for name = "),
            ("training.frozen_epochs=1", "training.frozen_epochs: is for network = "),
        ],
    )
    def test_mistakes(self, write, override, message):
        (line,) = mistakes(write(OWN), override)
        assert line.startswith(f"--set {override}: ") or "weight_decay" in line
        assert message in line

    def test_a_factor_is_for_adam(self, write):
        overrides = ["optimizers.encoder_learning_rate_factor=0.5", "optimizers.name=sgd"]
        (line,) = mistakes(write(SMALL), *overrides)
        assert 'encoder_learning_rate_factor: is for name = "adam" or "adamw"' in line


@pytest.mark.parametrize("spelling", ["runs/old", "runs/old/", "./runs//old"])
def test_initial_weights_have_one_spelling(write, spelling):
    recipe = load_recipe(write(SMALL), [f"training.initial_weights={spelling}"])
    assert recipe.training.initial_weights == "runs/old"


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("folder", []),
        ("painted_scenes", []),
        ("cifar10", ["validation_images"]),
        ("module:function", ["train_images", "validation_images"]),
    ],
)
def test_tables_with_the_same_test_images_are_equal_for_testing(source, kept):
    data = Data(source=source, train_images=50, validation_images=60, crop=0.5, image_size=64)
    for changes in (
        {"flip": False},
        {"degraded_share": 0.5},
        {"memory_gib": 1.0},
        {"cache": "x"},
    ):
        assert data.model_copy(update=changes).for_testing() == data.for_testing()
    tested = data.for_testing(96)
    assert (tested.image_size, tested.test_images) == (96, data.test_images)
    for key in ("train_images", "validation_images"):
        changed = data.model_copy(update={key: 70})
        assert (changed.for_testing(96) != tested) == (key in kept)
    changes = [{"test_images": 3}]
    if source == "folder":
        changes += [{"split_by": "folder"}, {"test_share": 0.2}, {"path": "elsewhere"}]
    for change in changes:
        assert data.model_copy(update=change).for_testing(96) != tested


@pytest.mark.parametrize("key", ["data.path", "data.cache", "training.initial_weights"])
def test_no_path_is_empty(key):
    """As that of a variable of the shell that is not set; it would mean the current folder."""
    for value in ("", ' ""'):
        with pytest.raises(
            RecipeError, match=rf'--set {key}=.*: {key}: must not be empty \(got ""\)'
        ):
            load_recipe("paintings_cnn", f"{key}={value}")


@pytest.mark.parametrize("overrides", [[("training.epochs", 3)], [3]])
def test_overrides_are_text(overrides):
    with pytest.raises(RecipeError, match=r"^overrides: must be text as table.key=VALUE \(got "):
        load_recipe("quickstart", overrides)


def test_a_single_override_needs_no_list(tmp_path):
    assert load_recipe("quickstart", "training.epochs=3").training.epochs == 3
    with pytest.raises(RecipeError, match=r"data\.path: no such folder"):
        keras_colorize.fit("paintings_cnn", runs=tmp_path, overrides="data.path=nowhere")
