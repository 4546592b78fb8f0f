"""Opening files that may be anything, and the messages when that fails."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from keras_colorize.errors import ColorizeError, shorten

# Pixels of 268 megapixels with four channels of 16 bits; nothing that is read needs more.
_MAX_BYTES = 2**31

START = 64  # Bytes that identify the kind.

_LONGEST_NAME, _LONGEST_REASON = 1000, 200


class RefusedError(Exception):
    """A reason, for users to read, not to read or write a file."""


def name_of(source: Path | str | bytes) -> str:
    """What messages call an image: its path, on one line."""
    if isinstance(source, bytes):
        return f"image of {len(source)} bytes"
    return shorten(str(source), _LONGEST_NAME)


@contextlib.contextmanager
def named_errors(source: Path | str | bytes) -> Iterator[None]:
    """Turns whatever goes wrong in reading into a ColorizeError of one line."""
    try:
        yield
    except ColorizeError:
        raise
    except Exception as error:  # Decoders of damaged files raise errors of every type.
        reason = shorten(_reason(error), _LONGEST_REASON)
        raise ColorizeError(f"{name_of(source)}: cannot be read ({reason})") from error


def open_file(path: Path | str) -> int:
    """Opens a regular file; the caller closes the descriptor.

    Raises:
        RefusedError: it is something else, as a pipe, which could hold the process for good, or too
            large to be an image.
        OSError: as `os.open`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    status = os.fstat(descriptor)
    reason = ""
    if not stat.S_ISREG(status.st_mode):
        reason = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or device, not a file"
    elif status.st_size > _MAX_BYTES:
        reason = f"{status.st_size / 2**30:.1f} GiB; files of at most 2 GiB are read"
    if reason:
        os.close(descriptor)
        raise RefusedError(reason)
    return descriptor


@contextlib.contextmanager
def open_stream(path: Path | str) -> Iterator[tuple[BinaryIO, bytes]]:
    """Opens a regular file, as `open_file`; also gives its first bytes, which identify its kind."""
    with open(path, "rb", opener=lambda name, _: open_file(name)) as stream:
        yield stream, os.pread(stream.fileno(), START, 0)


def _reason(error: Exception) -> str:
    """What went wrong, in words that a user understands."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        return "a socket or device, not a file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "truncated"
    return "damaged, or of a kind that is not supported"
