"""What a run is made of: the recipe's schema, its loader, and messages with file and line.

Loads no TensorFlow, so that every mistake in a recipe shows before the slow imports start.
"""

import difflib
import re
import tomllib
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, PrivateAttr, ValidationError, model_validator

from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.tables import (
    DOWNSAMPLING,
    NETWORK_TAGS,
    AnyDiscriminator,
    Data,
    Generator,
    Losses,
    Optimizers,
    Schedule,
    Table,
    Training,
    UNet,
    network_names,
    show,
)

RECIPE_NAME = "recipe.toml"
"""The file that holds the recipe of a run or model, beside it."""


class RecipeError(ColorizeError, ValueError):
    """A recipe that cannot be run; one line per mistake, `FILE:LINE: key: what is wrong`."""


class Recipe(Table):
    """Everything a run is made of. The same recipe and images give the same weights.

    Attributes:
        data, generator, discriminator, losses, optimizers, schedule, training: the tables.
    """

    data: Data
    generator: Generator = UNet()
    discriminator: AnyDiscriminator | None = None
    losses: Losses = Losses()
    optimizers: Optimizers = Optimizers()
    schedule: Schedule = Schedule()
    training: Training
    _name: str = PrivateAttr(default="recipe")

    @model_validator(mode="after")
    def _keys_suit_the_network(self) -> "Recipe":
        network = self.generator.network
        multiple = DOWNSAMPLING.get(network, 1)
        if self.data.image_size % multiple:
            raise ValueError(
                f'data.image_size: must be a multiple of {multiple} for network = "{network}" '
                f"(got {self.data.image_size})"
            )
        if network == "efficientnet" and self.discriminator is not None:
            raise ValueError('discriminator: is for network = "unet"; delete the table')
        if network != "efficientnet" and self.training.frozen_epochs:
            raise ValueError(
                'training.frozen_epochs: is for network = "efficientnet", which has a pretrained '
                f"encoder (got {self.training.frozen_epochs})"
            )
        return self

    @model_validator(mode="after")
    def _keys_suit_the_optimizer(self) -> "Recipe":
        optimizers = self.optimizers
        if optimizers.name == "adamw" and not optimizers.weight_decay:
            raise ValueError(
                'optimizers.weight_decay: must be above 0 for name = "adamw" '
                f"(got {optimizers.weight_decay})"
            )
        factor = optimizers.encoder_learning_rate_factor
        if factor != 1.0 and optimizers.name not in ("adam", "adamw"):
            raise ValueError(
                'optimizers.encoder_learning_rate_factor: is for name = "adam" or "adamw" '
                f"(got {factor})"
            )
        return self

    @property
    def name(self) -> str:
        """The default name of a run made from it: the name of the recipe's file."""
        return self._name

    def renamed(self, name: str) -> "Recipe":
        """The same recipe under another name."""
        recipe = self.model_copy()
        recipe._name = name
        return recipe

    def to_toml(self) -> str:
        """The resolved recipe, every value written out, as TOML that `load_recipe` takes."""
        return tomli_w.dumps(self._tables())

    def _tables(self) -> dict[str, Any]:
        """What a TOML file of this recipe holds."""
        return self.model_dump(mode="json", exclude_none=True)

    def values(self) -> dict[str, Any]:
        """All values that are set: `table.key` -> value."""
        return _flatten(self._tables())

    def differences(self, other: "Recipe") -> list[str]:
        """One line per key whose value differs: `table.key: mine, not theirs`."""
        mine, theirs = (_flatten(recipe.model_dump(mode="json")) for recipe in (self, other))
        return [
            f"{key}: {show(mine.get(key))}, not {show(theirs.get(key))}"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def load_recipe(recipe: str | Path | Recipe, overrides: str | Sequence[str] = ()) -> Recipe:
    """Loads and checks a recipe.

    Args:
        recipe: the name of an installed recipe (see `recipe_paths`), the path of a TOML file, or
            a `Recipe`.
        overrides: `table.key=VALUE`, one or several, checked as the file is; VALUE is TOML, or
            else a plain string. A later one wins.

    Returns:
        The recipe as it was resolved, defaults included.

    Raises:
        RecipeError: naming every mistake of file and overrides, one line each.
    """
    if isinstance(recipe, Recipe):
        source, name, text = "recipe", recipe.name, ""
        tables = recipe._tables()
    else:
        path = _find(recipe)
        source, name, text = str(path), path.stem, _read(path)
        tables = _parse(text, source)
    mistakes: list[str] = []
    origins: dict[str, str] = {}
    for override in [overrides] if isinstance(overrides, str) else overrides:
        if not isinstance(override, str):
            kind = type(override).__name__
            raise RecipeError(f"overrides: must be text as table.key=VALUE (got {kind})")
        try:
            origins[_apply(override, tables)] = f"--set {shorten(override)}"
        except RecipeError as error:
            mistakes.append(str(error))
    try:
        resolved = Recipe.model_validate(tables)
    except ValidationError as error:
        lines = dict(_key_lines(text))
        described = (_describe(one, source, lines, origins) for one in error.errors())
        mistakes += [message for _, message in sorted(described, key=lambda one: one[0])]
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return resolved.renamed(name)


def recipe_paths() -> dict[str, Path]:
    """The installed recipes: name -> TOML file, sorted by name."""
    package = Path(__file__).parent
    # A wheel carries the recipes inside the package; a checkout keeps them beside it.
    folder = next(p for p in (package / "recipes", package.parent / "recipes") if p.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def suggestion(word: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown name: what was probably meant, if anything is near."""
    near = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def schemas(annotation: Any) -> Iterator[type[BaseModel]]:
    """The schemas in a type such as `UNet | EfficientNet` or `Discriminator | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from schemas(part)


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
            f"a recipe file's path ends in .toml{suggestion(path.name, installed)}"
        )
    return installed[path.name]


def _read(path: Path) -> str:
    try:
        if path.is_fifo() or path.is_char_device():  # Reading it might never end.
            raise RecipeError(f"{path}: a pipe or device, not a file")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: not UTF-8 text") from None
    except ValueError as error:  # A NUL in its name.
        raise RecipeError(f"{shorten(str(path))}: no file's name ({error})") from None


def _parse(text: str, source: str) -> dict[str, Any]:
    """The tables of a TOML text; a RecipeError names the line that is wrong."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{source}:{line[1]}" if line else source
        raise RecipeError(f"{where}: not TOML: {shorten(str(error), 200)}") from None
    except (ValueError, RecursionError) as error:
        # Too many digits or brackets; only the parser's own variables say where.
        frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
        position = next((f["pos"] for f in reversed(frames) if "pos" in f), 0)
        number = text.count("\n", 0, position) + 1
        reason = "an integer of too many digits"
        if isinstance(error, RecursionError):
            reason = "nested too deeply"
        raise RecipeError(f"{source}:{number}: {reason}") from None


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
    shown = f"--set {shorten(override)}"
    if not (separator and dot and table and name):
        raise RecipeError(f"{shown}: must be table.key=VALUE")
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        values = {"value": text.strip()}
    if len(values) > 1:
        raise RecipeError(f"{shown}: must be one value; use a --set for each")
    value = values["value"]
    if key == "data.path" and not isinstance(value, str):  # A folder may be called 2019.
        value = text.strip()
    if not isinstance(tables.setdefault(table, {}), dict):
        raise RecipeError(f"{shown}: {shorten(table)} is no table")
    tables[table][name] = value
    return key


def _describe(
    error: Any, source: str, lines: dict[str, int], origins: dict[str, str]
) -> tuple[int, str]:
    """The line of a validation error, or 0, and `FILE:LINE: key: what is wrong (got VALUE)`."""
    keys = [str(part) for part in error["loc"]]
    value = error["input"]
    if error["type"] == "union_tag_invalid":
        keys.append("network")
        value = value["network"]
    if not keys:  # A check of several tables; its message begins with the key.
        keys = error["msg"].removeprefix("Value error, ").partition(":")[0].split(".")
    network = None
    if keys[0] in NETWORK_TAGS and keys[1:2] and keys[1] in NETWORK_TAGS[keys[0]]:
        network = keys.pop(1)  # pydantic names the network here
    key = ".".join(keys)
    known = [".".join(keys[:length]) for length in range(len(keys), 0, -1)]
    line: int | None = None
    where = next((origins[k] for k in known if k in origins), None)
    if where is None:
        line = next((lines[k] for k in known if k in lines), None)
        of_table = next((origins[k] for k in origins if k.startswith(f"{key}.")), source)
        where = f"{source}:{line}" if line else of_table
    got = f"(got {shorten(show(value))})"
    message = {
        "missing": "is missing",
        "extra_forbidden": f"no such {'table' if isinstance(value, dict) else 'key'}"
        f"{suggestion(keys[-1], _names_beside(keys, network))}",
        "model_type": f"should be a table {got}",
        "tuple_type": f"should be a valid array {got}",
        "union_tag_invalid": f"should be {network_names(keys[0])} or 'module:function' {got}",
        "value_error": error["msg"].removeprefix("Value error, ").removeprefix(f"{key}: "),
    }.get(error["type"], f"{error['msg'].removeprefix('Input ')} {got}")
    return line or 0, f"{where}: {shorten(key)}: {shorten(message, 300)}"


def _names_beside(keys: Sequence[str], network: str | None) -> list[str]:
    """The tables, or the keys of a table, that the schema has where `keys` leads."""
    fields = Recipe.model_fields
    match keys:
        case [_]:
            return list(fields)
        case [table, _] if table in fields:
            return [
                name
                for schema in schemas(fields[table].annotation)
                if network is None or network in get_args(schema.model_fields["network"].annotation)
                for name in schema.model_fields
            ]
    return []


def _flatten(tables: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for table, values in tables.items():
        if isinstance(values, dict):
            flat |= {f"{table}.{key}": value for key, value in values.items()}
        else:
            flat[table] = values
    return flat
