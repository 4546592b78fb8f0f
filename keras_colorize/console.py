"""A progress bar for work that is counted in pictures."""

import sys
from collections.abc import Callable

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
