"""Standard input, standard output and pipes in place of image files."""

import os
import select
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from keras_colorize.errors import ColorizeError
from keras_colorize.files import temporary_folder
from keras_colorize.images.opening import named_errors
from keras_colorize.inference.plan import Summary
from keras_colorize.inference.urls import is_url

STREAM = Path("-")
"""Standard input among the inputs, standard output as the output."""

_MAX_BYTES = 2**31  # As for files.
_PATIENCE = 5  # Seconds for a program to open its end of a pipe.


@dataclass
class Streams:
    """What is worked on in place of streams.

    Attributes:
        inputs: the inputs, with files in place of pipes.
        output: the output, with a folder in place of standard output.
        to_stdout: whether what is written there goes to standard output.
        names: file in place of a pipe -> how the user named it.
    """

    inputs: list[Path]
    output: str | Path | None
    to_stdout: bool = False
    names: dict[Path, Path] = field(default_factory=dict)

    def summary(self, summary: Summary) -> Summary:
        """A summary with the user's names in it."""
        return replace(
            summary,
            done=[STREAM for _ in summary.done] if self.to_stdout else summary.done,
            kept=[STREAM for _ in summary.kept] if self.to_stdout else summary.kept,
            failed=[
                (self.names.get(path, path), self.named(reason)) for path, reason in summary.failed
            ],
            notes=[self.named(note) for note in summary.notes],
        )

    def named(self, text: str) -> str:
        """A message with the user's names in it."""
        for path, name in self.names.items():
            text = text.replace(str(path), str(name))
        return text


@contextmanager
def spooled(inputs: Sequence[Path], output: str | Path | None) -> Iterator[Streams]:
    """Reads pipes to temporary files, which are removed afterwards.

    Args:
        inputs: files, folders and pipes; `-` is standard input.
        output: a folder or file; `-` is standard output, for a single file or pipe.

    Yields:
        The files to work on. Whatever is then written to the output folder goes to standard
        output when the block succeeds.

    Raises:
        ColorizeError: a pipe needs an output, standard output takes one image only, or a pipe has
            more than 2 GiB.
    """
    to_stdout = output is not None and Path(output) == STREAM
    pipes = [path for path in inputs if _is_pipe(path)]
    if not pipes and not to_stdout:
        yield Streams(list(inputs), output)
        return
    if pipes and output is None:
        raise ColorizeError(f"{_name(pipes[0])}: needs an output (-o FILE, or -o - for stdout)")
    if to_stdout and (len(inputs) != 1 or inputs[0].is_dir()):
        raise ColorizeError("-o -: standard output takes a single image")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder()))
        streams = Streams(list(inputs), f"{folder}/out/" if to_stdout else output, to_stdout)
        for number, path in enumerate(inputs):
            if path in pipes:
                file = folder / str(number) / _name(path).name
                file.parent.mkdir()
                with named_errors(_name(path)):
                    _spool(path, file)
                streams.inputs[number] = file
                streams.names[file] = _name(path)
        try:
            yield streams
        except ColorizeError as error:
            raise ColorizeError(streams.named(str(error))) from error
        if to_stdout:
            for result in (folder / "out").glob("*"):
                with result.open("rb") as written:
                    shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def read_list(path: Path) -> dict[str, str]:
    """The names in a text file or pipe, one per line, and where they are, as "line 3 of list.txt".

    Spaces belong to names; empty lines are left out. A name that is there twice counts once.

    Raises:
        ColorizeError: it is no text, no program writes to the pipe, or it is a device.
        OSError: the file cannot be read.
    """
    with temporary_folder() as folder:
        file = path
        if _is_pipe(path):
            file = Path(folder, "list")
            _spool(path, file)
        # Without the mark that Windows puts at the start.
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise ColorizeError(
            f"{path}: not a text file; a list has the name of an image on each line"
        )
    names: dict[str, str] = {}
    for number, name in enumerate(text.split("\n"), 1):
        if name:
            names.setdefault(name, f"line {number} of {path}")
    return names


def has_streams(inputs: Sequence[Path], output: str | Path | None) -> bool:
    """Whether an input is a pipe, or the output is standard output."""
    return str(output) == str(STREAM) or any(_is_pipe(path) for path in inputs)


def _is_pipe(path: Path) -> bool:
    if path == STREAM:
        return True
    if is_url(path):
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _name(path: Path) -> Path:
    return Path("stdin") if path == STREAM else path


def _spool(path: Path, file: Path) -> None:
    """Copies all of a pipe to a file."""
    with ExitStack() as stack:
        copy = stack.enter_context(file.open("wb"))
        pipe: BinaryIO = sys.stdin.buffer
        if path != STREAM:
            pipe = stack.enter_context(_open(path))
            copy.write(_wait_for_writer(path, pipe.fileno()))
        while block := pipe.read(2**20):
            copy.write(block)
            if copy.tell() > _MAX_BYTES:
                raise ColorizeError(f"{_name(path)}: has more than 2 GiB; not an image")


def _open(path: Path) -> BinaryIO:
    """Opens a pipe, whether or not a program writes to it."""
    if not stat.S_ISFIFO(path.stat().st_mode):
        raise ColorizeError(f"{path}: a device or socket, not a file or pipe")
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _wait_for_writer(path: Path, pipe: int) -> bytes:
    """Waits until a program has opened the other end, and lets reads wait from then on.

    Returns:
        What was read meanwhile.

    Raises:
        ColorizeError: no program has, so that reading would never end.
    """
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    start = b""
    if not poll.poll(1000 * _PATIENCE):
        try:
            start = os.read(pipe, 1)
        except BlockingIOError:  # There is one, but no data yet.
            pass
        else:
            if not start:
                raise ColorizeError(f"{path}: a pipe that no program writes to")
    os.set_blocking(pipe, True)
    return start
