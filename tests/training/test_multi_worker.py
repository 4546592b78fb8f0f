"""Two worker processes train one run, and resume it after they are killed."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from keras_colorize import Run

FIT = """
import json, os, signal, sys, time
import keras, numpy as np
import keras_colorize
from keras_colorize import build
from keras_colorize.training import distribution

class Weights(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        np.savez(sys.argv[3], *[v.numpy() for v in self.model.generator.weights])

_, name, runs, weights, *overrides = sys.argv
signal.signal(signal.SIGTERM, signal.default_int_handler)
if name == "slow" and json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    build.cache_images = lambda *arguments: time.sleep(3600)
if name == "apart":
    distribution._SEEN_WITHIN = 0
try:
    keras_colorize.fit(
        "paintings_cnn", name=name, runs=runs, overrides=overrides, callbacks=[Weights()], verbose=2
    )
except keras_colorize.ColorizeError as error:
    sys.exit(str(error))
except KeyboardInterrupt:
    sys.exit(130)
"""
SETTINGS = ["data.source=painted_scenes", "data.test_images=0", "generator.filters=2"]
SETTINGS += ["data.train_images=9", "data.validation_images=5", "training.batch_size=4"]
SETTINGS += ["training.epochs=3", "training.checkpoint_minutes=1e-9"]
BATCHES = 3  # of an epoch
DEADLINE = 600  # seconds, for a machine with much else to do


_started: list[subprocess.Popen] = []


@pytest.fixture(autouse=True, scope="module")
def _leave_no_process() -> Iterator[None]:
    yield
    for process in _started:
        process.kill()
        process.communicate()


def start(
    runs: Path, name: str, *settings: Sequence[str], folders: Sequence[str] = ("", "")
) -> list[subprocess.Popen]:
    """Both workers; each may have settings of its own, and a folder of runs."""
    with socket.create_server(("localhost", 0)) as one, socket.create_server(("", 0)) as other:
        addresses = [f"localhost:{server.getsockname()[1]}" for server in (one, other)]
    workers = []
    for index in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        overrides = [*SETTINGS, *(settings[index] if settings else ())]
        weights = runs / f"{name}_{index}.npz"
        workers.append(
            subprocess.Popen(
                [sys.executable, "-c", FIT, name, runs / folders[index], weights, *overrides],
                env={**os.environ, "TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    _started.extend(workers)
    return workers


def finish(worker: subprocess.Popen) -> str:
    """Waits for a worker that shall succeed; what it printed."""
    output, errors = worker.communicate(timeout=DEADLINE)
    assert worker.returncode == 0, errors
    assert "retracing" not in errors, errors
    return output


def batches_done(run: Path) -> int:
    try:
        with np.load(run / "checkpoints" / "state.npz") as file:
            progress = json.loads(str(file["progress"]))
    except FileNotFoundError:
        return 0
    return progress["epoch"] * BATCHES + progress["batch"]


def wait_for(run: Path, batches: int, workers: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + DEADLINE
    while batches_done(run) < batches:
        assert all(worker.poll() is None for worker in workers), workers[0].stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that two workers have finished."""
    runs = tmp_path_factory.mktemp("runs")
    chief, worker = start(runs, "whole")
    printed = finish(chief)
    assert "strategy multi_worker, 2 replicas (CPU:0 of each of localhost:" in printed
    assert "worker 1 of 2" in finish(worker)
    return runs / "whole"


def test_both_have_the_same_weights(whole: Path) -> None:
    with np.load(f"{whole}_0.npz") as chief, np.load(f"{whole}_1.npz") as worker:
        assert len(chief.files) > 20
        for name in chief.files:
            np.testing.assert_array_equal(chief[name], worker[name])


def test_the_chief_writes_one_run(whole: Path) -> None:
    run = Run(whole)
    assert run.is_finished
    assert set(run.models) == {"best", "last"}
    assert len(list((whole / "samples").iterdir())) == 3
    writers = list((whole / "tensorboard" / "train").iterdir())
    assert len(writers) == 1
    assert {path.name for path in whole.parent.iterdir() if path.is_dir()} == {"whole"}
    environment = json.loads(run.environment_file.read_text())
    assert environment["strategy"].startswith("multi_worker, 2 replicas")


@pytest.mark.slow
def test_killed_workers_end_with_the_same_weights(whole: Path) -> None:
    runs = whole.parent
    run = runs / "killed"

    workers = start(runs, "killed")
    wait_for(run, 1, workers)
    workers[1].send_signal(signal.SIGTERM)  # All stop after the same batch.
    for worker in workers:
        printed, _ = worker.communicate(timeout=DEADLINE)
        assert worker.returncode == 130
        assert f"{run}: stopped and saved" in printed
    done = batches_done(run)
    assert 1 <= done < 3 * BATCHES

    for victim in (1, 0):
        workers = start(runs, "killed")
        wait_for(run, done + 1, workers)
        workers[victim].kill()
        survivor = workers[1 - victim]
        _, errors = survivor.communicate(timeout=DEADLINE)
        assert survivor.returncode == 1
        line = errors.splitlines()[-1]
        assert line.startswith(f"worker {1 - victim} of 2: another worker is gone; start all")
        done = batches_done(run)
        assert done < 3 * BATCHES, "was killed too late to test anything"

    workers = start(runs, "killed")
    wait_for(run, done + 1, workers)
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.wait()

    for worker in start(runs, "killed"):
        assert f"{run}: resumes after" in finish(worker)
    with np.load(Run(whole).state_file) as expected, np.load(Run(run).state_file) as found:
        assert set(found.files) == set(expected.files)
        for name in set(expected.files) - {"progress"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    rows = [[{**row, "seconds": 0} for row in Run(path).history] for path in (whole, run)]
    assert rows[0] == rows[1]


def last_lines(workers: list[subprocess.Popen]) -> list[str]:
    """Of workers that shall end with an error."""
    errors = [worker.communicate(timeout=DEADLINE)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [1, 1], errors
    return [text.splitlines()[-1] for text in errors]


@pytest.mark.slow
def test_workers_that_do_not_agree_end_with_one_line(tmp_path: Path) -> None:
    """Building networks of different shapes would hang."""
    workers = start(tmp_path, "different", [], ["generator.filters=3"])
    for line in last_lines(workers):
        assert line.startswith("workers do not agree on recipe; all need")
    assert not (tmp_path / "different").exists()


@pytest.mark.slow
def test_workers_without_a_shared_folder_end_before_they_train(tmp_path: Path) -> None:
    for line in last_lines(start(tmp_path, "apart", folders=("one", "other"))):
        assert line.startswith("workers do not agree on the run's folder; all need")
    assert not (tmp_path / "one" / "apart" / "history.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("name", "index", "line"),
    [("alone", 0, "waits for"), ("alone", 1, "waits for"), ("slow", 0, "Lab of")],
)
def test_signals_end_a_worker_that_waits_for_another(
    tmp_path: Path, name: str, index: int, line: str, number: signal.Signals
) -> None:
    """For one that has not started, or one that still reads its images."""
    workers = start(tmp_path, name)
    waiting, other = workers[index], workers[1 - index]
    if name == "alone":
        other.kill()
    while line not in (printed := waiting.stdout.readline()):
        assert printed, waiting.stderr.read()
    time.sleep(1)  # A slow one is waited for inside of TensorFlow.
    waiting.send_signal(number)
    assert waiting.wait(timeout=30) in (130, -number)
    other.kill()
