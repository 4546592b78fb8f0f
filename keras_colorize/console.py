"""What the user sees: a progress bar for work that is counted in pictures, and the log."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


def progress_bar(label: str = "pictures") -> Callable[[int, int], None] | None:
    """A bar on stderr as a function of (done, total); None where stderr is no terminal."""
    if not sys.stderr.isatty():
        return None
    bars: list = []  # made when the total is known

    def show(done: int, total: int) -> None:
        if not bars:
            bars.append(typer.progressbar(length=total, label=label, file=sys.stderr))
        bars[0].update(done - bars[0].pos)
        if done == total:
            bars[0].render_finish()

    return show


log = logging.getLogger("keras_colorize")
"""Where the library says what it does."""


class _Printing(logging.Handler):
    """Prints messages as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one."""
        print(self.format(record))


@contextmanager
def printed_log() -> Iterator[None]:
    """Prints the log, unless the program has configured logging and gets it anyway."""
    if log.hasHandlers():
        yield
        return
    handler, level = _Printing(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
