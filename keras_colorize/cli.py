"""The command line: arguments -> one call of the library -> console. Loads no TensorFlow itself."""

import functools
import os
import signal
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

import typer

from keras_colorize import __version__
from keras_colorize.console import Commands, counted, printed_log, progress_bar
from keras_colorize.errors import ColorizeError
from keras_colorize.exporting.formats import Format, check_format_name

NAME = "keras-colorize"
BAD_ROWS_SHOWN = 20
LONGEST_LINE = 1400  # Of a failure; what is cut is in the middle, in a long value.
Engine = Literal["local", "ray"]

app = Commands(
    name=NAME,
    help="Train, evaluate, use and serve networks that colorize images.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = Commands(help="Get images to train on.")
app.add_typer(data, name="data")

RecipeArgument = Annotated[str, typer.Argument(help="An installed recipe's name, or a TOML file.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help=f"Override a value; repeatable. `{NAME} recipes --keys` lists all.",
    ),
]
MODEL_HELP = (
    "A run, a .keras file, a SavedModel or its name in saved_models/, the name of a pretrained "
    "model, or hf://user/name."
)
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of images; if it has a folder test/, only the images there. By default "
        "the test images of the runs.",
    ),
]
QUIET_HELP = "Show only the result and errors."
QuietOption = Annotated[bool, typer.Option("--quiet", help=QUIET_HELP)]
SizeOption = Annotated[
    int | None,
    typer.Option(min=1, help="Evaluate at this size; by default the largest of the models'."),
]


output_option = functools.partial(typer.Option, "--output", "-o")
# Options that the help of `colorize` shows together.
files_option = functools.partial(typer.Option, rich_help_panel="Files")
colors_option = functools.partial(typer.Option, rich_help_panel="Colors")
format_option = functools.partial(typer.Option, rich_help_panel="Format")
running_option = functools.partial(typer.Option, rich_help_panel="Running")


def _example(arguments: str) -> str:
    """How a help ends."""
    return f"Example: {NAME} {arguments}"


def _steps(quiet: bool) -> AbstractContextManager[None]:
    """Prints the log on stderr, beside a result on stdout; nothing if `quiet`."""
    return nullcontext() if quiet else printed_log(sys.stderr)


