"""The processes that train together, as the environment variable TF_CONFIG names them.

Loads no TensorFlow: a mistake shows before the slow imports start.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

from keras_colorize.errors import ColorizeError, shorten

_EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Attributes:
        workers: `host:port` of each; the first is the chief, who writes the run.
        index: of this process.
    """

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.index == 0


def find_cluster(strategy: str | None) -> Cluster | None:
    """The workers to train with; None to train alone.

    Args:
        strategy: `training.strategy` of the recipe; unset, TF_CONFIG decides.

    Raises:
        ColorizeError: TF_CONFIG is needed and not set, or wrong.
    """
    if strategy not in (None, "multi_worker"):
        return None
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        if strategy is None:
            return None
        raise ColorizeError(
            'training.strategy: "multi_worker" needs TF_CONFIG, which is not set; '
            f"for example {_EXAMPLE}"
        )
    cluster = _parse(text)
    return None if strategy is None and len(cluster.workers) == 1 else cluster


def _parse(text: str) -> Cluster:
    try:
        config = json.loads(text)
        jobs = {job: _addresses(config["cluster"].get(job, [])) for job in ("chief", "worker")}
        job, index = config["task"]["type"], int(config["task"]["index"])
        if not 0 <= index < len(jobs[job]):
            raise ValueError("no such task")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ColorizeError(
            f"TF_CONFIG: must name workers and which of them this one is, as {_EXAMPLE} "
            f"(got {shorten(text, 200)})"
        ) from None
    workers = (*jobs["chief"], *jobs["worker"])
    if len(set(workers)) < len(workers):
        raise ColorizeError(f"TF_CONFIG: names a worker twice (got {', '.join(workers)})")
    return Cluster(workers, index + (len(jobs["chief"]) if job == "worker" else 0))


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError("no addresses")
    return value
