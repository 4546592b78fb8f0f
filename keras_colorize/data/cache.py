"""Lab of all images of a run, computed once: in memory, or memory-mapped on disk.

Images come chunk by chunk from a `Folder` or `Splits` and are let go as soon as they are converted.
"""

import dataclasses
import errno
import functools
import hashlib
import json
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import tensorflow as tf

from keras_colorize.console import log
from keras_colorize.data.lab import LAB_BYTES, lab_from_rgb, rgb_from_lab
from keras_colorize.data.reading import Chunk
from keras_colorize.data.sources import SPLITS, Folder, ReportProgress, Splits, overall_progress
from keras_colorize.errors import ColorizeError
from keras_colorize.files import locked, remove_leftovers, write_text
from keras_colorize.memory import format_bytes, total_memory

CACHED = ("train", "validation")
"""The splits whose Lab is cached. Images to test on are only counted."""

Images: TypeAlias = Folder | Splits

_PIXELS_AT_ONCE = 2**20  # As a whole cache is gone through.
_VERSION = 1  # Of what is on disk.
_SAVE_SECONDS = 10.0  # How often progress is saved while a cache on disk is filled.


@dataclass
class Tally:
    """What was made of the images so far.

    Attributes:
        position: split -> number of files read.
        kept: split -> number of images kept of them.
        unreadable: names of the files that cannot be decoded.
        gray: number of images left out because they have no color.
    """

    position: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    unreadable: list[str] = field(default_factory=list)
    gray: int = 0

    def add(self, split: str, chunk: Chunk) -> None:
        """Counts a chunk."""
        self.position[split] += chunk.files
        self.kept[split] += len(chunk.rgb)
        self.unreadable += chunk.unreadable
        self.gray += chunk.gray


class MemoryCache:
    """Lab of the images of a split, in memory.

    A variable, since tf.data and TensorFlow's functions copy any tensor that they capture.

    Args:
        rows: how many images it can hold; those that it does not take no memory.
        image_size: their height and width, in pixels.
    """

    parallel_reads = 2  # How many batches are read at a time.

    def __init__(self, rows: int, image_size: int) -> None:
        shape = (rows, image_size, image_size, 3)
        self.image_size = image_size
        self._count = 0
        with tf.device("CPU"):  # where tf.data works
            self._lab = tf.Variable(tf.raw_ops.Empty(shape=shape, dtype=tf.int16), trainable=False)

    def __len__(self) -> int:
        return self._count

    def append(self, lab: np.ndarray) -> None:
        """Adds images: int16, shape (N, S, S, 3), as `lab_from_rgb` returns them."""
        rows = np.arange(self._count, self._count + len(lab), dtype=np.int32)
        # `tf.Variable.scatter_update` does the same in five times the time.
        tf.raw_ops.ResourceScatterUpdate(resource=self._lab.handle, indices=rows, updates=lab)
        self._count += len(lab)

    def read(self, order: tf.Tensor) -> tf.Tensor:
        """The images of these numbers: integers, shape (N,) -> int16, shape (N, S, S, 3)."""
        return self._lab.sparse_read(order)

    def rows(self, start: int, end: int) -> np.ndarray:
        """The images from `start` to `end`, int16."""
        return self._lab.sparse_read(tf.range(start, min(end, self._count))).numpy()


class DiskCache:
    """Lab of the images of a split, in a file that is mapped into memory.

    Args:
        path: the file: int16, one image after the other.
        image_size: height and width of the images, in pixels.

    Raises:
        OSError: the file cannot be mapped.
    """

    parallel_reads = 8  # Most of the time they wait for the disk.

    def __init__(self, path: Path, image_size: int) -> None:
        self.image_size = image_size
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        # Images come in random order: what lies beside one is not needed.
        self._map.madvise(mmap.MADV_RANDOM)
        self._lab = np.frombuffer(self._map, np.int16).reshape(-1, image_size, image_size, 3)

    def __len__(self) -> int:
        return len(self._lab)

    def read(self, order: tf.Tensor) -> tf.Tensor:
        """The images of these numbers, as of a `MemoryCache`."""
        # TensorFlow keeps the function, and so the mapping, until the process ends.
        lab = tf.numpy_function(self._take, [order], tf.int16)
        return tf.ensure_shape(lab, (None, *self._lab.shape[1:]))

    def rows(self, start: int, end: int) -> np.ndarray:
        """The images from `start` to `end`, int16."""
        self._request(start, min(end, len(self)) - start)
        return self._lab[start:end]

    def _take(self, order: np.ndarray) -> np.ndarray:
        for number in order:  # All are requested before the first is waited for.
            self._request(int(number), 1)
        return np.take(self._lab, order, axis=0)

    def _request(self, start: int, count: int) -> None:
        """Lets the kernel read images into memory, without waiting for them."""
        row = self._lab[0].nbytes
        page = start * row // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, page, (start + count) * row - page)


