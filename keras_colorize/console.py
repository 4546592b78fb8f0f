"""What the user sees: a progress bar, the log, and help with options in groups."""

import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import typer
from typer.core import TyperCommand


def progress_bar(label: str = "images") -> Callable[[int, int], None] | None:
    """A bar on stderr as a function of (done, total); None where stderr is no terminal."""
    if not sys.stderr.isatty():
        return None
    bars: list = []  # made when the total is known

    def show(done: int, total: int) -> None:
        if not bars:
            bars.append(typer.progressbar(length=total, label=label, file=sys.stderr))
            bars[0].render_progress()
        bars[0].update(done - bars[0].pos)
        if done == total:
            bars.pop().render_finish()

    return show


_METAVARS = {
    "<str>": "TEXT",
    "<path>": "PATH",
    "<int range>": "N",
    "<float range>": "X",
}
"""How the help calls what an option takes, instead of Python's types."""


class Command(TyperCommand):
    """A command whose plain help shows options in groups, as `rich_help_panel` names them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Names --set, where there is one, for options that do not exist and are like none."""
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            has_set = any("--set" in parameter.opts for parameter in self.params)
            if has_set and not getattr(error, "possibilities", True):
                error.message += "; a recipe's values are set as by --set data.path=FOLDER"
            raise

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Arguments as RECIPE, MODEL... and [IMAGE]..., not as {recipe}."""
        pieces = super().collect_usage_pieces(ctx)
        return [re.sub(r"\{(.+)\}", r"\1", piece.upper()) for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes a section for each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                names, text = record
                is_argument = parameter.param_type_name == "argument"
                if is_argument:
                    names = names.partition(" ")[0].upper()
                for type_name, metavar in _METAVARS.items():
                    names = names.replace(type_name, metavar)
                group = getattr(parameter, "rich_help_panel", None)
                group = group or ("Arguments" if is_argument else "Options")
                groups.setdefault(group, []).append((names, text))
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


class Commands(typer.Typer):
    """A `Typer` whose commands are of that kind."""

    def command(self, *arguments: Any, **options: Any) -> Any:
        """As Typer's own."""
        return super().command(*arguments, **{"cls": Command, **options})


def counted(number: int, noun: str) -> str:
    """As "1 epoch", "1,200 epochs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


log = logging.getLogger("keras_colorize")
"""Where the library says what it does."""


class _Printing(logging.Handler):
    """Prints messages as they are."""

    def __init__(self, file: TextIO | None) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one."""
        print(self.format(record), file=self._file)


@contextmanager
def printed_log(file: TextIO | None = None) -> Iterator[None]:
    """Prints the log, unless the program has configured logging and gets it anyway.

    Args:
        file: to print to; by default standard output.
    """
    if log.hasHandlers():
        yield
        return
    handler, level = _Printing(file), log.level
    log.addHandler(handler)
    log.setLevel(level or logging.INFO)  # One that a program has set counts.
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
