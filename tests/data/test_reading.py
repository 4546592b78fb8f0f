import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from keras_colorize.data import reading
from keras_colorize.data.reading import Reader, chunk_size, read_chunks
from keras_colorize.errors import ColorizeError
from keras_colorize.images import memory, needs
from tests.benchmarks.measuring import growth_of_memory


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def small_is_100_pixels(monkeypatch):
    monkeypatch.setattr(reading, "_FREE_PIXELS", 100)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_large_images_at_work_stay_within_the_budget(tmp_path, as_bytes):
    paths = []
    for number, side in enumerate([20, 25, 40, 15, 20, 25] * 4):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(png(side, side))
    reader = Reader(budget=16_000)  # Bytes: for one of 40x40, or several of the others.
    charge = {needs(path).pixels: needs(path).reading for path in paths}
    assert max(charge.values()) > 16_000 > 3 * charge[400]
    lock = threading.Lock()
    at_work: list[int] = []
    most: list[list[int]] = []

    def use(rgb: np.ndarray) -> int:
        pixels = rgb.shape[0] * rgb.shape[1]
        with lock:
            at_work.append(pixels)
            most.append(list(at_work))
        rgb.sum()
        with lock:
            at_work.remove(pixels)
        return pixels

    sources = [path.read_bytes() if as_bytes else path for path in paths]
    with ThreadPoolExecutor(6) as threads:
        read = list(threads.map(lambda source: reader.read(source, use), sources))
    assert read == [side * side for side in [20, 25, 40, 15, 20, 25] * 4]
    taken = [sum(charge[count] for count in pixels) for pixels in most]
    assert all(
        total <= 16_000 or len(pixels) == 1 for total, pixels in zip(taken, most, strict=True)
    )


def test_images_that_take_too_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "MAX_MEMORY", 20_000)
    (tmp_path / "large.png").write_bytes(png(60, 60))
    with pytest.raises(
        ColorizeError, match=r"large\.png: 0.0 megapixels take 0\.0 GB when read; at"
    ):
        Reader().read(tmp_path / "large.png", np.shape)
    assert Reader().read(png(30, 30), np.shape) == (30, 30, 3)


def test_small_images_wait_for_nobody(tmp_path):
    reader = Reader(budget=1000)

    def read_small(rgb: np.ndarray) -> tuple[int, ...]:
        with ThreadPoolExecutor(1) as other:
            return other.submit(reader.read, png(10, 10), lambda small: small.shape).result(30)

    assert reader.read(png(40, 40), read_small) == (10, 10, 3)


def test_failures_give_the_budget_back(tmp_path):
    reader = Reader(budget=1000, max_pixels=1600)
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    for _ in range(2):
        with pytest.raises(ColorizeError, match=r"cut\.png: "):
            reader.read(path, lambda rgb: None)
        with pytest.raises(ZeroDivisionError):
            reader.read(png(40, 40), lambda rgb: 1 / 0)
        for source in (png(41, 40), png(40, 41)):
            with pytest.raises(ColorizeError, match="megapixels; at most"):
                reader.read(source, lambda rgb: None)
        with pytest.raises(ColorizeError, match="image of 4 bytes: "):
            reader.read(b"text", lambda rgb: None)
    assert reader.read(png(40, 40), np.shape) == (40, 40, 3)


def test_shares_do_not_pile_up(tmp_path, monkeypatch):
    """Whoever uses them slowly has a few of them in memory, and not all."""
    names = [f"{number:03d}.png" for number in range(40 * chunk_size(512))]
    for name in names:
        (tmp_path / name).write_bytes(png(3, 3))
    started = []
    read = reading._read_chunk

    def counted(*arguments):
        started.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(reading, "_read_chunk", counted)
    chunks = read_chunks(tmp_path, names, len(names), 512, keep_gray=True)
    found = list(next(chunks).names)
    time.sleep(0.3)  # Enough to read them all.
    assert len(started) <= 2 * len(os.sched_getaffinity(0)) + 1 < 40
    found += [name for chunk in chunks for name in chunk.names]
    assert found == names
    assert len(started) == 40


@pytest.mark.parametrize("wanted", [9, 100])
def test_reading_continues_where_it_stopped(tmp_path, wanted):
    names = [f"{number:02d}.png" for number in range(20)]
    for number, name in enumerate(names):  # Every third is gray, every seventh is none.
        color = (number, number, number) if number % 3 == 0 else (200, number, 50)
        Image.new("RGB", (40, 40), color).save(tmp_path / name)
        if number % 7 == 0:
            (tmp_path / name).write_text("text")

    def read(position: int = 0, kept: int = 0) -> list[reading.Chunk]:
        return list(read_chunks(tmp_path, names, wanted, 512, position=position, kept=kept))

    every = read()
    assert sum(len(chunk.rgb) for chunk in every) == min(wanted, 11)
    for stop in range(len(every) + 1):
        position = sum(chunk.files for chunk in every[:stop])
        kept = sum(len(chunk.rgb) for chunk in every[:stop])
        rest = read(position, kept)
        assert [s.names for s in rest if s.names] == [s.names for s in every[stop:] if s.names]


def test_what_an_image_took_is_free_for_the_next(tmp_path):
    path = tmp_path / "large.png"
    Image.new("RGBA", (4000, 2500), (200, 100, 50, 90)).save(path)
    Image.new("RGBA", (40, 25)).save(tmp_path / "small.png")
    setup = """
import sys, threading
import numpy as np
from keras_colorize.data.reading import Reader
large, small = sys.argv[1:]
reader = Reader()
def read():
    for _ in range(4):
        reader.read(large, np.shape)
reader.read(small, np.shape)
"""
    # In a thread of its own, whose memory glibc keeps.
    work = "thread = threading.Thread(target=read); thread.start(); thread.join()"
    peak = growth_of_memory(setup, work, str(path), str(tmp_path / "small.png"))
    assert peak < 1.1 * needs(path).reading
