"""What a run was made with: versions, machine and images."""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from keras_colorize.files import write_text

_PACKAGES = ("keras-colorize", "tensorflow", "keras", "tensorflow-io", "numpy", "opencv-python")


def write_environment(path: Path, images: Mapping[str, object], strategy: str) -> None:
    """Writes environment.json.

    Args:
        path: of the file.
        images: how many are used and skipped.
        strategy: how devices train together, and which.
    """
    versions = {}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):  # tensorflow-io is not for every Python.
            versions[package] = version(package)
    environment = {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "strategy": strategy,
        "pictures": dict(images),
    }
    write_text(path, json.dumps(environment, indent=2) + "\n")
