"""Images that are accepted stay within the limit, in real processes at a lower one."""

import pytest

from keras_colorize.images import Needs
from tests.benchmarks.limits import peak_at
from tests.benchmarks.measuring import growth_of_memory

LIMIT = 60_000_000
CONSTANT = 10_000_000  # Bytes of threads and codecs, whatever the size.


@pytest.mark.parametrize(
    ("suffix", "bits", "has_alpha"), [(".jpg", 8, False), (".png", 16, True), (".tif", 16, True)]
)
def test_what_an_image_at_the_limit_takes(suffix, bits, has_alpha):
    peak, pixels = peak_at(LIMIT, suffix, bits, has_alpha, strip=2**13)
    assert peak <= LIMIT + CONSTANT
    assert pixels > 800_000  # It is not held by refusing everything.


NOISE_OF_16_BITS = """
import numpy as np
from keras_colorize.images import encode_image
rgb = np.random.default_rng(0).integers(0, 65536, (3000, 3000, 3), np.uint16)
encode_image(".jpg", rgb[:64, :64])  # Loads what it needs.
"""


def test_16_bits_written_as_8_are_in_memory_twice():
    pixels = 9_000_000
    counted = Needs(pixels, decoded=6 * pixels, reading=0).writing(".jpg")
    growth = growth_of_memory(NOISE_OF_16_BITS, "encode_image('.jpg', rgb)")
    assert growth <= counted - 6 * pixels + CONSTANT
