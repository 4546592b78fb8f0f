"""Images that are accepted stay within the limit, in real processes at a lower one."""

import pytest

from tests.benchmarks.limits import peak_at

LIMIT = 60_000_000
CONSTANT = 10_000_000  # Bytes of threads and codecs, whatever the size.


@pytest.mark.parametrize(
    ("suffix", "bits", "has_alpha"), [(".jpg", 8, False), (".png", 16, True), (".tif", 16, True)]
)
def test_what_an_image_at_the_limit_takes(suffix, bits, has_alpha):
    peak, pixels = peak_at(LIMIT, suffix, bits, has_alpha, strip=2**13)
    assert peak <= LIMIT + CONSTANT
    assert pixels > 800_000  # It is not held by refusing everything.
