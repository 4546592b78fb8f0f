"""A run's folder: what a training leaves behind, and how to find it again.

Loads no TensorFlow: a run is refused, or known to be finished, before the slow imports start.
"""

import csv
import hashlib
import html
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from keras_colorize.errors import ColorizeError
from keras_colorize.files import locked, temporary_folder, whole_file, write_text
from keras_colorize.recipe import RECIPE_NAME, Recipe, load_recipe
from keras_colorize.tables import BEST_BY

Row = Mapping[str, float]
"""One epoch of a history: column -> figure."""

_MAY_DIFFER = ("training.epochs", "data.memory_gib", "data.cache")
"""Keys that leave the finished epochs what they are."""


class Run:
    """A run's folder, `runs/NAME/`; docs/training.md lists what is in it.

    `keras_colorize.load(run)` loads its best model, `keras_colorize.load(run.models["last"])` its
    last.

    Args:
        path: the folder.

    Raises:
        ColorizeError: if there is no run at `path`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.shown_path = self.path
        """As messages name it; `run_of_a_worker` has another."""
        self.recipe_file = self.path / RECIPE_NAME
        """The recipe as it was resolved."""
        self.history_file = self.path / "history.csv"
        """One line an epoch."""
        self.environment_file = self.path / "environment.json"
        """Versions, machine and images."""
        self.state_file = self.path / "checkpoints" / "state.npz"
        """Everything needed to resume training exactly where it stopped."""
        self.samples_folder = self.path / "samples"
        """A grid of images for each epoch."""
        self.tensorboard_folder = self.path / "tensorboard"
        """Curves and grids for TensorBoard."""
        self.report_folder = self.path / "report"
        """Where the command `evaluate`, and `plot`, write by default."""
        if not self.recipe_file.is_file():
            raise ColorizeError(f"{self.path}: no run: it has no {RECIPE_NAME}")

    @classmethod
    def at(cls, path: Path) -> "Run | None":
        """The run at `path`, None if there is none."""
        return cls(path) if (path / RECIPE_NAME).is_file() else None

    @classmethod
    def find(cls, path: Path, recipe: Recipe) -> "Run | None":
        """The run at `path`, None if there is none yet.

        The number of epochs may be another, and where Lab is cached; `run.recipe` then says so.

        Raises:
            ColorizeError: if the folder holds something else, a run of another recipe (the
                message names the keys that differ), or one that has done more epochs.
        """
        run = cls.at(path)
        if run is None:
            # A process killed while it wrote the recipe leaves a hidden file.
            if os.path.lexists(path) and (not path.is_dir() or any(path.glob("[!.]*"))):
                raise ColorizeError(f"{path}: exists and is no run; choose another name")
            _require_folder(path.parent)
            return None
        differences = recipe.differences(run.recipe)
        if any(difference.partition(": ")[0] not in _MAY_DIFFER for difference in differences):
            start = f" (with --from {path} it begins with this run's weights)" if run.models else ""
            raise ColorizeError(
                f"{path}: was made by another recipe ({'; '.join(differences)}); "
                f"choose another name{start}, or delete the run"
            )
        if differences:
            epochs, done = recipe.training.epochs, len(run.history)
            if epochs < done:
                raise ColorizeError(
                    f"{path}: training.epochs: must be at least {done}, as many as are done "
                    f"(got {epochs})"
                )
            run.recipe = recipe.renamed(path.name)
        return run

    @classmethod
    def open(cls, path: Path, recipe: Recipe) -> "Run":
        """The run at `path`, begun if there is none yet; raises like `find`."""
        run = cls.find(path, recipe)
        if run is None:
            write_text(path / RECIPE_NAME, recipe.to_toml())
        return run or cls(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """Its curves, for notebooks."""
        rows = self.history
        state = f"{self.path}: {len(rows)} of {self.recipe.training.epochs} epochs"
        images = ""
        if rows:
            from keras_colorize.notebook import html_image
            from keras_colorize.plots import plot_history

            with TemporaryDirectory() as folder:
                charts = plot_history(rows, Path(folder))
                images = "".join(html_image(chart.read_bytes()) for chart in charts)
        return f"<p>{html.escape(state)}</p>{images}"

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that it was made with, under the run's name."""
        return load_recipe(self.recipe_file).renamed(self.path.name)

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch: `epoch`, `seconds`, losses, `val_` ones, learning rates.

        The state's, which history.csv is written from; without a state what that file says.
        """
        rows = self._history_of_state()
        return self._history_of_file() if rows is None else rows

    def _history_of_file(self) -> list[dict[str, float]]:
        if not self.history_file.exists():
            return []
        try:
            with self.history_file.open(newline="", encoding="utf-8") as file:
                rows = [{k: float(text) for k, text in row.items()} for row in csv.DictReader(file)]
            rows = [{**row, "epoch": int(row["epoch"])} for row in rows]
            if not all(BEST_BY in row for row in rows):
                raise ValueError("no validation")
            return rows
        except (ValueError, KeyError, TypeError, OverflowError, AttributeError, csv.Error):
            raise ColorizeError(
                f"{self.history_file}: not a run's history; delete it, and fit writes it again"
            ) from None

    def _history_of_state(self) -> list[dict[str, float]] | None:
        """None if there is no state that can be read."""
        import numpy as np

        try:
            with np.load(self.state_file) as arrays:
                progress = json.loads(str(arrays["progress"]))
            rows, epoch = progress["history"], progress["epoch"]
            is_whole = len(rows) == epoch and all(BEST_BY in row for row in rows)
            return rows if is_whole else None
        except Exception:  # `load_state` says what is wrong with it.
            return None

    @property
    def best_epoch(self) -> dict[str, float] | None:
        """The row of the epoch whose generator is `best`, the first of equals; None before any."""
        return min(self.history, key=lambda row: row[BEST_BY], default=None)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs of the recipe are done."""
        return len(self.history) >= self.recipe.training.epochs

    @property
    def models(self) -> dict[str, Path]:
        """The generators kept: `best`, `last` and `epoch_0200` and so on -> `.keras` file."""
        folder = self.model_file("best").parent
        return {path.stem: path for path in sorted(folder.glob("[!.]*.keras"))}

    def model_file(self, name: str) -> Path:
        """Where the generator called `name` is, or will be."""
        return self.path / "models" / f"{name}.keras"

    def state_digest(self) -> bytes:
        """Hash of the state, which exists."""
        with self.state_file.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()

    def write_recipe(self) -> None:
        """Writes recipe.toml anew if the number of epochs has changed."""
        if self.recipe.differences(load_recipe(self.recipe_file)):
            write_text(self.recipe_file, self.recipe.to_toml())

    def write_history(self, rows: Sequence[Row]) -> None:
        """Writes history.csv anew, whole or not at all."""
        with (
            whole_file(self.history_file) as beside,
            beside.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def restore_history(self) -> None:
        """Writes history.csv anew if it is not what the state says."""
        rows = self._history_of_state()
        if not rows:
            return
        try:
            is_whole = self._history_of_file() == rows
        except ColorizeError:
            is_whole = False
        if not is_whole:
            self.write_history(rows)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other processes from training the run; the kernel ends the lock with the process.

        Raises:
            ColorizeError: if another process trains this run.
        """
        return locked(self.path, "training this run")


@contextmanager
def run_of_a_worker(path: Path, recipe: Recipe) -> Iterator[Run]:
    """A run in a temporary folder, with the state of the run at `path` if it has one.

    For workers that train a run that another one, the chief, writes.
    """
    with temporary_folder() as folder:
        run = Run.open(Path(folder) / path.name, recipe)
        run.shown_path = path
        state = Path(path) / run.state_file.relative_to(run.path)
        if state.exists():
            run.state_file.parent.mkdir()
            shutil.copyfile(state, run.state_file)
        try:
            yield run
        except ColorizeError as error:
            raise ColorizeError(str(error).replace(str(run.path), str(path))) from error


def _require_folder(path: Path) -> None:
    """Fails if a folder cannot be made at `path` because something else is there or above it."""
    for folder in (path, *path.parents):
        if folder.is_dir():
            return
        if os.path.lexists(folder):
            raise ColorizeError(f"{folder}: not a folder; choose another one for the runs")
