"""Images at addresses are colorized by way of copies in a temporary folder."""

import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from keras_colorize.errors import ColorizeError
from keras_colorize.inference.addresses import is_address, named_errors
from keras_colorize.inference.results import Result

_TRANSFERS = 8  # Files that are copied at a time.


def colorize_copies(
    sources: Mapping[Path, Path],
    colorize: Callable[[Mapping[Path, Path]], Iterable[Result]],
) -> tuple[list[Result], list[str]]:
    """Colorizes files at addresses by way of copies in a temporary folder.

    A result is put to its address by one call, so that stores such as S3 have it whole or not at
    all. Files that are here are read and written where they are.

    Args:
        sources: target -> source; both paths or addresses.
        colorize: colorizes files that are here.

    Returns:
        What became of the images, and the warnings, one line each.
    """
    with (
        tempfile.TemporaryDirectory(prefix="keras-colorize-") as folder,
        ThreadPoolExecutor(_TRANSFERS) as transfers,
    ):
        copies: dict[Path, Result] = {}  # Target here -> source and target, wherever they are.
        here: dict[Path, Path] = {}
        for number, (target, source) in enumerate(sources.items()):
            copy = Path(folder, f"{number}", source.name) if is_address(source) else source
            result = Path(folder, f"{number}-", target.name) if is_address(target) else target
            copies[result], here[result] = Result(source, target), copy

        def named(text: str) -> str:
            for result, original in copies.items():
                for local, remote in ((here[result], original.source), (result, original.target)):
                    if local is not remote:
                        text = text.replace(str(local), str(remote))
            return text

        fetched = list(transfers.map(lambda r: _fetch(copies[r], here[r]), copies))
        failed = [result for result in fetched if result.failure]
        there = {r: here[r] for r, got in zip(copies, fetched, strict=True) if not got.failure}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            local_results = list(colorize(there))

        def deliver(result: Result) -> Result:
            final = replace(
                copies[result.target], is_kept=result.is_kept, failure=named(result.failure)
            )
            return final if final.failure else _put(result.target, final)

        delivered = list(transfers.map(deliver, local_results))
        return failed + delivered, [
            named(str(warning.message))
            for warning in caught
            if issubclass(warning.category, UserWarning)
        ]


def _fetch(result: Result, copy: Path) -> Result:
    """Copies a source here, if it is at an address."""
    if not is_address(result.source):
        return result
    copy.parent.mkdir()
    source = cast(Any, result.source)
    return _tried(result, result.source, "read", lambda: source.fs.get_file(source.path, str(copy)))


def _put(copy: Path, result: Result) -> Result:
    """Copies a result to its target, if that is at an address."""
    if not is_address(result.target):
        return result
    target = cast(Any, result.target)

    def put() -> None:
        try:
            target.fs.put_file(str(copy), target.path)
        except Exception:
            # Stores of objects need no folders, others do. But no bucket is made by mistake.
            if not target.fs.exists(target.parents[-1].path):
                raise
            target.fs.makedirs(target.parent.path, exist_ok=True)
            target.fs.put_file(str(copy), target.path)

    return _tried(result, result.target, "written", put)


def _tried(result: Result, path: Path, done: str, work: Callable[[], object]) -> Result:
    """The result, with a failure if the work fails."""
    try:
        with named_errors(path, f"cannot be {done}"):
            work()
    except ColorizeError as error:
        start = "" if path is result.source else f"{result.source}: "
        return replace(result, failure=f"{start}{error}")
    return result
