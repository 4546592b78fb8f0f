"""Where images come from: a folder, CIFAR-10, painted scenes. All come as square uint8 sRGB.

TensorFlow is not loaded here, but by `load_cifar10` when it is called.
"""

import contextlib
import functools
import hashlib
import itertools
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.data.reading import Reader
from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.images import SUFFIXES, find_images, square_thumbnail

Progress = Callable[[int, int], None]
"""Called with the number of images done and their total while many are read."""

GRAY_TOLERANCE = 8
"""A pixel is gray if its largest and smallest channel differ by at most this, of 255."""

GRAY_SHARE = 0.99
"""An image is gray if this share of its pixels is: a gray scan with some chroma noise still is,
one with a small colored thing is not. Tested after resizing."""

# The first folder of an image's path that names its split.
_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}

_SHARE = 32  # Images that a thread reads in one go.
_TINY_FILE = 4096  # Bytes.


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Square images and what they are called.

    Attributes:
        rgb: uint8, shape (N, size, size, 3), sRGB.
        names: N names; of a file, its path in the folder with `/` between the parts.
    """

    rgb: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Splits:
    """The images of a run, and what was left out.

    Attributes:
        train: to train on; never empty.
        validation: to watch training by; never empty.
        test: to evaluate on in the end; may be empty.
        unreadable: names of the files that were skipped because they cannot be decoded.
        gray: how many images were skipped because they have no color.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    unreadable: tuple[str, ...] = ()
    gray: int = 0


def load_folder(
    path: Path | str,
    image_size: int,
    *,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    split_by: Literal["file", "folder"] = "file",
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
    progress: Progress | None = None,
) -> Splits:
    """Reads the images of a folder tree: center crop, area-filtered resize, gray ones left out.

    Images under `validation/` (or `val/`) and `test/` go there; if there is a `train/`, only
    its images are trained on. Otherwise a hash of each image's path
    decides, so adding images never moves existing ones: `validation_share` of the
    training images unless there is a `validation/`, and `test_share` unless there is a `test/`
    or a `train/`.

    Args:
        path: the folder.
        image_size: height and width of the result, in pixels.
        validation_share: share of the images, 0..1.
        test_share: share of the images, 0..1.
        split_by: whether each file is hashed, or its folder, which keeps the images of a
            folder (of one artist, say) together.
        train_images: at most so many, the first in the order of their hash; None for all.
        validation_images: likewise.
        test_images: likewise.
        progress: called now and then while reading.

    Returns:
        The splits, each in the order of the hash.

    Warns:
        UserWarning: some files cannot be read, or lie outside the folders that are used.

    Raises:
        ColorizeError: `path` is not a folder, or no image is left to train or to validate on.
    """
    root = Path(path)
    names = _names(root)
    split_names = _split(names, validation_share, test_share, split_by)
    unused = len(names) - sum(map(len, split_names))
    if unused:
        warnings.warn(
            f"{root}: {unused} of {len(names)} images are outside train/, validation/ and test/ "
            "and not used",
            stacklevel=2,
        )
    (train, validation, test), unreadable, gray = _read(
        root,
        split_names,
        (train_images, validation_images, test_images),
        image_size,
        keep_gray=False,
        progress=progress,
    )
    _warn_of_unreadable(root, unreadable)
    remedy = "add images, or change the shares of the splits"
    if split_by == "folder":
        remedy = 'add folders, or set split_by to "file"'
    for purpose, images in (("train", train), ("validate", validation)):
        if not len(images):
            raise ColorizeError(
                f"{root}: no image left to {purpose} on: of {len(names)} found, "
                f"{len(unreadable)} are unreadable and {gray} gray; {remedy}"
            )
    return Splits(train, validation, test, tuple(unreadable), gray)


def count_folder(
    path: Path | str,
    *,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    split_by: Literal["file", "folder"] = "file",
) -> tuple[int, int, int]:
    """Counts the files of a folder tree to train, validate and test on; arguments as above.

    Raises:
        ColorizeError: `path` is not a folder, or has no image.
    """
    train, validation, test = _split(_names(Path(path)), validation_share, test_share, split_by)
    return len(train), len(validation), len(test)


