"""Lab on disk: filled by real processes that are killed, on folders that change."""

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_colorize.data import cache
from keras_colorize.data.cache import (
    CachedImages,
    cache_bytes,
    cache_in_memory,
    cache_on_disk,
    find_on_disk,
    fingerprint,
    load_into_memory,
    memory_limit,
)
from keras_colorize.data.lab import lab_from_rgb
from keras_colorize.data.pipeline import training_batches
from keras_colorize.data.sharding import Shard
from keras_colorize.data.sources import Folder, ImageSet, Splits, list_folder, load_folder
from keras_colorize.errors import ColorizeError

SIZE = 16
MADE_OF = {"source": "folder", "image_size": SIZE}
COUNTS = {"train": 150, "validation": 20, "test": 9}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Images, with a gray one and two broken ones among those to train on."""
    random = np.random.default_rng(0)
    root = tmp_path / "images"
    for split, count in COUNTS.items():
        (root / split).mkdir(parents=True)
        for index in range(count):
            pixels = random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
            Image.fromarray(pixels).save(root / split / f"{index:03d}.png")
    Image.fromarray(np.full((9, 9, 3), 77, np.uint8)).save(root / "train" / "gray.png")
    for name in ("broken", "empty"):
        (root / "train" / f"{name}.png").write_text("" if name == "empty" else "text")
    return root


def listed(folder: Path, **limits) -> Folder:
    return list_folder(folder, SIZE, **limits)


def on_disk(folder: Path, **limits) -> CachedImages:
    return cache_on_disk(listed(folder, **limits), folder.parent / "caches", MADE_OF | limits)


def content(cached: CachedImages) -> dict[str, object]:
    return {
        "train": cached.train.rows(0, 1000).tobytes(),
        "validation": cached.validation.rows(0, 1000).tobytes(),
        "tally": cached.tally,
        "fingerprint": cached.fingerprint,
    }


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """How many files each call of `chunks` was told to be read already; empty without calls."""
    calls: list[int] = []
    chunks = Folder.chunks

    def counted(self, split, position=0, kept=0):
        calls.append(position)
        return chunks(self, split, position, kept)

    monkeypatch.setattr(Folder, "chunks", counted)
    return calls


pytestmark = pytest.mark.filterwarnings("ignore:.*unreadable images skipped")


def test_in_memory_and_on_disk_hold_the_same(folder):
    splits = load_folder(folder, SIZE)
    in_memory, mapped = cache_in_memory(listed(folder)), on_disk(folder)
    expected = {
        split: lab_from_rgb(getattr(splits, split).rgb).tobytes()
        for split in ("train", "validation")
    }
    expected["tally"] = in_memory.tally
    # The hash of older versions, by which their runs resume.
    digest = hashlib.blake2b(digest_size=16)
    for images in (splits.train, splits.validation):
        digest.update(repr(images.rgb.shape).encode())
        digest.update(images.rgb.data)
    expected["fingerprint"] = digest.hexdigest()
    assert content(in_memory) == content(mapped) == expected
    assert content(load_into_memory(mapped)) == expected
    assert content(cache_in_memory(splits)) | {"tally": None} == expected | {"tally": None}
    assert in_memory.tally.kept == COUNTS
    assert set(in_memory.tally.unreadable) == set(splits.unreadable)
    assert (len(in_memory.tally.unreadable), in_memory.tally.gray) == (2, 1)
    assert mapped.folder is not None and str(mapped.folder) in str(mapped)
    assert "in memory" in str(in_memory)


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 19), ({"crop": 0.6}, 19), ({"first_batch": 7}, 12), ({"shard": Shard(3, 1, 2)}, 38)],
)
def test_both_feed_the_same_batches(folder, options, count):
    in_memory, mapped = (
        training_batches(cached.train, 8, epoch=tf.Variable(3), seed=1, **options)
        for cached in (cache_in_memory(listed(folder)), on_disk(folder))
    )
    assert in_memory.element_spec == mapped.element_spec
    assert len(list(in_memory)) == count
    for one, other in zip(in_memory, mapped, strict=True):
        for expected, found in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert expected.shape == found.shape
            np.testing.assert_array_equal(expected, found)


def test_a_whole_cache_is_not_read_again(folder, reads):
    first = content(on_disk(folder))
    assert reads == [0, 0, 0]
    reads.clear()
    assert content(on_disk(folder)) == first
    found = find_on_disk(listed(folder), folder.parent / "caches", MADE_OF)
    assert found is not None and content(found) == first
    assert reads == []


def test_other_limits_are_another_cache(folder):
    every, few = on_disk(folder), on_disk(folder, train_images=10)
    assert few.fingerprint == fingerprint(few.train, few.validation)
    assert (len(every.train), len(few.train)) == (COUNTS["train"], 10)
    assert every.folder != few.folder
    assert find_on_disk(listed(folder), folder.parent / "caches", {"source": "x"}) is None


FILL = """
import os, signal, sys
from keras_colorize.data import cache, sources
folder, caches, size, last = sys.argv[1:]
cache._SAVE_SECONDS = 0
add = cache.Tally.add
def add_and_die(tally, split, chunk):
    add(tally, split, chunk)
    if split == last.partition(" ")[0] and tally.position[split] > int(last.partition(" ")[2]):
        os.kill(os.getpid(), signal.SIGKILL)
