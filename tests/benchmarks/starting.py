"""How long import, `--help` and a first image take, in processes of their own."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.images import write_image
from tests.benchmarks.measuring import Options, Row, alternate

COMMAND = "from keras_colorize import cli; cli.main()"


def measure(options: Options) -> list[Row]:
    """Median seconds of the whole process, Python's own start included."""
    programs = {
        "nothing": ["pass"],
        "import": ["import keras_colorize"],
        "help": [COMMAND, "--help"],
    }
    sides = {
        name: lambda program=program: subprocess.run(
            [sys.executable, "-c", *program], check=True, stdout=subprocess.DEVNULL
        )
        for name, program in programs.items()
    }
    seconds = alternate(sides, 4 * options.rounds)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "a.jpg")
        write_image(source, paint_scenes(1, 512, 0)[0])
        command = [sys.executable, "-c", COMMAND, "colorize", str(source), "--force", "-o"]
        command.append(str(Path(folder, "out")))
        first = alternate(
            {"first": lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL)},
            options.rounds,
        )["first"]
    return [
        Row("import keras_colorize", median["import"], "s", "<= 0.15", median),
        Row("keras-colorize --help", median["help"], "s", "<= 0.4"),
        Row("keras-colorize colorize a.jpg -o out", statistics.median(first), "s", "<= 6", first),
    ]
