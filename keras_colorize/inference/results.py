"""What became of images: collected, reported line by line, summed up."""

import json
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from inspect import GEN_CLOSED, getgeneratorstate
from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.files import named_failure
from keras_colorize.inference.plan import Plan, Summary

REPORT_SUFFIX = ".jsonl"


@dataclass(frozen=True)
class Result:
    """What became of an image.

    Attributes:
        source: the image.
        target: the file that it was to become; None for what a list names and is not there.
        is_kept: it was in color already, and was copied.
        failure: why it failed, one line that names the source; empty if it did not.
    """

    source: Path
    target: Path | None
    is_kept: bool = False
    failure: str = ""

    @property
    def status(self) -> str:
        """One word for the report."""
        if self.failure:
            return "failed"
        return "kept" if self.is_kept else "done"


def collect(
    plan: Plan,
    results: Generator[Result],
    *,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Result], None] | None = None,
) -> Summary:
    """Takes results as they come, in any order.

    Args:
        plan: which files become which.
        results: one for each of the plan; closed at the end, however that comes.
        progress: called with the number of images finished and their total.
        report: called with each result.

    Returns:
        What became of all, in the order of the plan.
    """
    by_target: dict[Path | None, Result] = {}

    def take(result: Result) -> None:
        by_target[result.target] = result
        if report is not None:
            report(result)
        if progress is not None:
            progress(len(by_target), len(plan.sources))

    result: Result | None = None
    with closing(results):
        try:
            for result in results:
                take(result)
        except KeyboardInterrupt as interruption:
            # If it came in `take`, that is done again, and `results` gives what is left.
            with suppress(KeyboardInterrupt):
                if result is not None and getgeneratorstate(results) != GEN_CLOSED:
                    take(result)
                    take(results.throw(interruption))
                    for result in results:
                        take(result)
            raise
    ordered = {target: by_target[target] for target in plan.sources}
    return Summary(
        done=[target for target, result in ordered.items() if not result.failure],
        failed=plan.failed
        + [(result.source, result.failure) for result in ordered.values() if result.failure],
        skipped=plan.skipped,
        kept=[target for target, result in ordered.items() if result.status == "kept"],
        notes=plan.notes,
    )


@dataclass(frozen=True)
class Report:
    """A file of JSON objects, a line for each image, written as soon as the image is finished.

    Lines are appended: those of earlier calls stay, and the last one of an image counts.

    Attributes:
        path: the file, made if need be.
        named: puts the user's names in place of temporary files.

    Raises:
        ColorizeError: the name does not end in .jsonl, or the file cannot be written.
    """

    path: Path
    named: Callable[[str], str]

    def __post_init__(self) -> None:
        if self.path.suffix != REPORT_SUFFIX:  # Nothing is appended to an image by mistake.
            raise ColorizeError(f"{self.path}: the report must be a file *{REPORT_SUFFIX}")

    def __call__(self, result: Result) -> None:
        """Adds the line of an image."""
        line = {
            "image": self.named(str(result.source)),
            "result": self.named(str(result.target or "")),
            "status": result.status,
            "reason": self.named(result.failure),
        }
        with named_failure(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
