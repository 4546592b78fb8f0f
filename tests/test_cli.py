"""The console script in real processes; few load TensorFlow, since that takes seconds."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import keras_colorize
from keras_colorize import cli, pretrained
from keras_colorize.recipe import recipe_paths
from keras_colorize.recipe_reference import recipe_reference

COMMAND = [sys.executable, "-m", "keras_colorize.cli"]


@pytest.fixture
def call(tmp_path):
    """Calls the script in an empty folder: exit code, stdout, stderr."""
    # As in a user's shell; the tests quiet TensorFlow themselves.
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}

    def call(*arguments: str | Path, python: list[str] | None = None) -> tuple[int, str, str]:
        interpreter, *module = COMMAND
        done = subprocess.run(
            [interpreter, *(python or []), *module, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
        )
        return done.returncode, done.stdout, done.stderr

    return call


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "-h"], ["demo", "-h"], ["--version"]])
def test_help_and_version_load_no_heavy_library(call, arguments):
    code, output, log = call(*arguments, python=["-X", "importtime"])
    assert code == 0
    assert output
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert "typer" in imported
    heavy = {"tensorflow", "keras", "numpy", "cv2", "matplotlib", "PIL", "gradio"}
    assert not imported & heavy


def test_version(call):
    assert call("--version") == (0, f"{keras_colorize.__version__}\n", "")


def test_help_names_every_command(call):
    code, output, errors = call("--help")
    assert (code, errors) == (0, "")
    assert output.startswith("Usage: keras-colorize [OPTIONS] COMMAND")
    commands = re.findall(r"^  ([a-z]+)  ", output.partition("Commands:")[2], re.MULTILINE)
    assert commands == [
        *("fit", "evaluate", "compare", "colorize", "export", "demo", "push", "request", "plot"),
        *("models", "recipes", "validate", "data"),
    ]


def test_help_is_whole_and_speaks_no_python():
    def help_of(*command: str) -> str:
        return CliRunner().invoke(cli.app, [*command, "--help"]).output

    commands = help_of().partition("Commands:")[2]
    assert "..." not in commands
    assert "..." not in help_of("data").partition("Commands:")[2]
    for command in re.findall(r"^  ([a-z]+)  ", commands, re.MULTILINE):
        python = re.search(r"<(str|path|list.*|(int|float) range)>|\{", help_of(command))
        assert not python, command


def test_help_of_one_command(call):
    _, output, _ = call("compare", "--help")
    assert output.startswith("Usage: keras-colorize compare [OPTIONS] MODEL...\n")
    assert "\n  MODEL  Each: a run, a .keras file" in output
    assert "\n  -o, --output PATH  Folder for the report.\n" in output
    assert output.endswith(
        "\n  Example: keras-colorize compare runs/mine runs/other -o comparison\n"
    )


def test_shells_complete_commands():
    asked = {"_KERAS_COLORIZE_COMPLETE": "complete_bash", "COMP_WORDS": "x ex", "COMP_CWORD": "1"}
    done = subprocess.run(COMMAND, capture_output=True, text=True, env=os.environ | asked)
    assert (done.returncode, done.stdout, done.stderr) == (0, "export\n", "")


@pytest.mark.parametrize("arguments", [[], ["--debug"], ["data"]])
def test_no_command_is_bad_usage_and_shows_the_help(call, arguments):
    code, output, errors = call(*arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("Usage: keras-colorize ")
    assert "Commands:" in errors


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fti"], 2, "No such command 'fti'"),
        (["fit"], 2, "Missing argument 'recipe'"),
        (["fit", "quickstart", "--epoch", "3"], 2, "No such option: --epoch"),
        (["evaluate", "model"], 1, "model: no model: neither a run, a .keras"),
        (["compare", "a", "--data", ".", "--size", "0"], 2, "Invalid value for '--size'"),
        (["validate", "quikstart"], 1, "quikstart: no recipe of this name; the installed ones are"),
        (["recipes", "quikstart"], 1, "quikstart: no recipe of this name; the installed ones are"),
        (["validate", "my.toml"], 1, "my.toml: No such file or directory"),
        (["fit", "quickstart", "--set", "epochs=3"], 1, "--set epochs=3: must be table.key=VALUE"),
        (["fit", "paintings_cnn"], 1, "paintings_cnn: data.path: is unset; say where"),
        (["fit", "paintings_cnn", "--set", "data.path=x"], 1, 'no such folder (got "x")'),
        (["evaluate", "nothing", "--data", "."], 1, "nothing: no model: neither a run, a .keras"),
        (["colorize", "a.png", "-o", "b"], 1, "a.png: no such file or folder"),
        (["colorize", "a.png", "-o", "b", "--vividness", "2"], 2, "'--vividness': Input should"),
        (["colorize", "a.png"], 1, "no output: name a folder (-o FOLDER), or a suffix"),
        (["colorize", "a", "-o", "b", "--force", "--skip-existing"], 1, "exclude each other"),
        (["colorize", "a", "-o", "b", "--force", "--resume"], 1, "exclude each other"),
        (["colorize", "a", "-o", "b", "--quality", "0"], 2, "'--quality'"),
        (["colorize", "a", "-o", "b", "--background", "dull"], 1, "background: must be a color"),
        (["colorize", "a", "-o", "b", "--prediction-size", "8"], 2, "'--prediction-size': Input"),
        (["colorize", "a.png", "-o", "b", "--model", "m"], 1, "a.png: no such file or folder"),
        (["colorize", "-o", "b"], 2, "name an image or a folder"),
        (["colorize", "--", "-a.png", "-o", "b"], 2, "-o: put options before --"),
        (["colorize", "-o", "b", "--files-from", "list.txt"], 1, "list.txt: No such file"),
        (["colorize", "a.png", "-o", "b", "--engine", "spark"], 2, "'--engine'"),
        (["colorize", "a.png", "-o", "b", "--report", "a.png"], 1, "must be a file *.jsonl"),
        (["colorize", "s3://a/b", "-o", "b"], 1, "s3://a/b: files at URLs need --engine ray"),
        (["export", "nothing", "-o", "b"], 1, "nothing: no model"),
        (["export", "m", "-o", "b", "--format", "tf"], 2, "Invalid value for '--format'"),
        (
            ["export", "m", "-o", "b", "--format", "tflite"],
            2,
            "Invalid value for '--format': must be one of saved_model, keras, onnx, litert, "
            "openvino (got tflite); did you mean litert?",
        ),
        (["colorize", "a", "-o", "b", "--engine", "x"], 2, "'--engine': 'x' is not one of 'local'"),
        (
            ["evaluate", "paintings_and_photo"],
            1,
            "comes with the package (paintings_and_photos); did you mean paintings_and_photos?",
        ),
        (["export", "m", "-o", "b", "--format", "onnx"], 1, "b: must be a file with the suffix"),
        (["request", "http://a", "b.png", "-o", "c.png"], 1, "http://a: must be http://HOST:8501"),
        (["request", "grpc://a", "b.png", "-o", "c.png"], 1, "grpc://a: name the model"),
        (["request", "grpc://a", "b.png", "-o", "c.jpg"], 1, "c.jpg: servers answer with PNG"),
        (["data", "cache", "paintings_cnn"], 1, "paintings_cnn: data.path: is unset; say where"),
        (["fit", "paintings_cnn"], 1, "images are: --set data.path=FOLDER"),
        (["fit", "paintings_cnn", "--data", "a"], 2, "set as by --set data.path=FOLDER"),
        (["validate", "quickstart", "--batch-size", "3"], 2, "--batch-size; a recipe's values"),
        (["plot", "nothing"], 1, "nothing: no run: it has no recipe.toml"),
    ],
)
def test_failures_are_one_line(call, tmp_path, arguments, code, message):
    found, output, errors = call(*arguments)
    assert (found, output) == (code, "")
    assert errors.count("\n") == 1
    assert errors.startswith("keras-colorize: ") and message in errors
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_a_file_of_another_kind_is_no_model(call, tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "exported.onnx").write_bytes(b"a model for other programs")
    command = ["colorize", "a.png", "-o", "out/", "--model", "exported.onnx"]
    code, output, log = call(*command, python=["-X", "importtime"])
    assert (code, output) == (1, "")
    assert "keras-colorize: exported.onnx: no model: neither a run, a .keras file, nor" in log
    assert "tensorflow" not in {line.rpartition("|")[2].strip() for line in log.splitlines()}


def test_every_mistake_of_a_recipe_is_a_line(call, tmp_path):
    (tmp_path / "my.toml").write_text("[data]\nsource = 3\n\n[training]\nepochs = true\n")
    assert call("validate", "my.toml") == (
        1,
        "",
        "keras-colorize: my.toml:2: data.source: "
        "should be 'folder', 'cifar10', 'painted_scenes', 'given' or 'module:function' (got 3)\n"
        "keras-colorize: my.toml:5: training.epochs: should be a valid integer (got true)\n",
    )


def test_validate_shows_every_value(call, tmp_path):
    code, output, errors = call("validate", "quickstart", "--set", "training.seed=7", "--show")
    assert (code, errors) == (0, "")
    (tmp_path / "shown.toml").write_text(output)
    shown = keras_colorize.load_recipe(tmp_path / "shown.toml")
    assert shown.differences(keras_colorize.load_recipe("quickstart")) == [
        "training.seed: 7, not 0"
    ]
    assert "checkpoint_minutes = 5.0" in output


def test_validate_loads_no_tensorflow(call):
    code, output, log = call("validate", "quickstart", python=["-X", "importtime"])
    assert (code, output) == (0, "quickstart: valid\n")
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert "pydantic" in imported
    assert not imported & {"tensorflow", "keras", "numpy"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["validate", "pipe.toml"], "pipe.toml: a pipe or device, not a file"),
        (["validate", "zero.toml"], "zero.toml: a pipe or device, not a file"),
        (["colorize", "-o", "out", "--files-from", "pipe.toml"], "that no program writes to"),
        (["colorize", "-o", "out", "--files-from", "zero.toml"], "a device or socket, not a file"),
        (["colorize", "-o", "out", "--files-from", "a.png"], "a.png: not a text file; a list has"),
    ],
)
def test_special_files_in_place_of_texts(call, tmp_path, arguments, message):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    code, output, log = call(*arguments)
    assert (code, output) == (1, "")
    assert log.count("\n") == 1
    assert message in log


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["colorize", "x" * 4000, "-o", "out"], "(File name too long)"),
        (["colorize", "a", "-o", "b", "--background", "x" * 4000], "xxx)"),
        (["fit", "x" * 4000], "File name too long"),
    ],
)
def test_long_values_are_cut(call, arguments, end):
    code, output, log = call(*arguments)
    assert (code, output) == (1, "")
    assert log.count("\n") == 1
    assert len(log) < 1600
    assert log.rstrip().endswith(end)


@pytest.mark.parametrize(
    "arguments", [["--debug", "validate", "nothing"], ["validate", "nothing", "--debug"]]
)
def test_debug_shows_the_traceback(call, arguments):
    code, _, errors = call(*arguments)
    *traceback, message = errors.splitlines()
    assert code == 1
    assert traceback[0] == "Traceback (most recent call last):"
    assert any("RecipeError: nothing: no recipe of this name" in line for line in traceback)
    assert message.startswith("keras-colorize: nothing: no recipe of this name")


def test_recipes_lists_what_they_cost_and_score(call):
    code, output, errors = call("recipes")
    assert (code, errors) == (0, "")
    assert re.findall(r"^\S+$", output, re.MULTILINE) == list(recipe_paths())
    for word in ("Needs", "Costs", "Scores"):
        assert output.count(f"    {word}: ") == len(recipe_paths())


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("quickstart", recipe_paths()["quickstart"].read_text()),
        ("--keys", recipe_reference()),
    ],
)
def test_recipes_prints_toml_or_the_reference(call, argument, expected):
    code, output, log = call("recipes", argument, python=["-X", "importtime"])
    assert (code, output) == (0, expected)
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert not imported & {"tensorflow", "keras", "numpy"}


def test_models_lists_what_comes_with_the_package(call):
    code, output, errors = call("models", python=["-X", "importtime"])
    assert code == 0
    assert "tensorflow" not in {line.rpartition("|")[2].strip() for line in errors.splitlines()}
    names = re.findall(r"^(\S+)", output, re.MULTILINE)
    assert names == list(pretrained.MODELS)
    assert f"{pretrained.DEFAULT} (default)\n" in output
    for model in pretrained.MODELS.values():
        assert model.scores in output
        assert str(model.card) in output


def test_a_reader_that_leaves_is_no_news(tmp_path):
    """As in `keras-colorize recipes | head -1`, but the reader is surely gone."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "recipes"], stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_a_command_with_tensorflow_is_quiet(call, tmp_path):
    """Colorizing with a model of the layers of our own, one of the images damaged."""
    from keras_colorize.models import unet_generator

    unet_generator(filters=2).save(tmp_path / "model.keras")
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_text("no image")
    code, output, errors = call("colorize", "in", "-o", "out", "--model", "model.keras")
    assert (code, output) == (1, "1 of 2 images colorized: out\n")
    assert errors.startswith("keras-colorize: in/bad.png: ") and errors.count("\n") == 1
    with Image.open(tmp_path / "out" / "good.png") as colorized:
        assert (colorized.size, colorized.mode) == ((30, 20), "RGB")


