"""Memory of the machine, of its container and of this process, as Linux counts it."""

import os
from contextlib import suppress
from pathlib import Path

_PROCESS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")
_GROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)
"""Of cgroup 2 and 1: the limit, the use, and where the use lists page cache that can be freed.

Reference:
    https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
"""


def total_memory() -> int:
    """Bytes that the machine has, or the container may use if that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([total, *(limit for limit, _ in _group_memory())])


def free_memory() -> int:
    """Bytes that this process can have, with those that it has already."""
    free = 1024 * _figure(_MACHINE, "MemAvailable")
    free = min([free, *(limit - used for limit, used in _group_memory())])
    return free + 1024 * _figure(_PROCESS, "VmRSS")


def peak_memory() -> int:
    """The most bytes that this process has had."""
    return 1024 * _figure(_PROCESS, "VmHWM")


def format_bytes(count: float) -> str:
    """As "0.141 MB", "21 MB", "3.41 GB", "1,573 GB"."""
    number, unit = (count / 1e6, "MB") if count < 1e9 else (count / 1e9, "GB")
    return f"{number:.3g} {unit}" if number < 100 else f"{number:,.0f} {unit}"


def _group_memory() -> list[tuple[int, int]]:
    """Limits of the container, each with the bytes in use that cannot be freed."""
    found = []
    for limit, used, statistics, name in _GROUP_FILES:
        with suppress(OSError, ValueError, StopIteration):  # Another kind of container, or none.
            freeable = _figure(_GROUP / statistics, name)
            found.append((_number(_GROUP / limit), max(0, _number(_GROUP / used) - freeable)))
    return found


def _number(file: Path) -> int:
    return int(file.read_text())


def _figure(file: Path, name: str) -> int:
    """A figure of a file that has a name and a number on each line."""
    lines = (line.split() for line in file.read_text().splitlines())
    return next(int(words[1]) for words in lines if words[0].rstrip(":") == name)
