"""Which image files become which: checked before anything is loaded or written."""

import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.files import named_failure
from keras_colorize.images import (
    WRITTEN_SUFFIXES,
    content_suffix,
    find_images,
    name_of,
    readable_suffixes,
    unread_suffixes,
)
from keras_colorize.images.formats import KIND_OF_SUFFIX, KINDS
from keras_colorize.inference import urls
from keras_colorize.inference.urls import is_url, place

_RENAMED_SUFFIXES = (".jpe", ".jfif")  # Rare names of JPEG, which many programs do not know.

_SHOWN_SUFFIXES = 8  # More kinds of unread files are counted together.


@dataclass(frozen=True)
class Plan:
    """What a call will write.

    Attributes:
        sources: target -> source, in the order of the inputs.
        skipped: targets that are there already and stay as they are.
        notes: what a user should know, one line each: files that are not read, results of
            earlier calls, names that do not fit their content.
        failed: what a list names but is of no use, and why, one line each.
    """

    sources: dict[Path, Path]
    skipped: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Summary:
    """What became of the images, in the order of the inputs.

    Attributes:
        done: the files written.
        failed: of each image that could not be colorized its path, and why: one line that names
            the file. Missing entries of a list come first.
        skipped: results that were there already and were left, with `skip_existing`.
        kept: of `done`, those of images that were in color already, with `keep_color`.
        notes: what else a user should know, one line each.
    """

    done: list[Path]
    failed: list[tuple[Path, str]]
    skipped: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    """An image file; its result goes to `folder` / `name`, apart from the suffix."""

    path: Path
    folder: Path
    name: Path


def plan(
    inputs: Sequence[Path],
    output: str | Path | None,
    *,
    suffix: str = "",
    format: str | None = None,
    force: bool = False,
    skip_existing: bool = False,
    listed: Mapping[Path, str] | None = None,
) -> Plan:
    """Lists every image with the file it becomes.

    Args:
        inputs: image files, and folders to search for them recursively; `urls.place` gives
            those at URLs.
        output: a folder; below it files go by their name, and images of an input folder by their
            path in that folder. A path with a suffix that is not an existing folder is a file,
            for a single input file; one that ends with `/` is a folder, and for several images
            one without the suffix of an image. None: beside each source.
        suffix: appended to the names of results, before the format's suffix.
        format: of all results, as "png"; by default each has the format of its source.
        force: whether files that are there already may be replaced.
        skip_existing: whether sources are left out whose results are there already.
        listed: those of the inputs that a list names, and where. One that is missing or has no
            images has failed, and the others are planned.

    Returns:
        The plan.

    Raises:
        ColorizeError: if an input is missing or has no images, the output is unclear, two images
            would become one file, an image would become its own or another's source, no result can
            be written, or, without `force` or `skip_existing`, a result is there already.
    """
    if force and skip_existing:
        raise ColorizeError("--force and --skip-existing exclude each other")
    if "/" in suffix or "\0" in suffix:
        raise ColorizeError(f"--suffix {suffix!r}: must be a part of a file name")
    new_format = None if format is None else _format_suffix(format)
    file = _named_file(output, inputs)
    if file is not None:
        _check_file(file, inputs, new_format, suffix)
    if output is None and not suffix:
        raise ColorizeError(
            "no output: name a folder (-o FOLDER), or a suffix for results beside the originals "
            "(--suffix _color)"
        )
    notes: list[str] = []
    found: list[_Source] = []
    failed: list[tuple[Path, str]] = []
    for path in inputs:
        try:
            found += _find(path, None if output is None else place(output), notes)
        except ColorizeError as error:
            if listed is None or path not in listed:
                raise
            failed.append((path, f"{error} ({listed[path]})"))
    if suffix:
        found = _without_results(found, suffix, notes)
    targets: dict[Path, Path] = {}
    for source in found:
        if file is not None:
            target = file
        else:
            stem = source.name.stem + suffix
            target = source.folder / source.name.with_name(
                stem + (new_format or _suffix(source.path))
            )
        if target not in targets:
            targets[target] = source.path
        elif not _same_file(targets[target], source.path):
            raise _conflict(target, targets[target], source.path)
    _note_misnamed(targets, notes, explicit=file is not None or new_format is not None)
    _check_targets(targets)
    existing = _existing(targets, {source.folder for source in found})
    if existing and not force and not skip_existing:
        them = "it" if len(existing) == 1 else "them"
        other = "suffix" if output is None else "folder" if file is None else "name"
        raise ColorizeError(
            f"{_and_more(existing)}: already there; use --skip-existing (skip_existing=True) to "
            f"leave {them}, --force (force=True) to overwrite {them}, or another {other}"
        )
    skipped = existing if skip_existing else []
    for target in skipped:
        del targets[target]
    _check_folders(targets)
    return Plan(targets, skipped, notes, failed)


