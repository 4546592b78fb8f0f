"""How things are measured here: sides that take turns, medians, ratios within one run."""

import argparse
import importlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from keras_colorize.startup import load_tensorflow

Seconds = dict[str, list[float]]
"""Side -> seconds of each round."""


@dataclass(frozen=True)
class Options:
    """What the command line says.

    Attributes:
        data: a folder of images, or None for painted scenes.
        rounds: how often each side is measured.
        images: how many images of 512x512 are colorized.
        minutes: how long each run of the quality protocol trains.
        seeds: how many runs of each precision it trains.
        seconds: how long each load is put on a server.
    """

    data: Path | None = None
    rounds: int = 5
    images: int = 1_000
    minutes: float = 15.0
    seeds: int = 3
    seconds: float = 60.0


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured.
        value: the figure.
        unit: of the figure.
        bar: what is asked of it, as ">= 1.25"; None if nothing is.
        detail: the raw figures behind it.
    """

    what: str
    value: float
    unit: str
    bar: str | None = None
    detail: object = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the figure is on the right side of its bar."""
        if self.bar is None:
            return None
        relation, limit = self.bar.split()
        return self.value >= float(limit) if relation == ">=" else self.value <= float(limit)


def argument_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m MODULE`, whose help is the module's docstring as it is."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(name: str, options: Options) -> list[Row]:
    """Runs the benchmark of this name."""
    load_tensorflow()
    return importlib.import_module(f"tests.benchmarks.{name}").measure(options)


def alternate(sides: Mapping[str, Callable[[], object]], rounds: int) -> Seconds:
    """Times each side once a round, after a warm-up; every other round in reverse order."""
    for side in sides.values():
        side()
    seconds: Seconds = {name: [] for name in sides}
    for number in range(rounds):
        for name in sides if number % 2 else reversed(sides):
            start = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


@contextmanager
def in_processes(
    factories: Mapping[str, Callable[[], Callable[[], None]]],
) -> Iterator[dict[str, Callable[[], None]]]:
    """Sides that work in processes of their own, where no other library's memory slows them.

    Args:
        factories: what makes each side's work, called in its process; picklable.

    Yields:
        The sides, for `alternate`.
    """
    with ExitStack() as stack:
        sides = {}
        for name, factory in factories.items():
            process = stack.enter_context(_process())
            process.submit(_prepare, factory).result()
            sides[name] = lambda process=process: process.submit(_work).result()
        yield sides


def _process() -> ProcessPoolExecutor:
    # TensorFlow loads quietly before what is sent to the process loads it.
    context = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=load_tensorflow)


_side: list[Callable[[], None]] = []  # What this process works on, if it is a side's.


def _prepare(factory: Callable[[], Callable[[], None]]) -> None:
    _side.append(factory())


def _work() -> None:
    _side[0]()


def speedup(seconds: Seconds, side: str, other: str) -> float:
    """How many times faster `side` is than `other`: the median over the rounds."""
    return statistics.median(
        theirs / ours for ours, theirs in zip(seconds[side], seconds[other], strict=True)
    )


def medians(seconds: Seconds, count: int) -> dict[str, float]:
    """Things a second of each side, where a round handles `count`."""
    return {name: round(count / statistics.median(values), 1) for name, values in seconds.items()}


def peak_memory(code: str, *arguments: str) -> float:
    """Runs Python code in a process of its own; the most memory it held, in MiB.

    Raises:
        subprocess.CalledProcessError: if it fails.
    """
    # The kernel's high-water mark of this very process; that of `getrusage` is inherited.
    report = "\nprint([int(x.split()[1]) for x in open('/proc/self/status') if 'VmHWM' in x][0])"
    command = [sys.executable, "-c", code + report, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) / 1024


def growth_of_memory(before: str, code: str, *arguments: str) -> int:
    """How far Python code raises the peak of a process that has run other code, in bytes."""
    report = "[int(x.split()[1]) for x in open('/proc/self/status') if 'VmHWM' in x][0]"
    lines = [before, f"_before = {report}", code, f"print({report} - _before)"]
    command = [sys.executable, "-c", "\n".join(lines), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.split()[-1]) * 1024


def tensorflow_memory() -> float:
    """The most memory, in MiB, that TensorFlow holds once it is imported and has run something."""
    return peak_memory(
        "from keras_colorize.startup import load_tensorflow; load_tensorflow();"
        "import tensorflow as tf; tf.function(lambda: tf.ones(1) + 1)()"
    )
