"""Files that appear whole or not at all, and locks between processes."""

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_colorize.errors import ColorizeError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write to; moves it over `path` when the block succeeds.

    A process killed midway leaves `path` as it was. The temporary name keeps the suffix, which
    many writers choose the format by. Errors of writing name `path`.

    Args:
        path: the file to write; its folder is made if need be.

    Yields:
        The temporary path, hidden in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a long name the start will do, since names have a greatest length.
    author = f"{os.getpid()}-{threading.get_ident()}"
    beside = path.with_name(f".{path.stem[:40]}.{author}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what a process that was killed in `whole_file` left in a folder."""
    for leftover in folder.glob(".*.[0-9]*-[0-9]*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def require_room(folder: Path, size: int) -> None:
    """Raises the OSError of a full disk unless so many more bytes can be written to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        error.filename = str(folder)
        raise


@contextmanager
def locked(folder: Path, purpose: str) -> Iterator[None]:
    """Keeps other processes out of a folder; the kernel frees it on any death.

    Raises:
        ColorizeError: if another process is in it, doing what `purpose` says.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ColorizeError(f"{folder}: another process is {purpose}") from None
        yield


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all; names of files keep bytes that are not UTF-8."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="surrogateescape")
