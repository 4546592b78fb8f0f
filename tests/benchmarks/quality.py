"""Quality at equal time: bfloat16 and float32 train as long on the same paintings.

Time is the processor's: on an idle machine `minutes` of all cores are as many on the clock, and
other work takes from neither side.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tensorflow as tf

from keras_colorize import Run, build, load
from keras_colorize.data.lab import rgb_from_lab
from keras_colorize.evaluation.report import evaluate_colorizers
from keras_colorize.models import predict_ab
from tests.benchmarks.measuring import Options, Row

COMMAND = "from keras_colorize import cli; cli.main()"
RECIPE = "paintings_gan_batch_norm"
PRECISIONS = ("float32", "mixed_bfloat16")


def measure(options: Options) -> list[Row]:
    """How much worse bfloat16's best epoch is on the validation images, of other artists."""
    if options.data is None:
        raise SystemExit("quality: needs real paintings, a folder an artist: --data FOLDER")
    figures: dict[str, dict[str, list[float]]] = {
        name: {precision: [] for precision in PRECISIONS} for name in ("L1", "CIEDE2000")
    }
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(options.seeds):
            for precision in PRECISIONS if seed % 2 else PRECISIONS[::-1]:
                run = _train(options, Path(runs), precision, seed)
                figures["L1"][precision].append(min(row["val_l1_loss"] for row in run.history))
                figures["CIEDE2000"][precision].append(_ciede2000(run))
    rows = []
    for name, found in figures.items():
        whole, half = (statistics.mean(found[precision]) for precision in PRECISIONS)
        spread = max(max(values) - min(values) for values in found.values())
        what = f"{name} after {options.minutes:g} minutes of all cores, bfloat16 less float32"
        rows.append(Row(what, half - whole, "", f"<= {spread:.4g}", found))
    return rows


def _train(options: Options, runs: Path, precision: str, seed: int) -> Run:
    """Trains until the time is over; start and validation count."""
    name = f"{precision}-{seed}"
    settings = [
        f"data.path={options.data}",
        "data.split_by=folder",
        f"training.precision={precision}",
        f"training.seed={seed}",
    ]
    overrides = [part for setting in settings for part in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "fit", RECIPE, "--name", name, "--runs", runs, *overrides]
    )
    budget = 60 * options.minutes * len(os.sched_getaffinity(0))
    while process.poll() is None and _processor_seconds(process.pid) < budget:
        time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.wait()
    return Run(runs / name)


def _processor_seconds(pid: int) -> float:
    """What all threads of a process have used so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _ciede2000(run: Run) -> float:
    data = run.recipe.data
    validation = build.cache_images(data, build.open_images(data)).validation
    rgb = rgb_from_lab(validation.rows(0, len(validation)))
    generator = load(run)
    predict = tf.function(lambda lightness: predict_ab(generator, lightness))
    names = [str(number) for number in range(len(rgb))]
    report = evaluate_colorizers(rgb, names, {"model": predict})
    return report.summary["model"]["ciede2000"]
