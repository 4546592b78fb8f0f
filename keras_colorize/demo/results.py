"""What the page shows and downloads: images, and files of their results."""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_colorize import pretrained
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.generators import Generator, resolve
from keras_colorize.images import RgbImage, read_image, write_image
from keras_colorize.inference.budget import memory
from keras_colorize.inference.prediction import Network, squash
from keras_colorize.inference.recolor import recolor
from keras_colorize.inference.single import Options, write
from keras_colorize.recipe import RECIPE_NAME
from keras_colorize.training.run import Run

_WHITE = (255, 255, 255)
_KEPT_RESULTS = 64  # Files; an older one is made anew when it is asked for.
_KEPT_OUTPUTS = 8  # Of networks; small.
_NO_COLOR = np.zeros((1, 1, 2), np.float32)

_EXAMPLE_SIZE = 768
_EXAMPLES = {"jug": 22, "sails": 36, "landscape": 38, "flowers": 17}  # Seeds of painted scenes.


class Results:
    """Colorizes images, and keeps what the last ones need to be colorized otherwise.

    Args:
        models: name -> model.
        folder: where the results are written; the oldest files are removed.
    """

    def __init__(self, models: Mapping[str, Generator], folder: Path) -> None:
        self.models = models
        self._folder = folder
        self._read = functools.lru_cache(maxsize=1)(_read)
        self._results: dict[Path, None] = {}  # In the order in which they were last asked for.
        self._outputs = functools.lru_cache(maxsize=_KEPT_OUTPUTS)(self._run)

    def vividness(self, model: str) -> float | None:
        """A model's own, None if it has none; loads it.

        Raises:
            ColorizeError: it cannot be loaded.
        """
        return self.models[model].network().vividness

    def gray(self, file: Path) -> Path:
        """Writes an image without its colors, as JPEG.

        Raises:
            ColorizeError: it cannot be read.
        """
        return self._result(file, f"{file.stem}_gray.jpg", lambda: _NO_COLOR)

    def color(self, file: Path, model: str, vividness: float | None, suffix: str) -> Path:
        """Writes an image as `colorize_files` does, at full size.

        The network runs once for an image, however often its vividness changes.

        Args:
            file: the image.
            model: its name.
            vividness: 0..1; None for the model's own, and for models without.
            suffix: ".png", which keeps 16 bits and transparency, or ".jpg", which shows white
                through.

        Returns:
            The file.

        Raises:
            ColorizeError: the image cannot be read, or the model not be loaded.
        """
        network = self.models[model].network()
        return self._result(
            file,
            f"{file.stem}_color{suffix}",
            lambda: network.blend(self._outputs(file, network), vividness),
            *(model, _version(self.models[model]), vividness),
        )

    def _run(self, file: Path, network: Network) -> np.ndarray:
        rgb = self._read(file).rgb
        return network.outputs(squash(rgb, network.shape(*rgb.shape[:2]))[None])[0]

    def _result(
        self, file: Path, name: str, ab: Callable[[], np.ndarray], *settings: object
    ) -> Path:
        """The result of a file with these settings; written if it is not there."""
        digest = hashlib.sha256(repr((file, *settings)).encode()).hexdigest()[:32]
        target = self._folder / digest / name
        self._results.pop(target, None)
        if not target.exists():
            image = self._read(file)
            rgb = image.rgb.copy()
            recolor(rgb, ab())
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target, replace(image, rgb=rgb), Options(background=_WHITE))
        self._results[target] = None
        if len(self._results) > _KEPT_RESULTS:
            oldest = next(iter(self._results))
            del self._results[oldest]
            oldest.unlink()
        return target


def _read(file: Path) -> RgbImage:
    memory(file, Path("result.png"), pages=1)  # What is too large is refused.
    return read_image(file)


def _version(model: Generator) -> int | None:
    """What changes when a run has a better model."""
    return None if model.path is None else model.path.stat().st_mtime_ns


def offered_models(models: Sequence[str]) -> dict[str, Generator]:
    """The models to choose from, by name.

    Args:
        models: what `resolve` takes, or folders of runs; none for the pretrained models and those
            of `runs/`.

    Raises:
        ColorizeError: one is missing.
    """
    if not models:
        models = [*pretrained.MODELS, *_trained_runs(Path("runs"))]
    names = [name for model in models for name in _trained_runs(Path(model)) or [model]]
    return {name: resolve(name) for name in names}


def _trained_runs(folder: Path) -> list[str]:
    """The runs in a folder that have a model."""
    runs = [Run(recipe.parent) for recipe in sorted(folder.glob(f"*/{RECIPE_NAME}"))]
    return [str(run.path) for run in runs if "best" in run.models]


def paint_examples(folder: Path) -> list[Path]:
    """Paints gray images to try the page with; PNG files."""
    files = []
    for name, seed in _EXAMPLES.items():
        (rgb,) = paint_scenes(1, _EXAMPLE_SIZE, seed)
        recolor(rgb, _NO_COLOR)
        files.append(folder / f"{name}.png")
        write_image(files[-1], rgb)
    return files
