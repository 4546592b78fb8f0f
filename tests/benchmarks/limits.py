"""Memory of colorizing images exactly at the limit, file to file, in processes of their own."""

import math
import tempfile
from pathlib import Path

import numpy as np

from keras_colorize.images import MAX_MEMORY, write_image
from keras_colorize.inference.budget import memory
from tests.benchmarks.measuring import Options, Row, growth_of_memory

# Suffix, bits a channel, whether with transparency.
KINDS = (
    *((".jpg", 8, False), (".png", 8, False), (".png", 8, True), (".png", 16, True)),
    *((".tif", 8, False), (".tif", 16, True), (".webp", 8, True), (".jp2", 8, True)),
    *((".bmp", 8, True), (".gif", 8, False), (".avif", 8, True), (".heic", 8, True)),
    (".jxl", 8, True),
)
# The network says "gray": what is measured is everything else.
COLORIZE = """
import sys
from pathlib import Path
import numpy as np
from keras_colorize.images import memory
from keras_colorize.inference import files, plan, recolor
from keras_colorize.inference.prediction import Network

class Gray(Network):
    name, size, vividness = "gray", 32, None
    def outputs(self, images):
        return np.zeros((len(images), 32, 32, 2), np.float32)

def colorize(source, target):
    summary = files.colorize_files(plan.plan([Path(source)], target, force=True), Gray())
    assert not summary.failed, summary.failed

small, large, folder, recolor._STRIP = *sys.argv[1:4], int(sys.argv[4])
colorize(small, folder)  # Loads what it needs.
"""

# Color noise, which takes the encoders more than what colorizing leaves of it.
WRITE = """
import sys
from pathlib import Path
from tests.benchmarks.limits import write_noise
small, large, side, bits, has_alpha = *map(Path, sys.argv[1:3]), *map(int, sys.argv[3:6])
write_noise(small, 64, bits, has_alpha)
"""


def measure(options: Options) -> list[Row]:
    """The peak of each kind above what a tiny image takes."""
    return [
        Row(
            f"{bits}-bit {suffix}{' with transparency' if has_alpha else ''}",
            peak / 1e6,
            "MB",
            "<= 1500",
            {"megapixels": pixels / 1e6},
        )
        for suffix, bits, has_alpha in KINDS
        for peak, pixels in [peak_at(MAX_MEMORY, suffix, bits, has_alpha)]
    ]


def peak_at(
    limit: int, suffix: str, bits: int, has_alpha: bool, strip: int = 2**17
) -> tuple[int, int]:
    """Writes noise whose header says that it takes all of a limit, and colorizes it.

    Args:
        limit: bytes.
        suffix: of source and target.
        bits: 8 or 16 a channel.
        has_alpha: whether it has transparency.
        strip: pixels that are given their colors at a time.

    Returns:
        Bytes at the peak above what a tiny image takes, and pixels.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        trial, small, large = (folder / f"{name}{suffix}" for name in ("trial", "small", "large"))
        write_noise(small, 64, bits, has_alpha)
        side = 512
        for path in (trial, large, large):  # Bytes a pixel depend on the size a little.
            write_noise(path, side, bits, has_alpha)
            side = math.isqrt(side**2 * limit // memory(path, path, 1)) * 99 // 100
        written = growth_of_memory(
            WRITE,
            "write_noise(large, side, bits, has_alpha)",
            *(str(small), str(large), str(side), str(bits), str(int(has_alpha))),
        )
        assert 0.95 * limit < memory(large, large, 1) <= limit
        arguments = [str(path) for path in (small, large, folder / "out")]
        peak = growth_of_memory(COLORIZE, "colorize(large, folder)", *arguments, str(strip))
        return max(written, peak), side**2


def write_noise(path: Path, side: int, bits: int, has_alpha: int) -> None:
    """Writes a square of noise; half transparent, where it has transparency."""
    random = np.random.default_rng(0)
    dtype = np.uint8 if bits == 8 else np.uint16
    rgb = np.empty((side, side, 3), dtype)
    for top in range(0, side, 256):
        part = rgb[top : top + 256]
        part[:] = random.integers(0, 2**bits, part.shape, dtype)
    alpha = np.full((side, side), 2**bits // 2, dtype) if has_alpha else None
    write_image(path, rgb, alpha)
