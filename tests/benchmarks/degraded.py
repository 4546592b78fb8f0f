"""How much worse colors get where the image is degraded, as old photographs and poor scans are.

    python -m tests.benchmarks.degraded FOLDER --images 250

Each folder in FOLDER is a set of images. Each image is resized to a short side of 256, made gray,
degraded and colorized. Its ab then goes onto the lightness of the original, so that only color is
judged: CIEDE2000 is shown as a share of gray's, and in parentheses colorfulness as a share of the
originals'; both are means over the images of a set.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.measuring import argument_parser
from tests.benchmarks.vividness import resize

SIZE = 256


def main() -> None:
    """Prints a line a degradation."""
    parser = argument_parser("tests.benchmarks.degraded", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="by default the pretrained one")
    parser.add_argument("--images", type=int, default=250, help="of each set, drawn at random")
    parser.add_argument("--vividness", type=float, default=0.0)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import keras_colorize
    from keras_colorize.images import find_images, read_rgb

    generator = keras_colorize.load(arguments.model)
    sets = {}
    for folder in sorted(filter(Path.is_dir, arguments.folder.iterdir())):
        names = find_images(folder)
        names = random.Random(0).sample(names, min(arguments.images, len(names)))
        sets[folder.name] = [resize(read_rgb(folder / name), SIZE) for name in names]
    print(f"{'':<26}", *(f"{name:<12}" for name in sets))
    for what, degrade in DEGRADATIONS.items():
        cells = []
        for images in sets.values():
            scores = [_scores(generator, rgb, degrade, arguments.vividness) for rgb in images]
            (_, colors), (gray, _), (error, predicted) = np.mean(scores, axis=0)
            cells.append(f"{error / gray:.3f} ({predicted / colors:.2f})")
        print(f"{what:<26}", *cells, flush=True)


def _scores(
    generator: object, rgb: np.ndarray, degrade: Callable[[np.ndarray], np.ndarray], vivid: float
) -> list[tuple[float, float]]:
    """CIEDE2000 and colorfulness: of the original, of gray, and of the colors predicted."""
    import tensorflow as tf

    from keras_colorize import color, colorize
    from keras_colorize.evaluation.metrics import ciede2000, colorfulness

    lightness, ab = color.normalize(rgb)
    gray = color.render(lightness, tf.zeros_like(ab)).numpy()
    colorized = colorize(degrade(gray[..., 0]), generator, vividness=vivid)
    _, predicted = color.normalize(colorized)
    images = [rgb, gray, color.render(lightness, predicted).numpy()]
    labs = [color.rgb_to_lab(np.float32(image) / 255) for image in images]
    return [
        (float(np.mean(ciede2000(labs[0], lab))), float(colorfulness(image[None])[0]))
        for image, lab in zip(images, labs, strict=True)
    ]


def _toned(gamma: float, black: float, white: float) -> Callable[[np.ndarray], np.ndarray]:
    """Of gray levels, uint8; black and white are shares of their range."""
    levels = black + (white - black) * (np.arange(256) / 255) ** gamma
    return lambda gray: np.uint8(np.rint(255 * levels))[gray]


def _grainy(gray: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, gray.shape)
    return np.uint8(np.clip(np.rint(gray + noise), 0, 255))


def _small(gray: np.ndarray) -> np.ndarray:
    height, width = gray.shape
    return cv2.resize(resize(gray, 80), (width, height), interpolation=cv2.INTER_CUBIC)


def _compressed(gray: np.ndarray) -> np.ndarray:
    _, jpeg = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 15])
    return cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)


DEGRADATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda gray: gray,
    "gamma 0.6": _toned(0.6, 0.0, 1.0),
    "gamma 1.6": _toned(1.6, 0.0, 1.0),
    "faded, 0.2 to 0.9": _toned(1.0, 0.2, 0.9),
    "faded, 0.35 to 0.8": _toned(1.0, 0.35, 0.8),
    "dark, 0.02 to 0.5": _toned(1.0, 0.02, 0.5),
    "grain, deviation 12 of 255": _grainy,
    "enlarged from 80 pixels": _small,
    "JPEG of quality 15": _compressed,
}


if __name__ == "__main__":
    main()
