"""Which picture files become which: checked before anything is loaded or written."""

from collections.abc import Sequence
from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.images import SUFFIXES, find_images


def plan(inputs: Sequence[Path], output: Path, force: bool = False) -> dict[Path, Path]:
    """Lists every picture with the file it becomes.

    Args:
        inputs: image files, and folders to search for them recursively.
        output: a folder; below it files go by their name, and pictures of an input folder by
            their path in that folder. For a single input file it may be a file.
        force: whether files that are there already may be replaced.

    Returns:
        Target -> source, in the order of the inputs.

    Raises:
        ColorizeError: if an input is missing or has no pictures, two pictures would become one
            file, or, without `force`, a result is there already.
    """
    names_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
    if names_file and (len(inputs) != 1 or inputs[0].is_dir()):
        raise ColorizeError(f"{output}: a single file; give a folder for several pictures")
    if output.exists() and not names_file and not output.is_dir():
        raise ColorizeError(f"{output}: not a folder")
    sources: dict[Path, Path] = {}
    for path in inputs:
        if path.is_dir():
            found = find_images(path)
            if path.resolve() in output.resolve().parents:  # With results of an earlier call.
                results = output.resolve().relative_to(path.resolve()).as_posix() + "/"
                found = [name for name in found if not name.startswith(results)]
            if not found:
                raise ColorizeError(f"{path}: no picture in this folder ({' '.join(SUFFIXES)})")
            pairs = [(output / name, path / name) for name in found]
        elif path.exists():
            pairs = [(output if names_file else output / path.name, path)]
        else:
            raise ColorizeError(f"{path}: no such file or folder")
        for target, source in pairs:
            if target in sources:
                raise ColorizeError(
                    f"{target}: would be written for both {sources[target]} and {source}"
                )
            sources[target] = source
    existing = [target for target in sources if target.exists()]
    if existing and not force:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise ColorizeError(
            f"{existing[0]}{more}: already there; use --force to overwrite, or another folder"
        )
    return sources
