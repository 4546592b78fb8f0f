"""Colorizes image files in the worker processes of a Ray cluster.

Each worker loads the model once, then gets chunks of the images. What a chunk needs is done by its
worker: reading, network and writing. Only names and what became of them go through Ray.

Ray Data is not used: it repeats the work of a dead worker without end, so that an image that
kills its worker would never be reported.
"""

import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from keras_colorize.console import log
from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.inference.copies import colorize_copies
from keras_colorize.inference.files import BATCH_SIZE, colorize_each, remove_leftovers_beside
from keras_colorize.inference.plan import Plan, Summary
from keras_colorize.inference.prediction import Network
from keras_colorize.inference.results import Result, collect
from keras_colorize.inference.single import Options
from keras_colorize.inference.urls import is_url

THREADS = 1
"""Of each worker, which reserves as many CPUs."""

_CHUNKS = 4  # At least so many for each worker, so that none waits long for the last one.

_TRIES = 3  # Of an image whose worker fails, and of starting a worker.

_OBJECT_STORE = 100 * 2**20  # Bytes; nothing large goes through Ray.


@dataclass(frozen=True)
class _Chunk:
    """Some of the images, target -> source, and how many workers failed at them."""

    sources: dict[Path, Path]
    failures: int = 0


class _Worker:
    """What runs in a process of its own."""

    def __init__(
        self,
        load: Callable[[int], Network],
        options: Options,
        settings: dict[str, Any],
        folder: str,
        needs_folder: bool,
    ) -> None:
        try:
            os.chdir(folder)  # Paths are as the user wrote them.
        except OSError:
            if needs_folder:
                raise
        cv2.setNumThreads(THREADS)
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ.setdefault(name, str(THREADS))
        self._network = load(THREADS)
        self._options = options
        self._settings = settings

    def ready(self) -> None:
        """Returns when the model is loaded."""

    def colorize(self, sources: dict[Path, Path]) -> tuple[list[Result], list[str]]:
        """Colorizes a chunk: what became of the images, and warnings."""
        return colorize_copies(
            sources,
            lambda here: colorize_each(
                here, self._network, self._options, threads=THREADS, **self._settings
            ),
        )


def colorize_files(
    plan: Plan,
    load: Callable[[int], Network],
    options: Options,
    *,
    vividness: float | None = None,
    prediction_size: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Result], None] | None = None,
) -> Summary:
    """Colorizes files, as `files.colorize_files`, in several processes, on several machines.

    Runs on the cluster that the program is connected to, else on that of the environment variable
    RAY_ADDRESS, else on one of this machine that ends with the call. All machines must see the
    same files, or the files are at URLs. The images of a worker that dies are given to
    others, one by one; an image at which workers fail three times has failed.

    Args:
        plan: which files become which.
        load: loads the network in a worker, to run in so many threads; can be pickled.
        options: how results are written.
        vividness: 0..1; by default the network's own.
        prediction_size: short side at which a network of any size sees images.
        workers: how many processes, of one CPU each; by default one for each CPU.
        progress: called with the number of files finished and their total.
        report: called with what became of each image.

    Returns:
        The files written, and the images that failed.

    Warns:
        UserWarning: what workers warn of, as of damaged files.

    Raises:
        ColorizeError: Ray is not installed or its cluster cannot be reached, workers cannot start,
            or the disk is full.
    """
    here = [target for target in plan.sources if not is_url(target)]
    settings = {"vividness": vividness, "prediction_size": prediction_size}
    remove_leftovers_beside(here)
    try:
        with _cluster(workers) as count:
            chunks = _chunks(plan.sources, count)
            needs_folder = not all(is_url(path) for pair in plan.sources.items() for path in pair)
            arguments = load, options, settings, str(Path.cwd()), needs_folder
            results = _colorize_each(chunks, count, arguments)
            return collect(plan, results, progress=progress, report=report)
    finally:
        remove_leftovers_beside(here)


