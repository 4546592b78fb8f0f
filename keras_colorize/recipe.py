"""What a run is made of: the recipe's schema, its loader, and messages with file and line.

Loads no TensorFlow, so that every mistake in a recipe shows before the slow imports start.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic import (
    Discriminator as PydanticDiscriminator,
)

from keras_colorize.errors import ColorizeError

Share = Annotated[float, Field(ge=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Filters = Annotated[int, Field(ge=1, le=512)]
LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]

DOWNSAMPLING = {"unet": 16, "efficientnet": 32}
"""How many times smaller each network's deepest features are; image sizes are multiples of it."""


class RecipeError(ColorizeError, ValueError):
    """A recipe that cannot be run; one line per mistake, `FILE:LINE: key: what is wrong`."""


class _Table(BaseModel):
    """A table of a recipe: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class Data(_Table):
    """Where the images come from, and how many go where."""

    source: Literal["folder", "cifar10", "painted_scenes"]
    """A folder of image files, CIFAR-10 (downloaded by Keras), or scenes painted by the package."""
    path: str | None = None
    """The folder of images, searched recursively. Needed for, and only for, `source = "folder"`."""
    # Below 32 the discriminator's last convolution has no input left.
    image_size: Annotated[int, Field(ge=32, le=512, multiple_of=min(DOWNSAMPLING.values()))] = 32
    """Side of the square images that the networks train on, in pixels. Images are
    center-cropped and shrunk to it. A multiple of 16, or of 32 with `network = "efficientnet"`.
    """
    train_images: Count | None = None
    """At most this many images to train on. Unset: all, or 2,000 painted scenes."""
    validation_images: Count | None = None
    """At most this many images to validate on. Unset: all, or 200 painted scenes."""
    test_images: Annotated[int, Field(ge=0)] | None = None
    """At most this many images to test on. Unset: all, or 200 painted scenes."""
    validation_share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    """Share of the images that is set aside for validation, unless the folder has a
    `validation/` or `val/`.
    """
    test_share: Share = 0.1
    """Share of the images that is set aside for testing, unless the folder has a `test/` or
    `train/`.
    """
    split_by: Literal["file", "folder"] = "file"
    """Whether each file is assigned to a split on its own, or all files of a folder together
    (of one artist, say).
    """
    flip: bool = True
    """Mirror half of the training images left to right, chosen anew in each epoch."""
    crop: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Smallest side of the random square crops of training images, as a share of `image_size`;
    each crop is enlarged to `image_size`. 1 trains on whole images.
    """

    @field_validator("path")
    @classmethod
    def _path_is_of_a_folder(cls, path: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source", "folder")
        if path is not None and source != "folder":
            raise ValueError(f'is for source = "folder", not "{source}" (got {_show(path)})')
        if not path:
            return path
        # One spelling of each, so that a run goes on by any.
        folder = Path(path)
        return str(folder.expanduser() if path.startswith("~/") else folder)

    @model_validator(mode="after")
    def _shares_leave_training_pictures(self) -> "Data":
        if self.validation_share + self.test_share >= 1.0:
            raise ValueError(
                "validation_share + test_share must leave some pictures to train on "
                f"(got {self.validation_share} + {self.test_share})"
            )
        return self


class UNet(_Table):
    """The original's U-Net, which predicts ab from lightness."""

    network: Literal["unet"] = "unet"
    """Which network; `"unet"` where the key is left out."""
    normalization: Literal["batch", "instance"] = "batch"
    """Normalization after each convolution."""
    filters: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels of the first block; the deepest blocks have eight times as many."""
    dropout: Share = 0.5
    """Dropout rate in the two deepest decoder blocks."""
    initial_weights: Literal["normal", "keras"] = "normal"
    """`"normal"` draws kernels from N(0, 0.02), as pix2pix does; `"keras"` uses Keras's
    defaults.
    """


class EfficientNet(_Table):
    """A pretrained EfficientNet-Lite0 encoder with a decoder that predicts ab and ab classes."""

    network: Literal["efficientnet"]
    """Which network. This one is trained without a discriminator."""
    encoder_weights: Literal["imagenet", "none"] = "imagenet"
    """Start from ImageNet weights, which the extra `pretrained` installs, or from random ones."""
    frozen_stages: Annotated[int, Field(ge=0, le=7)] = 3
    """Number of encoder stages, counted from the input, whose weights never change."""
    decoder_filters: Annotated[
        tuple[Filters, ...], Field(min_length=4, max_length=4, strict=False)
    ] = (192, 128, 64, 64)
    """Channels of the decoder at strides 32, 16, 8 and 4."""
    temperature: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Temperature of the color distribution in the vivid head. Lower values prefer the
    likeliest colors and are more vivid. Not used in training.
    """
    vivid_chroma: Annotated[float, Field(gt=0.0, le=4.0)] = 1.0
    """Factor on the chroma of the vivid head. Not used in training."""
    vividness: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Default vividness of the model: 0 for the least error, 1 for the most colorful. Not used
    in training.
    """


def _network(table: Any) -> str:
    """Which network a generator's table is for; recipes without the key mean the U-Net."""
    return str(table.get("network", "unet") if isinstance(table, dict) else table.network)


Generator = Annotated[
    Annotated[UNet, Tag("unet")] | Annotated[EfficientNet, Tag("efficientnet")],
    PydanticDiscriminator(_network),
]


class Discriminator(_Table):
    """The network that tells real ab from predicted ab. Without this table: a plain CNN."""

    normalization: Literal["batch", "instance", "spectral", "none"] = "batch"
    """Normalization after each convolution but the first; `"spectral"` normalizes the kernels
    instead.
    """
    filters: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels of the first block; the deepest block has eight times as many."""
    initial_weights: Literal["normal", "keras"] = "normal"
    """`"normal"` draws kernels from N(0, 0.02), as pix2pix does; `"keras"` uses Keras's
    defaults.
    """


class Losses(_Table):
    """What the generator is trained on.

    With a discriminator: `reconstruction_weight * reconstruction + (1 - reconstruction_weight) *
    adversarial`.
    """

    reconstruction: Literal["l1", "l2", "huber", "delta_e"] = "l1"
    """How predicted ab is compared with the true ab: mean absolute, mean squared, Huber, or
    close to CIEDE2000 at equal lightness.
    """
    reconstruction_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.99
    """Weight of the reconstruction loss; the adversarial loss gets the rest. Used with a
    discriminator.
    """
    real_target: Annotated[float, Field(gt=0.5, le=1.0)] = 1.0
    """What the discriminator should answer for real images; below 1 is one-sided label
    smoothing. Used with a discriminator.
    """
    class_weight: Annotated[float, Field(ge=0.0)] = 0.02
    """Weight of the cross-entropy over ab classes, added to the reconstruction loss. For
    `network = "efficientnet"`.
    """
    class_rebalancing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """How much rare colors count: 0 weighs all ab classes alike, values near 1 by the inverse
    of their frequency. For `network = "efficientnet"`.
    """


class Optimizers(_Table):
    """Adam, for both networks."""

    generator_learning_rate: LearningRate = 3e-4
    """Base learning rate of the generator; see the schedule."""
    discriminator_learning_rate: LearningRate = 6e-5
    """Base learning rate of the discriminator."""
    beta_1: Beta = 0.5
    """Decay of the running mean of the gradients."""
    beta_2: Beta = 0.999
    """Decay of the running mean of the squared gradients."""
    epsilon: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-8
    """Added to the denominator of the update, after the bias correction."""
    weight_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decoupled weight decay, as in AdamW; biases and normalization are exempt."""
    encoder_learning_rate_factor: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Factor on the learning rate of the pretrained encoder. For `network = "efficientnet"`."""


class Schedule(_Table):
    """Learning rate of a step.

    "exponential" is `base * decay_rate ** (step / decay_steps)`. "cosine" falls along half a
    cosine from base to zero over all epochs, after `warmup_steps` in which the rate rises. Both
    have a floor.
    """

    shape: Literal["exponential", "cosine"] = "exponential"
    """How the learning rate changes over the steps."""
    warmup_steps: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Steps in which the rate rises linearly from 0. For `shape = "cosine"`."""
    decay_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Factor on the rate after each `decay_steps` steps. For `shape = "exponential"`."""
    decay_steps: Count = 60_000
    """Steps (batches, not epochs) in which the rate falls by `decay_rate`. For `shape =
    "exponential"`.
    """
    minimum_learning_rate: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-6
    """The rate never falls below this."""


class Training(_Table):
    """How long to train, with what batches and precision, and what to keep."""

    epochs: Count
    """Passes over the training images."""
    batch_size: Count = 32
    """Images in a training step; the last batch of an epoch may have fewer."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of initial weights, shuffling, flips, crops and dropout."""
    frozen_epochs: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """First epochs in which the whole encoder stays as it is. For `network = "efficientnet"`."""
    weight_average: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Decay per step of a moving average of the generator's weights, which is then validated
    and saved instead. 0 for none.
    """
    keep_epochs: Annotated[tuple[Count, ...], Field(strict=False)] = ()
    """Epochs after which the generator is saved for good, as `models/epoch_0200.keras` and so
    on; best and last are always there.
    """
    sample_images: Annotated[int, Field(ge=1, le=64)] = 8
    """Validation images in the sample grid that is written after each epoch."""
    checkpoint_minutes: Annotated[float, Field(gt=0.0)] = 5.0
    """Minutes between checkpoints within an epoch: the most work that a crash can cost."""
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    """Computing precision; weights stay in float32."""
    jit_compile: bool = False
    """Compile the training step with XLA: meant for GPUs, slower on CPUs."""
    steps_per_execution: Count = 1
    """Steps that Keras runs in one call, to save overhead."""


class Recipe(_Table):
    """Everything a run is made of. The same recipe and pictures give the same weights.

    Attributes:
        data, generator, discriminator, losses, optimizers, schedule, training: the tables.
    """

    data: Data
    generator: Generator = UNet()
    discriminator: Discriminator | None = None
    losses: Losses = Losses()
    optimizers: Optimizers = Optimizers()
    schedule: Schedule = Schedule()
    training: Training
    _name: str = PrivateAttr(default="recipe")

    @model_validator(mode="after")
    def _keys_suit_the_network(self) -> "Recipe":
        network = self.generator.network
        multiple = DOWNSAMPLING[network]
        if self.data.image_size % multiple:
            raise ValueError(
                f'data.image_size: must be a multiple of {multiple} for network = "{network}" '
                f"(got {self.data.image_size})"
            )
        if network == "efficientnet" and self.discriminator is not None:
            raise ValueError('discriminator: is for network = "unet"; delete the table')
        if network == "unet" and self.training.frozen_epochs:
            raise ValueError(
                'training.frozen_epochs: is for network = "efficientnet", which has a pretrained '
                f"encoder (got {self.training.frozen_epochs})"
            )
        return self

    @property
    def name(self) -> str:
        """What a run made from it is called by default: the name of the recipe's file."""
        return self._name

    def renamed(self, name: str) -> "Recipe":
        """The same recipe, called otherwise."""
        recipe = self.model_copy()
        recipe._name = name
        return recipe

    def to_toml(self) -> str:
        """The resolved recipe, every value written out, as TOML that `load_recipe` takes."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    def differences(self, other: "Recipe") -> list[str]:
        """One line per key whose value differs: `table.key: mine, not theirs`."""
        mine, theirs = (
            _flatten(self.model_dump(mode="json")),
            _flatten(other.model_dump(mode="json")),
        )
        return [
            f"{key}: {_show(mine.get(key))}, not {_show(theirs.get(key))}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def load_recipe(recipe: str | Path | Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Loads and checks a recipe.

    Args:
        recipe: the name of an installed recipe (see `recipe_paths`), the path of a TOML file, or
            a `Recipe`.
        overrides: `table.key=VALUE` each, checked as the file is; VALUE is TOML, or else a
            plain string. A later one wins.

    Returns:
        The recipe as it was resolved, defaults included.

    Raises:
        RecipeError: naming every mistake of file and overrides, one line each.
    """
    if isinstance(recipe, Recipe):
        source, name, text = "recipe", recipe.name, recipe.to_toml()
    else:
        path = _find(recipe)
        source, name, text = str(path), path.stem, _read(path)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{source}:{line[1]}" if line else source
        raise RecipeError(f"{where}: not TOML: {error}") from None
    mistakes: list[str] = []
    origins: dict[str, str] = {}
    for override in overrides:
        try:
            origins[_apply(override, tables)] = f"--set {override}"
        except RecipeError as error:
            mistakes.append(str(error))
    try:
        resolved = Recipe.model_validate(tables)
    except ValidationError as error:
        lines = dict(_key_lines(text))
        mistakes += [_describe(one, source, lines, origins) for one in error.errors()]
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return resolved.renamed(name)


def recipe_paths() -> dict[str, Path]:
    """The installed recipes: name -> TOML file, sorted by name."""
    package = Path(__file__).parent
    # A wheel carries the recipes inside the package; a checkout keeps them beside it.
    folder = next(p for p in (package / "recipes", package.parent / "recipes") if p.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def recipe_header(path: Path) -> str:
    """The comment at the top of a recipe: what it is for, costs and scores."""
    lines = _read(path).splitlines()
    header = lines[: next((i for i, line in enumerate(lines) if line[:1] != "#"), len(lines))]
    return "\n".join(line.lstrip("#").strip() for line in header)


def recipe_text(recipe: str | Path) -> str:
    """The TOML text of an installed recipe or of a file, comments included.

    Raises:
        RecipeError: if there is no such recipe.
    """
    return _read(_find(recipe))


def _find(recipe: str | Path) -> Path:
    """The file that a name or path means; a path if it looks like one or exists."""
    path = Path(recipe)
    if path.suffix == ".toml" or path.parent != Path() or path.is_file():
        return path
    installed = recipe_paths()
    if path.name not in installed:
        raise RecipeError(
            f"{recipe}: no recipe of this name; the installed ones are {', '.join(installed)}; "
            "a recipe file's path ends in .toml"
        )
    return installed[path.name]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text") from None


def _key_lines(text: str) -> Iterator[tuple[str, int]]:
    """Yields (`table` or `table.key`, line number) of a TOML text, as recipes are written."""
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        line = re.sub(r"[\s\"']", "", line)
        if header := re.match(r"\[+([\w.-]+)\]", line):
            table = header[1]
            yield table, number
        elif key := re.match(r"([\w.-]+)=", line):
            yield ".".join(filter(None, (table, key[1]))), number


def _apply(override: str, tables: dict[str, Any]) -> str:
    """Sets one `table.key=VALUE` in the parsed tables; returns `table.key`."""
    key, separator, text = override.partition("=")
    key = key.strip()
    table, dot, name = key.partition(".")
    if not (separator and dot and table and name):
        raise RecipeError(f"--set {override}: must be table.key=VALUE")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    if key == "data.path" and not isinstance(value, str):  # A folder may be called 2019.
        value = text.strip()
    if not isinstance(tables.setdefault(table, {}), dict):
        raise RecipeError(f"--set {override}: {table} is no table")
    tables[table][name] = value
    return key


def _describe(error: Any, source: str, lines: dict[str, int], origins: dict[str, str]) -> str:
    """One validation error as `FILE:LINE: key: what is wrong (got VALUE)`."""
    keys = [str(part) for part in error["loc"]]
    value = error["input"]
    if error["type"] == "union_tag_invalid":
        keys.append("network")
        value = value["network"]
    if not keys:  # A check of several tables; its message begins with the key.
        keys = error["msg"].removeprefix("Value error, ").partition(":")[0].split(".")
    if keys[:1] == ["generator"] and keys[1:2] and keys[1] in DOWNSAMPLING:
        del keys[1]  # pydantic names the network here
    key = ".".join(keys)
    known = [".".join(keys[:length]) for length in range(len(keys), 0, -1)]
    where = next((origins[k] for k in known if k in origins), None)
    if where is None:
        line = next((lines[k] for k in known if k in lines), None)
        of_table = next((origins[k] for k in origins if k.startswith(f"{key}.")), source)
        where = f"{source}:{line}" if line else of_table
    message = {
        "missing": "is missing",
        "extra_forbidden": f"no such {'table' if isinstance(value, dict) else 'key'}",
        "model_type": f"should be a table (got {_show(value)})",
        "tuple_type": f"should be a valid array (got {_show(value)})",
        "union_tag_invalid": f"should be {' or '.join(map(repr, DOWNSAMPLING))} "
        f"(got {_show(value)})",
        "value_error": error["msg"].removeprefix("Value error, ").removeprefix(f"{key}: "),
    }.get(error["type"], f"{error['msg'].removeprefix('Input ')} (got {_show(value)})")
    return f"{where}: {key}: {message}"


def _flatten(tables: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for table, values in tables.items():
        if isinstance(values, dict):
            flat |= {f"{table}.{key}": value for key, value in values.items()}
        else:
            flat[table] = values
    return flat


def _show(value: Any) -> str:
    """A value on one line, about as it would stand in TOML; a missing one as `unset`."""
    if value is None:
        return "unset"
    if isinstance(value, str | bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
