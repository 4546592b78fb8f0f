"""Colorizes image files: reading, network and writing at the same time.

Reader threads decode, the calling thread runs the network on as many images as are ready, and
writer threads color and encode. Files of several pages stay with their reader thread, which
requests the colors of one page after the other. A budget of bytes bounds the memory.
"""

import errno
import functools
import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_colorize.budget import Budget
from keras_colorize.errors import ColorizeError
from keras_colorize.files import remove_dead_leftovers
from keras_colorize.images import (
    RgbImage,
    count_pages,
    frame_durations,
    is_gray,
    name_of,
    read_pages,
    write_pages,
)
from keras_colorize.inference import single
from keras_colorize.inference.budget import BUDGET, SMALLEST, memory
from keras_colorize.inference.plan import Plan, Summary
from keras_colorize.inference.prediction import Network, squash
from keras_colorize.inference.recolor import recolor
from keras_colorize.inference.results import Result, collect
from keras_colorize.inference.single import Options
from keras_colorize.prediction_size import MULTIPLE

BATCH_SIZE = 32

_PIXELS_AT_ONCE = 2**18  # What the network sees in one batch: four images of 256x256.

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class _Task:
    """One file on its way; `image` is there between reading and writing."""

    source: Path
    target: Path
    charge: int = 0
    image: RgbImage | None = None
    kept: bool = False
    failure: str = ""
    bug: Exception | None = None

    def result(self) -> Result:
        """What became of it."""
        return Result(self.source, self.target, self.kept, self.failure)

    def fail(self, error: Exception) -> None:
        """Takes note of what went wrong, not of the error, whose traceback keeps the image."""
        if not isinstance(error, ColorizeError):
            self.bug = error
        elif getattr(error.__cause__, "errno", None) in _FULL:
            self.bug = ColorizeError(f"{error}; free some space and continue with --skip-existing")
        elif str(error).startswith(name_of(self.source)):
            self.failure = str(error)
        else:
            self.failure = f"{name_of(self.source)}: {error}"


@dataclass(frozen=True)
class _Question:
    """An image as the network sees it, and what is called with the ab predicted for it."""

    small: np.ndarray
    answer: Callable[[np.ndarray], object]


class _StoppedError(Exception):
    """The call was interrupted."""


def colorize_files(
    plan: Plan,
    network: Network,
    options: Options = Options(),  # noqa: B008  (it is frozen)
    *,
    vividness: float | None = None,
    prediction_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Result], None] | None = None,
) -> Summary:
    """Colorizes files.

    Each result is at full size, with its 16 bits, transparency, pages and metadata where the
    format holds them, in plain sRGB. An image that cannot be read or written is reported and the
    rest done. Files appear whole or not at all.

    Args:
        plan: which files become which.
        network: predicts the colors.
        options: how results are written.
        vividness: 0..1; by default the network's own.
        prediction_size: short side at which a network of any size sees images.
        progress: called with the number of files finished and their total.
        report: called with what became of each image.

    Returns:
        The files written, and the images that failed.

    Raises:
        ColorizeError: the network has no such setting, or the disk is full.
    """
    network.check(vividness, prediction_size)
    remove_leftovers_beside(plan.sources)
    results = colorize_each(
        plan.sources,
        network,
        options,
        vividness=vividness,
        prediction_size=prediction_size,
    )
    return collect(plan, results, progress=progress, report=report)


def remove_leftovers_beside(targets: Iterable[Path]) -> None:
    """Removes what killed processes left in the folders of these files."""
    for folder in {target.parent for target in targets}:
        remove_dead_leftovers(folder)


def colorize_each(
    sources: Mapping[Path, Path],
    network: Network,
    options: Options,
    *,
    vividness: float | None = None,
    prediction_size: int | None = None,
    threads: int | None = None,
) -> Generator[Result]:
    """Colorizes files, as `colorize_files`, and yields the result of each when it is finished.

    Args:
        sources: target -> source.
        network: as for `colorize_files`, as are the others.
        options: how results are written.
        vividness: 0..1.
        prediction_size: short side, in pixels.
        threads: how many read, and how many write; by default as many as there are cores.

    Yields:
        What became of each image, in the order in which they are finished. After a
        KeyboardInterrupt, which is raised at the end, that of images which were being written.

    Raises:
        ColorizeError: the disk is full.
    """
    tasks = [_Task(source, target) for target, source in sources.items()]
    shape = functools.partial(network.shape, size=prediction_size)
    threads = threads or len(os.sched_getaffinity(0))
    pipeline = _Pipeline(deque(tasks), shape, options, threads)
    readers = ThreadPoolExecutor(threads)
    arrivals = deque[_Task | _Question]()
    try:
        if tasks:
            for _ in range(threads):
                readers.submit(pipeline.read_all)
            # The first run takes long; the first images are read meanwhile.
            network.predict(np.zeros((1, *shape(MULTIPLE, MULTIPLE), 3), np.uint8))
        finished = 0
        while finished < len(tasks):
            questions: list[_Question] = []
            arrivals.extend(_next(pipeline.arrived))
            while arrivals:
                arrival = arrivals.popleft()
                if isinstance(arrival, _Question):
                    questions.append(arrival)
                    continue
                if arrival.bug is not None:
                    raise arrival.bug
                pipeline.budget.give(arrival.charge)
                finished += 1
                yield arrival.result()
            for alike, images in _by_shape(questions):
                predictions = network.predict(images, vividness)
                for question, ab in zip(alike, predictions, strict=True):
                    question.answer(ab)
    except KeyboardInterrupt:
        _end(pipeline, readers)
        while not pipeline.arrived.empty():  # What was written meanwhile.
            arrivals.append(pipeline.arrived.get())
        for arrival in arrivals:
            if isinstance(arrival, _Task) and arrival.bug is None:
                yield arrival.result()
        raise
    finally:
        _end(pipeline, readers)


