"""Downloads the Oxford Paintings Dataset into a folder that `fit` takes."""

import asyncio
import functools
import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cv2
import numpy as np

from keras_colorize.data.reading import Reader
from keras_colorize.errors import ColorizeError, warn_renamed
from keras_colorize.files import locked, whole_file
from keras_colorize.images import content_suffix, write_image
from keras_colorize.oxford.annotations import INSTALL, SUBSETS, read_annotations
from keras_colorize.oxford.manifest import DONE, DUPLICATE, FAILED, GONE, PENDING, Manifest

if TYPE_CHECKING:
    from keras_colorize.oxford.download import Missing

_LONGEST_JPEG_SIDE = 65_500


@dataclass(frozen=True)
class FetchSummary:
    """The result of a run; `done` to `failed` add up to `images`.

    Attributes:
        rows: rows of the annotation file, without the header and blank ones.
        bad_rows: one line for each row left out, naming file, sheet and row.
        images: distinct URLs to download, `limit` at most.
        done: downloaded by this run.
        already_there: downloaded by an earlier one.
        duplicates: left out, since an image of another subset has the same bytes.
        gone: the server no longer has them (404, 410); they are not requested again.
        failed: not downloaded; the next run tries again.
        manifest: the file with the status of each, and the reason.
    """

    rows: int
    bad_rows: tuple[str, ...]
    images: int
    done: int
    already_there: int
    duplicates: int
    gone: int
    failed: int
    manifest: Path

    @property
    def pictures(self) -> int:
        """Deprecated: the earlier name of `images`."""
        warn_renamed("FetchSummary.pictures", "FetchSummary.images")
        return self.images


def fetch_oxford_paintings(
    annotations: Path,
    output: Path,
    *,
    resize: int | None = None,
    limit: int | None = None,
    connections: int = 4,
    rate: float = 8.0,
    strict: bool = False,
    allow_private: bool = False,
    max_bytes: int = 32 * 2**20,
    max_pixels: int = 2**26,
    progress: Callable[[int, int], None] | None = None,
) -> FetchSummary:
    """Downloads the images that an annotation file names to `output/train|validation|test/`.

    Interrupted at any moment, even killed, it resumes when called again and downloads no finished
    image twice. `output/manifest.csv` then lists the status of each URL.

    Args:
        annotations: .xlsx or .csv with the columns `Image URL`, `Subset` and `Labels`.
        output: a new folder, or one that an earlier call began from the same annotations.
        resize: shrink images whose short side is longer to this many pixels (area filter,
            JPEG of quality 95); smaller ones, and all by default, stay as they were served.
        limit: download only this many images, the first named.
        connections: images downloaded at a time.
        rate: requests a second to one host, at most.
        strict: refuse an annotation file with a bad row instead of leaving the row out.
        allow_private: also download from loopback, private and other non-public addresses.
        max_bytes: refuse larger files.
        max_pixels: refuse larger images, by their header, as those that take more than 1.4 GB when
            read. Those at work take 1 GB together, whatever the number of connections.
        progress: called with the numbers of images done and of all, from another thread.

    Returns:
        The counts.

    Raises:
        ColorizeError: the annotation file or an argument is wrong, the folder is in use, was
            made differently or cannot be written, or a package of the extra is missing.
    """
    annotations, output = Path(annotations), Path(output)
    for name, value in (("resize", resize), ("limit", limit), ("connections", connections)):
        if value is not None and value < 1:
            raise ColorizeError(f"{name} must be at least 1; got {value}")
    if not 0 < rate < float("inf"):
        raise ColorizeError(f"rate must be above 0; got {rate}")
    try:
        from keras_colorize.oxford.download import download_all
    except ModuleNotFoundError as error:
        raise ColorizeError(f"{error.name}, which downloads, is missing; {INSTALL}") from error

    named = read_annotations(annotations)
    if named.bad_rows and (strict or not named.paintings):
        raise ColorizeError(f"{named.bad_rows[0]} ({len(named.bad_rows)} bad rows in all)")
    subsets = {painting.url: painting.subset for painting in named.paintings[:limit]}
    reader = Reader(max_pixels=max_pixels)

    try:
        output.mkdir(parents=True, exist_ok=True)
        with locked(output, "downloading into it"), closing(Manifest(output)) as manifest:
            _reconcile(output, manifest)
            manifest.take_in(named.paintings, resize, annotations)
            status = {row["address"]: row["status"] for row in manifest.rows()}
            missing = [url for url in subsets if status[url] in (PENDING, FAILED)]
            dealt_with = len(subsets) - len(missing)
            if progress is not None:
                progress(dealt_with, len(subsets))

            async def deliver(url: str, body: "bytes | Missing") -> None:
                nonlocal dealt_with
                await _keep(output, manifest, url, subsets[url], body, resize, reader)
                dealt_with += 1
                if progress is not None:
                    progress(dealt_with, len(subsets))

            try:
                download_all(
                    missing,
                    deliver,
                    connections=connections,
                    rate=rate,
                    allow_private=allow_private,
                    max_bytes=max_bytes,
                )
            finally:
                manifest.drop_duplicates()
                manifest.write_csv()
            rows = [row for row in manifest.rows() if row["address"] in subsets]
    except OSError as error:
        raise ColorizeError(f"{error.filename or output}: {error.strerror or error}") from error
    except sqlite3.Error as error:
        raise ColorizeError(f"{output}: its manifest cannot be used ({error})") from error
    counts = Counter(row["status"] for row in rows)
    already_there = sum(row["status"] == status[row["address"]] == DONE for row in rows)
    return FetchSummary(
        rows=named.rows,
        bad_rows=named.bad_rows,
        images=len(subsets),
        done=counts[DONE] - already_there,
        already_there=already_there,
        duplicates=counts[DUPLICATE],
        gone=counts[GONE],
        failed=counts[FAILED],
        manifest=output / "manifest.csv",
    )


