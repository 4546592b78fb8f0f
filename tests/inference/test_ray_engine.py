"""Colorizing in worker processes of a real Ray cluster; files at URLs by a real S3 server."""

import functools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from keras_colorize import ColorizeError, colorize_files
from keras_colorize.images import read_image, write_image, write_pages
from keras_colorize.inference import ray_engine, urls
from keras_colorize.inference.copies import colorize_copies
from keras_colorize.inference.onnx_network import OnnxNetwork
from keras_colorize.inference.plan import plan
from keras_colorize.inference.results import Result
from keras_colorize.inference.single import Options
from keras_colorize.inference.urls import place
from keras_colorize.pretrained import DEFAULT, MODELS

ray = pytest.importorskip("ray")
moto_server = pytest.importorskip("moto.server")
s3fs = pytest.importorskip("s3fs")

COMMAND = [sys.executable, "-m", "keras_colorize.cli", "colorize"]
ONE_WORKER = {"engine": "ray", "workers": 1}
FATAL = 13  # The height of an image that kills whatever process sees it.


class FatalNetwork(OnnxNetwork):
    """The default network, but for one image."""

    def predict(self, images, vividness=None):
        assert "tensorflow" not in sys.modules
        return super().predict(images, vividness)

    def shape(self, height, width, size=None):
        if height == FATAL:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().shape(height, width, size)


class InfiniteNetwork(OnnxNetwork):
    """It predicts no colors."""

    def outputs(self, images):
        return super().outputs(images) * np.inf


@pytest.fixture
def by_value():
    """Workers, which cannot import tests, get the networks of this module as they are."""
    module = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(module)
    yield
    ray.cloudpickle.unregister_pickle_by_value(module)


@pytest.fixture(scope="module")
def s3():
    """The URL of an empty bucket; the server listens on a port of its own."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
    server.stop()


@pytest.fixture(scope="module")
def cluster(s3):
    """Two CPUs of this machine, shared by the tests of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=100 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        yield
        ray.shutdown()


@pytest.fixture
def folder(tmp_path, paint):
    """Images of several kinds; their paths below the folder."""
    root = tmp_path / "in"
    write_image(root / "gray.png", np.repeat(paint(40, 60)[..., :1], 3, axis=-1))
    write_image(root / "deep/er/b.tif", paint(50, 9, np.uint16, seed=1))
    write_image(root / "deep/photo.jpg", paint(64, 48, seed=2))
    pages = [read_image(root / "gray.png"), read_image(root / "deep/photo.jpg")]
    write_pages(root / "pages.tif", iter(pages))
    return root


def many(folder, paint, count):
    for number in range(count):
        write_image(folder / f"{number:02d}.png", paint(200, 200, seed=number))


def names_below(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def assert_alike(path, other_path):
    """The same image but for rounding: the network's last digit depends on threads and batch."""
    image, other = read_image(path).rgb, read_image(other_path).rgb
    assert image.dtype == other.dtype
    level = np.iinfo(image.dtype).max // 255
    differences = np.abs(image.astype(int) - other)
    assert differences.max() <= (8 if path.suffix == ".jpg" else 1) * level
    assert differences.mean() < level / 4


def report_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"keep_color": True, "format": "tif", "vividness": 1.0, "prediction_size": 64},
    ],
)
def test_files_become_what_they_become_without_ray(cluster, folder, tmp_path, options):
    mine, theirs = tmp_path / "ray", tmp_path / "local"
    calls = []
    summary = colorize_files(
        folder, mine, engine="ray", workers=2, progress=lambda *call: calls.append(call), **options
    )
    expected = colorize_files(folder, theirs, **options)
    assert calls == [(done, 4) for done in range(1, 5)]
    assert summary.failed == expected.failed == []
    assert [path.relative_to(mine) for path in summary.done] == [
        path.relative_to(theirs) for path in expected.done
    ]
    assert len(summary.kept) == len(expected.kept)
    assert names_below(mine) == names_below(theirs)
    for name in names_below(mine):
        assert_alike(mine / name, theirs / name)


