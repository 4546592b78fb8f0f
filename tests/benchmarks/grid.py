"""Draws images chosen by rank, not by looks: `python -m tests.benchmarks.grid FOLDER -o GRID.jpg`.

Colorizes all images of a folder, ranks them by CIEDE2000, and tiles those of the percentiles 5,
20, 35, 50, 65, 80 and 95: the original, gray, and what the model makes of it at vividness 0, its
own, and 1. Images of `--add` follow.
"""

import os
from pathlib import Path

import cv2
import numpy as np

from tests.benchmarks.measuring import argument_parser

PERCENTILES = (5, 20, 35, 50, 65, 80, 95)


def main() -> None:
    """Writes the grid, a column an image, and prints what it shows."""
    parser = argument_parser("tests.benchmarks.grid", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", help="by default the pretrained one")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="images to show at the end")
    parser.add_argument("--side", type=int, default=176, help="of the tiles, in pixels")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import keras_colorize
    from keras_colorize import color
    from keras_colorize.evaluation.metrics import ciede2000
    from keras_colorize.images import (
        find_images,
        image_grid,
        read_rgb,
        square_thumbnail,
        write_image,
    )

    generator = keras_colorize.load(arguments.model)
    names = find_images(arguments.folder)
    errors = []
    for name in names:
        rgb = read_rgb(arguments.folder / name)
        labs = [
            color.rgb_to_lab(np.float32(image) / 255)
            for image in (rgb, keras_colorize.colorize(rgb, generator))
        ]
        errors.append(float(np.mean(ciede2000(*labs))))
    order = np.argsort(errors)
    shown = []
    for percent in PERCENTILES:
        index = order[round(percent / 100 * (len(order) - 1))]
        print(f"{percent:>3}  {errors[index]:6.2f}  {names[index]}")
        shown.append(arguments.folder / names[index])
    columns = []
    for path in [*shown, *arguments.add]:
        rgb = square_thumbnail(read_rgb(path), arguments.side)
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
        gray[..., 1:] = 128
        vivid = [
            keras_colorize.colorize(rgb, generator, vividness=share) for share in (0.0, None, 1.0)
        ]
        columns.append([rgb, cv2.cvtColor(gray, cv2.COLOR_LAB2RGB), *vivid])
    write_image(arguments.output, image_grid(list(zip(*columns, strict=True))))
    print(f"{len(names)} images, mean CIEDE2000 {np.mean(errors):.2f}")


if __name__ == "__main__":
    main()
