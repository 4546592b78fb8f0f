"""Where images come from: a folder, CIFAR-10, painted scenes. All come as square uint8 sRGB.

TensorFlow is not loaded here, but by `load_cifar10` when it is called.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from keras_colorize.console import log
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.data.reading import Chunk, chunk_size, read_chunks
from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.images import find_images, readable_suffixes, square_thumbnail

ReportProgress = Callable[[int, int], None]
"""Called with the number of images done and their total while many are read."""

SPLITS = ("train", "validation", "test")

# The first folder of an image's path that names its split.
_SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


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

    @property
    def image_size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.train.rgb.shape[1]

    @property
    def wanted(self) -> Mapping[str, int]:
        """How many images each split has."""
        return {split: len(getattr(self, split)) for split in SPLITS}

    def listing(self) -> str:
        """Hash that differs if the images do."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            rgb = getattr(self, split).rgb
            digest.update(repr(rgb.shape).encode())
            digest.update(np.ascontiguousarray(rgb).data)
        return digest.hexdigest()

    def chunks(self, split: str, position: int = 0, kept: int = 0) -> Iterator[Chunk]:
        """The images of a split, a few at a time; as `Folder.chunks`."""
        images = getattr(self, split)
        size = chunk_size(self.image_size)
        for start in range(position, len(images), size):
            part = slice(start, start + size)
            yield Chunk(images.rgb[part], images.names[part])

    def check(self, kept: Mapping[str, int], unreadable: Sequence[str], gray: int) -> None:
        """Is for a `Folder`: these images are known to be enough."""


@dataclass(frozen=True, eq=False)
class Folder:
    """The images of a folder, listed and not read yet.

    Attributes:
        root: the folder.
        names: split -> names of its files, in the order of their hash.
        wanted: split -> how many images are read, if there are so many.
        image_size: height and width to which images are cropped and resized, in pixels.
        remedy: what a user can do if a split stays empty.
        unreadable: none is known before reading.
        gray: likewise.
    """

    root: Path
    names: Mapping[str, Sequence[str]]
    wanted: Mapping[str, int]
    image_size: int
    remedy: str = ""
    unreadable: tuple[str, ...] = ()
    gray: int = 0

    def listing(self) -> str:
        """Hash of all files' names, sizes and times, which tells a folder that has changed."""
        digest = hashlib.blake2b(digest_size=16)
        for split in SPLITS:
            for name in self.names[split]:
                try:
                    status = os.stat(f"{self.root}/{name}")  # noqa: PTH116 (Path takes its time)
                    state = f"{status.st_size} {status.st_mtime_ns}"
                except OSError:
                    state = ""
                digest.update(os.fsencode(f"{split}/{name}\0{state}\0"))
        return digest.hexdigest()

    def chunks(self, split: str, position: int = 0, kept: int = 0) -> Iterator[Chunk]:
        """Reads the images of a split, as `read_chunks`."""
        return read_chunks(
            self.root,
            self.names[split],
            self.wanted[split],
            self.image_size,
            position=position,
            kept=kept,
        )

    def check(self, kept: Mapping[str, int], unreadable: Sequence[str], gray: int) -> None:
        """Warns of unreadable files that were skipped, and logs how many gray ones were.

        Args:
            kept: split -> number of images.
            unreadable: names of the files that cannot be decoded.
            gray: number of images without color.

        Raises:
            ColorizeError: no image is left to train or to validate on.
        """
        _warn_of_unreadable(self.root, unreadable, stacklevel=4)
        if gray:
            log.info("%s: gray images skipped: %s", self.root, f"{gray:,}")
        for purpose, split in (("train", "train"), ("validate", "validation")):
            if not kept[split]:
                raise ColorizeError(
                    f"{self.root}: no image left to {purpose} on: of "
                    f"{sum(map(len, self.names.values()))} found, {len(unreadable)} are "
                    f"unreadable and {gray} gray; {self.remedy}"
                )


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
    progress: ReportProgress | None = None,
) -> Splits:
    """Reads the images of a folder tree, as `fit` takes them as `data`.

    Args:
        path: the folder.
        image_size: height and width of the result, in pixels.
        validation_share: share of the images, 0..1.
        test_share: share of the images, 0..1.
        split_by: whether each file is hashed, or its folder.
        train_images: at most so many; None for all.
        validation_images: likewise.
        test_images: likewise.
        progress: called now and then while reading.

    Returns:
        The splits, each in the order of the hash, without gray images.

    Warns:
        UserWarning: some files cannot be read, or lie outside the folders that are used.

    Raises:
        ColorizeError: as `list_folder`, or no image is left to train or to validate on.
    """
    folder = list_folder(
        path,
        image_size,
        validation_share=validation_share,
        test_share=test_share,
        split_by=split_by,
        train_images=train_images,
        validation_images=validation_images,
        test_images=test_images,
    )
    report = overall_progress(progress, folder.wanted)
    sets, unreadable, gray = {}, [], 0
    for split in SPLITS:
        chunks = report(split, folder.chunks(split), 0)
        sets[split], damaged, colorless = _collect(chunks, folder.wanted[split], folder.image_size)
        unreadable += damaged
        gray += colorless
    folder.check({split: len(images) for split, images in sets.items()}, unreadable, gray)
    return Splits(**sets, unreadable=tuple(unreadable), gray=gray)


