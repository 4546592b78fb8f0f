"""How much damage in JPEG files is found, and how many good files are called damaged."""

import random
import tempfile
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.errors import ColorizeError
from keras_colorize.images import find_images, read_rgb
from tests.benchmarks.measuring import Options, Row

SIZE = (960, 640)
SETTINGS = (
    {"quality": 90},
    {"quality": 75, "optimize": True},
    {"quality": 85, "progressive": True},
    {"quality": 92, "subsampling": 0},
    {"quality": 80, "restart_marker_rows": 1},
)
# What overwrites a place in the image data, and how many bytes of it.
DAMAGE = {
    "zeros": (64, 512, 4096),
    "random bytes": (16, 64, 512, 4096),
    "text": (64, 512, 4096),
    "another JPEG": (512, 4096),
    "the sector before": (512, 4096),
    "a flipped bit": (1,),
}


def measure(options: Options) -> list[Row]:
    """Shares of damaged files that are found, among those that look different at all.

    With a folder, its JPEG files are the good ones, and of up to `images` of them the damaged
    ones are made; without, painted scenes.
    """
    chance = random.Random(0)
    names = find_images(options.data) if options.data else []
    chance.shuffle(names)
    rows = []
    if names:
        alarms = sum(_is_called_damaged((options.data / name).read_bytes()) for name in names)
        rows.append(Row(f"false alarms among {len(names)} files", alarms, "files", "<= 0"))
    files = [
        _jpeg(image, SETTINGS[number % len(SETTINGS)])
        for number, image in enumerate(_images(options, names))
    ]
    rows.append(
        Row(
            f"false alarms among {len(files)} files of {len(SETTINGS)} settings",
            sum(map(_is_called_damaged, files)),
            "files",
            "<= 0",
        )
    )
    originals = [read_rgb(data) for data in files]
    for kind, lengths in DAMAGE.items():
        for length in lengths:
            found = unseen = 0
            for data, original in zip(files, originals, strict=True):
                damaged = _damaged(data, kind, length, files, chance)
                try:
                    unseen += not np.array_equal(read_rgb(damaged), original)
                except ColorizeError:
                    found += 1
            share = 100 * found / max(1, found + unseen)
            detail = {"found": found, "not found": unseen}
            rows.append(Row(f"found of {length} bytes: {kind}", share, "%", detail=detail))
    return rows


def _images(options: Options, names: list[str]) -> Iterator[np.ndarray]:
    """Images of `SIZE`, each of six small ones."""
    count = min(options.images, 100)
    scenes = None if names else paint_scenes(6 * count, 128, seed=0)
    for number in range(count):
        tiles = []
        for index in range(6 * number, 6 * number + 6):
            if scenes is None:
                tile = read_rgb(options.data / names[index % len(names)])
            else:
                tile = scenes[index]
            tiles.append(cv2.resize(tile, (320, 320), interpolation=cv2.INTER_CUBIC))
        yield np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])


def _jpeg(image: np.ndarray, settings: dict) -> bytes:
    with tempfile.TemporaryFile() as file:
        Image.fromarray(image).save(file, "JPEG", **settings)
        file.seek(0)
        return file.read()


def _is_called_damaged(data: bytes) -> bool:
    try:
        read_rgb(data)
    except ColorizeError:
        return True
    return False


def _damaged(
    data: bytes, kind: str, length: int, files: list[bytes], chance: random.Random
) -> bytes:
    """A file whose image data are overwritten somewhere but in their first and last tenth."""
    start, end = data.find(b"\xff\xda") + 14, len(data) - 2
    margin = (end - start) // 10
    length = min(length, margin)
    at = chance.randrange(start + margin, end - margin - length)
    if kind == "zeros":
        part = bytes(length)
    elif kind == "random bytes":
        part = chance.randbytes(length)
    elif kind == "text":
        part = (b"The quick brown fox jumps over the lazy dog. " * 100)[:length]
    elif kind == "another JPEG":
        other = chance.choice(files)
        place = chance.randrange(len(other) // 4, len(other) // 2)
        part = other[place : place + length]
    elif kind == "the sector before":
        part = data[at - length : at]
    else:
        part = bytes([data[at] ^ 1 << chance.randrange(8)])
    return data[:at] + part + data[at + len(part) :]
