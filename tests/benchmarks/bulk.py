"""Colorizing a folder by the plain command and by Ray, with one worker and with two."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.colorizing import write_painting
from tests.benchmarks.measuring import Options, Row, alternate, medians, speedup

COMMAND = [sys.executable, "-m", "keras_colorize.cli", "colorize"]
SIDES = {
    "plain": [],
    "one worker": ["--engine", "ray", "--workers", "1"],
    "two workers": ["--engine", "ray", "--workers", "2"],
}


def measure(options: Options) -> list[Row]:
    """Whole commands on many images of 512x512, and on one, which shows what starting takes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "in")
        folder.mkdir()
        count = 2 * options.images
        for index in range(count):
            write_painting(folder / f"{index:05d}.jpg", (512, 512), seed=index)
        many = _measure(folder, options)
        one = _measure(folder / "00000.jpg", options)
    detail = {"seconds": many, "images a second": medians(many, count)}
    what = f"{count} images of 512x512"
    return [
        Row(f"{what}, one worker : plain", speedup(many, "one worker", "plain"), "x", None, detail),
        Row(f"{what}, two workers : plain", speedup(many, "two workers", "plain"), "x"),
        Row(f"{what}, two workers : one", speedup(many, "two workers", "one worker"), "x"),
        Row("one image, two workers : plain", speedup(one, "two workers", "plain"), "x", None, one),
    ]


def _measure(source: Path, options: Options) -> dict[str, list[float]]:
    output = source.parent.with_name("out")
    return alternate(
        {
            name: lambda arguments=arguments: subprocess.run(
                [*COMMAND, source, "-o", f"{output}/", "--force", *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            for name, arguments in SIDES.items()
        },
        options.rounds,
    )