def list_folder(
    path: Path | str,
    image_size: int,
    *,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    split_by: Literal["file", "folder"] = "file",
    train_images: int | None = None,
    validation_images: int | None = None,
    test_images: int | None = None,
) -> Folder:
    """Lists the images of a folder tree: center crop, area-filtered resize, gray ones left out.

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

    Returns:
        The folder's splits, each in the order of the hash.

    Warns:
        UserWarning: some files lie outside the folders that are used.

    Raises:
        ColorizeError: `path` is not a folder, or has no image.
    """
    root = Path(path)
    names = _names(root)
    splits = dict(zip(SPLITS, _split(names, validation_share, test_share, split_by), strict=True))
    unused = len(names) - sum(map(len, splits.values()))
    if unused:
        warnings.warn(
            f"{root}: {unused} of {len(names)} images are outside train/, validation/ and test/ "
            "and not used",
            stacklevel=3,
        )
    limits = (train_images, validation_images, test_images)
    wanted = {
        split: len(found) if limit is None else min(limit, len(found))
        for (split, found), limit in zip(splits.items(), limits, strict=True)
    }
    remedy = "add images, or change the shares of the splits"
    if split_by == "folder":
        remedy = 'add folders, or set split_by to "file"'
    return Folder(root, splits, wanted, image_size, remedy)


def load_test_split(folder: Folder) -> ImageSet:
    """Reads the images that a folder keeps for testing, and no others; there may be none.

    Warns:
        UserWarning: some files cannot be read.
    """
    images, unreadable, _ = _collect(
        folder.chunks("test"), folder.wanted["test"], folder.image_size
    )
    _warn_of_unreadable(folder.root, unreadable)
    return images


def load_test_images(
    path: Path | str, image_size: int, progress: ReportProgress | None = None
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
    report = overall_progress(progress, {"test": len(names)})
    chunks = read_chunks(root, names, len(names), image_size, keep_gray=True)
    chunks = report("test", chunks, 0)
    images, unreadable, _ = _collect(chunks, len(names), image_size)
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
            numbered(split, paint_scenes(count, image_size, 3 * seed + index))
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


def require_images(root: Path) -> None:
    """Fails if a folder has no image; searches it only up to the first.

    Raises:
        ColorizeError: `root` is not a folder, or has no image.
    """
    suffixes = readable_suffixes()
    files = (name for *_, names in os.walk(root) for name in names)
    if not any(name.lower().endswith(suffixes) for name in files):
        _names(root)  # It follows links, too.


def _names(root: Path) -> list[str]:
    """The images under a folder, one or more: sorted paths relative to it, with `/` between."""
    names = find_images(root)
    if not names:
        raise ColorizeError(f"{root}: no image in it ({' '.join(readable_suffixes())})")
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


def overall_progress(
    progress: ReportProgress | None, wanted: Mapping[str, int]
) -> Callable[[str, Iterator[Chunk], int], Iterator[Chunk]]:
    """A function that passes on the chunks of a split, and reports the progress over all splits.

    Its arguments are the split, its chunks, and how many files were read before.

    Args:
        progress: what is called with the number of images done and their total; or None.
        wanted: split -> how many images are read.
    """
    done = dict.fromkeys(wanted, 0)

    def report(split: str, chunks: Iterator[Chunk], position: int) -> Iterator[Chunk]:
        done[split] = min(position, wanted[split])
        for chunk in chunks:
            yield chunk
            position += chunk.files
            done[split] = min(position, wanted[split])
            if progress is not None:
                progress(sum(done.values()), sum(wanted.values()))

    return report


def _collect(
    chunks: Iterator[Chunk], wanted: int, image_size: int
) -> tuple[ImageSet, list[str], int]:
    """The images of all chunks, the names of the unreadable files, the number of gray images."""
    rgb = np.empty((wanted, image_size, image_size, 3), np.uint8)
    kept: list[str] = []
    unreadable: list[str] = []
    gray = 0
    for chunk in chunks:
        rgb[len(kept) : len(kept) + len(chunk.rgb)] = chunk.rgb
        kept += chunk.names
        unreadable += chunk.unreadable
        gray += chunk.gray
    return ImageSet(rgb[: len(kept)], tuple(kept)), unreadable, gray


def _warn_of_unreadable(root: Path, unreadable: Sequence[str], stacklevel: int = 3) -> None:
    """One warning for all files that were skipped; names the first few."""
    if unreadable:
        more = ", ..." if len(unreadable) > 3 else ""
        warnings.warn(
            f"{root}: unreadable images skipped: {len(unreadable)} "
            f"({', '.join(map(shorten, unreadable[:3]))}{more})",
            stacklevel=stacklevel,
        )


def _shrink(split: str, rgb: np.ndarray, image_size: int) -> ImageSet:
    """Images at another size, numbered."""
    resized = np.empty((len(rgb), image_size, image_size, 3), np.uint8)
    for index, image in enumerate(rgb):
        resized[index] = square_thumbnail(image, image_size)
    return numbered(split, resized)


def numbered(split: str, rgb: np.ndarray) -> ImageSet:
    """Images that have no names of their own: train/00000, train/00001, ..."""
    return ImageSet(rgb, tuple(f"{split}/{index:05d}" for index in range(len(rgb))))
