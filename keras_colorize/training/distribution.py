"""Training on several devices and machines: the strategy, and `fit` over its replicas."""

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.console import log
from keras_colorize.errors import ColorizeError
from keras_colorize.tables import Training as Settings
from keras_colorize.training.cluster import Cluster, wait_for_others
from keras_colorize.training.colorizer import Batch, Colorizer

Figures = dict[str, tf.Tensor]

_OTHER_SEEDS = 1_000_003
"""Replicas start their random numbers this far apart."""

_BYTES_PER_PACK = 4 * 2**20
"""Gradients are sent in packs of about this size, so that one is sent while another is summed."""

_SEEN_WITHIN = 60
"""Seconds until a new file shows on the other machines: as long as NFS remembers its absence."""


@dataclass(frozen=True)
class Distribution:
    """A strategy of tf.distribute, and where this process stands in it.

    Attributes:
        strategy: makes the networks' variables, one copy a replica, and runs the replicas.
        cluster: the processes, if there are several.
    """

    strategy: tf.distribute.Strategy
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def replicas(self) -> int:
        """Of all processes."""
        return self.strategy.num_replicas_in_sync

    @property
    def local(self) -> int:
        """Replicas of this process."""
        return len(self.strategy.extended.worker_devices)

    @property
    def first(self) -> int:
        """The first replica of this process."""
        return self.local * (self.cluster.index if self.cluster else 0)

    def __str__(self) -> str:
        devices = self.strategy.extended.worker_devices
        names = ", ".join(device.rpartition("device:")[2] for device in devices)
        if self.cluster is None:
            return f"mirrored, {self.replicas} replicas ({names})"
        workers = ", ".join(self.cluster.workers)
        return f"multi_worker, {self.replicas} replicas ({names} of each of {workers})"


def describe(distribution: Distribution | None) -> str:
    """The strategy, and the devices that it trains on."""
    if distribution is not None:
        return str(distribution)
    device, *_ = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return f"none ({device.name.rpartition('device:')[2]})"


def choose_strategy(settings: Settings, cluster: Cluster | None) -> str:
    """The strategy that a recipe asks for, or by default the one that fits the devices.

    Args:
        settings: the recipe's table `training`.
        cluster: the processes that train together, if they do.

    Returns:
        A value of `training.strategy`.

    Raises:
        ColorizeError: the strategy cannot be had.
    """
    if cluster is not None:
        if settings.jit_compile:
            raise ColorizeError("training.jit_compile: must be false for several workers")
        return "multi_worker"
    if settings.strategy is not None:
        return settings.strategy
    # Keras's `fit` compiles a step as a whole, which XLA cannot do with more than one replica.
    is_one = settings.jit_compile or len(tf.config.list_logical_devices("GPU")) < 2
    return "none" if is_one else "mirrored"


def open_distribution(settings: Settings, cluster: Cluster | None) -> Distribution | None:
    """Opens the strategy that `choose_strategy` names.

    Args:
        settings: the recipe's table `training`.
        cluster: the processes that train together, if they do; waits for all of them.

    Returns:
        None for one device and Keras's own `fit`.

    Raises:
        ColorizeError: the strategy cannot be had.
    """
    strategy = choose_strategy(settings, cluster)
    if cluster is not None:
        return _join(cluster)
    if strategy == "none":
        return None
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return Distribution(_mirrored(tuple(device.name for device in devices)))


# One for a process: collective operations of a second strategy collide with those of the first.
@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(devices)


@cache
def _join(cluster: Cluster) -> Distribution:
    workers = ", ".join(cluster.workers)
    log.info("worker %d of %d (%s): joins", cluster.index, len(cluster.workers), workers)
    try:
        _require_first_use()
        wait_for_others(cluster, log.info)
        with _interruptible():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(
                communication_options=tf.distribute.experimental.CommunicationOptions(
                    bytes_per_pack=_BYTES_PER_PACK
                )
            )
    except RuntimeError as error:
        raise ColorizeError(
            f"training.strategy: multi_worker must be the first use of TensorFlow ({error})"
        ) from error
    except tf.errors.OpError as error:
        raise ColorizeError(
            f"TF_CONFIG: cannot reach the workers as {cluster.workers[cluster.index]} "
            f"({error.message.splitlines()[0]})"
        ) from error
    return Distribution(strategy, cluster)


