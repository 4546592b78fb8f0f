"""The library's functions, one for each use.

TensorFlow is imported inside the functions, after all that can be checked without it.
"""

import functools
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from keras_colorize import hub
from keras_colorize.console import counted, log, printed_log, progress_bar
from keras_colorize.errors import ColorizeError
from keras_colorize.exporting.formats import Format, check_format, write_format
from keras_colorize.generators import (
    name_of,
    resolve,
    resolve_initial_weights,
    unique_names,
)
from keras_colorize.prediction_size import PREDICTION_SIZE
from keras_colorize.recipe import RECIPE_NAME, Recipe, RecipeError, load_recipe
from keras_colorize.startup import load_tensorflow
from keras_colorize.tables import Data
from keras_colorize.training.cluster import find_cluster
from keras_colorize.training.run import Run, run_of_a_worker

if TYPE_CHECKING:
    import keras
    import numpy as np
    from PIL import Image

    from keras_colorize.build import GivenImages
    from keras_colorize.data.cache import CachedImages
    from keras_colorize.evaluation.report import Report
    from keras_colorize.generators import Model
    from keras_colorize.inference.plan import Summary
    from keras_colorize.inference.prediction import Network
    from keras_colorize.training.estimate import Estimate


def fit(
    recipe: str | Path | Recipe,
    *,
    name: str | None = None,
    runs: str | Path = "runs",
    overrides: str | Sequence[str] = (),
    epochs: int | None = None,
    data: "GivenImages | None" = None,
    initial_weights: "Model | None" = None,
    callbacks: "keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None" = (),
    verbose: int | None = None,
) -> Run:
    """Trains what a recipe describes, or resumes the run exactly where it stopped.

    Args:
        recipe: the name of an installed recipe, the path of a TOML file, or a `Recipe`.
        name: of the run; by default the recipe's.
        runs: the folder that holds runs.
        overrides: `table.key=VALUE`, one or several, as `--set` on the command line.
        epochs: as `training.epochs=N` in `overrides`. A run is continued, finished or not, when
            this grows; its weights are those of a run that had so many epochs from the start. With
            `schedule.shape = "cosine"` they are not: from here on the learning rate follows the
            longer curve.
        data: images to use instead of those that the recipe's `data` names:
            `keras_colorize.data.sources.Splits`; two or three arrays to train, to validate and
            to test on, uint8, shape (N, S, S, 3), sRGB, S = `data.image_size`; or two
            `tf.data.Dataset`s that yield one such image at a time, to train and to validate on.
            Splits and arrays are shuffled and augmented as those of a recipe, and the run
            resumes exactly if the same images are passed again. Datasets are iterated anew in
            each epoch, and used as they are. A run on them resumes exactly at the end of an
            epoch; within one it skips as many batches as were done, which are the same ones only
            if the dataset always has one order.
        initial_weights: a model whose generator's weights to start from, as
            `training.initial_weights` of a recipe: a `Run`, the path of one (its best model), a
            `.keras` file, a `.pt` file of the PyTorch original, or the name of a pretrained
            model. A discriminator begins anew. Not read again when the run resumes.
        callbacks: Keras callbacks, one or several; they run after the package's own, and before
            the state is saved. One that saves its model or weights, as `ModelCheckpoint`, saves
            the generator's. One that sets `model.stop_training` ends this call; the run counts as
            finished when its epochs are done, so the same call resumes it (an `EarlyStopping`
            then stops after one more epoch without improvement); to be content with what is done,
            pass `epochs=len(run.history)`. When a run resumes, of their attributes those are
            restored that the training has changed and that are numbers, strings, None, NumPy
            scalars or lists of these; settings stay as passed, and arrays, other objects and files
            that they write are not restored. `monitor` needs `mode`. What sets the learning rate
            (`ReduceLROnPlateau`, the generator's) needs `schedule.shape = "constant"` without
            warm-up.
        verbose: as in Keras: 0 silent, 1 progress bar, 2 one line an epoch; by default 1 on a
            terminal and in a notebook, else 2. What is begun, resumed and stopped is logged as
            INFO under "keras_colorize", and printed where a program has not configured logging.

    Returns:
        The run: history, models and the folder with everything else. A finished one is returned
        as it is.

    Raises:
        RecipeError: if the recipe cannot be run.
        ColorizeError: if the run's folder belongs to another recipe or process, more epochs are
            done, images, initial weights or callbacks are of no use, TF_CONFIG is wrong, or another
            worker is gone.
        KeyboardInterrupt: on SIGINT or SIGTERM; the state was saved and the same call resumes.
    """
    recipe = _requested_recipe(recipe, overrides, epochs, data, initial_weights)
    callbacks = [] if callbacks is None else _listed(callbacks)
    path = Path(runs) / (name or recipe.name)
    cluster = find_cluster(recipe.training.strategy)
    is_chief = cluster is None or cluster.is_chief
    run = Run.find(path, recipe)
    if run and run.is_finished:
        if is_chief:
            run.restore_history()
            run.write_recipe()
        return run
    _require_images(recipe, data)
    if run and is_chief:
        with run.locked():  # Fails now rather than after all images are read.
            pass
    resumes = run is not None and run.state_file.exists()
    if recipe.training.initial_weights and not resumes:
        resolve_initial_weights(recipe.training.initial_weights)
    if verbose is None:
        from keras_colorize.notebook import in_notebook

        verbose = 1 if sys.stdout.isatty() or in_notebook() else 2
    load_tensorflow()
    from keras_colorize import build
    from keras_colorize.training.distribution import (
        describe,
        lost_workers_named,
        open_distribution,
        require_same,
        require_shared,
    )
    from keras_colorize.training.kept_callbacks import check_callbacks
    from keras_colorize.training.loop import train

    check_callbacks(callbacks, recipe)
    bar = progress_bar() if verbose == 1 else None
    with lost_workers_named(cluster), printed_log() if verbose else nullcontext():
        distribution = open_distribution(recipe.training, cluster)
        if distribution and distribution.cluster:  # Building networks that differ hangs.
            state = run.state_digest() if run and resumes else b""
            named = recipe.renamed(path.name).to_toml().encode()
            require_same(distribution, {"recipe": named, "state": state})
        training = build.build_training(
            recipe, data, resumes=resumes, distribution=distribution, progress=bar
        )
        with _opened(path, recipe, is_chief) as run:
            if distribution:
                require_shared(distribution, path / RECIPE_NAME)
            counts = [f"{training.images[split]:,}" for split in ("train", "validation")]
            log.info("%s: %s images to train on, %s to validate on", path, *counts)
            log.info("%s: strategy %s", path, describe(distribution))
            train(training, run, callbacks, verbose=verbose if is_chief else 0)
    return run if is_chief else Run(path)


