"""What stands beside an exported or published model: its card and its recipe."""

import json
from pathlib import Path
from typing import Any

from keras_colorize import hub, pretrained
from keras_colorize.errors import ColorizeError
from keras_colorize.evaluation.report import METRICS_NAME, markdown_table
from keras_colorize.generators import Generator
from keras_colorize.recipe import RECIPE_NAME
from keras_colorize.training.run import Run


def card(source: Generator, report: Path | None = None) -> str:
    """A model card in Markdown: what the model is, how it was trained, its scores.

    Args:
        source: the model; a pretrained one has a card of its own.
        report: the folder of a report on it; by default the run's, if there is one.

    Raises:
        ColorizeError: the report cannot be read.
    """
    if source.pretrained is not None:
        return source.pretrained.card.read_text(encoding="utf-8")
    parts = [f"# {source.name}", "Colorizes gray images; exported by keras-colorize."]
    if source.run is None:
        parts.append("How it was trained is not known.")
    else:
        parts += _training(source.run)
        if report is None and (source.run.report_folder / METRICS_NAME).exists():
            report = source.run.report_folder
    if report is not None:
        parts += _scores(report)
    return "\n\n".join(parts) + "\n"


def recipe_text(source: Generator, *, public: bool = False) -> dict[str, str]:
    """The recipe as a file, `recipe.toml` -> text; nothing if it is not known.

    Args:
        source: the model.
        public: leave out paths and limits of this machine, which are of no use elsewhere.
    """
    if source.pretrained is not None:
        path = source.pretrained.path.with_suffix(".toml")
        return {RECIPE_NAME: path.read_text(encoding="utf-8")}
    if source.run is None:
        return {}
    if not public:
        return {RECIPE_NAME: source.run.recipe_file.read_text(encoding="utf-8")}
    recipe = source.run.recipe
    local = {"path": None, "cache": None, "memory_gib": None}
    tables: dict[str, Any] = {"data": recipe.data.model_copy(update=local)}
    weights = recipe.training.initial_weights
    if weights and not hub.is_url(weights) and weights not in pretrained.MODELS:
        tables["training"] = recipe.training.model_copy(update={"initial_weights": None})
    return {RECIPE_NAME: recipe.model_copy(update=tables).to_toml()}


def _training(run: Run) -> list[str]:
    """How a run went, in a paragraph."""
    if (best := run.best_epoch) is None:
        return []
    epochs = len(run.history)
    return [
        f"Trained by `{RECIPE_NAME}`; the best of {epochs} epochs, epoch {best['epoch']}. On "
        f"validation images: L1 {best['val_l1_loss']:.4f}, Delta E*ab "
        f"{best['val_delta_e_76']:.2f}."
    ]


def _scores(report: Path) -> list[str]:
    """The scores of a report, beside leaving the images gray."""
    file = report / METRICS_NAME
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        table = markdown_table(metrics["models"])
        count, size = metrics["pictures"], metrics["size"]
    except OSError as error:
        raise ColorizeError(f"{file}: {error.strerror}; evaluate the model first") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ColorizeError(
            f"{file}: no report of this version; evaluate the model again"
        ) from None
    return ["## Scores", f"On {count:,} test images, {size}:", table]