def load_test_images(
    path: Path | str, image_size: int, progress: Progress | None = None
) -> ImageSet:
    """Reads the images to evaluate a model on: those under `test/`, or all if there are none.

    Args:
        path: a folder.
        image_size: height and width of the result, in pixels.
        progress: called now and then while reading.

    Returns:
        The images in the order of their paths, gray ones too.

    Warns:
        UserWarning: some files cannot be read.

    Raises:
        ColorizeError: `path` is not a folder, or none of its images can be read.
    """
    root = Path(path)
    names = _names(root)
    names = [name for name in names if name.startswith("test/")] or names
    (images,), unreadable, _ = _read(
        root, [names], [None], image_size, keep_gray=True, progress=progress
    )
    if not len(images):
        raise ColorizeError(f"{root}: none of its {len(names)} images can be read")
    _warn_of_unreadable(root, unreadable)
    return images


def load_cifar10(
    image_size: int,
    *,
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
) -> Splits:
    """Loads CIFAR-10 through Keras, which downloads it once (170 MB) to its cache.

    Of its 10,000 test images the first are for validation, all of them unless
    `validation_images` says less, and the next are for testing. The few gray images stay in.

    Args:
        image_size: height and width of the result, in pixels; the originals have 32.
        train_images: at most so many, of 50,000; None for all.
        validation_images: at most so many; None for all.
        test_images: at most so many; None for all that are left.

    Returns:
        The splits, in CIFAR-10's order.

    Raises:
        ColorizeError: CIFAR-10 is not in the cache and cannot be downloaded.

    Reference:
        Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    import keras

    try:
        (train, _), (held_out, _) = keras.datasets.cifar10.load_data()
    except Exception as error:  # A failed download raises just that.
        home = os.environ.get("KERAS_HOME", "~/.keras")
        raise ColorizeError(
            f"CIFAR-10 cannot be loaded ({error}); connect this machine to the internet, or save "
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz as "
            f"{home}/datasets/cifar-10-batches-py-target_archive"
        ) from error
    validation = held_out[:validation_images]
    test = held_out[len(validation) :][:test_images]
    return Splits(
        _shrink("train", train[:train_images], image_size),
        _shrink("validation", validation, image_size),
        _shrink("test", test, image_size),
    )


def load_painted_scenes(
    image_size: int, train_images: int, validation_images: int, test_images: int, seed: int
) -> Splits:
    """Paints scenes; those of a split don't depend on how many the others have.

    Args:
        image_size: height and width, in pixels.
        train_images: how many to train on.
        validation_images: how many to validate on.
        test_images: how many to test on.
        seed: 0 or more; other seeds give other scenes.

    Returns:
        The splits.

    Raises:
        ColorizeError: there is no memory for so many.
    """
    counts = (train_images, validation_images, test_images)
    try:
        train, validation, test = (
            _numbered(split, paint_scenes(count, image_size, 3 * seed + index))
            for index, (split, count) in enumerate(
                zip(("train", "validation", "test"), counts, strict=True)
            )
        )
    except MemoryError:
        gigabytes = 3 * image_size**2 * sum(counts) / 1e9
        raise ColorizeError(
            f"{sum(counts):,} painted scenes of {image_size}x{image_size} take "
            f"{gigabytes:,.0f} GB of memory; ask for fewer"
        ) from None
    return Splits(train, validation, test)


def _names(root: Path) -> list[str]:
    """The images under a folder, one or more: sorted paths relative to it, with `/` between."""
    names = find_images(root)
    if not names:
        raise ColorizeError(f"{root}: no image in it ({' '.join(SUFFIXES)})")
    return names


def _hash(text: str) -> float:
    """A number of 0..1 that depends on the text only, spread evenly."""
    digest = hashlib.blake2b(os.fsencode(text), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _split(
    names: Sequence[str], validation_share: float, test_share: float, split_by: str
) -> tuple[list[str], list[str], list[str]]:
    """Names to train, validate and test on, each in the order of their hash."""
    splits: dict[str, list[str]] = {"train": [], "validation": [], "test": [], "": []}
    for name in sorted(names, key=_hash):
        splits[_SPLIT_FOLDERS.get(name.partition("/")[0], "")].append(name)
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    # Validation takes from the low end and test from the high, so one share leaves the other be.
    validation_end = 0.0 if validation else validation_share
    test_start = 1.0 if train or test else 1.0 - test_share
    rest, train = train or splits[""], []
    for name in rest:
        place = _hash(name if split_by == "file" else name.rpartition("/")[0])
        split = validation if place < validation_end else test if place >= test_start else train
        split.append(name)
    return train, validation, test


def _read(
    root: Path,
    splits: Sequence[Sequence[str]],
    limits: Sequence[int | None],
    image_size: int,
    *,
    keep_gray: bool,
    progress: Progress | None,
) -> tuple[list[ImageSet], list[str], int]:
    """Reads in threads, from each split in turn, until its limit is reached or its names end.

    Returns:
        The images of each split, the names of the unreadable files, the number of gray images.
    """
    reader = Reader()
    thumbnail = functools.partial(square_thumbnail, size=image_size)

    def thumbnails(names: Sequence[str]) -> tuple[np.ndarray, list[str], list[str]]:
        """The images worth keeping, their names, and those of the unreadable files."""
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
        kept = np.ones(len(rgb), bool) if keep_gray else ~_are_gray(rgb)
        return rgb[kept], list(itertools.compress(readable, kept)), unreadable

    wanted = [
        len(names) if limit is None else min(limit, len(names))
        for names, limit in zip(splits, limits, strict=True)
    ]
    sets: list[ImageSet] = []
    unreadable: list[str] = []
    gray = 0
    threads = ThreadPoolExecutor(_thread_count(root, splits))
    try:
        for names, count in zip(splits, wanted, strict=True):
            rgb = np.empty((count, image_size, image_size, 3), np.uint8)
            kept: list[str] = []
            position = 0
            # Reads as many as are wanted; then, in place of those left out, the next.
            while missing := names[position : position + count - len(kept)]:
                shares = [missing[at : at + _SHARE] for at in range(0, len(missing), _SHARE)]
                for share, found in zip(shares, threads.map(thumbnails, shares), strict=True):
                    images, readable, damaged = found
                    rgb[len(kept) : len(kept) + len(images)] = images
                    kept += readable
                    unreadable += damaged
                    gray += len(share) - len(images) - len(damaged)
                    position += len(share)
                    if progress is not None:
                        progress(sum(wanted[: len(sets)]) + min(position, count), sum(wanted))
            sets.append(ImageSet(rgb[: len(kept)], tuple(kept)))
    finally:
        threads.shutdown(cancel_futures=True)  # Whoever interrupts this need not wait for all.
    return sets, unreadable, gray


def _are_gray(rgb: np.ndarray) -> np.ndarray:
    """Which of (N, S, S, 3) have no color worth learning: see GRAY_TOLERANCE and GRAY_SHARE."""
    # Channel by channel is eight times as fast as maxima along the last axis.
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return (spread <= GRAY_TOLERANCE).mean(axis=(1, 2)) >= GRAY_SHARE


def _thread_count(root: Path, splits: Sequence[Sequence[str]]) -> int:
    """A thread a core, but one for tiny files, which threads read at half its pace.

    Python's lock then changes hands more often than images are decoded.
    """
    sizes = []
    for name in itertools.islice(itertools.chain(*splits), 16):
        with contextlib.suppress(OSError):  # Reading it will raise.
            sizes.append((root / name).stat().st_size)
    is_tiny = sum(sizes) < _TINY_FILE * len(sizes)
    return 1 if is_tiny else len(os.sched_getaffinity(0))


def _warn_of_unreadable(root: Path, unreadable: Sequence[str]) -> None:
    """One warning for all files that were skipped; names the first few."""
    if unreadable:
        more = ", ..." if len(unreadable) > 3 else ""
        warnings.warn(
            f"{root}: unreadable images skipped: {len(unreadable)} "
            f"({', '.join(map(shorten, unreadable[:3]))}{more})",
            stacklevel=3,
        )


def _shrink(split: str, rgb: np.ndarray, image_size: int) -> ImageSet:
    """Images at another size, numbered."""
    resized = np.empty((len(rgb), image_size, image_size, 3), np.uint8)
    for index, image in enumerate(rgb):
        resized[index] = square_thumbnail(image, image_size)
    return _numbered(split, resized)


def _numbered(split: str, rgb: np.ndarray) -> ImageSet:
    """Images that have no names of their own: train/00000, train/00001, ..."""
    return ImageSet(rgb, tuple(f"{split}/{index:05d}" for index in range(len(rgb))))