def estimate(
    recipe: str | Path | Recipe,
    *,
    name: str | None = None,
    runs: str | Path = "runs",
    overrides: str | Sequence[str] = (),
    epochs: int | None = None,
    data: "GivenImages | None" = None,
    initial_weights: "Model | None" = None,
    verbose: int = 1,
) -> "Estimate":
    """Estimates what `fit` with the same arguments would take, and leaves no run behind.

    It counts the images, reads the first few of them, and times 10 training steps, on one device
    in any case: a strategy for several is named, and not used.

    Args:
        recipe: as for `fit`, like all others.
        name: of the run, which is resumed if it is there.
        runs: the folder that holds runs.
        overrides: as for `fit`.
        epochs: as `training.epochs=N`.
        data: images to use instead of those that the recipe names.
        initial_weights: a model whose generator's weights to start from.
        verbose: 1 shows progress bars on stderr if that is a terminal; 0 is silent.

    Returns:
        Images, memory, steps and seconds; `print` shows them.

    Raises:
        RecipeError: if the recipe cannot be run.
        ColorizeError: if the training would not fit into memory, all epochs are done, and where
            `fit` raises one.
    """
    recipe = _requested_recipe(recipe, overrides, epochs, data, initial_weights)
    path = Path(runs) / (name or recipe.name)
    cluster = find_cluster(recipe.training.strategy)
    run = Run.find(path, recipe)
    epochs_done = len(run.history) if run else 0
    if epochs_done >= recipe.training.epochs:
        raise ColorizeError(
            f"{path}: finished, with {counted(epochs_done, 'epoch')}; "
            "more epochs (--epochs) resume it"
        )
    _require_images(recipe, data)
    load_tensorflow()
    from keras_colorize import build
    from keras_colorize.training.distribution import choose_strategy

    labels = ("reading images", "tracing and timing steps")
    images_bar, steps_bar = (progress_bar(label) if verbose else None for label in labels)
    return build.estimate(
        recipe,
        data,
        path=path,
        epochs_done=epochs_done,
        resumes=run is not None and run.state_file.exists(),
        strategy=choose_strategy(recipe.training, cluster),
        progress=images_bar,
        step_progress=steps_bar,
    )


