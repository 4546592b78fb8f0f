"""Colorizes picture files: reading, network and writing at the same time.

Reader threads decode, the calling thread runs the network on as many pictures as are ready, and
writer threads colour and encode. A budget of pixels holds the memory, whatever their number.
"""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_colorize.errors import ColorizeError
from keras_colorize.images import Picture, picture_size, read_picture, write_image
from keras_colorize.inference.prediction import ab_predictor, squash
from keras_colorize.inference.recolor import recolor

BATCH_SIZE = 32

# Between reading and writing there are at most this many pixels, three large photographs; a
# still larger picture goes alone. Small ones count as 1/128, so that they do not pile up either.
_PIXELS_IN_FLIGHT = 80_000_000


@dataclass(frozen=True)
class Summary:
    """What became of the pictures, in the order of the inputs.

    Attributes:
        done: the files written.
        failed: of each picture that could not be colorized its path, and why: one line that
            names the file.
    """

    done: list[Path]
    failed: list[tuple[Path, str]]


@dataclass
class _Task:
    """One picture on its way; what `source` holds is there between reading and writing."""

    source: Path
    target: Path
    charge: int = 0
    picture: Picture | None = None
    square: np.ndarray | None = None
    failure: str = ""
    bug: Exception | None = None


class _Budget:
    """A number of pixels that threads take from, waiting, and give back."""

    def __init__(self, pixels: int) -> None:
        self._free = pixels
        self._changed = threading.Condition()

    def take(self, pixels: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels

    def give(self, pixels: int) -> None:
        with self._changed:
            self._free += pixels
            self._changed.notify_all()


def colorize_files(
    sources: Mapping[Path, Path],
    generator: keras.Model,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Colorizes files.

    Each result has the format of its picture, at its full size, with its 16 bits and
    transparency where the format holds them, in plain sRGB. A picture that cannot be read or
    written is reported and the rest done. Files appear whole or not at all.

    Args:
        sources: target -> source, as `plan` lists them.
        generator: a model from `lightness` (N, S, S, 1), -1..1, to `ab` (N, S, S, 2).
        progress: called with the number of pictures finished and their total.

    Returns:
        The files written, and the pictures that failed.
    """
    tasks = [_Task(source, target) for target, source in sources.items()]
    size = generator.input_shape[1]
    cores = len(os.sched_getaffinity(0))
    waiting, arrived = deque(tasks), queue.SimpleQueue[_Task]()
    budget = _Budget(_PIXELS_IN_FLIGHT)
    readers, writers = ThreadPoolExecutor(cores), ThreadPoolExecutor(cores)
    try:
        for _ in range(cores):
            readers.submit(_read_all, waiting, size, budget, arrived)
        predict_ab = ab_predictor(generator)
        # The first run takes long; the first pictures are read meanwhile.
        predict_ab(np.zeros((1, size, size, 3), np.uint8))
        finished = 0
        while finished < len(tasks):
            ready, squares = [], []
            for task in _next(arrived):
                if task.square is not None:
                    ready.append(task)
                    squares.append(task.square)
                    continue
                if task.bug is not None:
                    raise task.bug
                budget.give(task.charge)
                finished += 1
                if progress is not None:
                    progress(finished, len(tasks))
            if ready:
                for task, ab in zip(ready, predict_ab(np.stack(squares)), strict=True):
                    writers.submit(_write, task, ab, arrived)
    finally:
        waiting.clear()
        budget.give(cores * _PIXELS_IN_FLIGHT)  # Nobody waits any longer.
        readers.shutdown()
        writers.shutdown(cancel_futures=True)
    return Summary(
        done=[task.target for task in tasks if not task.failure],
        failed=[(task.source, task.failure) for task in tasks if task.failure],
    )


def _next(arrived: queue.SimpleQueue[_Task]) -> list[_Task]:
    """Waits for a task and takes those that are there too, up to a batch."""
    tasks = [arrived.get()]
    while len(tasks) < BATCH_SIZE and not arrived.empty():
        tasks.append(arrived.get())
    return tasks


def _read_all(
    waiting: deque[_Task], size: int, budget: _Budget, arrived: queue.SimpleQueue[_Task]
) -> None:
    """Reads waiting pictures until there are none."""
    while True:
        try:
            task = waiting.popleft()
        except IndexError:
            return
        try:
            width, height = picture_size(task.source)
            pixels = max(width * height, _PIXELS_IN_FLIGHT // 128)
            charge = min(pixels, _PIXELS_IN_FLIGHT)
            budget.take(charge)
            task.charge = charge
            task.picture = read_picture(task.source)
            task.square = squash(task.picture.rgb, size)
        except ColorizeError as error:
            task.failure = str(error)  # The error itself would keep the picture, by its traceback.
        except Exception as error:
            task.bug = error
        arrived.put(task)


def _write(task: _Task, ab: np.ndarray, arrived: queue.SimpleQueue[_Task]) -> None:
    """Colours a picture and writes it."""
    picture, task.picture, task.square = task.picture, None, None
    assert picture is not None
    try:
        recolor(picture.rgb, ab)
        write_image(task.target, picture.rgb, picture.alpha)
    except ColorizeError as error:
        task.failure = str(error)
    except Exception as error:
        task.bug = error
    del picture  # Before its share of the budget is given back.
    arrived.put(task)
