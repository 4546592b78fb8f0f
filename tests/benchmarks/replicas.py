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


def epoch_seconds(workers: int) -> float:
    """The median of a run's epochs but the first, with one core for each worker."""
    cores = sorted(os.sched_getaffinity(0))[:workers]
    servers = [socket.create_server(("localhost", 0)) for _ in cores]
    addresses = [f"localhost:{server.getsockname()[1]}" for server in servers]
    for server in servers:
        server.close()
    with tempfile.TemporaryDirectory() as runs:
        settings = [*SETTINGS, f"training.epochs={EPOCHS}"]
        processes = []
        for index, core in enumerate(cores):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", FIT, runs, "run", *settings],
                    env={**os.environ, "TF_CONFIG": json.dumps(task)},
                    preexec_fn=partial(os.sched_setaffinity, 0, {core}),
                )
            )
        for process in processes:
            if process.wait():
                raise subprocess.CalledProcessError(process.returncode, process.args)
        return statistics.median(row["seconds"] for row in Run(Path(runs) / "run").history[1:])


def measure(options: Options) -> list[Row]:
    """Replicas against Keras's `fit`, and two workers against one."""
    sides = ("none", "mirrored")
    with in_processes({name: partial(epoch, name) for name in sides}) as works:
        seconds = alternate(works, options.rounds)
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
    ]
