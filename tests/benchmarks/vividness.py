"""How CIEDE2000 and colorfulness move along vividness.

    python -m tests.benchmarks.vividness FOLDER --figure docs/vividness.png

Each folder in FOLDER is a set of images. Each image is resized to a short side of `--size` and
colorized at that resolution. CIEDE2000 is shown as a share of what leaving the images gray
scores, and in parentheses colorfulness (Hasler and Suesstrunk) as a share of the originals'; both
are means over the images of a set. Below it is the 95 % interval of that share of CIEDE2000, by
bootstrapping the folders that the images are in, since those of one artist are alike; or the images
where there are fewer than ten folders.
"""

import argparse
import os
import random
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.measuring import argument_parser

STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> None:
    """Prints a line a set, and draws a figure of all."""
    parser = argument_parser("tests.benchmarks.vividness", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="by default the pretrained one")
    parser.add_argument("--size", type=int, default=256, help="short side of the images")
    parser.add_argument("--prediction-size", type=int)
    parser.add_argument("--images", type=int, default=500, help="of each set, drawn at random")
    parser.add_argument("--figure", type=Path, help="PNG to draw")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import keras_colorize
    from keras_colorize.images import find_images, read_rgb

    generator = keras_colorize.load(arguments.model)
    table = {}
    print(f"{'set':<10} images   gray  ", *(f"{step:<12}" for step in STEPS))
    for folder in sorted(filter(Path.is_dir, arguments.folder.iterdir())):
        names = find_images(folder)
        names = random.Random(0).sample(names, min(arguments.images, len(names)))
        scores = [
            _scores(generator, resize(read_rgb(folder / name), arguments.size), arguments)
            for name in names
        ]
        original, gray, *steps = np.mean(scores, axis=0)
        intervals = _intervals(np.array(scores), [Path(name).parent for name in names])
        shares = [(error / gray[0], colors / original[1]) for error, colors in steps]
        table[folder.name] = shares
        cells = (f"{error:.3f} ({colors:.2f})" for error, colors in shares)
        print(f"{folder.name:<10} {len(names):>6}  {gray[0]:>5.2f}  ", *cells)
        print(" " * 26, *(f"{low:.3f}-{high:.3f} " for low, high in intervals), flush=True)
    if arguments.figure:
        _draw(table, arguments.figure)


def resize(rgb: np.ndarray, short_side: int) -> np.ndarray:
    """Of areas if it becomes smaller, else bicubic."""
    height, width = rgb.shape[:2]
    scale = short_side / min(height, width)
    size = (round(width * scale), round(height * scale))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _scores(
    generator: object, rgb: np.ndarray, arguments: argparse.Namespace
) -> list[tuple[float, float]]:
    """CIEDE2000 and colorfulness: of the original, of gray, and of each step of vividness."""
    import tensorflow as tf

    from keras_colorize import color, colorize
    from keras_colorize.evaluation.metrics import ciede2000, colorfulness

    lightness, ab = color.normalize(rgb)
    images = [rgb, color.render(lightness, tf.zeros_like(ab)).numpy()]
    images += [
        colorize(rgb, generator, vividness=step, prediction_size=arguments.prediction_size)
        for step in STEPS
    ]
    labs = [color.rgb_to_lab(np.float32(image) / 255) for image in images]
    return [
        (float(np.mean(ciede2000(labs[0], lab))), float(colorfulness(image[None])[0]))
        for image, lab in zip(images, labs, strict=True)
    ]


def _intervals(scores: np.ndarray, folders: list[Path]) -> np.ndarray:
    """From the scores of all images to the 95 % interval of each step's share, (steps, 2)."""
    names, groups = np.unique([str(folder) for folder in folders], return_inverse=True)
    if len(names) < 10:
        groups = np.arange(len(scores))
    # The sums of each folder, drawn again and again with replacement.
    errors = np.array([scores[groups == group, 1:, 0].sum(axis=0) for group in set(groups)])
    draws = np.random.default_rng(0).integers(len(errors), size=(2000, len(errors)))
    gray, *steps = np.moveaxis(errors[draws].sum(axis=1), -1, 0)
    return np.percentile(np.array(steps) / gray, (2.5, 97.5), axis=1).T


def _draw(table: Mapping[str, list[tuple[float, float]]], path: Path) -> None:
    """CIEDE2000 over colorfulness, a line a set; the dots are steps of vividness."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for name, shares in table.items():
        errors, colors = zip(*shares, strict=True)
        axes.plot(colors, errors, marker="o", label=name)
        for step, error, color in zip(STEPS, errors, colors, strict=True):
            axes.annotate(f"{step:g}", (color, error), (0, 5), textcoords="offset points", size=7)
    axes.axhline(1.0, color="gray", linewidth=1)
    axes.axvline(1.0, color="gray", linewidth=1)
    axes.set_xlabel("colorfulness / the originals'")
    axes.set_ylabel("CIEDE2000 / gray's")
    axes.margins(y=0.1)
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
