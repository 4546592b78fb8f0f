"""Finding the image files under a folder."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.images.formats import readable_suffixes, suffix_of


def find_images(root: Path) -> list[str]:
    """Lists the image files under a folder, recursively and sorted; hidden ones are left out.

    Links are followed, but no folder is searched twice. What is no file, as a pipe, is left out.

    Args:
        root: a folder.

    Returns:
        Paths relative to `root`, with `/` between the parts, of the files with one of the
        `readable_suffixes`.

    Warns:
        UserWarning: a folder cannot be searched.

    Raises:
        ColorizeError: `root` is not a folder.
    """
    suffixes = readable_suffixes()
    found = [name for name in _files(Path(root)) if name.lower().endswith(suffixes)]
    return sorted(found, key=lambda name: name.split("/"))


def unread_suffixes(root: Path) -> dict[str, int]:
    """Counts the files that `find_images` passes over, hidden ones aside.

    Args:
        root: a folder.

    Returns:
        Suffix, in lower case and "" for none, -> number of files; the most frequent first.

    Warns:
        UserWarning: a folder cannot be searched.

    Raises:
        ColorizeError: `root` is not a folder.
    """
    suffixes = readable_suffixes()
    passed_over = (
        suffix_of(name) for name in _files(Path(root)) if not name.lower().endswith(suffixes)
    )
    return dict(Counter(passed_over).most_common())


def _files(root: Path) -> Iterator[str]:
    """The visible files and dangling links under a folder, relative to it."""
    if not root.is_dir():
        raise ColorizeError(f"{root}: not a folder")
    seen: set[tuple[int, int]] = set()
    folders = deque([(str(root), "")])
    while folders:
        folder, prefix = folders.popleft()
        try:
            status = Path(folder).stat()
            with os.scandir(folder) as entries:
                visible = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            warnings.warn(f"{folder}: cannot be searched ({error.strerror})", stacklevel=3)
            continue
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in sorted(visible, key=lambda entry: entry.name):
            if _is_folder(entry):
                # Links last, so that a folder that is found twice keeps its real path.
                add = folders.append if entry.is_symlink() else folders.appendleft
                add((entry.path, f"{prefix}{entry.name}/"))
            elif entry.is_symlink() or entry.is_file():
                yield prefix + entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # As of a link to itself.
        return False
