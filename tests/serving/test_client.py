"""The client over real sockets, against a stand-in that runs an exported model."""

import io
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import requests
from PIL import Image
from stand_in import StandIn, serving

from keras_colorize import ColorizeError, cli
from keras_colorize.serving import Client


@pytest.fixture(scope="module")
def server(signatures: dict) -> Iterator[StandIn]:
    with serving(signatures, "tiny") as stand_in:
        yield stand_in


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, server: StandIn) -> Client:
    if request.param == "grpc":
        return Client(f"grpc://127.0.0.1:{server.grpc_port}", model="tiny", timeout=300)
    return Client(f"http://127.0.0.1:{server.rest_port}/v1/models/tiny", timeout=300)


def test_importing_it_loads_no_tensorflow() -> None:
    script = """
import sys
from keras_colorize.serving import Client
Client("http://localhost:8501/v1/models/m")
Client("grpc://localhost:8500", model="m")
assert not {"tensorflow", "keras", "numpy"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_colorizes(client: Client, server: StandIn, images, encode) -> None:
    png = [encode(rgb, "PNG") for rgb in images]
    colorized = client.colorize_batch(png, vividness=[0.0, 0.25, 0.5, 1.0])
    sizes = [Image.open(io.BytesIO(data)).size for data in colorized]
    assert sizes == [rgb.shape[1::-1] for rgb in images]
    assert client.colorize(png[1]) == colorized[1], "0.25 is the model's own vividness"
    assert client.colorize(png[1], vividness=1) != colorized[1]
    assert client.colorize_batch([]) == []


def test_a_server_that_is_not_ready_is_asked_again(
    client: Client, server: StandIn, encode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "keras_colorize")
    server.unavailable, server.requests = 2, 0
    assert client.colorize(encode(np.zeros((8, 8), "u1"), "PNG")).startswith(b"\x89PNG")
    assert server.requests == 3
    assert caplog.messages == [f"{client.url}: model is loading; trying again"]


def test_the_servers_message_is_one_line(client: Client, encode) -> None:
    good = encode(np.zeros((8, 8), "u1"), "PNG")
    with pytest.raises(ColorizeError) as caught:
        client.colorize_batch([good, good, b"nonsense"])
    reason = "image_bytes[2]: is no JPEG, PNG, GIF or BMP image"
    assert str(caught.value) == f"{client.url}: {reason}"
    with pytest.raises(ColorizeError) as caught:
        client.colorize_batch([good, good], [0.5, 1.5])
    assert str(caught.value) == f"{client.url}: vividness: must be in 0..1, not 0.5 1.5"


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_another_model(server: StandIn, kind: str) -> None:
    if kind == "grpc":
        client = Client(f"grpc://127.0.0.1:{server.grpc_port}", model="other")
    else:
        client = Client(f"http://127.0.0.1:{server.rest_port}/v1/models/other")
    with pytest.raises(ColorizeError, match="Servable not found"):
        client.colorize(b"")


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_no_server_and_no_answer(kind: str) -> None:
    # Ports of their own, since gRPC remembers where it failed to connect.
    with socket.socket() as closed, socket.socket() as silent:
        for other, reason in ((closed, ".*connect"), (silent, "no answer in time")):
            other.bind(("127.0.0.1", 0))
            port = other.getsockname()[1]
            if other is silent:
                other.listen()
            if kind == "grpc":
                client = Client(f"grpc://127.0.0.1:{port}", model="m", timeout=1)
            else:
                client = Client(f"http://127.0.0.1:{port}/v1/models/m", timeout=1)
            with pytest.raises(ColorizeError, match=f":{port}.*: {reason}"):
                client.colorize(b"")


def test_why_there_is_no_connection() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{closed.getsockname()[1]}/v1/models/m", timeout=0.1)
        with pytest.raises(ColorizeError, match=r"no connection \(Connection refused\)"):
            client.colorize(b"")
    client = Client("http://no.such.host.invalid/v1/models/m", timeout=0.1)
    # Whether there is no such name or no name server depends on the machine.
    with pytest.raises(ColorizeError, match=r"no connection \(.*[Nn]ame"):
        client.colorize(b"")


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("localhost:8501", {}, "must be http"),
        ("http://localhost:8501", {}, "must be http"),
        ("ftp://localhost/v1/models/m", {}, "must be http"),
        ("grpc://localhost:8500", {}, "name the model"),
        ("http://localhost:8501/v1/models/m", {"model": "m"}, "leave `model` out"),
        ("http://localhost:8501/v1/models/m", {"timeout": 0}, "must be above 0 seconds"),
    ],
)
def test_bad_arguments(url: str, options: dict, message: str) -> None:
    with pytest.raises(ColorizeError, match=message):
        Client(url, **options)
    with pytest.raises(ColorizeError, match="2 values for 1 images"):
        Client("grpc://localhost:1", model="m").colorize_batch([b""], [0.0, 1.0])


def test_the_command(server: StandIn, encode, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.png").write_bytes(encode(np.zeros((9, 12), "u1"), "PNG"))
    Path("bad.png").write_bytes(b"nonsense")
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/tiny"

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [cli.NAME, "request", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    assert call(url, "in.png", "-o", "out.png", "--vividness", "1") == (0, "out.png\n", "")
    with Image.open("out.png") as colorized:
        assert colorized.size == (12, 9)
    over_rpc = f"grpc://127.0.0.1:{server.grpc_port}"
    arguments = ("--model", "tiny", "--vividness", "1")
    assert call(over_rpc, "in.png", "-o", "other.png", *arguments) == (0, "other.png\n", "")
    assert Path("other.png").read_bytes() == Path("out.png").read_bytes()
    Path("other.png").unlink()
    code, output, errors = call(url, "in.png", "-o", "out.png")
    assert (code, output) == (1, "") and "out.png: is there already; --force" in errors
    code, output, errors = call(url, "bad.png", "-o", "new.png")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert errors == f"{cli.NAME}: {url}: bad.png: is no JPEG, PNG, GIF or BMP image\n"
    assert call(url, "none.png", "-o", "new.png")[0] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "in.png", "out.png"]


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl or jq is not on PATH"
)
@pytest.mark.parametrize("vividness", [None, 0.8])
def test_the_curl_line_of_the_documentation(
    server: StandIn, images, encode, tmp_path, vividness: float | None
) -> None:
    document = Path(__file__).parents[2] / "docs" / "serving.md"
    (line,) = re.findall(r"```\n(echo .*?)```", document.read_text(), re.DOTALL)
    line = line.replace("localhost:8501", f"127.0.0.1:{server.rest_port}").replace("mine", "tiny")
    if vividness is not None:  # As the sentence below the line says.
        line = line.replace('{"inputs": {', '{"signature_name": "colorize", "inputs": {')
        line = line.replace("]}}'", f'], "vividness": {vividness}}}}}\'')
    jpeg = encode(images[0], "JPEG")
    (tmp_path / "old.jpg").write_bytes(jpeg)
    subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=tmp_path, check=True)
    with Image.open(tmp_path / "new.png") as colorized:
        assert (colorized.format, colorized.size) == ("PNG", images[0].shape[1::-1])
    client = Client(f"http://127.0.0.1:{server.rest_port}/v1/models/tiny")
    assert client.colorize(jpeg, vividness) == (tmp_path / "new.png").read_bytes()


@pytest.mark.skipif(
    shutil.which("tensorflow_model_server") is None, reason="no tensorflow_model_server on PATH"
)
def test_the_real_server(vivid: tuple[keras.Model, Path], images, encode, tmp_path: Path) -> None:
    with socket.socket() as first, socket.socket() as second:
        for free in (first, second):
            free.bind(("127.0.0.1", 0))
        rest, rpc = first.getsockname()[1], second.getsockname()[1]
    url = f"http://127.0.0.1:{rest}/v1/models/tiny"
    command = [
        *("tensorflow_model_server", f"--rest_api_port={rest}", f"--port={rpc}"),
        *("--model_name=tiny", f"--model_base_path={vivid[1].parent}"),
    ]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end and process.poll() is None:
                try:
                    if "AVAILABLE" in requests.get(url, timeout=5).text:
                        break
                except requests.ConnectionError:
                    time.sleep(0.2)
            png = encode(images[0], "PNG")
            over_rest = Client(url).colorize(png, vividness=0.5)
            over_rpc = Client(f"grpc://127.0.0.1:{rpc}", model="tiny").colorize(png, vividness=0.5)
            assert Image.open(io.BytesIO(over_rest)).size == images[0].shape[1::-1]
            assert over_rpc == over_rest
            with pytest.raises(ColorizeError, match=r"image_bytes\[0\]: is no JPEG"):
                Client(url).colorize(b"nonsense")
        finally:
            process.terminate()
