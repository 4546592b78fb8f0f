"""The processes that train together, as the environment variable TF_CONFIG names them.

Loads no TensorFlow: a mistake shows before the slow imports start.
"""

import json
import os
import re
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from keras_colorize.errors import ColorizeError, shorten

_EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'

_POLL_SECONDS = 0.2


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


def wait_for_others(cluster: Cluster, on_wait: Callable[[str], object]) -> None:
    """Waits until all workers are there and can reach each other.

    TensorFlow waits, too, but lets no other thread of Python run meanwhile and catches SIGTERM
    (2.21), so a worker could not be ended. Here the chief goes first, when all others listen; these
    wait for TensorFlow to listen at the chief's address.

    Args:
        cluster: the workers.
        on_wait: called with a message that names those that are not there yet.

    Raises:
        ColorizeError: the address of this worker cannot be used.
    """
    own, (chief, *others) = cluster.workers[cluster.index], cluster.workers
    with ExitStack() as stack:
        if not cluster.is_chief:
            stack.enter_context(_listen(own))
            others = [chief]
        missing = others
        said: list[str] = []
        # Those that were reached are not asked again: no process accepts the connections.
        while missing := [address for address in missing if not _can_reach(address)]:
            if missing != said:
                names = ", ".join(missing)
                on_wait(f"worker {cluster.index} of {len(cluster.workers)}: waits for {names}")
                said = missing
            time.sleep(_POLL_SECONDS)


def _listen(address: str) -> socket.socket:
    place = ("", _host_and_port(address)[1])
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(place, family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(place)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise ColorizeError(f"TF_CONFIG: cannot listen at {address} ({reason})") from error


def _can_reach(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=1).close()
    except OSError:  # Names of machines that have not started may be unknown, too.
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)  # IPv6 addresses are in brackets.


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
    if not isinstance(value, list) or not all(re.fullmatch(r".+:[0-9]{1,5}", one) for one in value):
        raise ValueError("no addresses")
    if not all(0 < _host_and_port(one)[1] < 2**16 for one in value):
        raise ValueError("no ports")
    return value