def cache_images(
    recipe: str | Path | Recipe,
    overrides: str | Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> "CachedImages":
    """Reads a recipe's images and keeps their Lab on disk, where `fit` finds that of a folder.

    `fit` reads or paints images of other sources anew, and finds their Lab only if it is more than
    `data.memory_gib`.

    Args:
        recipe: as for `fit`.
        overrides: as for `fit`.
        progress: called with the number of images read and their total.

    Returns:
        `folder`, where it is, and `tally`, the number of images.

    Raises:
        RecipeError: if the recipe cannot be run.
        ColorizeError: if there are no images, or the folder cannot be written.
    """
    recipe = load_recipe(recipe, overrides)
    _require_images(recipe, None)
    load_tensorflow()
    from keras_colorize import build

    images = build.open_images(recipe.data, progress)
    return build.cache_images(recipe.data, images, progress, on_disk=True)


def load(model: "Model | None" = None, *, vividness: float | None = None) -> "keras.Model":
    """Loads a generator for inference.

    Load only SavedModels that you trust: one runs whatever operations it holds, reading and
    writing files included. `.keras` files run no code of their own.

    Args:
        model: a `Run` or the path of one (its best model), a `.keras` file, the folder of a
            SavedModel or its name in `saved_models/` (its newest version), the name of a
            pretrained model (see
            `keras_colorize.pretrained`), `hf://user/name` or `hf://user/name@revision` of the
            Hugging Face Hub (extra `hub`), or a Keras model, which is returned as it is. By
            default the pretrained model that `colorize` uses.
        vividness: how vivid its colors are from now on, 0 (faithful) to 1 (vivid); by default as
            they were saved.

    Returns:
        A Keras model, `lightness` in -1..1 -> `ab`, float32: (N, S, S, 1) -> (N, S, S, 2), or
        (N, H, W, 1) -> (N, H, W, 2) for any sides that are multiples of 32.

    Raises:
        ColorizeError: if there is no such model, it is no generator, or it has no vividness.
    """
    generator = resolve(model).load()
    if vividness is not None:
        from keras_colorize.inference.keras_network import KerasNetwork
        from keras_colorize.models import set_vividness

        KerasNetwork(generator).check(vividness, None, name_of(model))
        set_vividness(generator, vividness)
    return generator


def evaluate(
    model: "Model",
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    size: int | None = None,
) -> "Report":
    """Evaluates a model and a gray baseline; see `compare`."""
    return compare([model], data, output=output, size=size)


def compare(
    models: "Model | Sequence[Model]",
    data: str | Path | None = None,
    *,
    output: str | Path | None = None,
    size: int | None = None,
) -> "Report":
    """Evaluates models side by side on the same images, with a gray baseline.

    Args:
        models: what `load` takes, one or several.
        data: a folder; its `test/` if it has one, else all images in it. By default the test
            images of the models' runs, which those were not trained on.
        output: a folder for metrics.json, images.csv and the image grids; None writes nothing.
        size: the images are cropped to squares and shrunk to this size; by default the largest
            of the models' own sizes, 160 for models of any size. All predict ab at their own.

    Returns:
        The report.

    Raises:
        ColorizeError: for a missing or unfit model, a folder without images, and without a
            folder for models that are no runs, or runs of different images.

    Warns:
        UserWarning: `data` is a folder that a run took its training images from.
    """
    models = _listed(models)
    if not models:
        raise ColorizeError("no model to evaluate; name one or more")
    if size is not None and size < 1:
        raise ColorizeError(f"size: must be 1 or more (got {size})")
    resolved = [resolve(model) for model in models]
    names = unique_names(resolved)
    recipes = {name: model.recipe for name, model in zip(names, resolved, strict=True)}
    if data is None:
        shared_data = _shared_data(recipes)
    else:
        _require_unseen(Path(data), recipes)
    generators = [model.load() for model in resolved]
    import tensorflow as tf

    from keras_colorize import build
    from keras_colorize.data.sources import load_test_images
    from keras_colorize.evaluation.report import evaluate_colorizers
    from keras_colorize.models import predict_ab

    size = size or max(generator.input_shape[1] or PREDICTION_SIZE for generator in generators)
    if data is None:
        images = build.load_test_images(shared_data, size)
        if not len(images):
            raise ColorizeError(
                f"{', '.join(names)}: no images were kept for testing; name some (--data)"
            )
    else:
        images = load_test_images(data, size)
    report = evaluate_colorizers(
        images.rgb,
        images.names,
        {
            name: tf.function(functools.partial(predict_ab, generator))
            for name, generator in zip(names, generators, strict=True)
        },
    )
    if output is not None:
        report.save(Path(output))
    return report


def colorize(
    image: "np.ndarray | Image.Image | str | Path",
    model: "Model | None" = None,
    *,
    vividness: float | None = None,
    prediction_size: int | None = None,
) -> "np.ndarray":
    """Colorizes one image of any size at full resolution.

    Its lightness is kept; ab is predicted at the model's size and resized to the image's.

    Args:
        image: shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), sRGB; uint8, uint16, or float in
            0..1. Or the path of an image file; or a Pillow image, which is not turned by its EXIF
            orientation: `PIL.ImageOps.exif_transpose` does that.
        model: what `load` takes; by default the pretrained model.
        vividness: 0 (faithful: the least error) to 1 (vivid: as colorful as real images); by
            default the model's own.
        prediction_size: short side at which a model of any size sees the image, in pixels; by
            default 160.

    Returns:
        sRGB of the type that went in, shape (H, W, 3), or (H, W, 4) with the alpha that went in.

    Raises:
        ColorizeError: for another shape, type or range, a file that cannot be read, and a missing
            or unfit model.
    """
    network = resolve(model).network()
    network.check(vividness, prediction_size, name_of(model))
    from keras_colorize.inference.arrays import colorize_array

    return colorize_array(image, network, vividness=vividness, prediction_size=prediction_size)


def colorize_files(
    inputs: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    model: "Model | None" = None,
    *,
    files_from: str | Path | None = None,
    vividness: float | None = None,
    prediction_size: int | None = None,
    force: bool = False,
    skip_existing: bool = False,
    suffix: str = "",
    format: str | None = None,
    quality: int = 95,
    background: str | None = None,
    strip_metadata: bool = False,
    keep_color: bool = False,
    allow_damaged: bool = False,
    device: str | None = None,
    engine: str = "local",
    workers: int | None = None,
    report: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "Summary":
    """Colorizes image files and whole folders of images.

    Each result has the format of its image, at its full size, with its 16 bits, transparency,
    pages and metadata where the format holds them, in plain sRGB. Files appear whole or not at
    all. docs/colorizing.md has the details.

    Args:
        inputs: image files, and folders to search for them recursively; one or several. `-` is
            standard input. With `engine="ray"` also URLs, as s3://bucket/folder: whatever fsspec
            reaches.
        output: a folder, made if need be; below it files go by their name, and images of an
            input folder by their path in that folder. A path with a suffix that is not an
            existing folder is a file, for a single input file; for several images one without
            the suffix of an image is a folder, too. `-` is standard output. None: beside each
            source, which needs `suffix`. With `engine="ray"` also a URL.
        model: what `load` takes; by default the pretrained model.
        files_from: a text file that names more inputs, one per line. One of these that is missing
            is a failed image, and the others are done.
        vividness: as for `colorize`.
        prediction_size: as for `colorize`.
        force: replace files that are there already; never a source.
        skip_existing: leave out images whose results are there already.
        suffix: appended to the names of results, as "_color".
        format: of all results, as "png"; by default each has the format of its source.
        quality: of JPEG, WebP and other lossy formats, 1..100.
        background: color as "white" or "#ffffff", on which transparent images are laid where the
            format has no transparency.
        strip_metadata: leave out date, camera, place, resolution and what else the sources say.
        keep_color: copy images that are in color already.
        allow_damaged: use what can be read of damaged files.
        device: "cpu" or "gpu:N", by default the CPU for the pretrained model, else the first GPU;
            for the whole process, before TensorFlow has run anything.
            Pretrained models run in ONNX Runtime on the CPU, without TensorFlow, unless this is
            a GPU.
        engine: "local": this process; or "ray": worker processes of a Ray cluster (extra `ray`),
            of this machine or of that which RAY_ADDRESS names. See docs/scaling.md.
        workers: how many of these, of one CPU each; by default one for each CPU.
        report: a file, .jsonl, to which a line is added for each image when it is finished.
        progress: called with the number of images finished and their total.

    Returns:
        `done`, the files written, and `failed`, (image, why) of each that cannot be read or
        written; `skipped`, `kept` and `notes`.

    Raises:
        ColorizeError: before any work, if an input is missing, two would become one file, an
            image would overwrite a source, or, without `force` or `skip_existing`, a result is
            there already; for a missing or unfit model; if the disk is full, or Ray's workers
            cannot start.
    """
    from keras_colorize.inference.plan import Summary, plan
    from keras_colorize.inference.results import Report, Result
    from keras_colorize.inference.single import Options, parse_color
    from keras_colorize.inference.streams import has_streams, read_list, spooled
    from keras_colorize.inference.urls import place

    given = _listed(inputs)
    for path in given:
        if not isinstance(path, str) and not hasattr(path, "parts"):  # As that of a URL has.
            raise ColorizeError(f"inputs: must be paths (got {type(path).__name__})")
    names = {} if files_from is None else read_list(Path(files_from))
    if files_from is not None and not given and not names:
        raise ColorizeError(f"{files_from}: names no image")
    _check_engine(engine, workers, model, device, [*given, *names, output])
    listed = {place(name): where for name, where in names.items()}
    paths = [*map(place, given), *listed]
    if engine == "ray" and has_streams(paths, output):
        raise ColorizeError("--engine ray: takes files alone; pipes and - need --engine local")
    options = Options(
        quality=quality,
        background=None if background is None else parse_color(background),
        strip_metadata=strip_metadata,
        keep_color=keep_color,
        allow_damaged=allow_damaged,
    )
    with spooled(paths, output) as streams:
        add = None if report is None else Report(Path(report), streams.named)
        planned = plan(
            streams.inputs,
            streams.output,
            suffix=suffix,
            format=format,
            force=force,
            skip_existing=skip_existing,
            listed=listed,
        )
        if add is not None:
            for path, reason in planned.failed:
                add(Result(path, None, failure=reason))
        if not planned.sources:
            return Summary([], planned.failed, planned.skipped, notes=planned.notes)
        network = resolve(model).network(device)
        network.check(vividness, prediction_size, name_of(model))
        from keras_colorize.inference import files, ray_engine

        settings: dict[str, Any] = {
            "vividness": vividness,
            "prediction_size": prediction_size,
            "progress": progress,
            "report": add,
        }
        if engine == "ray":
            load = functools.partial(_load_network, model, device)
            summary = ray_engine.colorize_files(planned, load, options, workers=workers, **settings)
        else:
            summary = files.colorize_files(planned, network, options, **settings)
        return streams.summary(summary)


def export(
    model: "Model | None",
    output: str | Path,
    *,
    format: Format = "saved_model",
    max_megapixels: float | None = None,
) -> Path:
    """Writes a model for TF Serving, or as a file for another runtime.

    By default a SavedModel in the next version folder of `output`. Signatures: `serving_default`,
    `image_bytes` -> `colorized_bytes`, a batch of encoded images of any sizes -> PNG; and
    `predict_ab`, normalized `lightness` -> `ab`. Models with vividness have both with it as a
    second input, too. MODEL_CARD.md stands beside, and recipe.toml for a run or a pretrained model.

    Args:
        model: what `load` takes, but a SavedModel.
        output: the model's folder, `saved_models/NAME`; versions are 1, 2 and so on in it. For
            other formats a file, which is replaced if it is there.
        format: "saved_model"; "keras", a `.keras` file that loads without this package; "onnx",
            `.onnx`; "litert", `.tflite`; or "openvino", `.xml` with `.bin` beside it. The last
            three map `lightness` to `ends`, or to `ab` without vividness: see
            docs/elsewhere.md.
        max_megapixels: a server with the SavedModel refuses larger images; by default 64.

    Returns:
        The version's folder, or the file.

    Raises:
        ColorizeError: for a missing or unfit model, for one that is a SavedModel already, for a
            file of the wrong suffix, and where the extra that a format needs is not installed.
    """
    check_format(format, Path(output), max_megapixels)
    source = resolve(model)
    if source.is_saved_model:
        raise ColorizeError(f"{model}: is a SavedModel already; export a run or a .keras file")
    log.info("loading %s", source.name)
    generator = source.load()
    if format != "saved_model":
        return write_format(generator, Path(output), format)
    from keras_colorize.cards import card, recipe_text
    from keras_colorize.serving.saved_model import MAX_MEGAPIXELS, export_saved_model

    return export_saved_model(
        generator,
        Path(output),
        max_megapixels=MAX_MEGAPIXELS if max_megapixels is None else max_megapixels,
        texts={"MODEL_CARD.md": card(source), **recipe_text(source)},
    )


def push_to_hub(
    model: "Model | None",
    repository: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    report: str | Path | None = None,
    message: str = "Upload a model",
) -> str:
    """Uploads a model to the Hugging Face Hub, from where `load("hf://user/name")` takes it.

    The repository holds what Keras itself writes there (`keras.saving.load_model` reads it, after
    `import keras_colorize.models` for the layers), the recipe without the folder of the images,
    and a card with scores. Needs the extra `hub`, and a token: `hf auth login`, or HF_TOKEN.

    Args:
        model: what `load` takes, but a SavedModel.
        repository: `user/name`; made if it is not there.
        private: whether only its owner sees a new repository; by default the account's setting.
        license: identifier for the card, as "mit"; a pretrained model has its own.
        report: the folder of a report whose scores the card shows; by default the run's, where
            `keras-colorize evaluate RUN` writes it.
        message: of the commit.

    Returns:
        The URL of the commit.

    Raises:
        ColorizeError: for a missing or unfit model, one that is a SavedModel, a report that cannot
            be read; there is no login, or the Hub refuses or cannot be reached.
    """
    hub.check_login(repository)
    source = resolve(model)
    if source.is_saved_model:
        raise ColorizeError(f"{model}: is a SavedModel; push a run or a .keras file")
    if source.pretrained is not None:
        license = license or "mit"
    generator = source.load()
    from keras_colorize.cards import card, recipe_text

    text = card(source, None if report is None else Path(report))
    texts = {"README.md": hub.front_matter(license) + text, **recipe_text(source, public=True)}
    with TemporaryDirectory() as folder:
        generator.save(folder, zipped=False)
        for name, content in texts.items():
            (Path(folder) / name).write_text(content, encoding="utf-8")
        return hub.upload(Path(folder), repository, private=private, message=message)


def plot(run: Run | str | Path, output: str | Path | None = None) -> list[Path]:
    """Draws a run's loss and accuracy curves.

    Args:
        run: a `Run` or its path.
        output: a folder; by default the run's `report/`.

    Returns:
        The PNG files.

    Raises:
        ColorizeError: if there is no run, or it has not finished an epoch.
    """
    run = run if isinstance(run, Run) else Run(run)
    rows = run.history
    if not rows:
        raise ColorizeError(f"{run.path}: has not finished an epoch yet")
    from keras_colorize.plots import plot_history

    return plot_history(rows, Path(output or run.report_folder))


def _listed(values: Any) -> list[Any]:
    """A list of what a caller may give as one value or several."""
    is_one = isinstance(values, str | bytes) or not isinstance(values, Iterable)
    return [values] if is_one else list(values)


def _check_engine(
    engine: str,
    workers: int | None,
    model: "Model | None",
    device: str | None,
    places: Sequence[str | Path | None],
) -> None:
    """Raises a ColorizeError unless an engine of `colorize_files` supports these arguments."""
    from keras_colorize.inference.urls import is_url

    if engine not in ("local", "ray"):
        raise ColorizeError(f"engine: must be local or ray (got {engine})")
    if engine == "local":
        if url := next(filter(is_url, places), None):
            raise ColorizeError(f"{url}: files at URLs need --engine ray")
        if workers is not None:
            raise ColorizeError("workers: are for --engine ray")
        return
    if workers is not None and workers < 1:
        raise ColorizeError(f"workers: must be 1 or more (got {workers})")
    if device not in (None, "cpu"):
        raise ColorizeError(f"device: the workers of --engine ray use CPUs (got {device})")
    if model is not None and name_of(model) is None:
        raise ColorizeError(
            "--engine ray: the workers load the model themselves; save it, and pass the file's path"
        )


def _load_network(model: "Model | None", device: str | None, threads: int) -> "Network":
    """Loads in a worker what a MODEL argument means."""
    return resolve(model).network(device, threads)


@contextmanager
def _opened(path: Path, recipe: Recipe, is_chief: bool) -> Iterator[Run]:
    """The run to train, locked; for a worker that is not the chief one that is not kept."""
    if is_chief:
        run = Run.open(path, recipe)
        with run.locked():
            yield run
    else:
        with run_of_a_worker(path, recipe) as run:
            yield run


def _shared_data(recipes: Mapping[str, Recipe | None]) -> Data:
    """The data table of the first model; all have the same test images."""
    tables = []
    for name, recipe in recipes.items():
        if recipe is None:
            raise ColorizeError(f"{name}: is no run; name the images to evaluate it on (--data)")
        tables.append(recipe.data)
    if any(table.for_testing() != tables[0].for_testing() for table in tables):
        raise ColorizeError(
            f"{', '.join(recipes)}: trained on different images; name those to evaluate on (--data)"
        )
    return tables[0]


def _require_unseen(folder: Path, recipes: Mapping[str, Recipe | None]) -> None:
    """Fails if there is no such folder; warns if a run was trained on its images."""
    if not folder.is_dir():
        raise ColorizeError(f"{folder}: not a folder")
    for name, recipe in recipes.items():
        trained_on = recipe and recipe.data.source == "folder" and recipe.data.path
        if (
            trained_on
            and folder.resolve() == Path(trained_on).resolve()
            and not (folder / "test").is_dir()
        ):
            warnings.warn(
                f"{folder}: {name} was trained on images of this folder; without --data it is "
                "evaluated on its test images alone",
                stacklevel=3,
            )


def _requested_recipe(
    recipe: str | Path | Recipe,
    overrides: str | Sequence[str],
    epochs: int | None,
    data: "GivenImages | None",
    initial_weights: "Model | None",
) -> Recipe:
    """The recipe with the other arguments of `fit` applied."""
    overrides = _listed(overrides)
    if epochs is not None:
        overrides.append(f"training.epochs={epochs}")
    if initial_weights is not None:
        model = name_of(initial_weights)
        if model is None:
            raise ColorizeError(
                "initial_weights: must be a run, a path or a name, which the run can keep "
                f"(got {type(initial_weights).__name__}); save the model, and pass the file's path"
            )
        overrides.append(f"training.initial_weights={json.dumps(model, ensure_ascii=False)}")
    recipe = load_recipe(recipe, overrides)
    if data is None:
        return recipe
    from keras_colorize.data.given import are_datasets

    changes: dict[str, object] = {"source": "given", "path": None}
    changes |= dict.fromkeys(("train_images", "validation_images", "test_images"))
    if are_datasets(data):
        # Datasets are used as they are.
        changes |= {"flip": False, "crop": 1.0, "degraded_share": 0.0}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changes)})


def _require_images(recipe: Recipe, data: "GivenImages | None") -> None:
    """Fails before TensorFlow loads if the recipe's images are not there."""
    if recipe.data.source == "given" and data is None:
        raise RecipeError(
            f'{recipe.name}: data.source: "given" are images passed in Python: fit(..., data=...)'
        )
    if recipe.data.source != "folder":
        return
    if recipe.data.path is None:
        raise RecipeError(
            f"{recipe.name}: data.path: is unset; say where the images are: --set data.path=FOLDER"
        )
    if not Path(recipe.data.path).is_dir():
        raise RecipeError(f'{recipe.name}: data.path: no such folder (got "{recipe.data.path}")')
    from keras_colorize.data.sources import require_images

    require_images(Path(recipe.data.path))
