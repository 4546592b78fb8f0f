"""Reads images in several threads within a budget of memory: small files may hold large images."""

import contextlib
import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from keras_colorize.budget import Budget
from keras_colorize.errors import ColorizeError
from keras_colorize.images import MAX_PIXELS, check_reading, needs, read_rgb, square_thumbnail

Item = TypeVar("Item")
Result = TypeVar("Result")

GRAY_TOLERANCE = 8
"""A pixel is gray if its largest and smallest channel differ by at most this, of 255."""

GRAY_SHARE = 0.99
"""An image is gray if this share of its pixels is: a gray scan with some chroma noise still is,
one with a small colored thing is not. Decided after resizing."""

_FREE_PIXELS = 2**20  # Images of at most one megapixel need no budget: threads are few.
_CHUNK_PIXELS = 2**17  # Of the images, after resizing, that a thread reads on end.
_CHUNK_IMAGES = 32  # At most.
_TINY_FILE = 4096  # Bytes.


@dataclass(frozen=True, eq=False)
class Chunk:
    """A few images in a row, and what was left out among them.

    Attributes:
        rgb: uint8, shape (N, S, S, 3), sRGB.
        names: N names.
        unreadable: names of the files that cannot be decoded.
        gray: how many images were left out because they have no color.
    """

    rgb: np.ndarray
    names: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    gray: int = 0

    @property
    def files(self) -> int:
        """How many files were read."""
        return len(self.names) + len(self.unreadable) + self.gray


def chunk_size(image_size: int) -> int:
    """How many images of this size are read in a row."""
    return max(1, min(_CHUNK_IMAGES, _CHUNK_PIXELS // image_size**2))


def read_chunks(
    root: Path,
    names: Sequence[str],
    wanted: int,
    image_size: int,
    *,
    keep_gray: bool = False,
    position: int = 0,
    kept: int = 0,
) -> Iterator[Chunk]:
    """Reads files in threads and in order, until as many images as wanted are kept.

    Whether it begins at the first file or where an earlier call stopped, the images are the same.

    Args:
        root: the folder.
        names: of the files, relative to `root`.
        wanted: how many images are read, if there are so many to keep.
        image_size: the central square of each image is resized to this height and width.
        keep_gray: keep images without color, too.
        position: number of files that were read before, from the first on.
        kept: number of images that were kept of these.

    Yields:
        Images in the order of their names.
    """
    read = functools.partial(_read_chunk, Reader(), root, image_size, keep_gray)
    size = chunk_size(image_size)
    count = _thread_count(root, names)
    threads = ThreadPoolExecutor(count)
    try:
        # Reads as many as are wanted; then, in place of those left out, the next.
        while missing := names[position : position + wanted - kept]:
            chunks = (missing[at : at + size] for at in range(0, len(missing), size))
            for chunk in _in_order(threads, read, chunks, ahead=2 * count):
                yield chunk
                position += chunk.files
                kept += len(chunk.rgb)
    finally:
        threads.shutdown(cancel_futures=True)  # On interrupt, drop the reads still queued.


def _read_chunk(
    reader: "Reader", root: Path, image_size: int, keep_gray: bool, names: Sequence[str]
) -> Chunk:
    thumbnail = functools.partial(square_thumbnail, size=image_size)
    rgb = np.empty((len(names), image_size, image_size, 3), np.uint8)
    readable: list[str] = []
    unreadable: list[str] = []
    for name in names:
        try:
            rgb[len(readable)] = reader.read(f"{root}/{name}", thumbnail)
        except ColorizeError:
            unreadable.append(name)
        else:
            readable.append(name)
    rgb = rgb[: len(readable)]
    is_kept = np.ones(len(rgb), bool) if keep_gray else ~_are_gray(rgb)
    if not is_kept.all():
        rgb = rgb[is_kept]
    kept = tuple(itertools.compress(readable, is_kept))
    return Chunk(rgb, kept, tuple(unreadable), len(readable) - len(kept))


def _in_order(
    threads: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    """Maps in threads; at most so many results wait to be used."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(threads.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _are_gray(rgb: np.ndarray) -> np.ndarray:
    """Which of (N, S, S, 3) have no color worth learning: see GRAY_TOLERANCE and GRAY_SHARE."""
    # Channel by channel is eight times as fast as maxima along the last axis.
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return (spread <= GRAY_TOLERANCE).mean(axis=(1, 2)) >= GRAY_SHARE


def _thread_count(root: Path, names: Sequence[str]) -> int:
    """A thread per core, but one for tiny files, which threads read at half its pace.

    Python's lock then changes hands more often than images are decoded.
    """
    sizes = []
    for name in names[:16]:
        with contextlib.suppress(OSError):  # Reading it reports the error.
            sizes.append((root / name).stat().st_size)
    is_tiny = sum(sizes) < _TINY_FILE * len(sizes)
    return 1 if is_tiny else len(os.sched_getaffinity(0))


class Reader:
    """Reads images; those that are decoded at a time stay within a budget. Threads may share it.

    Args:
        budget: bytes that large images at work take at a time; a larger one goes alone.
        max_pixels: still larger images are refused, as are those that take more than
            `images.MAX_MEMORY`.
    """

    def __init__(self, budget: int = 1_000_000_000, max_pixels: int = MAX_PIXELS) -> None:
        self._most = budget
        self._budget = Budget(budget)
        self._max_pixels = max_pixels

    def read(self, source: Path | str | bytes, use: Callable[[np.ndarray], Result]) -> Result:
        """Reads an image and returns what `use` makes of it.

        Args:
            source: path of an image file, or its bytes.
            use: gets uint8 sRGB, shape (H, W, 3), and keeps none of it.

        Raises:
            ColorizeError: as `read_rgb`; or the image would take too much memory.
        """
        try:
            rgb = read_rgb(source, max_pixels=min(_FREE_PIXELS, self._max_pixels))
        except ColorizeError:
            need = needs(source)
            if need.pixels <= _FREE_PIXELS:  # It is not for its size.
                raise
        else:
            return use(rgb)
        check_reading(source, need)
        charge = min(need.reading, self._most)
        self._budget.take(charge)
        try:
            return use(read_rgb(source, max_pixels=self._max_pixels))
        finally:
            self._budget.give(charge)