@pytest.mark.parametrize("option", [[], ["--quiet"]])
def test_quiet_leaves_notes_out(call, tmp_path, option):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("no image")
    (tmp_path / "in" / "list.txt").touch()
    code, output, errors = call("colorize", "in", "-o", "out", *option)
    assert (code, output) == (1, "1 of 2 images colorized: out\n")
    *notes, failure = errors.splitlines()
    assert notes == ([] if option else ["keras-colorize: in: not read: 1 .txt"])
    assert failure.startswith("keras-colorize: in/b.png: ")


def test_a_list_of_files_in_and_a_report_out(call, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "in" / "in a folder.png")
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "named.png")
    (tmp_path / "bad.png").write_text("no image")
    lines = ["named.png", "", "in", "bad.png", "none.png ", "none.png "]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    command = ["colorize", "--files-from", "list.txt", "-o", "out", "--report", "report.jsonl"]
    code, output, errors = call(*command)
    assert (code, output) == (1, "2 of 4 images colorized: out\n")
    missing, bad = errors.splitlines()
    assert missing == ("keras-colorize: 'none.png ': no such file or folder (line 5 of list.txt)")
    assert bad.startswith("keras-colorize: bad.png: cannot be read")
    report = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert {line["image"]: line["status"] for line in report} == {
        "named.png": "done",
        "in/in a folder.png": "done",
        "bad.png": "failed",
        "none.png ": "failed",
    }
    assert {line["result"] for line in report} == {
        "out/named.png",
        "out/in a folder.png",
        "out/bad.png",
        "",
    }
    (tmp_path / "list.txt").write_text("none.png")  # Nothing is left to do.
    code, output, _ = call(*command)
    assert (code, output) == (1, "0 of 1 images colorized: out\n")