def main() -> None:
    """Runs the command line; every failure is one line on stderr and an exit code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # Closed: the next file opened would get its number.
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
    # Before TensorFlow loads; set another level to see its notes.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    # Of broken metadata, which is left out. They do not name the file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Handled as Ctrl-C is.
    sys.path.append(str(Path.cwd()))  # As `python -m` does: recipes may name modules here.
    # Accepted in any place; the option exists only to be shown in the help.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = "--debug" in sys.argv
    if "--quiet" in arguments:  # Of downloads from the Hub.
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    try:
        code = app(arguments, prog_name=NAME, standalone_mode=False)
        if code == 130:  # Typer's exit code for KeyboardInterrupt.
            raise KeyboardInterrupt
    except ColorizeError as error:
        code = _fail(str(error), 1, debug)
    except typer.TyperException as error:
        code = _fail(error.format_message().replace("Value error, ", ""), error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort) as error:
        code = _fail(str(error) or "interrupted", 130, debug)
    except BrokenPipeError:
        # The reader of the output has closed it; Python's last flush would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{place}{error.strerror or error}", 1, debug)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        code = _fail(f"{reason} (a bug; --debug shows where)", 1, debug)
    sys.exit(code)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    _require_command(context)


@data.callback(invoke_without_command=True)
def _require_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@app.command(epilog=_example("fit paintings_cnn --name mine --set data.path=FOLDER"))
def fit(
    recipe: RecipeArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; by default the recipe's.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder that holds the runs.")] = Path("runs"),
    overrides: SetOption = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="As --set training.epochs=N; a larger N resumes a finished run."),
    ] = None,
    initial_weights: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Start from the weights of a run, a .keras or .pt file, a pretrained model or hf://.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Estimate images, memory, steps and time from 10 steps; leave no run."
        ),
    ] = False,
    verbose: Annotated[
        bool | None,
        typer.Option(
            "--verbose/--quiet",
            help="Show the messages of TensorFlow, too; or only the result and errors.",
        ),
    ] = None,
) -> None:
    """Train a recipe; the same command resumes where it stopped."""
    from keras_colorize import api

    if verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
    options: dict[str, Any] = {
        "name": name,
        "runs": runs,
        "overrides": overrides or [],
        "epochs": epochs,
        "initial_weights": initial_weights,
    }
    if dry_run:
        typer.echo(api.estimate(recipe, **options, verbose=verbose is not False))
        return
    run = api.fit(recipe, **options, verbose=0 if verbose is False else None)
    best = run.best_epoch
    assert best is not None
    typer.echo(
        f"{run.path}: {counted(len(run.history), 'epoch')} done; best validation L1 "
        f"{best['val_l1_loss']:.4f}, Delta E*ab {best['val_delta_e_76']:.2f}, "
        f"in epoch {best['epoch']}"
    )
    typer.echo(f"  curves:   tensorboard --logdir {run.tensorboard_folder}")
    typer.echo(f"  samples:  {run.samples_folder}")
    typer.echo(f"  use it:   {NAME} colorize IMAGE -o OUT --model {run.path}")


@app.command(epilog=_example("evaluate runs/mine --data FOLDER"))
def evaluate(
    model: Annotated[str, typer.Argument(help=MODEL_HELP)],
    images: DataOption = None,
    output: Annotated[
        Path | None,
        output_option(help="Folder for the report; a run's report/ by default."),
    ] = None,
    size: SizeOption = None,
) -> None:
    """Evaluate a model on unseen images, with a gray baseline."""
    from keras_colorize.generators import resolve

    if output is None and (run := resolve(model).run):
        output = run.report_folder
    _evaluate([model], images, output, size)


@app.command(epilog=_example("compare runs/mine runs/other -o comparison"))
def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help=f"Each: {MODEL_HELP[0].lower()}{MODEL_HELP[1:]}"),
    ],
    images: DataOption = None,
    output: Annotated[Path | None, output_option(help="Folder for the report.")] = None,
    size: SizeOption = None,
) -> None:
    """Evaluate models side by side on the same images."""
    _evaluate(models, images, output, size)


def _evaluate(
    models: list[str], images: Path | None, output: Path | None, size: int | None
) -> None:
    from keras_colorize import api

    report = api.compare(models, images, output=output, size=size)
    typer.echo(report.table())
    if output is not None:
        typer.echo(f"report: {output}")


@app.command(epilog=_example("colorize old.jpg PHOTOS -o out/ --vividness 0.8"))
def colorize(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Image files, and folders to search; - is standard input.", metavar="IMAGE"
        ),
    ] = None,
    files_from: Annotated[
        Path | None,
        files_option(
            metavar="FILE", help="Text file that names more images and folders, one per line."
        ),
    ] = None,
    output: Annotated[
        str | None,
        files_option(
            "--output",
            "-o",
            help="Folder; or a file, for one image; - is standard output. By default beside each "
            "image, with --suffix.",
        ),
    ] = None,
    suffix: Annotated[str, files_option(help="Added to the names of results, as _color.")] = "",
    skip_existing: Annotated[
        bool,
        files_option(
            "--skip-existing",
            "--resume",
            help="Leave results that are there, to continue a batch.",
        ),
    ] = False,
    force: Annotated[
        bool, files_option("--force", help="Overwrite results that are there; never an original.")
    ] = False,
    model: Annotated[
        str | None, colors_option(help=f"{MODEL_HELP} By default the pretrained model.")
    ] = None,
    vividness: Annotated[
        float | None,
        colors_option(
            min=0.0,
            max=1.0,
            help="0: faithful, the least error; 1: vivid, as colorful as real images. By default "
            "the model's own.",
        ),
    ] = None,
    prediction_size: Annotated[
        int | None,
        colors_option(
            min=32,
            max=2048,
            help="Short side at which the network sees images, in pixels; 160 by default.",
        ),
    ] = None,
    keep_color: Annotated[
        bool, colors_option("--keep-color", help="Copy images that are in color already.")
    ] = False,
    format: Annotated[
        str | None,
        format_option(
            help="Format of all results: jpg, png, webp, tif and more; by default each image's own."
        ),
    ] = None,
    quality: Annotated[
        int, format_option(min=1, max=100, help="Of JPEG, WebP and other lossy formats.")
    ] = 95,
    background: Annotated[
        str | None,
        format_option(
            help="Color for transparent images in formats without transparency: white, #rrggbb."
        ),
    ] = None,
    strip_metadata: Annotated[
        bool,
        format_option(
            "--strip-metadata", help="Leave out date, camera, place, resolution and texts."
        ),
    ] = False,
    allow_damaged: Annotated[
        bool, running_option("--allow-damaged", help="Use what can be read of damaged files.")
    ] = False,
    device: Annotated[
        str | None,
        running_option(
            help="cpu or gpu:N; by default the CPU for the pretrained model, else the first GPU."
        ),
    ] = None,
    engine: Annotated[
        Engine,
        running_option(
            help="local: this process; ray: the workers of a Ray cluster, also for files at s3:// "
            "and other URLs."
        ),
    ] = "local",
    workers: Annotated[
        int | None, running_option(min=1, help="Ray workers; by default one a CPU.")
    ] = None,
    report: Annotated[
        Path | None,
        running_option(
            metavar="FILE.jsonl", help="Add a line for each image: done, kept or failed, and why."
        ),
    ] = None,
    quiet: Annotated[bool, running_option("--quiet", help=QUIET_HELP)] = False,
) -> None:
    """Colorize images of any size at full resolution."""
    from keras_colorize import api

    inputs = inputs or []
    if not inputs and files_from is None:
        raise typer.BadParameter("name an image or a folder")
    if output is None and "-o" in inputs:
        raise typer.BadParameter("-o: put options before --")
    finished = ""
    bar = None if quiet else progress_bar("images")

    def progress(done: int, total: int) -> None:
        nonlocal finished
        finished = f"; {done} of {total} images are finished"
        if bar:
            bar(done, total)

    try:
        with _steps(quiet=bar is None):  # On terminals alone, as the bar.
            summary = api.colorize_files(
                inputs,
                output,
                model,
                files_from=files_from,
                vividness=vividness,
                prediction_size=prediction_size,
                force=force,
                skip_existing=skip_existing,
                suffix=suffix,
                format=format,
                quality=quality,
                background=background,
                strip_metadata=strip_metadata,
                keep_color=keep_color,
                allow_damaged=allow_damaged,
                device=device,
                engine=engine,
                workers=workers,
                report=report,
                progress=progress,
            )
    except KeyboardInterrupt:
        if not finished and engine == "local":
            raise
        hint = "" if force else "; continue with --skip-existing"
        raise typer.Abort(f"interrupted{finished}{hint}") from None
    notes = [] if quiet else summary.notes
    for line in [*notes, *(reason for _, reason in summary.failed)]:
        typer.echo(f"{NAME}: {line}", err=True)
    total = len(summary.done) + len(summary.failed)
    counts = f"{len(summary.done) - len(summary.kept)} of {total} images colorized"
    if summary.kept:
        counts += f", {len(summary.kept)} in color already"
    if summary.skipped:
        counts += f", {len(summary.skipped)} skipped (results exist)"
    place = "beside the originals" if output is None else output
    typer.echo(f"{counts}: {place}", err=output == "-")
    if summary.failed:
        raise typer.Exit(1)


def _formats(incomplete: str) -> list[str]:
    return [format for format in get_args(Format) if format.startswith(incomplete)]


def _checked_format(format: str) -> str:
    try:
        check_format_name(format)
    except ColorizeError as error:
        raise typer.BadParameter(str(error).removeprefix("format: ")) from None
    return format


@app.command(epilog=_example("export runs/mine -o saved_models/mine"))
def export(
    model: Annotated[
        str, typer.Argument(help="A run, a .keras file, or the name of a pretrained model.")
    ],
    output: Annotated[
        Path,
        output_option(help="The model's folder, saved_models/NAME; or a file, by --format."),
    ],
    format: Annotated[
        str,
        typer.Option(
            metavar="|".join(get_args(Format)),
            callback=_checked_format,
            autocompletion=_formats,
            help="A SavedModel, or a file for other runtimes: .keras, .onnx, .tflite or .xml.",
        ),
    ] = "saved_model",
    max_megapixels: Annotated[
        float | None,
        typer.Option(min=0.001, help="The server refuses larger images; 64 by default."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a SavedModel for TF Serving, or a file of another format."""
    from keras_colorize import api

    checked = cast(Format, format)
    with _steps(quiet):
        written = api.export(model, output, format=checked, max_megapixels=max_megapixels)
    typer.echo(written)


