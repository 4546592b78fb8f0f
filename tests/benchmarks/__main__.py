"""Measures speed and memory: `python -m tests.benchmarks`, in the project's root.

Every comparison is a ratio within one run: the sides take turns, and the median of the rounds
counts. Each benchmark runs in a process of its own. Needs `pip install -e '.[test,torch]'`, an
otherwise idle machine, and about half an hour. Run only by name: `quality`, which trains
`2 * seeds * minutes`, `bulk`, which colorizes `6 * (rounds + 1) * images`, `damage`, `limits`,
whose encoders take an hour, and `from_disk`, which needs root and 6 GiB of disk.
"""

import dataclasses
import json
import os
import platform
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.measuring import Options, Row, argument_parser, run

BENCHMARKS = (
    "starting",
    "estimate",
    "training_step",
    "feeding",
    "growth",
    "replicas",
    "colorizing",
    "memory",
    "load",
)
BY_NAME_ONLY = ("bulk", "damage", "from_disk", "limits", "quality")
PACKAGES = ("tensorflow", "keras", "numpy", "opencv-python", "torch")


def main() -> None:
    """Runs the benchmarks, prints a table and writes everything as JSON."""
    defaults = Options()
    parser = argument_parser("tests.benchmarks", __doc__)
    names = [*BENCHMARKS, *BY_NAME_ONLY]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--data", type=Path, help="10,000 images or more, a folder an artist")
    parser.add_argument("--rounds", type=int, default=defaults.rounds)
    parser.add_argument(
        "--images", type=int, default=defaults.images, help="of colorizing; of bulk twice as many"
    )
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="of quality")
    parser.add_argument("--seeds", type=int, default=defaults.seeds, help="of quality")
    parser.add_argument("--seconds", type=float, default=defaults.seconds, help="of each load")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks.json"))
    arguments = vars(parser.parse_args())
    chosen, output = arguments.pop("names") or BENCHMARKS, arguments.pop("output")
    if unknown := set(chosen) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    options = Options(**arguments)

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    report = {"machine": _machine(), "rounds": options.rounds, "benchmarks": {}}
    missing = []
    for name in chosen:
        load = os.getloadavg()[0]
        try:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                rows = process.submit(run, name, options).result()
        except ModuleNotFoundError as error:
            print(f"\n{name}: not run, needs {error.name}: pip install -e '.[test,torch]'")
            missing.append(name)
            continue
        print(f"\n{name} (load before: {load:.1f})")
        for row in rows:
            print(_line(row), flush=True)
        report["benchmarks"][name] = {
            "load_before": load,
            "rows": [dataclasses.asdict(row) | {"is_reached": row.is_reached} for row in rows],
        }
        output.write_text(json.dumps(report, indent=2) + "\n")
    if report["benchmarks"]:
        print(f"\n{output}")
    if missing:
        raise SystemExit(f"not run: {', '.join(missing)}")


def _line(row: Row) -> str:
    bar = f"{row.bar:>10}  {'reached' if row.is_reached else 'missed'}" if row.bar else ""
    return f"  {row.what:<58} {row.value:>10.4g} {row.unit:<8} {bar}".rstrip()


def _machine() -> dict[str, object]:
    """Where and when this was measured, and by which versions."""
    fields = dict(
        line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    processor = {key.strip(): value.strip() for key, value in fields.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # As PyTorch, which only some benchmarks need.
        return None


if __name__ == "__main__":
    main()