LabCache: TypeAlias = MemoryCache | DiskCache


@dataclass(frozen=True)
class CachedImages:
    """The images of a run.

    Attributes:
        train: Lab of the images to train on.
        validation: likewise, to validate on.
        tally: how many there are, and what was left out.
        fingerprint: hash of the images to train and to validate on.
        folder: where the Lab is on disk; None if it is in memory.
    """

    train: LabCache
    validation: LabCache
    tally: Tally
    fingerprint: str
    folder: Path | None = None

    def __str__(self) -> str:
        counts = [f"{self.tally.kept[split]:,}" for split in CACHED]
        size = format_bytes(cache_bytes(self.tally.kept, self.train.image_size))
        place = "in memory" if self.folder is None else f"on disk in {self.folder}"
        return f"Lab of {counts[0]} + {counts[1]} images, {size}, {place}"


def cache_bytes(counts: Mapping[str, int], image_size: int) -> int:
    """Bytes that the Lab of so many images of each split takes."""
    return sum(counts[split] for split in CACHED) * image_size**2 * LAB_BYTES


def memory_limit(gib: float | None) -> int:
    """Bytes of Lab that are held in memory.

    Args:
        gib: `data.memory_gib` of a recipe; None for a quarter of this machine's or container's.
    """
    if gib is not None:
        return int(gib * 2**30)
    return total_memory() // 4


def fingerprint(*caches: LabCache) -> str:
    """Hash of the images that caches were made of: their shape and 8-bit values."""
    digest = hashlib.blake2b(digest_size=16)
    for cache in caches:
        size = cache.image_size
        digest.update(repr((len(cache), size, size, 3)).encode())
        for rgb in _images(cache):
            digest.update(rgb.data)
    return digest.hexdigest()


def cache_in_memory(images: Images, progress: ReportProgress | None = None) -> CachedImages:
    """Reads images and keeps their Lab in memory.

    Raises:
        ColorizeError: no image is left to train or to validate on.
    """
    caches = {split: MemoryCache(images.wanted[split], images.image_size) for split in CACHED}
    tally = Tally(unreadable=list(images.unreadable), gray=images.gray)
    appends = {split: cache.append for split, cache in caches.items()}
    passing = _PassingHash(images)
    for split, chunk in _fill(images, tally, appends, progress):
        passing.add(split, chunk.rgb)
    images.check(tally.kept, tally.unreadable, tally.gray)
    train, validation = caches.values()
    return CachedImages(
        train, validation, tally, passing.result(tally) or fingerprint(train, validation)
    )


def cache_on_disk(
    images: Images, folder: Path, made_of: Mapping[str, Any], progress: ReportProgress | None = None
) -> CachedImages:
    """Opens the cache of images on disk; fills it if it is not there or not whole.

    If a process is killed while it fills the cache, the next one continues. If files have been
    added, removed or changed since, it begins anew.

    Args:
        images: to be cached.
        folder: holds caches, each in a folder of its own.
        made_of: what decides on the images; those that differ in it have different caches.
        progress: called now and then while images are read.

    Raises:
        ColorizeError: no image is left to train or to validate on; or the folder cannot be
            written, as when the disk is full, or not be mapped into memory.
    """
    found = find_on_disk(images, folder, made_of)
    if found is not None:
        return found
    place = _place(images, folder, made_of)
    with ExitStack() as stack:
        with _writing(images, folder):
            place.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(place, "filling this cache", on_wait=log.info))
        listing = images.listing()
        state = _read_state(place, listing, images.image_size)
        if state and state["fingerprint"]:  # Another process has filled it meanwhile.
            return _open(images, place, state)
        return _fill_on_disk(images, place, listing, state, progress)