@app.command()
def demo(
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="MODEL",
            help="Offer this model, or all runs of this folder; repeatable. By default the "
            "pretrained ones and those of runs/.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: other machines, too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 7860,
    max_megabytes: Annotated[int, typer.Option(min=1, help="The largest upload.")] = 100,
) -> None:
    """Serve a web page that colorizes images; needs the extra demo."""
    from keras_colorize.demo import serve

    serve(models or [], host, port, max_megabytes)


@app.command(epilog=_example("push runs/mine USER/NAME --license mit"))
def push(
    model: Annotated[str, typer.Argument(help="A run, a .keras file or a pretrained model.")],
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="Repository; made if it is not there.")
    ],
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public",
            help="Who can see a new repository; by default the setting of your account.",
        ),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="Identifier for the card, as mit or apache-2.0.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder of a report for the card; a run's report/ by default."),
    ] = None,
) -> None:
    """Upload a model to the Hugging Face Hub, with recipe and card."""
    from keras_colorize import api

    typer.echo(api.push_to_hub(model, repository, private=private, license=license, report=report))
    typer.echo(f"  use it:   {NAME} colorize IMAGE -o OUT --model hf://{repository}")


@app.command(epilog=_example("request http://HOST:8501/v1/models/mine old.jpg -o new.png"))
def request(
    url: Annotated[
        str, typer.Argument(help="http://HOST:8501/v1/models/NAME, or grpc://HOST:8500.")
    ],
    image: Annotated[Path, typer.Argument(help="A JPEG, PNG, GIF or BMP file.")],
    output: Annotated[Path, output_option(help="The PNG file to write.")],
    model: Annotated[str | None, typer.Option(help="The model's name, for gRPC alone.")] = None,
    vividness: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="0: faithful; 1: vivid; by default the model's own."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Seconds to wait, with repetitions.")
    ] = 60.0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Colorize an image on a server that runs an exported model."""
    from keras_colorize.files import whole_file
    from keras_colorize.serving import Client

    if output.suffix.lower() != ".png":
        raise ColorizeError(f"{output}: servers answer with PNG; choose a name that ends in .png")
    if output.exists() and not force:
        raise ColorizeError(f"{output}: is there already; --force overwrites it")
    client = Client(url, model=model, timeout=timeout)
    try:
        with _steps(quiet):
            colorized = client.colorize(image.read_bytes(), vividness)
    except ColorizeError as error:  # The server knows no names.
        raise ColorizeError(str(error).replace("image_bytes[0]", str(image))) from error
    with whole_file(output) as beside:
        beside.write_bytes(colorized)
    typer.echo(output)


@app.command()
def plot(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    output: Annotated[
        Path | None,
        output_option(help="Folder; the run's report/ by default."),
    ] = None,
) -> None:
    """Draw a run's loss and accuracy curves as PNG."""
    from keras_colorize import api

    for path in api.plot(run, output):
        typer.echo(path)


