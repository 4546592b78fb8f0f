"""Colorizing, file to file: a photograph of 24 megapixels against OpenCV, a small one, and many."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import keras
import numpy as np

from keras_colorize.api import colorize_files, load
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.images import read_image, write_image
from keras_colorize.inference.files import BATCH_SIZE
from keras_colorize.inference.keras_network import KerasNetwork
from keras_colorize.inference.prediction import squash
from keras_colorize.inference.recolor import recolor
from keras_colorize.models import unet_generator
from tests.benchmarks.measuring import (
    Options,
    Row,
    alternate,
    peak_memory,
    speedup,
    tensorflow_memory,
)

PHOTOGRAPH = (6000, 4000)
COLORIZE = """
import sys
from keras_colorize.api import colorize_files
assert not colorize_files([sys.argv[1]], sys.argv[2], sys.argv[3]).failed
"""


def measure(options: Options) -> list[Row]:
    """Time and memory of one photograph; how well reading, network and writing overlap."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return [*_photograph(folder, options), _small(folder, options), _many(folder, options)]


def _photograph(folder: Path, options: Options) -> list[Row]:
    source, ours, theirs = (folder / f"{name}.jpg" for name in ("source", "ours", "theirs"))
    write_painting(source, PHOTOGRAPH, seed=0)
    generator = load()

    def opencv() -> None:
        lab = cv2.cvtColor(cv2.imread(str(source)), cv2.COLOR_BGR2LAB)
        cv2.imwrite(str(theirs), cv2.cvtColor(lab, cv2.COLOR_LAB2BGR))

    def colorize() -> None:
        assert not colorize_files([source], ours, generator, force=True).failed

    seconds = alternate({"OpenCV": opencv, "ours": colorize}, options.rounds)
    generator.save(folder / "generator.keras")
    arguments = [str(path) for path in (source, folder / "again.jpg", folder / "generator.keras")]
    memory = peak_memory(COLORIZE, *arguments) - tensorflow_memory()
    return [
        Row(
            "24 megapixels, file to file : OpenCV's conversions alone",
            speedup(seconds, "OpenCV", "ours"),
            "x",
            "<= 2",
            seconds,
        ),
        Row("its peak memory above TensorFlow's own", memory, "MiB", "<= 700"),
    ]


def _small(folder: Path, options: Options) -> Row:
    """One image by the pretrained model, which is loaded and has colorized before."""
    source, target = folder / "small.jpg", folder / "small-colorized.jpg"
    write_painting(source, (512, 512), seed=0)
    generator = load()

    def colorize() -> None:
        assert not colorize_files([source], target, generator, force=True).failed

    colorize()
    seconds = [_seconds(colorize) for _ in range(4 * options.rounds)]
    what = "512x512 JPEG, file to file, model loaded"
    return Row(what, statistics.median(seconds), "s", "<= 0.15", {"seconds": seconds})


def _many(folder: Path, options: Options) -> Row:
    """The pace of files to files, in shares of its slowest stage's pace when that is alone."""
    sources = [folder / "many" / f"{index:04d}.jpg" for index in range(options.images)]
    sources[0].parent.mkdir()
    for index, path in enumerate(sources):
        write_painting(path, (512, 512), seed=index)
    output = folder / "colorized"
    generator = unet_generator()
    stages = _stages(sources, output, generator)

    def together() -> None:
        assert not colorize_files(sources, output, generator).failed

    together()
    rounds = []
    for _ in range(options.rounds):
        seconds = {name: _seconds(stage) for name, stage in stages.items()}
        shutil.rmtree(output)
        seconds["together"] = _seconds(together)
        rounds.append(seconds)
    shares = [max(s[name] for name in stages) / s["together"] for s in rounds]
    # What two cores cannot beat if all stages keep both of them busy.
    bounds = [sum(s[name] for name in stages) / s["together"] for s in rounds]
    detail = {"seconds": rounds, "sum of the stages : together": statistics.median(bounds)}
    return Row(
        f"{len(sources)} images of 512x512 : slowest stage alone",
        100 * statistics.median(shares),
        "%",
        ">= 85",
        detail,
    )


def _stages(
    sources: list[Path], output: Path, generator: keras.Model
) -> dict[str, Callable[[], None]]:
    """Reading, network and writing, each for itself on all cores."""
    size = generator.input_shape[1]
    predict = KerasNetwork(generator).predict
    images: list = []
    colors: list[np.ndarray] = []

    def read_one(path: Path) -> tuple:
        image = read_image(path)
        return image, squash(image.rgb, (size, size))

    def write_one(number: int) -> None:
        image, _ = images[number]
        recolor(image.rgb, colors[number])
        write_image(output / sources[number].name, image.rgb)

    def read() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            images[:] = threads.map(read_one, sources)

    def network() -> None:
        squares = np.stack([square for _, square in images])
        starts = range(0, len(squares), BATCH_SIZE)
        colors[:] = np.concatenate([predict(squares[at : at + BATCH_SIZE]) for at in starts])

    def write() -> None:
        output.mkdir(exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(write_one, range(len(sources))))

    return {"read": read, "network": network, "write": write}


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_painting(path: Path, size: tuple[int, int], seed: int) -> None:
    """A JPEG of a painted scene with the grain of a photograph."""
    scene = cv2.resize(paint_scenes(1, 128, seed)[0], size, interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed).normal(0, 6, (*scene.shape[:2], 1)).astype(np.float32)
    cv2.imwrite(
        str(path), (scene + grain).clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
    )
