"""Files that appear whole or not at all, and locks between processes."""

import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_colorize.errors import ColorizeError

# Who writes a temporary file: machine, process and thread.
_AUTHOR = re.compile(r"\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9]+\.part(\.|$)")

_ABANDONED = 24 * 3600  # Seconds after which a temporary file is left over from a killed process.


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
    # Only the start of a long name, since file systems limit the length.
    beside = path.with_name(f".{path.stem[:40]}.{_author()}{path.suffix}")
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


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder to be used in `with`; removes those that killed processes left."""
    remove_dead_leftovers(Path(tempfile.gettempdir()))
    return tempfile.TemporaryDirectory(prefix=".keras-colorize-", suffix=f".{_author()}")


def remove_leftovers(folder: Path) -> None:
    """Removes what any process left in a folder in `whole_file`; the caller has it locked."""
    for pattern in (".*.[0-9]*-[0-9]*", ".*.part", ".*.part.*"):
        for leftover in folder.glob(pattern):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def remove_dead_leftovers(folder: Path) -> None:
    """Removes what killed processes left there in `whole_file` or by `temporary_folder`.

    A process of another machine, which may share the folder, counts as killed a day after it wrote
    a file; its temporary folders, which trainings use for longer, are left alone.
    """
    try:
        hidden = list(folder.glob(".*.part*"))
    except OSError:
        return
    for path in hidden:
        author = _AUTHOR.search(path.name)
        if author is None:
            continue
        try:
            is_old = time.time() - path.stat().st_mtime > _ABANDONED
            is_dead = author["machine"] == _machine() and not _lives(int(author["process"]))
            if path.is_dir():
                if is_dead:
                    shutil.rmtree(path)
            elif is_old or is_dead:
                path.unlink()
        except OSError:  # Another command was faster, or it is not ours to remove.
            continue


def _author() -> str:
    return f"{_machine()}-{os.getpid()}-{threading.get_ident()}.part"


def _machine() -> str:
    """A short name of this machine."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


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
def locked(
    folder: Path, purpose: str, *, on_wait: Callable[[str], object] | None = None
) -> Iterator[None]:
    """Keeps other processes out of a folder; the kernel ends the lock with the process.

    Args:
        folder: the folder, which exists.
        purpose: what the process that is in it does.
        on_wait: if another process is in it, this is called with a message and then waits.

    Raises:
        ColorizeError: if another process is in it, and there is no `on_wait`.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"{folder}: another process is {purpose}"
            if on_wait is None:
                raise ColorizeError(message) from None
            on_wait(f"{message}; waits for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def named_failure(path: Path) -> Iterator[None]:
    """Turns an OSError into a ColorizeError: this file or folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise ColorizeError(f"{path}: cannot be written ({error.strerror})") from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all; names of files keep bytes that are not UTF-8."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="surrogateescape")