cache.Tally.add = add_and_die
made_of = {"source": "folder", "image_size": int(size)}
cache.cache_on_disk(sources.list_folder(folder, int(size)), cache.Path(caches), made_of)
"""


@pytest.mark.parametrize("last", ["train 70", "test 1"])
def test_a_killed_filling_is_continued(folder, reads, last):
    caches = folder.parent / "caches"
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FILL, str(folder), str(caches), str(SIZE), last],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert killed.returncode == -9, killed.stderr
    (state,) = caches.glob("*/cache.json")
    position = json.loads(state.read_text())["tally"]["position"]
    assert position["train"] > 0
    assert find_on_disk(listed(folder), caches, MADE_OF) is None
    # What was written after progress was last saved must not matter.
    with (state.parent / "train.int16").open("r+b") as file:
        file.seek(json.loads(state.read_text())["tally"]["kept"]["train"] * SIZE * SIZE * 6)
        if position["train"] < COUNTS["train"]:
            file.write(b"\7" * 1000)
    continued = on_disk(folder)
    assert reads == list(position.values())
    reads.clear()
    assert content(continued) == content(cache_in_memory(listed(folder)))
    assert continued.folder == state.parent


@pytest.mark.parametrize("change", ["added", "removed", "changed", "touched"])
def test_a_changed_folder_is_noticed(folder, reads, change):
    before = on_disk(folder)
    old = content(before)
    path = folder / "train" / "003.png"
    if change == "removed":
        path.unlink()
    elif change == "touched":
        os.utime(path, ns=(1, 1))
    else:
        pixels = np.random.default_rng(9).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        path = path.with_name("new.png") if change == "added" else path
        Image.fromarray(pixels).save(path)
    reads.clear()
    after = on_disk(folder)
    assert reads == [0, 0, 0]
    assert (after.fingerprint == before.fingerprint) == (change == "touched")
    assert content(after) == content(cache_in_memory(listed(folder)))
    assert content(before) == old, "a training that still reads the old one is not disturbed"


@pytest.mark.parametrize("damage", ["json", "short", "missing", "version"])
def test_a_damaged_cache_is_filled_anew(folder, reads, damage):
    cached = on_disk(folder)
    expected = content(cached)
    state = cached.folder / "cache.json"
    if damage == "json":
        state.write_text('{"version": 1, "tal')
    elif damage == "short":
        os.truncate(cached.folder / "validation.int16", 100)
        expected = content(cache_in_memory(listed(folder)))
    elif damage == "missing":
        (cached.folder / "train.int16").unlink()
    else:
        state.write_text(state.read_text().replace('"version": 1', '"version": 0'))
    reads.clear()
    assert content(on_disk(folder)) == expected
    assert reads == [0, 0, 0]


def test_progress_of_a_continued_filling_ends_at_the_total(folder, monkeypatch):
    monkeypatch.setattr(cache, "_SAVE_SECONDS", 0)

    def fill(progress) -> None:
        cache_on_disk(listed(folder), folder.parent / "caches", MADE_OF, progress)

    def interrupt(done: int, total: int) -> None:
        if done > COUNTS["train"] + 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(interrupt)
    calls: list[tuple[int, int]] = []
    fill(lambda *call: calls.append(call))
    total = sum(COUNTS.values()) + 3
    assert calls[0][0] > COUNTS["train"]
    assert calls[-1] == (total, total)


def test_a_second_process_waits_for_the_first(folder, caplog):
    caches = folder.parent / "caches"
    slow = (
        "import sys, time\nfrom keras_colorize.data import cache, sources\n"
        "add = cache.Tally.add\n"
        "cache.Tally.add = lambda *a: (time.sleep(0.2), add(*a))\n"
        "folder, caches, size = sys.argv[1:]\n"
        "made_of = {'source': 'folder', 'image_size': int(size)}\n"
        "cache.cache_on_disk(sources.list_folder(folder, int(size)), cache.Path(caches), made_of)"
    )
    command = [sys.executable, "-W", "ignore", "-c", slow, str(folder), str(caches), str(SIZE)]
    with subprocess.Popen(command) as process, caplog.at_level("INFO", "keras_colorize"):
        while not list(caches.glob("*/cache.json")):
            assert process.poll() is None
            time.sleep(0.01)
        cached = on_disk(folder)
    assert process.returncode == 0
    assert "another process is filling this cache; waits for it" in caplog.text
    assert len(cached.train) == COUNTS["train"]


def test_arrays_are_found_by_their_content(tmp_path):
    def splits(seed: int) -> Splits:
        random = np.random.default_rng(seed)
        sets = [
            ImageSet(random.integers(0, 256, (n, SIZE, SIZE, 3), np.uint8), tuple("abcde"[:n]))
            for n in (5, 2, 0)
        ]
        return Splits(*sets, unreadable=("x",), gray=3)

    first, again, other = (cache_on_disk(splits(s), tmp_path, MADE_OF) for s in (0, 0, 1))
    assert first.folder == again.folder != other.folder
    assert content(first) == content(cache_in_memory(splits(0)))
    assert (first.tally.unreadable, first.tally.gray) == (["x"], 3)


def test_a_folder_that_is_no_folder(folder):
    (folder.parent / "caches").write_text("")
    with pytest.raises(ColorizeError) as caught:
        on_disk(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder.parent / 'caches'}: Lab of the images cannot be written")
    assert "Not a directory" in message and "(data.cache)" in message and "\n" not in message


def test_a_full_disk_is_noticed_before_reading(folder, monkeypatch, reads):
    monkeypatch.setattr(cache, "LAB_BYTES", 2**42)  # More than any disk has.
    with pytest.raises(ColorizeError, match=r"up to [0-9,]+ GB \(No space left on"):
        on_disk(folder)
    assert reads == []


def test_an_error_of_writing_is_named(folder, monkeypatch):
    monkeypatch.setattr(cache, "_reserve", lambda place, sizes: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(ColorizeError, match=r"caches: Lab .* written, .* \(File too large\)"):
            on_disk(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_error_of_reading_is_not_one_of_the_cache(folder, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Folder, "chunks", fail)
    with pytest.raises(OSError, match="Input/output error"):
        on_disk(folder)


def test_a_cache_that_cannot_be_mapped_is_named(folder, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    for _ in range(2):  # It is filled, then found.
        with monkeypatch.context() as patch:
            patch.setattr(cache.mmap, "mmap", fail)
            with pytest.raises(ColorizeError, match=r"caches: Lab .* be mapped .*\(No such dev"):
                on_disk(folder)
        on_disk(folder)


def test_nothing_left_to_validate_on(folder):
    for path in (folder / "validation").iterdir():
        path.write_text("no image")
    for read in (on_disk, on_disk, lambda folder: cache_in_memory(listed(folder))):
        with pytest.raises(ColorizeError, match="no image left to validate on"):
            read(folder)


def test_size_and_limit():
    assert cache_bytes({"train": 10_000, "validation": 0, "test": 5}, 128) == 983_040_000
    assert memory_limit(1.5) == 3 * 2**29
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory_limit(None) <= whole // 4