def test_a_folder_without_images_is_refused_before_tensorflow_loads(call, tmp_path):
    (tmp_path / "text.txt").touch()
    arguments = ("fit", "paintings_cnn", "--set", "data.path=.")
    code, _, log = call(*arguments, python=["-X", "importtime"])
    assert code == 1
    assert "keras-colorize: .: no image in it (.jpg " in log
    assert not re.search(r"\| +tensorflow$", log, re.MULTILINE)


@pytest.mark.parametrize(("option", "is_quiet"), [("--verbose", False), ("--quiet", True)])
def test_verbose_shows_what_tensorflow_says(call, option, is_quiet):
    """Here it says something while it starts, before the mistake is found."""
    mistake = ("--set", "losses.reconstruction=nowhere:loss")
    code, output, errors = call("fit", "quickstart", *mistake, option)
    assert (code, output) == (1, "")
    *notes, line = errors.splitlines()
    assert "losses.reconstruction: no module nowhere" in line
    assert (notes == []) == is_quiet


def test_a_dry_run_leaves_nothing(call, tmp_path):
    small = ("data.train_images=80", "training.batch_size=8", "generator.filters=1")
    options = [part for value in small for part in ("--set", value)]
    code, output, errors = call("fit", "quickstart", "--dry-run", *options)
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[:2] == [
        "runs/quickstart: would train; nothing is written",
        "  images:  up to 80 to train on, 200 to validate on, 200 to test on",
    ]
    assert re.fullmatch(r"  memory:  \S+ \S+ of \S+ GB that are free, 3\.19 MB of it.*", lines[2])
    assert lines[3] == "  steps:   10 an epoch, 80 in 8 epochs"
    assert re.fullmatch(r"  time:    \S+ \S+ an epoch, \S+ \S+ in all; \S+ s a step", lines[4])
    assert lines[5] == "           without start, reading images and tracing the first step"
    assert list(tmp_path.iterdir()) == []