def find_on_disk(images: Images, folder: Path, made_of: Mapping[str, Any]) -> CachedImages | None:
    """The whole cache of these images on disk, if there is one; as `cache_on_disk`."""
    place = _place(images, folder, made_of)
    with _named_errors(folder, "cannot be read"):
        if not (place / "cache.json").is_file():
            return None
    state = _read_state(place, images.listing(), images.image_size)
    return _open(images, place, state) if state and state["fingerprint"] else None


def load_into_memory(cached: CachedImages) -> CachedImages:
    """Copies a cache on disk into memory."""
    copies = []
    for source in (cached.train, cached.validation):
        copy = MemoryCache(len(source), source.image_size)
        for start, end in _parts(source):
            copy.append(source.rows(start, end))
        copies.append(copy)
    return dataclasses.replace(cached, train=copies[0], validation=copies[1], folder=None)


def _parts(cache: LabCache) -> Iterator[tuple[int, int]]:
    size = max(1, _PIXELS_AT_ONCE // cache.image_size**2)
    for start in range(0, len(cache), size):
        yield start, min(start + size, len(cache))


def _images(cache: LabCache) -> Iterator[np.ndarray]:
    """The images of a cache, a few at a time, uint8 sRGB."""
    for start, end in _parts(cache):
        yield rgb_from_lab(cache.rows(start, end))


def _fill(
    images: Images,
    tally: Tally,
    appends: Mapping[str, Callable[[Any], object]],
    progress: ReportProgress | None,
) -> Iterator[tuple[str, Chunk]]:
    """Reads on from where the tally is; yields each chunk when it is cached, and its split."""
    report = overall_progress(progress, images.wanted)
    for split in SPLITS:
        position = tally.position[split]
        for chunk in report(split, images.chunks(split, position, tally.kept[split]), position):
            if split in appends and len(chunk.rgb):
                appends[split](lab_from_rgb(chunk.rgb))
            tally.add(split, chunk)
            yield split, chunk


class _PassingHash:
    """The `fingerprint` of images as they come, which needs their number in advance."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._digest = hashlib.blake2b(digest_size=16)
        self._count = dict.fromkeys(CACHED, 0)

    def add(self, split: str, rgb: np.ndarray) -> None:
        """Adds the images of a chunk."""
        if split not in self._count or not len(rgb):
            return
        if not self._count[split]:
            shape = (self._images.wanted[split], *rgb.shape[1:])
            self._digest.update(repr(shape).encode())
        self._count[split] += len(rgb)
        self._digest.update(np.ascontiguousarray(rgb).data)

    def result(self, tally: Tally) -> str:
        """The fingerprint; empty if not all that are wanted have passed."""
        is_whole = all(
            self._count[split] == tally.kept[split] == self._images.wanted[split]
            for split in CACHED
        )
        return self._digest.hexdigest() if is_whole else ""


def _fill_on_disk(
    images: Images,
    place: Path,
    listing: str,
    state: dict[str, Any] | None,
    progress: ReportProgress | None,
) -> CachedImages:
    """Fills a cache, or the rest of it if its state is known."""
    row = images.image_size**2 * LAB_BYTES
    tally = Tally(unreadable=list(images.unreadable), gray=images.gray)
    writing = functools.partial(_writing, images, place.parent)

    @writing()
    def save(fingerprint: str = "") -> dict[str, Any]:
        state = {
            "version": _VERSION,
            "listing": listing,
            "tally": dataclasses.asdict(tally),
            "fingerprint": fingerprint,
        }
        write_text(place / "cache.json", json.dumps(state))
        return state

    with writing():
        remove_leftovers(place)
    if state is None:
        anew = " anew, since images have changed" if (place / "cache.json").exists() else ""
        size = format_bytes(cache_bytes(images.wanted, images.image_size))
        log.info("%s: is filled%s with Lab, up to %s", place, anew, size)
        save()
        with writing():
            for split in CACHED:  # A process that still reads an old cache keeps its file.
                _file(place, split).unlink(missing_ok=True)
    else:
        tally = Tally(**state["tally"])
        done, total = (sum(counts.values()) for counts in (tally.position, images.wanted))
        log.info("%s: continues after %s of %s images", place, f"{done:,}", f"{total:,}")
    passing = _PassingHash(images)
    with ExitStack() as stack:
        files = {}
        with writing():
            for split in CACHED:
                path = _file(place, split)
                path.touch()
                files[split] = file = path.open("r+b")
                stack.callback(writing()(file.close))  # It writes what is left.
                file.seek(tally.kept[split] * row)
            _reserve(place, {file: images.wanted[split] * row for split, file in files.items()})
        last = time.monotonic()
        appends = {split: writing()(file.write) for split, file in files.items()}
        for split, chunk in _fill(images, tally, appends, progress):
            passing.add(split, chunk.rgb)
            if time.monotonic() - last >= _SAVE_SECONDS:
                with writing():
                    _sync(files.values())
                save()
                last = time.monotonic()
        with writing():
            for split, file in files.items():
                file.truncate(tally.kept[split] * row)
            _sync(files.values())
        state = save()
    cached = _open(images, place, state)
    found = passing.result(tally) or fingerprint(cached.train, cached.validation)
    save(found)
    return dataclasses.replace(cached, fingerprint=found)


def _reserve(place: Path, sizes: Mapping[BinaryIO, int]) -> None:
    """Takes room for files, so that a full disk is noticed now, and not after hours."""
    missing = sum(size - os.fstat(file.fileno()).st_blocks * 512 for file, size in sizes.items())
    if missing > shutil.disk_usage(place).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
    for file, size in sizes.items():
        if size:
            os.posix_fallocate(file.fileno(), 0, size)


def _sync(files: Iterable[BinaryIO]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())


def _open(images: Images, place: Path, state: Mapping[str, Any]) -> CachedImages:
    tally = Tally(**state["tally"])
    images.check(tally.kept, tally.unreadable, tally.gray)
    with _named_errors(place.parent, "cannot be mapped into memory"):
        train, validation = (DiskCache(_file(place, split), images.image_size) for split in CACHED)
    return CachedImages(train, validation, tally, state["fingerprint"], place)


def _read_state(place: Path, listing: str, image_size: int) -> dict[str, Any] | None:
    """What cache.json says; None if there is no cache, a damaged one, or one of other images."""
    path = place / "cache.json"
    if not path.exists():
        return None
    row = image_size**2 * LAB_BYTES
    try:
        state = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
        if state["version"] != _VERSION:
            raise ValueError("of another version")
        sizes = {split: _file(place, split).stat().st_size for split in CACHED}
        expected = {split: state["tally"]["kept"][split] * row for split in CACHED}
        if state["fingerprint"]:
            is_whole = sizes == expected
        else:
            is_whole = all(sizes[split] >= expected[split] for split in CACHED)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return state if is_whole and state["listing"] == listing else None


def _place(images: Images, folder: Path, made_of: Mapping[str, Any]) -> Path:
    """The folder of a cache, named after the folder of its images or their source."""
    key = dict(made_of)
    name = str(key.get("source"))
    if isinstance(images, Folder):
        name, key["path"] = images.root.resolve().name, str(images.root.resolve())
    else:
        key["listing"] = images.listing()
    digest = hashlib.blake2b(json.dumps(key, sort_keys=True).encode(), digest_size=6)
    return folder / f"{name.replace(':', '.')}-{images.image_size}-{digest.hexdigest()}"


def _file(place: Path, split: str) -> Path:
    return place / f"{split}.int16"


@contextmanager
def _writing(images: Images, folder: Path) -> Iterator[None]:
    """Names errors of writing a cache."""
    size = format_bytes(cache_bytes(images.wanted, images.image_size))
    with _named_errors(folder, f"cannot be written, up to {size}"):
        yield


@contextmanager
def _named_errors(folder: Path, failure: str) -> Iterator[None]:
    """Turns what goes wrong with the files of a cache into a ColorizeError of one line."""
    try:
        yield
    except OSError as error:
        raise ColorizeError(
            f"{folder}: Lab of the images {failure} ({error.strerror or error}); "
            "name another folder (data.cache)"
        ) from error
