"""Images at URLs are colorized by way of copies in a temporary folder."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_colorize.errors import ColorizeError
from keras_colorize.files import temporary_folder
from keras_colorize.inference.results import Result
from keras_colorize.inference.urls import is_url, named_errors

_TRANSFERS = 8  # Files that are copied at a time.


@dataclass(frozen=True)
class _Copy:
    """An image, and where its files are on this machine."""

    original: Result
    source: Path
    target: Path


def colorize_copies(
    sources: Mapping[Path, Path],
    colorize: Callable[[Mapping[Path, Path]], Iterable[Result]],
) -> tuple[list[Result], list[str]]:
    """Colorizes files at URLs by way of copies in a temporary folder.

    A result is put to its URL by one call, so that stores such as S3 have it whole or not at all.
    Other files are read and written where they are.

    Args:
        sources: target -> source; both paths or URLs.
        colorize: colorizes files, target -> source, none of them at a URL.

    Returns:
        What became of the images, and the warnings, one line each.
    """
    with (
        temporary_folder() as folder,
        ThreadPoolExecutor(_TRANSFERS) as transfers,
    ):
        copies = [
            _Copy(
                Result(source, target),
                Path(folder, f"{number}", source.name) if is_url(source) else source,
                Path(folder, f"{number}-", target.name) if is_url(target) else target,
            )
            for number, (target, source) in enumerate(sources.items())
        ]
        by_target: dict[Path | None, _Copy] = {copy.target: copy for copy in copies}

        def named(text: str) -> str:
            for copy in copies:
                text = text.replace(str(copy.source), str(copy.original.source))
                text = text.replace(str(copy.target), str(copy.original.target))
            return text

        def finish(result: Result) -> Result:
            copy = by_target[result.target]
            if result.failure:
                return replace(copy.original, failure=named(result.failure))
            return replace(_put(copy), is_kept=result.is_kept)

        fetched = list(transfers.map(_fetch, copies))
        failed = [result for result in fetched if result.failure]
        there = [copy for copy in copies if copy.original in fetched]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # They name no file.
            try:
                results = list(colorize({copy.target: copy.source for copy in there}))
            except ColorizeError as error:
                raise ColorizeError(named(str(error))) from error
        finished = list(transfers.map(finish, results))
        notes = [
            named(str(warning.message))
            for warning in caught
            if issubclass(warning.category, UserWarning)
        ]
    return failed + finished, notes


def _fetch(copy: _Copy) -> Result:
    """Copies a source from its URL, if it is at one."""
    source: Any = copy.original.source

    def get() -> None:
        copy.source.parent.mkdir()
        source.fs.get_file(source.path, str(copy.source))

    return _tried(copy.original, source, "cannot be read", get)


def _put(copy: _Copy) -> Result:
    """Copies a result to its URL, if it is to be at one."""
    target: Any = copy.original.target

    def put() -> None:
        try:
            target.fs.put_file(str(copy.target), target.path)
        except Exception:
            # Stores of objects need no folders, others do. But no bucket is made by mistake.
            if not target.fs.exists(target.parents[-1].path):
                raise
            target.fs.makedirs(target.parent.path, exist_ok=True)
            target.fs.put_file(str(copy.target), target.path)

    return _tried(copy.original, target, "cannot be written", put)


def _tried(result: Result, path: Path, what: str, transfer: Callable[[], None]) -> Result:
    """The result, with a failure if a transfer fails; a path that is no URL needs none."""
    if not is_url(path):
        return result
    try:
        with named_errors(path, what):
            transfer()
    except ColorizeError as error:
        start = "" if path is result.source else f"{result.source}: "
        return replace(result, failure=f"{start}{error}")
    return result