def _require_first_use() -> None:
    """Raises a RuntimeError where a strategy would, before others are waited for."""
    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
    except RuntimeError:
        raise RuntimeError("it has run operations already") from None
    tf.config.threading.set_inter_op_parallelism_threads(threads)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lets SIGINT and SIGTERM end a wait inside of TensorFlow, where no handler of Python runs.

    While workers join, SIGINT alone does, since TensorFlow (2.21) then catches SIGTERM itself; that
    takes no longer than a moment, after `wait_for_others`.
    """
    with restored_handlers() as handlers:
        for number, handler in handlers.items():
            if callable(handler):
                signal.signal(number, signal.SIG_DFL)
        yield


@contextmanager
def restored_handlers() -> Iterator[dict[signal.Signals, Any]]:
    """The handlers of SIGINT and SIGTERM, which are put back at the end.

    None outside of the main thread, which alone can set them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield {}
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handlers
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def lost_workers_named(cluster: Cluster | None) -> Iterator[None]:
    """Raises one clear error when another worker is gone.

    TensorFlow ends what waits for it: at once where a process has died, after some ten seconds
    where it is silent.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    ) as error:
        if cluster is None:
            raise
        raise ColorizeError(
            f"worker {cluster.index} of {len(cluster.workers)}: another worker is gone; start all "
            "of them again by the same command to resume"
        ) from error


def require_same(distribution: Distribution, facts: Mapping[str, bytes]) -> None:
    """Waits for all workers, and fails on all of them if they do not agree.

    Args:
        distribution: of this training.
        facts: what should be the same for all workers; name -> value.

    Raises:
        ColorizeError: naming what differs.
    """
    if distribution.cluster is None:
        return
    # Small whole numbers, which every device can gather.
    hashes = [hashlib.blake2b(value, digest_size=8).digest() for value in facts.values()]
    mine = tf.constant([list(digest) for digest in hashes], tf.float32)
    with _interruptible():
        gathered = _gathering(distribution.strategy)(mine[None]).numpy()
    different = [
        name for index, name in enumerate(facts) if np.any(gathered[:, index] != gathered[0, index])
    ]
    if different:
        raise ColorizeError(
            f"workers do not agree on {' and '.join(different)}; all need the same command, the "
            "same images, and the run's folder on a disk that they share"
        )


# One function for all calls: of a new one for each TensorFlow warns, as of retracing.
@cache
def _gathering(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of (1, ...) on this worker -> (workers, ...), of all of them in order."""

    @tf.function
    def gather(mine: tf.Tensor) -> tf.Tensor:
        return strategy.gather(strategy.run(tf.identity, args=(mine,)), axis=0)

    return gather


def require_shared(distribution: Distribution, file: Path) -> None:
    """Fails on all workers if they do not all see a file that the chief has written by now.

    Raises:
        ColorizeError: saying that the run's folder is not shared.
    """
    if distribution.cluster is None:
        return
    require_same(distribution, {"": b""})  # The chief is here, too.
    deadline = time.monotonic() + _SEEN_WITHIN
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    require_same(distribution, {"the run's folder": bytes([file.exists()])})


def wait_for_all(distribution: Distribution) -> None:
    """Keeps workers that are done from leaving those that are not; to call in the end."""
    with suppress(tf.errors.OpError):  # Another one passed here, and has left already.
        require_same(distribution, {"": b""})


