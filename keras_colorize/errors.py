"""Failures that a user can cause and fix, each a clear line; warnings of names that changed."""

import warnings


class ColorizeError(Exception):
    """An expected failure: bad input, a missing file, a run made by another recipe.

    The message names the file and the value at fault and, where there is one, the remedy. The
    command line prints it on one line and exits with 1; anything else that escapes is a bug.
    """


def shorten(text: str, length: int = 80) -> str:
    """A text on one line of a message: control characters escaped, cut after `length` ones."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:length])
    return line if len(text) <= length else f"{line}..."


def first_line(error: Exception) -> str:
    """The first line of what an error says; its type's name if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def warn_renamed(old: str, new: str) -> None:
    """Warns the caller's caller that a public name has changed; the old one works for a version."""
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