@app.command()
def models() -> None:
    """List the pretrained models that come with the package."""
    from keras_colorize import pretrained

    for model in pretrained.MODELS.values():
        default = " (default)" if model.name == pretrained.DEFAULT else ""
        typer.echo(f"{model.name}{default}")
        typer.echo(f"    {model.summary}. {model.scores}.")
        typer.echo(f"    License: {model.license}.")
        typer.echo(f"    Model card: {model.card}")


@app.command(epilog=_example("recipes quickstart > mine.toml"))
def recipes(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Print this recipe as TOML, to be edited."),
    ] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Print the meaning, default and range of every key.")
    ] = False,
) -> None:
    """List the installed recipes, or print one, or all keys."""
    from keras_colorize.recipe import recipe_header, recipe_paths, recipe_text
    from keras_colorize.recipe_reference import recipe_reference

    if name is not None:
        typer.echo(recipe_text(name), nl=False)
    elif keys:
        typer.echo(recipe_reference(), nl=False)
    else:
        for recipe, path in recipe_paths().items():
            typer.echo(recipe)
            for line in recipe_header(path).splitlines():
                typer.echo(f"    {line}")


@app.command(epilog=_example("validate mine.toml --set data.path=FOLDER --show"))
def validate(
    recipe: RecipeArgument,
    overrides: SetOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the recipe with every value written out.")
    ] = False,
) -> None:
    """Check a recipe without loading TensorFlow."""
    from keras_colorize.recipe import load_recipe

    resolved = load_recipe(recipe, overrides or [])
    if show:
        typer.echo(resolved.to_toml(), nl=False)
    else:
        typer.echo(f"{recipe}: valid")


