"""What a MODEL argument means: a run, a file, a SavedModel, a pretrained model, one on the Hub."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast
from zipfile import is_zipfile

from keras_colorize import hub, pretrained
from keras_colorize.errors import ColorizeError, first_line, shorten
from keras_colorize.parts import own_parts
from keras_colorize.recipe import Recipe, RecipeError, suggestion
from keras_colorize.startup import load_tensorflow, use_device
from keras_colorize.training.run import Run

if TYPE_CHECKING:
    import keras

    from keras_colorize.inference.prediction import Network

    Model: TypeAlias = keras.Model | Run | str | Path


TORCH_SUFFIXES = (".pt", ".pth")

_FILE_SUFFIXES = (".keras", ".h5", ".hdf5", *TORCH_SUFFIXES)


# What Keras says of a layer whose module is not imported.
_UNKNOWN_CLASS = re.compile(r"Could not locate class '(\w+)'.*?config: {'module': '([\w.]+)'", re.S)


class _UnknownClassError(ColorizeError):
    """A model has a class that Keras does not find."""


@dataclass(frozen=True)
class Generator:
    """A MODEL argument, resolved; nothing is loaded yet.

    Attributes:
        name: a short name for tables.
        path: the `.keras` file, the version folder of a SavedModel, or the folder of a model of
            the Hub; None for a Keras model.
        run: the run that it comes from, None for others.
        model: the Keras model, where it is one already.
        onnx: an ONNX file of the same model, which colorizes without TensorFlow; None if there is
            none.
    """

    name: str
    path: Path | None = None
    run: Run | None = field(default=None, compare=False)  # One path, one run.
    model: "keras.Model | None" = None
    onnx: Path | None = None

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that it was trained with, if it comes from a run."""
        return None if self.run is None else self.run.recipe

    @property
    def pretrained(self) -> "pretrained.PretrainedModel | None":
        """The model of the package that it is, if it is one."""
        model = pretrained.MODELS.get(self.name)
        return model if model and self.path == model.path else None

    @property
    def is_saved_model(self) -> bool:
        """Whether it is a SavedModel."""
        return self.path is not None and _is_saved_model(self.path)

    def load(self) -> "keras.Model":
        """The Keras model, `lightness` -> `ab`.

        Raises:
            ColorizeError: it cannot be loaded, or is no generator.
        """
        run = self.run
        if run is None and self.path is not None and self.path.parent.name == "models":
            run = Run.at(self.path.parents[1])
        remedy = "import that module first, or name the model's run, whose recipe names it"
        if run is not None:
            load_tensorflow()  # Quietly, before the user's module does.
            try:
                own_parts(run.recipe)  # Registers layers of the user's own, if there are any.
            except RecipeError as error:
                remedy = first_line(error)
        try:
            generator = self.model if self.path is None else _load(self.path)
        except _UnknownClassError as error:
            raise ColorizeError(f"{error}; {remedy}") from error
        check_generator(generator, str(self.path or self.name))
        return generator

    def copy_weights(self, network: "keras.Model") -> None:
        """Copies this generator's weights, by their names, to a network of the same kind.

        Args:
            network: changed in place; `.pt` files of the PyTorch original are for the U-Net.

        Raises:
            ColorizeError: names or shapes differ; nothing is changed then.
        """
        from keras_colorize.models import copy_weights, load_torch_weights

        if self.path is not None and self.path.suffix in TORCH_SUFFIXES:
            load_torch_weights(network, self.path)
        else:
            copy_weights(self.load(), network, str(self.path or self.name))

    def network(self, device: str | None = None, threads: int | None = None) -> "Network":
        """A `Network` that colorizes with it, cached until its file changes.

        Args:
            device: as for `use_device`; on a GPU TensorFlow is used, whatever other file there is.
            threads: that ONNX Runtime uses; by default as many as there are cores.

        Raises:
            ColorizeError: it cannot be loaded, or there is no such device.
        """
        if self.onnx and device in (None, "cpu"):
            return _load_onnx(self.onnx, self.onnx.stat().st_mtime_ns, threads)
        if device is not None:
            use_device(device)
        if self.path is None:
            generator = self.load()
        else:
            file = self.path / "saved_model.pb" if self.is_saved_model else self.path
            generator = _load_once(self, file.stat().st_mtime_ns)
        from keras_colorize.inference.keras_network import shared_network

        return shared_network(generator)


