"""Images at URLs, as s3://bucket/old.jpg.

A URL behaves as a path: `upath.UPath` gives it the methods of `pathlib.Path`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.images import readable_suffixes

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def place(text: str | Path) -> Path:
    """The path of a file or folder, or what behaves as one for a URL.

    Raises:
        ColorizeError: it is a URL, and what it needs is not installed, the files it names are not
            the same in another process, or it has `..` in it.
    """
    if not is_url(text):
        return Path(str(text).removeprefix("file://"))
    if not isinstance(text, str):
        return text
    if ".." in text.split("/"):  # What is the same file could have several names.
        raise ColorizeError(f"{text}: a URL must be without ..")
    with named_errors(text, "cannot be used"):
        try:
            from upath import UPath
        except ImportError:
            raise ColorizeError(
                f"{text}: URLs need more packages: pip install 'keras-colorize[ray]'"
            ) from None
        url = UPath(text)
        url.fs.invalidate_cache()  # Workers write files that the cached listing lacks.
        protocol = url.fs.protocol
    if "memory" in protocol:
        raise ColorizeError(f"{text}: another process has other files of this name")
    return cast(Path, url)


def is_url(path: str | Path | None) -> bool:
    """Whether it is a URL, as text or as `place` gives it; file:// is none."""
    if isinstance(path, str):
        return bool(_URL.match(path)) and not path.startswith("file://")
    return path is not None and not isinstance(path, Path)


def is_folder(path: Path) -> bool:
    """Whether it is a folder.

    Raises:
        ColorizeError: it is a URL that cannot be reached.
    """
    with named_errors(path, "cannot be reached"):
        return path.is_dir()


def exists(path: Path) -> bool:
    """Whether it is there.

    Raises:
        ColorizeError: it is a URL that cannot be reached.
    """
    with named_errors(path, "cannot be reached"):
        return path.exists()


def find(root: Path) -> list[str]:
    """Lists all files under a folder at a URL, hidden ones as well.

    Returns:
        Paths relative to `root`, sorted; none if there is no such folder.

    Raises:
        ColorizeError: it cannot be reached.
    """
    url = cast(Any, root)
    prefix = url.path.rstrip("/") + "/"
    with named_errors(root, "cannot be searched"):
        return sorted(name.removeprefix(prefix) for name in url.fs.find(url.path))


def find_images(root: Path) -> list[str]:
    """As `images.find_images`, for a URL: by their names alone; no file is opened."""
    suffixes = readable_suffixes()
    return [
        name
        for name in find(root)
        if name.lower().endswith(suffixes) and not name.startswith(".") and "/." not in name
    ]


@contextmanager
def named_errors(path: Path | str, what: str) -> Iterator[None]:
    """Turns what goes wrong at a URL into a ColorizeError of one line."""
    try:
        yield
    except ColorizeError:
        raise
    except Exception as error:  # Each store has errors of its own.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError) and reason == str(path):
            reason = "no such file or folder"
        raise ColorizeError(f"{path}: {what} ({shorten(reason, 200)})") from error
