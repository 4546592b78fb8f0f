"""Training on several devices: what the loop over replicas costs, what a second worker gives."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from keras_colorize import Run
from tests.benchmarks.measuring import Options, Row, alternate, in_processes, medians, speedup

BATCHES, BATCH_SIZE, EPOCHS = 20, 32, 4
SETTINGS = ("data.source=painted_scenes", f"data.train_images={BATCHES * BATCH_SIZE}")
SETTINGS += ("data.validation_images=32", "data.test_images=0", f"training.batch_size={BATCH_SIZE}")

FIT = """
import sys, keras_colorize
_, runs, name, *overrides = sys.argv
keras_colorize.fit(
    "paintings_gan_batch_norm", runs=runs, name=name, overrides=overrides, verbose=0
)
"""

ALL_REDUCE = """
import sys, time, resource, statistics
import tensorflow as tf

options = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=int(sys.argv[1]))
strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

@tf.function
def step():
    def replica():
        gradients = [tf.random.uniform((4_000_000,)) for _ in range(4)]
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    return strategy.run(replica)

rounds = []
for _ in range(12):
    start = time.perf_counter(), time.process_time()
    step()[0].numpy()
    rounds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
print(*(statistics.median(column) for column in zip(*rounds[2:])))
"""


def epoch(strategy: str) -> Callable[[], None]:
    """An epoch of training and its validation, without callbacks."""
    import keras
    import tensorflow as tf

    from keras_colorize import build, load_recipe
    from keras_colorize.training.distribution import Replicas, open_distribution

    recipe = load_recipe("paintings_gan_batch_norm", [*SETTINGS, f"training.strategy={strategy}"])
    distribution = open_distribution(recipe.training, None)
    training = build.build_training(recipe, distribution=distribution)
    trainer = training.colorizer
    if distribution:
        trainer = Replicas(training.colorizer, distribution, lambda: None)
    callbacks = keras.callbacks.CallbackList(add_history=True, model=training.colorizer)
    callbacks.on_train_begin()
    training.colorizer.stop_training = False
    options = {"initial_epoch": 0, "epochs": 1, "shuffle": False, "verbose": 0}
    options |= {"validation_data": training.validation, "callbacks": callbacks}
    return lambda: trainer.fit(training.batches(tf.Variable(0), 0), **options) and None


def in_workers(count: int, script: str, *arguments: str) -> str:
    """Runs a script in so many workers with one core each; what the first one printed."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    servers = [socket.create_server(("localhost", 0)) for _ in cores]
    addresses = [f"localhost:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    processes = []
    for index, core in enumerate(cores):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", script, *arguments],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                preexec_fn=partial(os.sched_setaffinity, 0, {core}),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    printed = [process.communicate()[0] for process in processes]
    for process in processes:
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
    return printed[0]


def epoch_seconds(workers: int) -> float:
    """The median of a run's epochs but the first, with one core for each worker."""
    with tempfile.TemporaryDirectory() as runs:
        in_workers(workers, FIT, runs, "run", *SETTINGS, f"training.epochs={EPOCHS}")
        return statistics.median(row["seconds"] for row in Run(Path(runs) / "run").history[1:])


def measure(options: Options) -> list[Row]:
    """Replicas against Keras's `fit`, and two workers against one."""
    sides = ("none", "mirrored")
    with in_processes({name: partial(epoch, name) for name in sides}) as works:
        seconds = alternate(works, options.rounds)
    packs = {
        f"{size} bytes a pack": in_workers(2, ALL_REDUCE, str(size)).split()
        for size in (0, 2**20, 4 * 2**20, 16 * 2**20)
    }
    rounds = [(epoch_seconds(1), epoch_seconds(2)) for _ in range(max(1, options.rounds // 2))]
    return [
        Row(
            "one replica : Keras's fit",
            speedup(seconds, "mirrored", "none"),
            "x",
            ">= 0.95",
            {"images/s": medians(seconds, BATCHES * BATCH_SIZE), "seconds": seconds},
        ),
        Row(
            "two workers, a core each : one worker, one core",
            statistics.median(one / two for one, two in rounds),
            "x",
            ">= 1.6",
            {"seconds": rounds},
        ),
        Row(
            "two workers, sum of 64 MB of gradients, in one pack : packs of 4 MiB",
            float(packs["0 bytes a pack"][0]) / float(packs[f"{4 * 2**20} bytes a pack"][0]),
            "x",
            None,
            {"seconds, and those of a core": packs},
        ),
    ]
