"""Colorizes picture files: reading, network and writing at the same time.

Reader threads decode, the calling thread runs the network on as many pictures as are ready, and
writer threads colour and encode. A budget of pixels holds the memory, whatever their number.
"""

import functools
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_colorize.errors import ColorizeError
from keras_colorize.images import Picture, picture_size, read_picture, write_image
from keras_colorize.inference.prediction import (
    ab_predictor,
    check_prediction_size,
    check_vividness,
    squash,
)
from keras_colorize.inference.recolor import recolor
from keras_colorize.models.predict import MULTIPLE, prediction_shape

BATCH_SIZE = 32

_PIXELS_AT_ONCE = 2**18  # What the network sees in one batch: four images of 256x256.

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
    small: np.ndarray | None = None
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
    vividness: float | None = None,
    prediction_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Colorizes files.

    Each result has the format of its picture, at its full size, with its 16 bits and
    transparency where the format holds them, in plain sRGB. A picture that cannot be read or
    written is reported and the rest done. Files appear whole or not at all.

    Args:
        sources: target -> source, as `plan` lists them.
        generator: a model from `lightness` (N, S, S, 1), or of any size, -1..1, to `ab`.
        vividness: 0..1; by default the generator's own.
        prediction_size: short side at which a generator of any size sees images.
        progress: called with the number of pictures finished and their total.

    Returns:
        The files written, and the pictures that failed.

    Raises:
        ColorizeError: the generator has no such setting.
    """
    check_vividness(generator, vividness)
    check_prediction_size(generator, prediction_size)
    tasks = [_Task(source, target) for target, source in sources.items()]
    shape = functools.partial(prediction_shape, generator, size=prediction_size)
    cores = len(os.sched_getaffinity(0))
    waiting, arrived = deque(tasks), queue.SimpleQueue[_Task]()
    budget = _Budget(_PIXELS_IN_FLIGHT)
    readers, writers = ThreadPoolExecutor(cores), ThreadPoolExecutor(cores)
    try:
        for _ in range(cores):
            readers.submit(_read_all, waiting, shape, budget, arrived)
        predict_ab = ab_predictor(generator)
        # The first run takes long; the first pictures are read meanwhile.
        predict_ab(np.zeros((1, *shape(MULTIPLE, MULTIPLE), 3), np.uint8))
        finished = 0
        while finished < len(tasks):
            ready: list[tuple[_Task, np.ndarray]] = []
            for task in _next(arrived):
                if task.small is not None:
                    ready.append((task, task.small))
                    continue
                if task.bug is not None:
                    raise task.bug
                budget.give(task.charge)
                finished += 1
                if progress is not None:
                    progress(finished, len(tasks))
            for tasks_of_a_shape, images in _by_shape(ready):
                predictions = predict_ab(images, vividness)
                for task, ab in zip(tasks_of_a_shape, predictions, strict=True):
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


def _by_shape(
    ready: Sequence[tuple[_Task, np.ndarray]],
) -> Iterator[tuple[list[_Task], np.ndarray]]:
    """Batches of images of one shape, as the network takes them, with their tasks."""
    shapes = dict.fromkeys(small.shape for _, small in ready)
    for shape in shapes:
        alike = [(task, small) for task, small in ready if small.shape == shape]
        pixels = shape[0] * shape[1]
        count = max(1, _PIXELS_AT_ONCE // pixels)
        for start in range(0, len(alike), count):
            tasks, images = zip(*alike[start : start + count], strict=True)
            yield list(tasks), np.stack(images)


def _read_all(
    waiting: deque[_Task],
    shape: Callable[[int, int], tuple[int, int]],
    budget: _Budget,
    arrived: queue.SimpleQueue[_Task],
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
            # No name for the pixels: it would keep them while the next image waits.
            task.small = squash(task.picture.rgb, shape(*task.picture.rgb.shape[:2]))
        except ColorizeError as error:
            task.failure = str(error)  # The error itself would keep the picture, by its traceback.
        except Exception as error:
            task.bug = error
        arrived.put(task)


def _write(task: _Task, ab: np.ndarray, arrived: queue.SimpleQueue[_Task]) -> None:
    """Colours a picture and writes it."""
    picture, task.picture, task.small = task.picture, None, None
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