def test_a_request_says_that_it_tries_again(call, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1/models/m"
        command = ("request", url, "a.png", "-o", "b.png", "--timeout", "5")
        reason = f"{url}: no connection (Connection refused)"
        assert call(*command) == (1, "", f"{reason}; trying again\nkeras-colorize: {reason}\n")
        assert call(*command, "--quiet") == (1, "", f"keras-colorize: {reason}\n")


@pytest.mark.parametrize("models", [[], ["--models", "nowhere"]])
def test_demo_checks_port_and_models_before_it_loads_gradio(call, models):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = "0" if models else str(other.getsockname()[1])
        code, output, log = call("demo", "--port", port, *models, python=["-X", "importtime"])
    assert (code, output) == (1, "")
    message = "nowhere: no model" if models else f"127.0.0.1:{port}: cannot listen here"
    assert f"keras-colorize: {message}" in log
    imported = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    assert not imported & {"gradio", "tensorflow"}
    if not models:
        assert "numpy" not in imported


def test_termination_leaves_whole_files_only(tmp_path):
    """As by `kill`, in the middle of a batch: exit code 130, and nothing half-written."""
    (tmp_path / "in").mkdir()
    for number in range(2000):
        Image.fromarray(np.full((200, 200), 99, np.uint8)).save(tmp_path / "in" / f"{number}.png")
    command = [*COMMAND, "colorize", "in", "-o", "out", "--device", "cpu", "--report", "a.jsonl"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        # At most 128 are begun and not counted yet.
        while len(list((tmp_path / "out").glob("[0-9]*.png"))) < 150:
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        _, errors = process.communicate()
    assert process.returncode == 130
    written = list((tmp_path / "out").iterdir())
    assert 0 < len(written) < 2000
    assert errors == (
        f"keras-colorize: interrupted; {len(written)} of 2000 images are finished; continue with "
        "--skip-existing\n"
    )
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    report = {json.loads(line)["result"] for line in lines}
    assert report == {f"out/{path.name}" for path in written}
    for path in written:
        assert not path.name.startswith(".")
        with Image.open(path) as image:
            image.load()


def test_closed_and_full_streams(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    command = "$0 -m keras_colorize.cli colorize a.png -o"

    def shell(text: str) -> tuple[int, str]:
        arguments = ["sh", "-c", text, sys.executable]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stderr

    assert shell(f"{command} x/ 2>&-") == (0, "")
    assert shell(f"{command} missing/x.png --report a.png 2>&-") == (1, "")
    assert shell(f"{command} y/ >&-") == (0, "")
    assert shell(f"{command} z/ >/dev/full") == (1, "keras-colorize: No space left on device\n")
    assert [(tmp_path / out / "a.png").exists() for out in "xyz"] == [True, True, True]