class Replicas:
    """Keras's `fit` and `evaluate` of a colorizer, over the replicas of a strategy.

    TensorFlow's custom training loop: each replica makes the colorizer's own step on its part of
    the batch, and all keep the same weights. Keras's `fit` does not run with several workers
    (3.15), and leaves gradients summed, statistics apart.

    Args:
        colorizer: compiled; built with the strategy.
        distribution: what to train on.
        stop: called after a batch if any worker was asked to stop, on all workers alike.
    """

    def __init__(
        self, colorizer: Colorizer, distribution: Distribution, stop: Callable[[], None]
    ) -> None:
        self.colorizer = colorizer
        self.distribution = distribution
        self.stop = stop
        self.asked_to_stop = False
        self._test = self._function(lambda batch, _: colorizer.measure(batch))
        self._train = self._function(self._update)
        self._trained = self._trainable()
        self._seed_apart()

    def ask_to_stop(self) -> None:
        """Tells all workers with the next batch that this one shall stop."""
        self.asked_to_stop = True

    def fit(
        self,
        data: tf.data.Dataset,
        *,
        initial_epoch: int,
        epochs: int,
        validation_data: tf.data.Dataset,
        callbacks: keras.callbacks.CallbackList,
        **_: Any,
    ) -> None:
        """Trains, validates and calls callbacks in the order in which Keras does."""
        if self._trainable() != self._trained:  # `freeze` has changed it.
            self._train, self._trained = self._function(self._update), self._trainable()
        for epoch in range(initial_epoch, epochs):
            self.colorizer.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            logs = self._pass(
                self._train, data, callbacks.on_train_batch_begin, callbacks.on_train_batch_end
            )
            validated = self.evaluate(validation_data, callbacks=callbacks)
            logs |= {f"val_{name}": value for name, value in validated.items()}
            callbacks.on_epoch_end(epoch, logs)
            if self.colorizer.stop_training:
                break

    def evaluate(
        self, data: tf.data.Dataset, *, callbacks: keras.callbacks.CallbackList, **_: Any
    ) -> dict[str, Any]:
        """The means of a colorizer's figures over a dataset."""
        callbacks.on_test_begin()
        self.colorizer.reset_metrics()
        logs = self._pass(
            self._test, data, callbacks.on_test_batch_begin, callbacks.on_test_batch_end
        )
        callbacks.on_test_end(logs)
        return logs

    def _pass(
        self,
        function: Callable[..., tuple[Figures, tf.Tensor]],
        data: tf.data.Dataset,
        begin: Callable[..., None],
        end: Callable[..., None],
    ) -> dict[str, Any]:
        """All batches of a dataset, `steps_per_execution` at a time."""
        steps = len(data) // self.distribution.local
        # Else all workers would ask one another before each batch whether there is one.
        endless = data.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        # To fetch to devices TensorFlow puts another dataset on top, with autotuning: see `_ahead`.
        fetch = bool(tf.config.list_logical_devices("GPU"))
        iterator = iter(
            self.distribution.strategy.distribute_datasets_from_function(
                lambda _: endless, tf.distribute.InputOptions(experimental_fetch_to_device=fetch)
            )
        )
        logs: dict[str, Any] = {}
        for first in range(0, steps, self.colorizer.steps_per_execution):
            count = min(self.colorizer.steps_per_execution, steps - first)
            begin(first)
            asked = tf.constant(float(self.asked_to_stop))
            for _ in range(count):
                logs, stop = function(iterator, asked)
            if stop > 0.0:
                self.stop()
            end(first + count - 1, logs)
        return dict(logs)

    def _function(self, step: Callable[..., Figures]) -> Callable[..., tuple[Figures, tf.Tensor]]:
        """One step of all replicas as a graph: (iterator, asked to stop) -> logs, stop.

        Args:
            step: (batch, share) -> the means of the replica's part.
        """
        strategy, names = self.distribution.strategy, self.colorizer.log_names

        def replica(
            asked: tf.Tensor, batch: Batch, share: tf.Tensor, images: tf.Tensor
        ) -> tf.Tensor:
            figures = step(batch, share)
            mine = [*(share * figures[name] for name in names), share * images, asked]
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack(mine))

        @tf.function(reduce_retracing=True)
        def run(iterator: Iterator, asked: tf.Tensor) -> tuple[Figures, tf.Tensor]:
            everywhere = strategy.run(replica, args=(asked, *next(iterator)))
            *sums, images, stop = tf.unstack(strategy.experimental_local_results(everywhere)[0])
            for name, value in zip(names, sums, strict=True):
                self.colorizer.means[name].update_state(value, sample_weight=images)
            return {name: self.colorizer.means[name].result() for name in names}, stop

        return run

    def _trainable(self) -> list[int]:
        """Which variables a graph of `_update` changes."""
        return [id(variable) for variable in self.colorizer.generator.trainable_variables]

    def _update(self, batch: Batch, share: tf.Tensor) -> Figures:
        """The colorizer's update; running statistics then follow the mean of the replicas'."""
        figures = self.colorizer.update(batch, share)
        if statistics := self._statistics():
            context = tf.distribute.get_replica_context()
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, [share * s for s in statistics])
            for variable, value in zip(statistics, sums, strict=True):
                variable.assign(value)
        return figures

    def _statistics(self) -> list[keras.Variable]:
        """What forward passes change: batch norm's running statistics, above all."""
        networks = {id(n): n for n, _ in self.colorizer.networks.values()}
        networks[id(self.colorizer.output_generator)] = self.colorizer.output_generator
        return [
            variable
            for network in networks.values()
            for layer in network._flatten_layers(include_self=False)
            if layer.trainable
            for variable in layer._non_trainable_variables
            if tf.as_dtype(variable.dtype).is_floating
        ]

    def _seed_apart(self) -> None:
        """Gives each replica dropout masks of its own, by replica 0's state alone."""
        distribution = self.distribution
        for network, _ in self.colorizer.networks.values():
            for variable in network.variables:
                if variable.name == "seed_generator_state":
                    seed = variable.numpy()
                    copies = distribution.strategy.experimental_local_results(variable.value)
                    for replica, copy in enumerate(copies, distribution.first):
                        copy.assign(seed + np.array([replica * _OTHER_SEEDS, 0], seed.dtype))
