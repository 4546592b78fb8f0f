"""Memory within the limits of containers, of both kinds of cgroup."""

import os

import pytest

from keras_colorize import memory
from keras_colorize.memory import format_bytes, free_memory, peak_memory, total_memory

MIB = 2**20


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A container's files, which are those of the kernel in name and form."""
    monkeypatch.setattr(memory, "_GROUP", tmp_path)

    def write(version: int, limit: str, used: int, freeable: int):
        statistics = f"anon 77\ninactive_file {freeable}\nactive_file 5\n"
        files = {"memory.max": limit, "memory.current": used, "memory.stat": statistics}
        if version == 1:
            statistics = f"inactive_file 1\nactive_file 5\ntotal_inactive_file {freeable}\n"
            files = {
                "memory/memory.limit_in_bytes": limit,
                "memory/memory.usage_in_bytes": used,
                "memory/memory.stat": statistics,
            }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")

    return write


@pytest.mark.parametrize("version", [1, 2])
def test_page_cache_of_a_container_is_free(group, version):
    own = memory._figure(memory._PROCESS, "VmRSS") * 1024
    group(version, str(300 * MIB), 290 * MIB, 250 * MIB)
    assert total_memory() == 300 * MIB
    assert free_memory() - own == pytest.approx(260 * MIB, abs=20 * MIB)


@pytest.mark.parametrize(("version", "limit"), [(2, "max"), (1, str(2**63 - 4096)), (None, "")])
def test_a_container_without_a_limit(group, version, limit):
    if version:
        group(version, limit, 290 * MIB, 250 * MIB)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert total_memory() == machine
    assert 0 < free_memory() < 2 * machine


def test_the_peak_counts_memory_that_is_given_back():
    before = peak_memory()
    size = before + 50 * MIB
    block = bytearray(os.urandom(4096)) * (size // 4096)
    del block
    assert peak_memory() >= size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (140_700, "0.141 MB"),
        (21e6, "21 MB"),
        (3.414e9, "3.41 GB"),
        (983_040_000, "983 MB"),
        (1573e9, "1,573 GB"),
    ],
)
def test_bytes_as_text(count, text):
    assert format_bytes(count) == text
