"""How long `import keras_colorize` and `keras-colorize --help` take, in processes of their own."""

import statistics
import subprocess
import sys

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
    return [
        Row("import keras_colorize", median["import"], "s", "<= 0.15", median),
        Row("keras-colorize --help", median["help"], "s", "<= 0.4"),
    ]