def _chunks(sources: Mapping[Path, Path], workers: int) -> deque[_Chunk]:
    size = max(1, min(BATCH_SIZE, len(sources) // (_CHUNKS * workers)))
    items = list(sources.items())
    return deque(_Chunk(dict(items[start : start + size])) for start in range(0, len(items), size))


@contextmanager
def _cluster(workers: int | None) -> Iterator[int]:
    """A cluster that runs; how many workers to start on it."""
    # Ray sends usage statistics unless this is set.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # On stdout, with a paragraph of advice; what became of the images is in the results.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^A worker died or was killed while")
    try:
        import ray
    except ImportError:
        raise ColorizeError(
            "--engine ray: Ray is not installed: pip install 'keras-colorize[ray]'"
        ) from None
    is_ours = not ray.is_initialized()
    if is_ours:
        settings: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if "RAY_ADDRESS" not in os.environ:
            settings |= {
                "address": "local",
                "num_cpus": (workers or len(os.sched_getaffinity(0))) * THREADS,
                "object_store_memory": _OBJECT_STORE,
                "include_dashboard": False,
            }
        log.info("starting Ray" if "address" in settings else "connecting to Ray")
        with _kept_signals():
            try:
                ray.init(**settings)
            except Exception as error:  # ConnectionError, RuntimeError and more.
                reason = shorten(next(iter(str(error).splitlines()), type(error).__name__), 200)
                raise ColorizeError(f"--engine ray: no cluster ({reason})") from error
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 0)) // THREADS)
    finally:
        if is_ours:
            ray.shutdown()


@contextmanager
def _kept_signals() -> Iterator[None]:
    """Restores what Ray changes: with its own handler SIGTERM would not end a call as Ctrl-C."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # What its handler raises.
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _colorize_each(
    chunks: deque[_Chunk], count: int, arguments: tuple[Any, ...]
) -> Generator[Result]:
    """Lets workers do all chunks; a dead worker is replaced by a new one."""
    import ray
    from ray.exceptions import RayActorError, RayTaskError

    worker_class: Any = ray.remote(num_cpus=THREADS)(_Worker)
    # What is waited for -> its worker, and the chunk it works on; None while it starts.
    running: dict[Any, tuple[Any, _Chunk | None]] = {}
    idle: list[Any] = []
    left = sum(len(chunk.sources) for chunk in chunks)
    failed_starts = 0

    def start() -> None:
        worker = worker_class.remote(*arguments)
        running[worker.ready.remote()] = worker, None

    def hand_out() -> None:
        while idle and chunks:
            worker, chunk = idle.pop(), chunks.popleft()
            running[worker.colorize.remote(chunk.sources)] = worker, chunk

    for _ in range(min(count, len(chunks))):
        start()
    try:
        while left:
            (finished,), _ = ray.wait(list(running), num_returns=1)
            worker, chunk = running.pop(finished)
            results: list[Result] = []
            try:
                answer = ray.get(finished)
            except (RayActorError, RayTaskError) as error:
                reason = _reason(error, is_starting=chunk is None)
                if chunk is None:
                    failed_starts += 1
                    if failed_starts >= _TRIES and not running and not idle:
                        message = f"--engine ray: workers cannot start ({reason})"
                        raise ColorizeError(message) from error
                else:
                    again, results = _again(chunk, reason)
                    chunks.extend(again)
                if isinstance(error, RayActorError):
                    # On a machine where workers cannot start each try fails at once.
                    if chunk is not None or failed_starts < _TRIES:
                        start()
                else:
                    idle.append(worker)
            else:
                idle.append(worker)
                failed_starts = 0
                if chunk is not None:
                    results, notes = answer
                    for note in notes:
                        warnings.warn(note, stacklevel=2)
            hand_out()
            left -= len(results)
            yield from results
    finally:
        for worker in [*idle, *(worker for worker, _ in running.values())]:
            with suppress(Exception):  # The cluster may be gone.
                ray.kill(worker)


def _again(chunk: _Chunk, reason: str) -> tuple[list[_Chunk], list[Result]]:
    """After a worker failed: chunks of one image each, and the results of what is given up."""
    failures = chunk.failures + 1
    if failures == _TRIES:
        return [], [
            Result(source, target, failure=f"{source}: {reason}")
            for target, source in chunk.sources.items()
        ]
    return [_Chunk({target: source}, failures) for target, source in chunk.sources.items()], []


def _reason(error: Exception, is_starting: bool) -> str:
    """Why a worker failed, on one line.

    Raises:
        ColorizeError: if that is what the worker raised, as of a full disk.
    """
    cause = getattr(error, "cause", None)
    if isinstance(cause, ColorizeError):
        raise cause from None
    if cause is not None:
        text = f"{type(cause).__name__}: {' '.join(str(cause).split())}"
    elif is_starting:  # Ray has put the traceback into the message.
        text = str(error).strip().splitlines()[-1]
    else:
        text = "its worker process died; is there too little memory?"
    return shorten(text, 200)