def _format_suffix(format: str) -> str:
    """The suffix of a format that a user names, as ".png"."""
    suffix = "." + format.lower().removeprefix(".")
    if suffix not in WRITTEN_SUFFIXES:
        known = " ".join(known.removeprefix(".") for known in WRITTEN_SUFFIXES)
        raise ColorizeError(f"--format {format}: unknown format; use one of {known}")
    return suffix


def _named_file(output: str | Path | None, inputs: Sequence[Path]) -> Path | None:
    """The output if it names a file, not a folder."""
    if output is None or str(output).endswith("/"):
        return None
    path = place(output)
    if urls.is_folder(path):
        return None
    if urls.exists(path) and path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise ColorizeError(f"{path}: not a folder")
    if path.suffix.lower() not in WRITTEN_SUFFIXES and _are_several(inputs):
        return None  # As out/vividness0.75.
    return path if path.suffix else None


def _are_several(inputs: Sequence[Path]) -> bool:
    """Whether a single file cannot be the result."""
    return len(inputs) != 1 or urls.is_folder(inputs[0])


def _check_file(file: Path, inputs: Sequence[Path], format: str | None, suffix: str) -> None:
    """Raises a ColorizeError unless a file can be the output of these inputs."""
    own = file.suffix.lower()
    if own not in WRITTEN_SUFFIXES:
        raise ColorizeError(
            f"{file}: unknown image suffix; use one of {' '.join(WRITTEN_SUFFIXES)}, or {file}/ "
            "for a folder"
        )
    if _are_several(inputs):
        raise ColorizeError(f"{file}: a single file; give a folder for several images")
    if format is not None and KIND_OF_SUFFIX[format] != KIND_OF_SUFFIX[own]:
        raise ColorizeError(f"{file}: not the suffix of --format {format[1:]}")
    if suffix:
        raise ColorizeError(f"{file}: a file; --suffix {suffix} is for results in folders")


def _find(path: Path, output: Path | None, notes: list[str]) -> list[_Source]:
    """The images of an input, with the places of their results; notes what is not read."""
    # Looking up each URL of a long list would take hours; a missing image fails by itself.
    is_listed = is_url(path) and path.suffix.lower() in KIND_OF_SUFFIX
    if is_listed or not urls.is_folder(path):
        if not is_listed and not urls.exists(path):
            name = name_of(path)
            # Spaces at the ends show in quotes only.
            name = repr(name) if name != name.strip() else name
            raise ColorizeError(f"{name}: no such file or folder")
        return [_Source(path, output or path.parent, Path(path.name))]
    names = urls.find_images(path) if is_url(path) else find_images(path)
    if output is not None and path.resolve() in output.resolve().parents:
        results = output.resolve().relative_to(path.resolve()).as_posix() + "/"
        names = [name for name in names if not name.startswith(results)]
    if not names:
        raise ColorizeError(f"{path}: no images in this folder ({' '.join(readable_suffixes())})")
    if not is_url(path) and (unread := unread_suffixes(path)):
        notes.append(f"{path}: not read: {_counts(unread)}")
    return [_Source(path / name, output or path, Path(name)) for name in names]


def _counts(suffixes: dict[str, int]) -> str:
    """Numbers of files by suffix, the rarest together."""
    shown = list(suffixes.items())[:_SHOWN_SUFFIXES]
    parts = [f"{count} {suffix or 'without suffix'}" for suffix, count in shown]
    if others := sum(suffixes.values()) - sum(count for _, count in shown):
        parts.append(f"{others} others")
    return ", ".join(parts)


def _without_results(found: list[_Source], suffix: str, notes: list[str]) -> list[_Source]:
    """Leaves out results of earlier calls: `a_color.png` where there is an `a` with any suffix."""
    stems = {source.path.parent / source.path.stem for source in found}

    def is_result(path: Path) -> bool:
        stem = path.stem.removesuffix(suffix)
        return stem not in ("", path.stem) and path.parent / stem in stems

    sources = [source for source in found if not is_result(source.path)]
    if count := len(found) - len(sources):
        notes.append(f"{count} results of earlier calls (*{suffix}) are not colorized again")
    return sources


