"""The failures a user can cause and mend; each message is one clear line."""


class ColorizeError(Exception):
    """An expected failure: bad input, a missing file, a run made by another recipe.

    The message names the file and the value at fault and, where there is one, the remedy. The
    command line prints it on one line and exits with 1; anything else that escapes is a bug.
    """


def shorten(text: str, length: int = 80) -> str:
    """A text on one line of a message: control characters escaped, cut after `length` ones."""
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:length])
    return line if len(text) <= length else f"{line}..."