def _end(pipeline: "_Pipeline", readers: ThreadPoolExecutor) -> None:
    """Waits for what threads have begun, and ends them."""
    pipeline.stop()
    readers.shutdown()
    pipeline.writers.shutdown(cancel_futures=True)


class _Pipeline:
    """What the threads of one call share, and what they do."""

    def __init__(
        self,
        waiting: deque[_Task],
        shape: Callable[[int, int], tuple[int, int]],
        options: Options,
        threads: int,
    ) -> None:
        self.arrived = queue.SimpleQueue[_Task | _Question]()
        self.budget = Budget(BUDGET)
        self.writers = ThreadPoolExecutor(threads)
        self._waiting = waiting
        self._shape = shape
        self._options = options
        self._threads = threads
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Lets all threads end soon."""
        self._stopped.set()
        self._waiting.clear()
        self.budget.close()

    def read_all(self) -> None:
        """Reads waiting files until there are none."""
        while not self._stopped.is_set():
            try:
                task = self._waiting.popleft()
            except IndexError:
                return
            try:
                is_finished = self._read(task)
            except _StoppedError:
                return
            except Exception as error:
                task.fail(error)
                is_finished = True
            if is_finished:
                self.arrived.put(task)

    def _read(self, task: _Task) -> bool:
        """Reads an image and requests its colors; False: it is not finished yet."""
        pages = count_pages(task.source)
        task.charge = min(max(memory(task.source, task.target, pages), SMALLEST), BUDGET)
        self.budget.take(task.charge)
        if pages > 1:
            self._colorize_pages(task, pages)
            return True
        (task.image,) = self._read_pages(task, 1)
        if self._options.keep_color and not is_gray(task.image):
            self._keep(task)
            return True
        # No name for the pixels: it would keep them while the next image waits.
        small = squash(task.image.rgb, self._shape(*task.image.rgb.shape[:2]))
        self.arrived.put(_Question(small, lambda ab: self.writers.submit(self._write, task, ab)))
        return False

    def _read_pages(self, task: _Task, count: int) -> Iterator[RgbImage]:
        return read_pages(task.source, range(count), allow_damaged=self._options.allow_damaged)

    def _keep(self, task: _Task) -> None:
        """Copies a file that is in color already, or writes its image in another format."""
        image, task.image, task.kept = task.image, None, True
        if self._is_copied(task):
            single.copy(task.source, task.target)
        else:
            assert image is not None
            single.write(task.target, image, self._options)

    def _is_copied(self, task: _Task) -> bool:
        return not self._options.strip_metadata and single.holds_same_kind(task.source, task.target)

    def _write(self, task: _Task, ab: np.ndarray) -> None:
        """Colors an image and writes it."""
        image, task.image = task.image, None
        assert image is not None
        try:
            recolor(image.rgb, ab, self._threads)
            single.write(task.target, image, self._options)
        except Exception as error:
            task.fail(error)
        del image  # Before its share of the budget is given back.
        self.arrived.put(task)

    def _colorize_pages(self, task: _Task, count: int) -> None:
        """Colorizes a file of several pages or frames, one by one."""
        single.check_pages(task.target, count)
        if self._options.keep_color and not any(map(is_gray, self._read_pages(task, count))):
            task.kept = True
            if self._is_copied(task):
                single.copy(task.source, task.target)
                return
        write_pages(
            task.target,
            self._colorized_pages(task, count),
            durations=frame_durations(task.source),
            quality=self._options.quality,
        )

    def _colorized_pages(self, task: _Task, count: int) -> Iterator[RgbImage]:
        for image in self._read_pages(task, count):
            if not (self._options.keep_color and not is_gray(image)):
                small = squash(image.rgb, self._shape(*image.rgb.shape[:2]))
                recolor(image.rgb, self._ask(small), self._threads)
            yield single.finish(task.target, image, self._options)

    def _ask(self, small: np.ndarray) -> np.ndarray:
        """The ab of an image, which the calling thread predicts."""
        answers = queue.SimpleQueue[np.ndarray]()
        self.arrived.put(_Question(small, answers.put))
        while not self._stopped.is_set():
            try:
                return answers.get(timeout=0.1)
            except queue.Empty:
                continue
        raise _StoppedError


def _next(arrived: queue.SimpleQueue[_Task | _Question]) -> list[_Task | _Question]:
    """Waits for an arrival and takes those that are there too, up to a batch."""
    arrivals = [arrived.get()]
    while len(arrivals) < BATCH_SIZE and not arrived.empty():
        arrivals.append(arrived.get())
    return arrivals


def _by_shape(questions: Sequence[_Question]) -> Iterator[tuple[list[_Question], np.ndarray]]:
    """Batches of images of one shape, as the network takes them, with their questions."""
    for shape in dict.fromkeys(question.small.shape for question in questions):
        alike = [question for question in questions if question.small.shape == shape]
        count = max(1, _PIXELS_AT_ONCE // (shape[0] * shape[1]))
        for start in range(0, len(alike), count):
            batch = alike[start : start + count]
            yield batch, np.stack([question.small for question in batch])
