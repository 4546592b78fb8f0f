"""Feeding from a cache on disk that is four times as large as the memory its process may use.

Needs root and a cgroup of memory (version 1 or 2), which is what limits a process and its share of
the kernel's page cache together; and room for the cache in the temporary folder (TMPDIR).
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from keras_colorize.data.lab import LAB_BYTES
from tests.benchmarks.measuring import Options, Row

SIZE, BATCH_SIZE = 32, 32
MEMORY = 1536 * 2**20  # TensorFlow and a training step take about half of it.
CACHE = 4 * MEMORY
STEPS, FED = 100, 200_000

FEED = """
import itertools, json, os, sys, time
from pathlib import Path
group, path, size, batch_size, fed, steps = sys.argv[1:]
(Path(group) / "cgroup.procs").write_text(str(os.getpid()))
from keras_colorize.startup import load_tensorflow
load_tensorflow()
import tensorflow as tf
from keras_colorize import build, load_recipe
from keras_colorize.data.cache import DiskCache
size, batch_size, fed, steps = map(int, (size, batch_size, fed, steps))
cache, epoch = DiskCache(Path(path), size), tf.Variable(0)
settings = ["training.precision=mixed_bfloat16", f"training.batch_size={batch_size}"]
recipe = load_recipe("paintings_gan_batch_norm", settings)
batches = build.build_training_batches(recipe, cache, epoch, 0)
iterator = iter(batches)
next(iterator)
start = time.perf_counter()
for _ in itertools.islice(iterator, fed // batch_size):
    pass
rate = fed // batch_size * batch_size / (time.perf_counter() - start)
step = tf.function(build.build_colorizer(recipe).train_step)
epoch.assign(1)  # Another order.
iterator = iter(batches)
step(next(iterator))
waited, start = 0.0, time.perf_counter()
for _ in range(steps):
    asked = time.perf_counter()
    batch = next(iterator)
    waited += time.perf_counter() - asked
    step(batch)
print(json.dumps({"rate": rate, "waiting": 100 * waited / (time.perf_counter() - start)}))
"""


def measure(options: Options) -> list[Row]:
    """Images a second, and the share of a step that waits for them."""
    with tempfile.TemporaryDirectory() as temporary, _limited(MEMORY) as group:
        path = Path(temporary) / "train.int16"
        _write(path)
        rounds = []
        for _ in range(options.rounds):
            _forget(path)
            arguments = map(str, (group, path, SIZE, BATCH_SIZE, FED, STEPS))
            command = [sys.executable, "-c", FEED, *arguments]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rounds.append(json.loads(done.stdout.splitlines()[-1]))
    rate, waiting = (float(np.median([r[name] for r in rounds])) for name in ("rate", "waiting"))
    what = f"{CACHE / 2**30:.3g} GiB on disk, {MEMORY / 2**30:.3g} GiB of memory: "
    return [
        Row(f"{what}fed", rate, "images/s", ">= 20000", rounds),
        Row(f"{what}waiting", waiting, "%", "<= 2", rounds),
    ]


def _write(path: Path) -> None:
    """A cache of random images."""
    block = np.random.default_rng(0).bytes(1024 * SIZE**2 * LAB_BYTES)
    with path.open("wb") as file:
        for _ in range(max(1, CACHE // len(block))):
            file.write(block)
        os.fsync(file.fileno())


def _forget(path: Path) -> None:
    """Drops what the kernel holds of a file, which would count for no process's limit."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _limited(memory: int) -> Iterator[Path]:
    """A cgroup whose processes have so many bytes of memory, page cache included."""
    root = Path("/sys/fs/cgroup")
    is_first = (root / "memory").is_dir()
    group = root / ("memory" if is_first else "") / f"keras_colorize_{os.getpid()}"
    group.mkdir()
    try:
        limit = group / ("memory.limit_in_bytes" if is_first else "memory.max")
        limit.write_text(str(memory))
        yield group
    finally:
        group.rmdir()
