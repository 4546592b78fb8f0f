"""How well `fit --dry-run` predicts the time and memory of a training."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_colorize import Run
from tests.benchmarks.measuring import Options, Row, peak_memory

RECIPE, EPOCHS = "quickstart", "3"
ESTIMATE = """
import json, sys, keras_colorize
found = keras_colorize.estimate(sys.argv[1], epochs=int(sys.argv[2]))
print(json.dumps({"seconds": found.seconds, "mebibytes": found.memory_bytes / 2**20}))
"""
FIT = """
import sys, keras_colorize
name, epochs, runs = sys.argv[1:]
keras_colorize.fit(name, epochs=int(epochs), runs=runs, verbose=0)
"""


def measure(options: Options) -> list[Row]:
    """Ratios of what the training took to what was estimated, each in a process of its own."""
    seconds, mebibytes = [], []
    for _ in range(options.rounds):
        command = [sys.executable, "-c", ESTIMATE, RECIPE, EPOCHS]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        estimated = json.loads(done.stdout)
        with tempfile.TemporaryDirectory() as runs:
            peak = peak_memory(FIT, RECIPE, EPOCHS, runs)
            took = sum(row["seconds"] for row in Run(Path(runs, RECIPE)).history)
        seconds.append(took / estimated["seconds"])
        mebibytes.append(peak / estimated["mebibytes"])
    return [
        Row(f"{what} of {RECIPE}, {EPOCHS} epochs : estimated", statistics.median(ratios), "x")
        for what, ratios in (("seconds", seconds), ("memory", mebibytes))
    ]
