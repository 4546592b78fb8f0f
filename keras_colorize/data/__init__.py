"""Where images come from, and the batches made of them."""

import importlib
from typing import Any

from keras_colorize.errors import warn_renamed


def __getattr__(name: str) -> Any:
    if name not in ("FetchSummary", "fetch_oxford_paintings"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn_renamed(f"keras_colorize.data.{name}", f"keras_colorize.{name}")
    return getattr(importlib.import_module("keras_colorize.oxford"), name)
