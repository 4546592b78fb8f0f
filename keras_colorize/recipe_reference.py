"""The reference of recipe keys, generated from the schema. Loads no TensorFlow."""

import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from keras_colorize.recipe import Recipe, recipe_header, recipe_paths, schemas

_START = """\
# Recipes

A recipe is a TOML file that describes a run: data, networks, losses, optimizers, schedule and
training. Start from an installed one and edit it:

```
keras-colorize recipes quickstart > mine.toml
keras-colorize validate mine.toml
keras-colorize fit mine.toml
```

`validate` names every mistake with its line, without loading TensorFlow. To change single values,
no file is needed: `keras-colorize fit quickstart --set training.epochs=2`.

## Installed recipes
"""

_KEYS = """\
## Keys

Each key is shown with its default and the values it takes. A key without a default must be given
if its table is. This page is printed by `keras-colorize recipes --keys`.
"""

_NO_LIMIT = 2**31


def recipe_reference() -> str:
    """All installed recipes and all keys with meaning, default and range, as Markdown."""
    recipes = (_describe_recipe(recipe_header(path), name) for name, path in recipe_paths().items())
    tables = (_describe_table(*table) for table in _tables())
    return "\n".join([_START, *recipes, _KEYS, *tables])


def _describe_recipe(header: str, name: str) -> str:
    purpose, *facts = header.splitlines()
    return "\n".join([f"### {name}\n", f"{purpose}\n", *(f"- {fact}" for fact in facts), ""])


def _tables() -> Iterator[tuple[str, type[BaseModel]]]:
    """The tables of a recipe in order, with a schema for each kind of a table."""
    for name, field in Recipe.model_fields.items():
        for schema in schemas(field.annotation):
            yield name, schema


def _describe_table(name: str, schema: type[BaseModel]) -> str:
    properties = schema.model_json_schema()["properties"]
    kind = next((f", {k} = {_show(p['const'])}" for k, p in properties.items() if "const" in p), "")
    keys = (_describe_key(key, details) for key, details in properties.items())
    return "\n".join([f"### `[{name}]`{kind}\n", f"{inspect.getdoc(schema)}\n", *keys, ""])


def _describe_key(key: str, details: dict[str, Any]) -> str:
    """One key as an item of a list: name, default, range and meaning."""
    default = details.get("default")
    if default is not None:
        key = f"{key} = {_show(default)}"
    values = _values(details)
    meaning = " ".join(details["description"].split())
    return textwrap.fill(
        f"- **`{key}`** ({values}): {meaning}", 100, subsequent_indent="  ", break_on_hyphens=False
    )


def _values(details: dict[str, Any]) -> str:
    """The values that a JSON schema allows, in words."""
    for alternative in details.get("anyOf", ()):
        if alternative["type"] != "null":
            return f"{_values(alternative)}; or unset"
    if "const" in details:
        return _show(details["const"])
    if "enum" in details:
        *others, last = map(_show, details["enum"])
        return f"{', '.join(others)} or {last}"
    if details["type"] == "array":
        count, items = details.get("minItems"), _values(details["items"])
        return f"array of {count}, each {items}" if count else f"array, each {items}"
    if details["type"] in ("integer", "number"):
        return _bounds(details)
    return {"boolean": "true or false", "string": "text"}[details["type"]]


def _bounds(details: dict[str, Any]) -> str:
    """The range of a number in words: `1 or more`, `above 0, at most 1`."""
    bounds = [
        f"{word} {details[name]:g}"
        for name, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
            ("multipleOf", "a multiple of"),
        )
        if details.get(name, _NO_LIMIT) != _NO_LIMIT
    ]
    kind = "integer" if details["type"] == "integer" else "number"
    return ", ".join([kind, *bounds])


def _show(value: Any) -> str:
    """A value as it stands in TOML."""
    return json.dumps(value)
