"""The served default model under load: 1, 4 and 16 requests at a time, images of mixed sizes.

The SavedModel runs in a process with TensorFlow, without Keras and this package, behind the tests'
stand-in for TF Serving, over gRPC; the same process for all three. Server and clients share this
machine's cores.
"""

import itertools
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_colorize import ColorizeError
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.images import encode_image
from keras_colorize.serving import Client
from tests.benchmarks.measuring import Options, Row

CONCURRENT = (1, 4, 16)
SIDES = (256, 512, 1024, 1600)  # Of square images, as JPEG and as PNG.
MODEL = "saved_models/paintings_and_photos/1"
SERVER = """
import sys
sys.modules.update(keras=None, keras_colorize=None)  # They cannot be imported.
import tensorflow as tf
from tests.serving.stand_in import serving
signatures = tf.saved_model.load(sys.argv[1]).signatures
with serving(signatures, "model", threads=int(sys.argv[2])) as stand_in:
    print(stand_in.grpc_port, flush=True)
    sys.stdin.read()
"""


def measure(options: Options) -> list[Row]:
    """Errors, latency, throughput, and memory in the second half."""
    images = [
        encode_image(suffix, scene)
        for side in SIDES
        for scene in paint_scenes(1, side, seed=side)
        for suffix in (".jpg", ".png")
    ]
    with _server() as (process, port):
        url = f"grpc://127.0.0.1:{port}"
        for image in images:  # The first runs take longer.
            Client(url, model="model").colorize(image)
        return [
            row
            for count in CONCURRENT
            for row in _Load(url, images, process.pid).run(count, options.seconds)
        ]


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen, int]]:
    command = [sys.executable, "-c", SERVER, MODEL, str(max(CONCURRENT))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.communicate()  # Its input ends, and so does it.


@dataclass
class _Load:
    """Clients that ask one after the other, and what they saw."""

    url: str
    images: list[bytes]
    pid: int
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def run(self, concurrent: int, duration: float) -> list[Row]:
        """The rows of so many clients."""
        start = time.monotonic()
        clients = [
            threading.Thread(target=self._ask, args=(number, start + duration))
            for number in range(concurrent)
        ]
        for client in clients:
            client.start()
        memory = []
        while time.monotonic() < start + duration:
            memory.append(_resident_memory(self.pid))
            time.sleep(0.1)
        for client in clients:
            client.join()
        elapsed = time.monotonic() - start
        # In use, memory goes up and down: the medians of the third and of the last quarter.
        half, quarter = len(memory) // 2, len(memory) // 4
        third, last = (
            statistics.median(part) for part in (memory[half:-quarter], memory[-quarter:])
        )
        name = f"{concurrent} at a time"
        return [
            Row(f"{name}: errors", len(self.errors), "", "<= 0", self.errors[:5]),
            Row(f"{name}: p50", float(np.percentile(self.seconds, 50)), "s"),
            Row(f"{name}: p99", float(np.percentile(self.seconds, 99)), "s"),
            Row(f"{name}: images a second", len(self.seconds) / elapsed, ""),
            Row(f"{name}: memory at the half", memory[half], "MiB"),
            Row(f"{name}: memory at the end", memory[-1], "MiB", detail=memory),
            Row(f"{name}: memory, last quarter : third", last / third, "x", "<= 1.05"),
        ]

    def _ask(self, number: int, end: float) -> None:
        client = Client(self.url, model="model")
        # All in the same order, each from another place on.
        for image in itertools.islice(itertools.cycle(self.images), number, None):
            start = time.monotonic()
            if start > end:
                return
            try:
                assert client.colorize(image).startswith(b"\x89PNG")
            except ColorizeError as error:
                self.errors.append(str(error))
            else:
                self.seconds.append(time.monotonic() - start)


def _resident_memory(pid: int) -> float:
    """What a process holds now, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