def test_broken_images_are_reported_and_done_when_they_are_mended(cluster, folder, tmp_path):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n, and then nothing of the kind")
    whole = (folder / "deep/photo.jpg").read_bytes()
    (folder / "half.jpg").write_bytes(whole[: len(whole) // 2])
    report = tmp_path / "logs" / "report.jsonl"
    with pytest.warns(UserWarning, match=r"in/half\.jpg: .*; what can be read of it is used"):
        summary = colorize_files(
            folder, tmp_path / "out", allow_damaged=True, report=report, **ONE_WORKER
        )
    assert [path for path, _ in summary.failed] == [folder / "broken.png"]
    lines = {line["image"]: line for line in report_of(report)}
    assert len(lines) == 6
    broken = lines.pop(str(folder / "broken.png"))
    assert broken["status"] == "failed"
    assert broken["reason"].startswith(f"{folder}/broken.png: cannot be read")
    assert {line["status"] for line in lines.values()} == {"done"}
    assert lines[str(folder / "half.jpg")]["result"] == str(tmp_path / "out" / "half.jpg")

    before = (tmp_path / "out/gray.png").stat().st_mtime_ns
    write_image(folder / "broken.png", read_image(folder / "gray.png").rgb)
    summary = colorize_files(
        folder, tmp_path / "out", skip_existing=True, report=report, **ONE_WORKER
    )
    assert [path.name for path in summary.done] == ["broken.png"]
    assert len(summary.skipped) == 5
    assert report_of(report)[6:] == [broken | {"status": "done", "reason": ""}]
    assert (tmp_path / "out/gray.png").stat().st_mtime_ns == before


def test_images_of_a_killed_worker_are_done_by_another(cluster, paint, tmp_path):
    """Of three workers the third starts when there is a CPU for it."""
    many(tmp_path / "in", paint, 40)
    killed = []

    def kill_one(done, total):
        while not killed:
            for process in psutil.Process().children(recursive=True):
                if "_Worker.colorize" in process.name():
                    process.kill()
                    killed.append(process.pid)
                    break

    summary = colorize_files(
        tmp_path / "in", tmp_path / "out", engine="ray", workers=3, progress=kill_one
    )
    assert killed
    assert summary.failed == []
    assert names_below(tmp_path / "out") == names_below(tmp_path / "in")
    for name in names_below(tmp_path / "in"):
        assert read_image(tmp_path / "out" / name).rgb.shape == (200, 200, 3)


def test_an_image_that_kills_its_workers_is_reported(cluster, by_value, paint, tmp_path):
    many(tmp_path / "in", paint, 9)
    write_image(tmp_path / "in/fatal.png", paint(FATAL, 32))
    summary = ray_engine.colorize_files(
        plan([tmp_path / "in"], tmp_path / "out"),
        functools.partial(FatalNetwork, MODELS[DEFAULT].onnx),
        Options(),
        workers=1,
    )
    assert [path.name for path, _ in summary.failed] == ["fatal.png"]
    assert "worker process died" in summary.failed[0][1]
    assert names_below(tmp_path / "out") == [f"{number:02d}.png" for number in range(9)]


def test_workers_that_cannot_start_end_the_call(cluster, folder, tmp_path):
    with pytest.raises(ColorizeError, match=r"workers cannot start .*missing\.onnx"):
        ray_engine.colorize_files(
            plan([folder], tmp_path / "out"),
            functools.partial(OnnxNetwork, tmp_path / "missing.onnx"),
            Options(),
            workers=1,
        )


def load_once(folder, threads):
    """As on two machines, one of which cannot load the network."""
    try:
        (folder / "loads").mkdir()
    except FileExistsError:
        (folder / f"failed-{os.getpid()}").touch()
        raise RuntimeError("no network here") from None
    deadline = time.monotonic() + 60
    while len(list(folder.glob("failed-*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    return OnnxNetwork(MODELS[DEFAULT].onnx, threads)


def test_workers_that_start_do_the_work_of_those_that_cannot(cluster, by_value, paint, tmp_path):
    many(tmp_path / "in", paint, 4)
    summary = ray_engine.colorize_files(
        plan([tmp_path / "in"], tmp_path / "out"),
        functools.partial(load_once, tmp_path),
        Options(),
        workers=2,
    )
    assert len(list(tmp_path.glob("failed-*"))) == 3
    assert (len(summary.done), summary.failed) == (4, [])


def test_a_failure_of_no_single_image_ends_the_call(cluster, by_value, folder, tmp_path):
    with pytest.raises(ColorizeError, match=r"^the model predicts values that are not finite"):
        ray_engine.colorize_files(
            plan([folder], tmp_path / "out"),
            functools.partial(InfiniteNetwork, MODELS[DEFAULT].onnx),
            Options(),
            workers=1,
        )


@pytest.fixture
def store(s3, folder):
    """The folder in the bucket, with files besides that are not to be colorized."""
    store = s3fs.S3FileSystem()
    store.invalidate_cache()
    store.rm("bucket", recursive=True)
    store.mkdir("bucket")
    store.put(f"{folder}/", "bucket/in/", recursive=True)
    store.pipe("bucket/in/.hidden.png", b"hidden")
    store.pipe("bucket/in/notes.txt", b"notes")
    return store


def test_files_at_urls(cluster, s3, store, folder, tmp_path):
    store.pipe("bucket/in/broken.jpg", b"\xff\xd8\xffbroken")
    options = ONE_WORKER | {"report": tmp_path / "report.jsonl"}
    summary = colorize_files(f"{s3}/in", f"{s3}/out", **options)
    assert [str(path) for path, _ in summary.failed] == ["s3://bucket/in/broken.jpg"]
    assert summary.failed[0][1].startswith("s3://bucket/in/broken.jpg: cannot be read")
    assert {line["image"].removeprefix("s3://bucket/in/") for line in report_of(options["report"])}
    assert sorted(map(str, summary.done)) == [f"{s3}/out/{name}" for name in names_below(folder)]
    colorize_files(folder, tmp_path / "local")
    store.get("bucket/out/", f"{tmp_path}/got", recursive=True)
    assert names_below(tmp_path / "got") == names_below(folder)
    for name in names_below(folder):
        assert_alike(tmp_path / "got" / name, tmp_path / "local" / name)

    store.rm("bucket/in/broken.jpg")
    write_image(tmp_path / "new.png", read_image(folder / "gray.png").rgb)
    inputs = [f"{s3}/in", tmp_path / "new.png"]
    summary = colorize_files(inputs, f"{s3}/out", skip_existing=True, **options)
    assert [str(path) for path in summary.done] == ["s3://bucket/out/new.png"]
    assert len(summary.skipped) == 4


def test_a_list_of_urls_is_not_looked_up_image_by_image(cluster, s3, store, monkeypatch):
    """That would take hours for a million; one that is missing has failed, as a broken one."""
    monkeypatch.setattr(urls, "exists", lambda path: pytest.fail(f"looked up {path}"))
    images = [f"{s3}/in/{name}.png" for name in ("gray", "missing")]
    summary = colorize_files(images, f"{s3}/listed/", **ONE_WORKER)
    assert [str(path) for path in summary.done] == [f"{s3}/listed/gray.png"]
    ((path, reason),) = summary.failed
    assert str(path) == images[1]
    assert reason.startswith(f"{images[1]}: cannot be read (")


def test_urls_need_no_folder_on_the_workers_machine(
    cluster, s3, store, folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(Path, "cwd", lambda: Path("/missing"))
    summary = colorize_files(f"{s3}/in/gray.png", f"{s3}/alone", **ONE_WORKER)
    assert [str(path) for path in summary.done] == [f"{s3}/alone/gray.png"]
    with pytest.raises(ColorizeError, match=r"workers cannot start .*/missing"):
        colorize_files(folder / "gray.png", tmp_path / "out", **ONE_WORKER)


def test_files_go_from_urls_to_folders(cluster, s3, store, folder, tmp_path):
    warned = pytest.warns(UserWarning, match=r"^s3://bucket/half\.jpg: .*; what can be read")
    whole = (folder / "deep/photo.jpg").read_bytes()
    store.pipe("bucket/half.jpg", whole[: len(whole) // 2])
    with warned:
        summary = colorize_files(
            [f"{s3}/half.jpg", f"{s3}/in/gray.png"],
            tmp_path / "out",
            allow_damaged=True,
            **ONE_WORKER,
        )
    assert summary.done == [tmp_path / "out/half.jpg", tmp_path / "out/gray.png"]


def test_a_store_that_takes_no_files(s3, folder):
    target = place("s3://no-such-bucket/gray.png")

    def colorize(here):
        ((result, source),) = here.items()
        write_image(result, read_image(source).rgb)
        return [Result(source, result)]

    ((result,), notes) = colorize_copies({target: folder / "gray.png"}, colorize)
    assert result.target == target
    assert result.failure.startswith(f"{folder}/gray.png: {target}: cannot be written (")
    assert notes == []
    assert not s3fs.S3FileSystem().exists("no-such-bucket")  # It was not made, either.


def test_a_url_that_is_not_there():
    """Stores raise FileNotFoundError with the URL alone."""
    with (
        pytest.raises(
            ColorizeError, match=r"http://a/b: cannot be read \(no such file or folder\)"
        ),
        urls.named_errors("http://a/b", "cannot be read"),
    ):
        raise FileNotFoundError("http://a/b")


def test_errors_name_the_url_and_not_its_copy(s3, store):
    def colorize(here):
        ((result, source),) = here.items()
        raise ColorizeError(f"{source} and {result}: the disk is full")

    source, target = place(f"{s3}/in/gray.png"), place(f"{s3}/out/gray.png")
    with pytest.raises(ColorizeError, match=f"^{source} and {target}: the disk is full$"):
        colorize_copies({target: source}, colorize)


@pytest.mark.parametrize(
    ("inputs", "output", "options", "message"),
    [
        ("none", "out", {}, "s3://bucket/none: no such file or folder"),
        ("in/notes.txt", "out", {}, "name has no image suffix"),
        ("in/gray.png", "in", {"force": True}, "is the original .*, which is never overwritten"),
        ("in", "there", {}, "already there; use --skip-existing"),
        ("in", None, {}, "s3://no-such-bucket/: cannot be searched"),
        ("in", "out.png", {}, "a single file; give a folder"),
    ],
)
def test_mistakes_at_urls_are_reported_before_any_work(s3, store, inputs, output, options, message):
    store.pipe("bucket/there/gray.png", b"there")
    output = "s3://no-such-bucket" if output is None else f"{s3}/{output}"
    with pytest.raises(ColorizeError, match=message):
        colorize_files(f"{s3}/{inputs}", output, engine="ray", **options)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("gray.png", {"engine": "dask"}, "engine: must be local or ray"),
        ("gray.png", {"workers": 2}, "workers: are for --engine ray"),
        ("gray.png", {"engine": "ray", "workers": 0}, "workers: must be 1 or more"),
        ("gray.png", {"engine": "ray", "device": "gpu:0"}, "use CPUs"),
        ("gray.png", {"engine": "ray", "model": object()}, "save it, and pass the file's path"),
        ("gray.png", {"engine": "ray", "vividness": 2.0}, "vividness: must be in"),
        ("gray.png", {"report": "gray.png"}, r"the report must be a file \*\.jsonl"),
        ("-", {"engine": "ray"}, "takes files alone"),
        ("s3://bucket/in", {}, "need --engine ray"),
        ("memory://in", {"engine": "ray"}, "another process has other files"),
        ("s3://bucket/out/../in", {"engine": "ray"}, r"must be without \.\."),
        ("nonsense://in", {"engine": "ray"}, "cannot be used .*nonsense"),
    ],
)
def test_mistakes_are_told_before_any_work(folder, tmp_path, monkeypatch, inputs, options, message):
    monkeypatch.chdir(folder)
    with pytest.raises(ColorizeError, match=message):
        colorize_files(inputs, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_keras_model_and_relative_paths(cluster, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").symlink_to(MODELS[DEFAULT].path)
    summary = colorize_files("in", "ray", "model.keras", **ONE_WORKER)
    assert summary.failed == []
    for name in names_below(folder):
        colorize_files(Path("in", name), Path("local", name))
        assert_alike(Path("ray", name), Path("local", name))


def test_without_ray(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ColorizeError, match=r"Ray is not installed: pip install 'keras-colorize\["):
        colorize_files(folder, tmp_path / "out", engine="ray")


def test_without_a_cluster(folder, tmp_path):
    command = [*COMMAND, folder, "-o", tmp_path / "out", "--engine", "ray"]
    environment = os.environ | {"RAY_ADDRESS": "nonsense://a"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("keras-colorize: --engine ray: no cluster (")


def test_an_ended_command_leaves_whole_files_and_no_process(paint, tmp_path, monkeypatch):
    """It has a cluster of its own, which sends no usage statistics."""
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    many(tmp_path / "in", paint, 40)
    report = tmp_path / "report.jsonl"
    command = [*COMMAND, tmp_path / "in", "-o", tmp_path / "out"]
    command += ["--engine", "ray", "--workers", "2", "--report", report]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        # A line comes before its image is counted.
        while not report.exists() or report.read_text().count("\n") < 2:
            assert process.poll() is None
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        (raylet,) = (child for child in children if child.name() == "raylet")
        assert raylet.environ()["RAY_USAGE_STATS_ENABLED"] == "0"
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"keras-colorize: interrupted; [1-9]\d* of 40 images are finished; continue with "
        r"--skip-existing",
        errors.splitlines()[-1],
    )
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    done = list((tmp_path / "out").glob("[0-9]*"))
    assert 0 < len(done) < 40
    for path in done:
        assert read_image(path).rgb.shape == (200, 200, 3)


def test_a_command_that_is_ended_while_its_cluster_starts(folder, tmp_path):
    """Ray has a signal handler of its own then. A terminal shows what is waited for."""
    command = [*COMMAND, folder, "-o", tmp_path / "out", "--engine", "ray", "--workers", "1"]
    master, terminal = os.openpty()
    with (
        os.fdopen(master, newline="\n") as screen,
        subprocess.Popen(command, stderr=terminal) as process,
    ):
        assert screen.readline() == "starting Ray\r\n"
        while not psutil.Process(process.pid).children():  # The first process of the cluster.
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        process.wait(60)
        end = screen.readline()
    os.close(terminal)
    assert process.returncode == 130
    assert end.endswith("keras-colorize: interrupted; continue with --skip-existing\r\n")


@pytest.mark.slow
def test_of_a_killed_worker_ray_prints_nothing(paint, tmp_path):
    many(tmp_path / "in", paint, 60)
    report = tmp_path / "report.jsonl"
    command = [*COMMAND, tmp_path / "in", "-o", tmp_path / "out"]
    command += ["--engine", "ray", "--workers", "1", "--report", report]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        while not report.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if "_Worker" in child.name()]
        for worker in workers:
            worker.kill()
        output, errors = process.communicate(timeout=120)
    assert workers
    assert (process.returncode, output) == (0, f"60 of 60 images colorized: {tmp_path / 'out'}\n")
    assert errors == ""