@data.command("cache")
def cache(recipe: RecipeArgument, overrides: SetOption = None) -> None:
    """Keep Lab of a folder's images on disk, for fit."""
    from keras_colorize import api

    with printed_log():
        typer.echo(api.cache_images(recipe, overrides or [], progress=progress_bar()))


@data.command("oxford-paintings")
def oxford_paintings(
    annotations: Annotated[Path, typer.Option(help="The dataset's spreadsheet, .xlsx or .csv.")],
    output: Annotated[Path, output_option(help="Folder for train/, validation/ and test/.")],
    resize: Annotated[
        int | None, typer.Option(min=1, help="Shrink larger images to this short side.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Download only the first N images of the spreadsheet.")
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="Images downloaded at a time.")] = 4,
    rate: Annotated[float, typer.Option(min=0.001, help="Requests a second to one host.")] = 8.0,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a file with bad rows.")] = False,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="Download from private networks and loopback too."),
    ] = False,
) -> None:
    """Download the Oxford (VGG) Paintings Dataset. Run it again to resume."""
    from keras_colorize.oxford import fetch_oxford_paintings

    summary = fetch_oxford_paintings(
        annotations,
        output,
        resize=resize,
        limit=limit,
        connections=connections,
        rate=rate,
        strict=strict,
        allow_private=allow_private,
        progress=progress_bar(),
    )
    for line in summary.bad_rows[:BAD_ROWS_SHOWN]:
        typer.echo(f"{NAME}: {line}", err=True)
    if (more := len(summary.bad_rows) - BAD_ROWS_SHOWN) > 0:
        typer.echo(f"{NAME}: {annotations}: {more} further bad rows", err=True)
    typer.echo(
        f"{output}: {summary.done} done, {summary.already_there} already there, "
        f"{summary.gone} gone (404), {summary.failed} failed; "
        f"{summary.images} images in {summary.rows} rows"
    )
    if summary.duplicates:
        typer.echo(f"  left out: {summary.duplicates} that another subset holds, byte for byte")
    if summary.failed:
        typer.echo(f"  why: {summary.manifest}; the same command tries them again")
        raise typer.Exit(1)


def _fail(message: str, code: int, debug: bool) -> int:
    """Prints a failure; gives its exit code."""
    if debug:
        import traceback

        traceback.print_exc()
    if sys.stderr.isatty():  # Erases a bar that was cut short, and shows its cursor again.
        typer.echo("\r\x1b[K\x1b[?25h", nl=False, err=True)
    for line in message.splitlines():
        is_long = len(line) > LONGEST_LINE
        half = LONGEST_LINE // 2
        typer.echo(f"{NAME}: {f'{line[:half]}...{line[-half:]}' if is_long else line}", err=True)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"{NAME}: warning: {message}", err=True)


if __name__ == "__main__":
    main()
