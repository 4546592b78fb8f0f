"""A run's history as curves, and labeled grids of images, all as PNG.

Figures are drawn on canvases of their own, without pyplot and its global state.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from keras_colorize.files import named_failure, whole_file
from keras_colorize.images import image_grid
from keras_colorize.tables import BEST_BY

# The panels of each chart, two a row: a title, and the label of each column that it shows.
_CHARTS: dict[str, dict[str, dict[str, str]]] = {
    "losses.png": {
        "Generator: L1": {"l1_loss": ""},
        "Generator: adversarial": {"adversarial_loss": ""},
        "Discriminator: all images": {"discriminator_loss": ""},
        "Discriminator: real and fake separately": {
            "discriminator_real_loss": "real",
            "discriminator_fake_loss": "fake",
        },
    },
    "accuracy.png": {
        "Discriminator accuracy": {
            "discriminator_real_accuracy": "real",
            "discriminator_fake_accuracy": "fake",
        },
    },
    "delta_e.png": {"Delta E*ab": {"delta_e_76": ""}},
    "learning_rate.png": {
        "Learning rate": {
            "generator_learning_rate": "generator",
            "discriminator_learning_rate": "discriminator",
        },
    },
}

# Distinguishable with color blindness, too (Okabe and Ito, 2008).
_COLORS = ("#0072b2", "#d55e00")
_INK, _FRAME, _GRID = "#333333", "#bbbbbb", "#e6e6e6"


def plot_history(rows: Sequence[Mapping[str, float]], folder: Path) -> list[Path]:
    """Draws the curves of a run: training pale, validation strong, the epoch of best L1 marked.

    Columns that the history lacks are left out, and so are charts without any column: a plain CNN
    has no accuracy.png.

    Args:
        rows: one per epoch, at least one, all with the same columns: `epoch`, counted from 1, and
            any of the logs' names, those of validation with the prefix `val_`. NaN is a gap.
        folder: where losses.png, accuracy.png, delta_e.png and learning_rate.png go; created
            if missing.

    Returns:
        The files written.

    Raises:
        ColorizeError: a file cannot be written.
    """
    columns_of_all = {name: np.array([row[name] for row in rows], float) for name in rows[0]}
    history = {
        name: column for name, column in columns_of_all.items() if not np.isnan(column).all()
    }
    best = _best_epoch(history)
    written = []
    for name, panels in _CHARTS.items():
        shown = [
            (title, columns)
            for title, columns in panels.items()
            if any(column in history for column in columns)
        ]
        if not shown:
            continue
        across, down = min(len(shown), 2), math.ceil(len(shown) / 2)
        layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
        figure = Figure(figsize=(5.0 * across, 3.6 * down), dpi=160, layout=layout)
        panels_of_figure = figure.subplots(down, across, squeeze=False).flat
        for number, (title, columns) in enumerate(shown):
            _draw_panel(panels_of_figure[number], title, columns, history, best, named=not number)
        written.append(folder / name)
        save_figure(figure, written[-1])
    return written


def draw_images(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[np.ndarray]],
    captions: Sequence[Sequence[str]],
) -> Figure:
    """Lays images out in a labeled grid, small ones enlarged by a whole factor.

    Args:
        title: one line at the top.
        columns: a label for each column.
        rows: images, each uint8 of shape (H, W, 3), all of one size.
        captions: a line below each image.

    Returns:
        The figure; every pixel of an image is a square of whole pixels in it.
    """
    scale = max(1, round(160 / rows[0][0].shape[1]))
    height, width = (side * scale for side in rows[0][0].shape[:2])
    gap, line, top = 12, 30, 38
    grid = image_grid(rows, (line, gap), scale)
    canvas = np.pad(grid, ((top, 0), (0, 0), (0, 0)), constant_values=255)
    figure = Figure(figsize=(canvas.shape[1] / 100, canvas.shape[0] / 100), dpi=100)

    def write(text: str, left: int, bottom: int, **style: Any) -> None:
        x, y = left / canvas.shape[1], 1 - bottom / canvas.shape[0]
        figure.text(x, y, text, color=_INK, parse_math=False, **style)

    write(title, gap, 22, size=9)
    for column, label in enumerate(columns):
        left = gap + column * (width + gap)
        write(_tail(label, width // 8), left, top + line - 8, size=8.5, weight="bold")
        for row, texts in enumerate(captions, start=1):
            bottom = top + row * (line + height)
            canvas[[bottom - height - 1, bottom], left - 1 : left + width + 1] = 221
            canvas[bottom - height - 1 : bottom + 1, [left - 1, left + width]] = 221
            write(_tail(texts[column], width // 7), left, bottom + 14, size=8)
    figure.figimage(canvas)
    return figure


def figure_pixels(figure: Figure) -> np.ndarray:
    """Draws a figure as an image, uint8 sRGB of shape (H, W, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, whole or not at all.

    Raises:
        ColorizeError: the file cannot be written.
    """
    with named_failure(path), whole_file(path) as beside, warnings.catch_warnings():
        # Names in scripts that the font lacks are drawn as boxes; that needs no warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(beside, format="png")


def _best_epoch(history: dict[str, np.ndarray]) -> tuple[float, float] | None:
    """Epoch and value of the lowest validation L1; None without validation."""
    if BEST_BY not in history:
        return None
    best = np.nanargmin(history[BEST_BY])
    return history["epoch"][best], history[BEST_BY][best]


def _draw_panel(
    axes: Axes,
    title: str,
    columns: dict[str, str],
    history: dict[str, np.ndarray],
    best: tuple[float, float] | None,
    *,
    named: bool,
) -> None:
    """Draws the columns that the history has, training and validation, over the epochs.

    The legend names the best epoch if `named`; the first panel's is enough.
    """
    epochs = history["epoch"]
    few = len(epochs) <= 30
    style = {"marker": "o", "markersize": 3.0, "linewidth": 1.4} if few else {"linewidth": 0.9}
    for color, (column, label) in zip(_COLORS, columns.items(), strict=False):
        validation = f"val_{column}"
        if validation in history:
            curves = [(column, f"{label} train", 0.45), (validation, f"{label} validation", 1.0)]
        else:
            curves = [(column, label or "train", 1.0)]
        for name, curve_label, strength in curves:
            if name in history:
                curve = history[name]
                axes.plot(
                    epochs, curve, color=color, alpha=strength, label=curve_label.strip(), **style
                )
    if best is not None:
        label = f"best validation L1: {best[1]:.4f}, epoch {best[0]:.0f}"
        shown = label if named else "_nolegend_"
        axes.axvline(best[0], color=_INK, linewidth=0.9, linestyle=":", label=shown)
    if title == "Learning rate":
        axes.set_yscale("log")
    if few:
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("epoch", fontsize=9, color=_INK)
    axes.tick_params(which="both", labelsize=8, color=_FRAME, labelcolor=_INK)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FRAME)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=2,
        fontsize=8,
        frameon=False,
        labelcolor=_INK,
    )


def _tail(text: str, width: int) -> str:
    """The text, or its end after an ellipsis where it is longer than `width` characters."""
    return text if len(text) <= width else "…" + text[1 - width :]
