"""Splits images as the default model's were: `python -m tests.benchmarks.split DATA OUTPUT`.

DATA holds `paintings/ARTIST/*.jpg` and `photos/CLASS/*.jpg`. OUTPUT becomes a tree of links that
`data.path` takes, with `train/`, `validation/` and `test/`; the last two hold `unseen/` (paintings
by artists that `train/` lacks), `seen/` (other paintings by its artists), `scenes/` and
`objects/`. A hash of the artist's name or of the path decides, so that a file stays where it is
when others are added.
"""

import hashlib
from collections import Counter
from pathlib import Path

from tests.benchmarks.measuring import argument_parser

# Folders of many artists.
COLLECTIONS = ("museum", "tretyakov")


def main() -> None:
    """Makes the links and prints how many there are of each kind."""
    parser = argument_parser("tests.benchmarks.split", __doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    for kind, place in (("paintings", painting), ("photos", photograph)):
        for path in sorted((arguments.data / kind).glob("*/*.jpg")):
            folder, name = path.parent.name, f"{kind}/{path.parent.name}/{path.name}"
            split = place(folder, name)
            link = arguments.output / split / folder / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
            counts[split] += 1
    for split, count in sorted(counts.items()):
        print(f"{split:<20} {count:>6}")


def painting(artist: str, name: str) -> str:
    """5 % of the artists to test and 3 % to validate; of the others' paintings 2.5 and 1.2 %."""
    if artist not in COLLECTIONS:
        if place(artist) >= 0.95:
            return "test/unseen"
        if place(artist) < 0.03:
            return "validation/unseen"
    if place(name) >= 0.975:
        return "test/seen"
    return "validation/seen" if place(name) < 0.012 else "train/paintings"


def photograph(kind: str, name: str) -> str:
    """5 % of the scenes and 25 % of the objects to test, 3 % to validate."""
    group, test_share = ("objects", 0.25) if kind == "objects" else ("scenes", 0.05)
    if place(name) >= 1 - test_share:
        return f"test/{group}"
    return f"validation/{group}" if place(name) < 0.03 else "train/photos"


def place(text: str) -> float:
    """A number of 0..1 that depends on the text only, spread evenly."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


if __name__ == "__main__":
    main()
