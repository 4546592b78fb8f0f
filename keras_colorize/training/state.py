"""Everything a training needs to resume exactly where it stopped, in one file."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_colorize.errors import ColorizeError, shorten
from keras_colorize.files import whole_file
from keras_colorize.training.colorizer import Colorizer

_REMEDY = "delete it, and the run begins anew"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        fingerprint: of the images it trains on.
        epoch: epochs finished.
        batch: batches of the next epoch finished.
        seconds: time spent on that epoch.
        history: a row for each finished epoch.
        callbacks: of each of the user's own callbacks its class's name and its attributes.
    """

    fingerprint: str
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    callbacks: list[list[Any]] = field(default_factory=list)


def save_state(path: Path, colorizer: Colorizer, progress: Progress) -> None:
    """Writes weights, optimizers, dropout seeds, running means and progress to one file."""
    # Variables, not arrays: NumPy copies them one by one as it writes them.
    variables: dict[str, Any] = dict(_variables(colorizer))
    with whole_file(path) as beside:
        np.savez(beside, progress=np.array(json.dumps(asdict(progress))), **variables)


def load_state(path: Path, colorizer: Colorizer) -> Progress:
    """Restores what `save_state` wrote.

    Raises:
        ColorizeError: if the file is no state of this colorizer; nothing is changed then.
    """
    variables = dict(_variables(colorizer))
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            values = dict(arrays)
        saved = json.loads(str(values.pop("progress")))
        if "pictures" in saved:  # Its earlier name.
            saved["fingerprint"] = saved.pop("pictures")
        progress = Progress(**saved)
        _check(progress)
    except Exception as error:  # NumPy and what it reads by raise many kinds.
        reason = shorten(str(error) or type(error).__name__)
        raise ColorizeError(f"{path}: cannot be read ({reason}); {_REMEDY}") from None
    expected = {k: (v.shape, np.dtype(v.dtype)) for k, v in variables.items()}
    if {k: (v.shape, v.dtype) for k, v in values.items()} != expected:
        raise ColorizeError(f"{path}: the state of other networks; {_REMEDY}")
    for name, value in values.items():
        # Means of figures that nothing is trained on may be infinite.
        if not name.startswith("mean.") and not np.isfinite(value).all():
            raise ColorizeError(f"{path}: damaged, not all of {name} is finite; {_REMEDY}")
    for name, variable in variables.items():
        variable.assign(values[name])
    return progress


def _check(progress: Progress) -> None:
    """Raises a ValueError unless all of a progress has the right types."""
    counts = (progress.epoch, progress.batch)
    if not (
        isinstance(progress.fingerprint, str)
        and all(isinstance(count, int) and count >= 0 for count in counts)
        and isinstance(progress.seconds, int | float)
        and isinstance(progress.history, list)
        and all(isinstance(row, dict) and row for row in progress.history)
    ):
        raise ValueError("its progress is none")


def _variables(colorizer: Colorizer) -> Iterator[tuple[str, keras.Variable]]:
    """All variables with unique names that are the same in every process."""
    for name, (network, optimizer) in colorizer.networks.items():
        for owner, variables in ((name, network.variables), (f"{name}.adam", optimizer.variables)):
            for index, variable in enumerate(variables):
                yield f"{owner}.{index}", variable
    if colorizer.weight_average:
        for index, variable in enumerate(colorizer.output_generator.variables):
            yield f"average.{index}", variable
    for name, mean in colorizer.means.items():
        for index, variable in enumerate(mean.variables):
            yield f"mean.{name}.{index}", variable
