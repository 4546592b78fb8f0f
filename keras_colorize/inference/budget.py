"""How much memory it takes to colorize an image."""

from pathlib import Path

from keras_colorize.errors import ColorizeError
from keras_colorize.images import MAX_MEMORY, content_suffix, name_of, needs

BUDGET = 1_000_000_000
"""Between reading and writing images take at most this many bytes, as `memory` computes; one that
takes more is processed alone."""

SMALLEST = BUDGET // 128
"""What small images count as, so that they do not pile up either."""


def memory(source: Path, target: Path, pages: int) -> int:
    """Computes from the header how many bytes an image takes at the peak of its work.

    Args:
        source: an image file.
        target: what it becomes; its suffix counts.
        pages: its pages or frames. Those of a TIFF that becomes one are worked on one by one,
            others are held until they are written together.

    Raises:
        ColorizeError: it cannot be read, or takes more than `MAX_MEMORY`.
    """
    need = needs(source, pages)
    held = 0
    if pages > 1:
        is_stream = content_suffix(source) == ".tif" and target.suffix.lower() in _TIFF
        # Each of them once more as the encoder has it.
        held = need.decoded if is_stream else (pages - 1) * (need.decoded + 4 * need.pixels)

    def peak(suffix: str) -> int:
        return held + max(need.reading, need.writing(suffix))

    taken = peak(target.suffix)
    if taken > MAX_MEMORY:
        remedy = "shrink it or split it"
        if peak(_FRUGAL) <= MAX_MEMORY:
            remedy += f", or choose --format {_FRUGAL[1:]}"
        raise ColorizeError(
            f"{name_of(source)}: {pages * need.pixels / 1e6:.1f} megapixels take "
            f"{taken / 1e9:.1f} GB at work as {target.suffix[1:].lower()}; at most "
            f"{MAX_MEMORY / 1e9:.1f} GB are taken; {remedy}"
        )
    return taken


_TIFF = (".tif", ".tiff")
_FRUGAL = ".png"  # It holds what all others do, and takes little memory to write.