def resolve(model: "Model | None") -> Generator:
    """Finds what a MODEL argument means.

    Args:
        model: a `Run` or the path of one (its best model), a `.keras` file, the folder of a
            SavedModel or its name in `saved_models/` (the newest version), the name of a
            pretrained model, `hf://user/name` of the Hugging Face Hub, a Keras model, or None for
            the default pretrained model.

    Raises:
        ColorizeError: there is no such model.
    """
    if model is None:
        model = pretrained.DEFAULT
    name = name_of(model)
    if name is None:
        network = cast("keras.Model", model)
        return Generator(network.name, model=network)
    path = Path(name)
    if hub.is_url(name):
        return Generator("/".join(path.parts[1:]), hub.download(name))
    if not path.exists() and path.parent == Path():
        if path.name in pretrained.MODELS:
            shipped = pretrained.MODELS[path.name]
            shipped.check()
            return Generator(path.name, shipped.path, onnx=shipped.onnx)
        path = "saved_models" / path
    if path.is_file() and path.suffix in _FILE_SUFFIXES:
        return Generator(_short_name(path), path)
    # An exported model has its recipe beside it, too.
    if (run := Run.at(path)) and not _is_saved_model(path):
        if "best" not in run.models:
            raise ColorizeError(f"{path}: has no model yet; its first epoch is not finished")
        return Generator(_short_name(path), run.models["best"], run)
    for folder in (path, *sorted(path.glob("[0-9]*"), key=_version, reverse=True)):
        if _is_saved_model(folder):
            return Generator(_short_name(path), folder)
    raise ColorizeError(
        f"{model}: no model: neither a run, a .keras file, nor a SavedModel here or in "
        f"saved_models/, nor one that comes with the package ({', '.join(pretrained.MODELS)})"
        f"{suggestion(str(model), pretrained.MODELS)}"
    )


def name_of(model: "Model") -> str | None:
    """The path or name by which a run or another process finds a model; None for a Keras model."""
    model = model.path if isinstance(model, Run) else model
    return str(model) if isinstance(model, str | Path) else None


def unique_names(models: Sequence[Generator]) -> list[str]:
    """A short name for each model."""
    names: list[str] = []
    for model in models:
        taken = sum(other.partition(" #")[0] == model.name for other in names)
        names.append(f"{model.name} #{taken + 1}" if taken else model.name)
    return names


def resolve_initial_weights(model: "Model") -> Generator:
    """Finds the model whose weights another starts from: what `resolve` takes, except a SavedModel.

    Raises:
        ColorizeError: there is no such model, or it is a SavedModel.
    """
    source = resolve(model)
    if source.is_saved_model:
        raise ColorizeError(
            f"{model}: is a SavedModel, whose weights have no names; start from a run or a .keras "
            "file"
        )
    return source


def _is_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").is_file()


def _version(folder: Path) -> int:
    return int(folder.name) if folder.name.isdecimal() else -1


def _short_name(path: Path) -> str:
    """The run's name, the file's, or both for a model of a run."""
    path = path.absolute()
    name = path.name.removesuffix(".keras")
    return f"{path.parents[1].name}/{name}" if path.parent.name == "models" else name


@functools.lru_cache(maxsize=1)
def _load_onnx(path: Path, modified: int, threads: int | None) -> "Network":
    from keras_colorize.inference.onnx_network import OnnxNetwork

    return OnnxNetwork(path, threads)


@functools.lru_cache(maxsize=2)
def _load_once(generator: Generator, modified: int) -> "keras.Model":
    return generator.load()


def _load(path: Path) -> "keras.Model":
    load_tensorflow()
    import keras

    import keras_colorize.models  # noqa: F401  # Registers our layers with Keras.
    from keras_colorize.serving.saved_model import load_predict_ab

    if path.suffix == ".keras" and path.is_file() and not is_zipfile(path):
        raise ColorizeError(f"{path}: cannot be loaded as a Keras model: it is damaged")
    try:
        if _is_saved_model(path):
            return load_predict_ab(path)
        return keras.saving.load_model(path, compile=False)
    except ColorizeError:
        raise
    except Exception as error:  # Damaged files make Keras, HDF5 and TensorFlow raise many kinds.
        if found := _UNKNOWN_CLASS.search(str(error)):
            raise _UnknownClassError(
                f"{path}: cannot be loaded as a Keras model: no class {found[1]} of the module "
                f"{found[2]} is registered with Keras"
            ) from error
        kind = "SavedModel" if _is_saved_model(path) else "Keras model"
        reason = shorten(first_line(error), 200)
        raise ColorizeError(f"{path}: cannot be loaded as a {kind}: {reason}") from error


def check_generator(generator: "keras.Model", source: str) -> None:
    """Raises a ColorizeError unless a model maps lightness to ab of the same size."""
    shapes = [getattr(generator, f"{side}_shape", None) for side in ("input", "output")]
    match shapes:
        case [(_, height, width, 1), (_, *output, 2)] if [height, width] == output:
            if height == width:
                return
    raise ColorizeError(
        f"{source}: no generator: must be (N, S, S, 1) -> (N, S, S, 2), or any size. "
        f"Received: {shapes[0]} -> {shapes[1]}"
    )