def _reconcile(output: Path, manifest: Manifest) -> None:
    """Updates the manifest to the files in the folder, after a kill or changes by the user.

    An image appears under its name only when it is whole and checked: one that is not
    in the manifest yet was written just before a kill, and counts.
    """
    files: dict[str, Path] = {}
    for subset in SUBSETS:
        for path in (output / subset).glob("*"):
            if not path.name.startswith("."):
                files[path.stem] = path
            elif path.is_file():
                path.unlink()  # Written beside when the process was killed.
    for row in manifest.rows():
        url = row["address"]
        found = files.get(_stem(url))
        if row["status"] == DONE:
            if found is None or found.stat().st_size != row["bytes"]:
                if found is not None:
                    found.unlink()
                manifest.record_missing(url, PENDING, "its file was lost")
        elif row["status"] != DUPLICATE and found is not None:
            data = found.read_bytes()
            file = found.relative_to(output).as_posix()
            manifest.record_done(url, file, len(data), hashlib.sha256(data).hexdigest())


async def _keep(
    output: Path,
    manifest: Manifest,
    url: str,
    subset: str,
    body: "bytes | Missing",
    resize: int | None,
    reader: Reader,
) -> None:
    """Stores the body if it is an image, and records its status."""
    if not isinstance(body, bytes):
        manifest.record_missing(url, GONE if body.gone else FAILED, body.reason)
        return
    try:
        shrunk = await asyncio.to_thread(
            reader.read, body, functools.partial(_shrunk, resize=resize)
        )
    except ColorizeError as error:
        manifest.record_missing(url, FAILED, str(error))
        return
    suffix = content_suffix(body)
    file = f"{subset}/{_stem(url)}{suffix if shrunk is None else '.jpg'}"
    data = await asyncio.to_thread(_write, output / file, body if shrunk is None else shrunk)
    manifest.record_done(url, file, len(data), hashlib.sha256(data).hexdigest())


def _shrunk(rgb: np.ndarray, resize: int | None) -> np.ndarray | None:
    """An image at the size that is to be stored; None if it is to be stored as it was served.

    Raises:
        ColorizeError: no JPEG can hold it.
    """
    height, width = rgb.shape[:2]
    if resize is None or min(height, width) <= resize:
        return None
    scale = resize / min(height, width)
    size = (round(width * scale), round(height * scale))
    if max(size) > _LONGEST_JPEG_SIDE:
        raise ColorizeError(f"{width}x{height} is too long for a JPEG of short side {resize}")
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _write(path: Path, image: bytes | np.ndarray) -> bytes:
    """Writes an image, whole or not at all, and returns what the file holds."""
    with whole_file(path) as beside:
        if isinstance(image, bytes):
            beside.write_bytes(image)
            return image
        write_image(beside, image)
        return beside.read_bytes()


def _stem(url: str) -> str:
    """A file name without suffix: readable, safe and different for each URL."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", PurePosixPath(urlsplit(url).path).stem).strip("_")
    return f"{name[:80]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}".lstrip("-")
