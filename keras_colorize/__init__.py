"""keras_colorize: colorize images; train, evaluate and serve the networks that do.

Names load when they are first used, so `import keras_colorize` loads no TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_colorize.api import (
        colorize,
        colorize_files,
        compare,
        estimate,
        evaluate,
        export,
        fit,
        load,
        plot,
        push_to_hub,
    )
    from keras_colorize.errors import ColorizeError
    from keras_colorize.evaluation.report import Report
    from keras_colorize.oxford import FetchSummary, fetch_oxford_paintings
    from keras_colorize.recipe import Recipe, RecipeError, load_recipe
    from keras_colorize.training.estimate import Estimate
    from keras_colorize.training.run import Run

__version__ = "0.1.0"

_HOMES = {
    "ColorizeError": "errors",
    "Estimate": "training.estimate",
    "FetchSummary": "oxford",
    "Recipe": "recipe",
    "RecipeError": "recipe",
    "Report": "evaluation.report",
    "Run": "training.run",
    "colorize": "api",
    "colorize_files": "api",
    "compare": "api",
    "estimate": "api",
    "evaluate": "api",
    "export": "api",
    "fetch_oxford_paintings": "oxford",
    "fit": "api",
    "load": "api",
    "load_recipe": "recipe",
    "plot": "api",
    "push_to_hub": "api",
}

__all__ = [
    "ColorizeError",
    "Estimate",
    "FetchSummary",
    "Recipe",
    "RecipeError",
    "Report",
    "Run",
    "colorize",
    "colorize_files",
    "compare",
    "estimate",
    "evaluate",
    "export",
    "fetch_oxford_paintings",
    "fit",
    "load",
    "load_recipe",
    "plot",
    "push_to_hub",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