def _suffix(source: Path) -> str:
    """The suffix for the result of a source: its own where it fits its content.

    At a URL it is detected by the name alone, as each look at a file there takes its time.
    """
    if is_url(source):
        own = source.suffix.lower()
        if own not in KIND_OF_SUFFIX:
            raise ColorizeError(
                f"{source}: its name has no image suffix; name the format of the result (--format)"
            )
        return KINDS[KIND_OF_SUFFIX[own]][0] if own in _RENAMED_SUFFIXES else source.suffix
    try:
        usual = content_suffix(source)
    except ColorizeError:
        return source.suffix  # Reading it will raise with the reason.
    own = source.suffix.lower()
    fits = KIND_OF_SUFFIX.get(own) == KIND_OF_SUFFIX[usual] and own not in _RENAMED_SUFFIXES
    return source.suffix if fits else usual


def _note_misnamed(targets: dict[Path, Path], notes: list[str], explicit: bool) -> None:
    """Notes sources whose suffix is that of another kind of image than they hold."""
    if explicit:
        return
    misnamed = [
        (source, target)
        for target, source in targets.items()
        if KIND_OF_SUFFIX.get(source.suffix.lower())
        not in (None, KIND_OF_SUFFIX.get(target.suffix.lower()))
    ]
    if misnamed:
        files = _and_more([source for source, _ in misnamed])
        notes.append(f"{files}: holds another format than its name says; see {misnamed[0][1]}")


def _existing(targets: Iterable[Path], folders: set[Path]) -> list[Path]:
    """The targets that are there already; at URLs by one listing of each folder."""
    there = {folder / name for folder in folders if is_url(folder) for name in urls.find(folder)}
    return [
        target for target in targets if (target in there if is_url(target) else target.exists())
    ]


def _check_targets(targets: dict[Path, Path]) -> None:
    """Raises a ColorizeError if a target is a source, or two targets are one file."""
    identities = {_identity(source): source for source in targets.values()}
    taken: dict[Path, Path] = {}
    resolved: dict[Path, Path] = {}  # Of folders.
    spellings: dict[str, Path] = {}
    for target, source in targets.items():
        identity = _identity(target)
        if identity is not None and identity in identities:
            raise ColorizeError(
                f"{target}: is the original {identities[identity]}, which is never overwritten; "
                "use another folder or --suffix"
            )
        if is_url(target):  # It has one spelling only.
            continue
        if target.parent not in resolved:
            resolved[target.parent] = target.parent.resolve()
        real = resolved[target.parent] / target.name
        if real in taken:
            raise _conflict(target, taken[real], source)
        taken[real] = source
        spelling = unicodedata.normalize("NFC", str(real)).casefold()
        other = spellings.setdefault(spelling, real)
        if other != real and _ignores_case(real.parent):
            raise _conflict(target, taken[other], source)


def _check_folders(targets: Iterable[Path]) -> None:
    """Raises a ColorizeError if results can be written to none of the folders."""
    failures: list[ColorizeError] = []
    for folder in dict.fromkeys(target.parent for target in targets if not is_url(target)):
        try:
            existing = _existing_folder(folder)
            with named_failure(folder), tempfile.TemporaryFile(dir=existing):
                return
        except ColorizeError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _existing_folder(folder: Path) -> Path:
    """The folder, or the one in which it will be made."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ColorizeError(f"{folder}: not a folder")
    return folder


def _ignores_case(folder: Path) -> bool:
    """Whether names in a folder, or where it will be made, are the same in any case."""
    folder = _existing_folder(folder)
    try:
        with tempfile.NamedTemporaryFile(prefix=".case", dir=folder) as probe:
            path = Path(probe.name)
            return path.with_name(path.name.swapcase()).exists()
    except OSError:  # Nothing can be written there, as writing will show.
        return False


def _conflict(target: Path, source: Path, other: Path) -> ColorizeError:
    return ColorizeError(
        f"{target}: would be written for both {source} and {other}; rename one, or colorize them "
        "into different folders"
    )


def _identity(path: Path) -> object:
    """What a file is the same by, however it is spelled; None if there is no such file."""
    if is_url(path):
        return str(path)
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _same_file(path: Path, other: Path) -> bool:
    identity = _identity(path)
    return identity is not None and identity == _identity(other)


def _and_more(paths: Iterable[Path]) -> str:
    first, *others = paths
    return f"{name_of(first)} and {len(others)} more" if others else name_of(first)
