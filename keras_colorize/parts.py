"""Functions of the user's own, which recipes name as `module:function`."""

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from keras_colorize.recipe import Recipe, RecipeError
from keras_colorize.tables import is_own_part

PARAMETERS = {
    "data.source": ("data", "progress"),
    "losses.reconstruction": ("ab", "predicted_ab"),
    "optimizers.name": ("optimizers", "learning_rate"),
    "schedule.shape": ("schedule", "base_learning_rate", "steps"),
    "generator.network": ("image_size",),
    "discriminator.network": ("image_size",),
}
"""What the function behind each key is called with; networks also get `seed` and, by name, the
other keys of their table."""


def own_parts(recipe: Recipe) -> dict[str, Callable[..., Any]]:
    """Imports the functions that a recipe names.

    Returns:
        Key, as `losses.reconstruction`, -> function; keys that name a part of the package are
        left out.

    Raises:
        RecipeError: naming each that cannot be imported or takes other arguments, a line each.
    """
    parts: dict[str, Callable[..., Any]] = {}
    mistakes: list[str] = []
    for key in PARAMETERS:
        table_name, _, name = key.partition(".")
        table = getattr(recipe, table_name)
        if table is None or not is_own_part(part := getattr(table, name)):
            continue
        keywords = ["seed", *(table.model_extra or {})] if name == "network" else []
        try:
            parts[key] = load_part(key, part, keywords)
        except RecipeError as error:
            mistakes.append(str(error))
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return parts


def load_part(key: str, part: str, keywords: Sequence[str] = ()) -> Callable[..., Any]:
    """Imports one `module:function` and checks what it takes.

    Args:
        key: of the recipe; see `PARAMETERS`.
        part: `module:function`.
        keywords: what it is given by name.
    """
    module_name, _, name = part.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise RecipeError(f"{key}: {module_name} needs {error.name} (got {part!r})") from None
        raise RecipeError(
            f"{key}: no module {module_name} here or in PYTHONPATH (got {part!r})"
        ) from None
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise RecipeError(f"{key}: {module_name} cannot be imported: {reason}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise RecipeError(f"{key}: {module_name} has no function {name} (got {part!r})")
    parameters = PARAMETERS[key]
    try:
        inspect.signature(function).bind(*parameters, **dict.fromkeys(keywords))
    except TypeError as error:
        taken = ", ".join((*parameters, *(f"{keyword}=" for keyword in keywords)))
        message = f"{key}: {part} must take ({taken}): {error}"
        if len(keywords) > 1:
            message += "; further keys of the recipe's table are arguments"
            message += " (**_ takes those it does not use)"
        raise RecipeError(message) from None
    return function
