"""Pipes, devices, sockets and odd links as sources: nothing hangs, and no memory is filled."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keras_colorize import ColorizeError, colorize_files
from keras_colorize.images import write_image

COMMAND = [sys.executable, "-m", "keras_colorize.cli", "colorize"]


@pytest.fixture
def special(tmp_path, paint, monkeypatch):
    """A folder with an image and special files, in and beside it; the working directory."""
    monkeypatch.chdir(tmp_path)
    write_image(Path("in/image.png"), paint(32, 32))
    for name in ("pipe.png", "in/pipe.png"):
        os.mkfifo(name)
    for name in ("socket.png", "in/socket.png"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
    links = {
        "dangling": "nowhere",
        "device": "/dev/zero",
        "loop": "loop.png",
        "pipe_link": "../pipe.png",
        "socket_link": "../socket.png",
        "folder_loop": ".",
    }
    for name, target in links.items():
        Path(f"in/{name}.png").symlink_to(target)


def test_a_folder_of_special_files(special):
    command = [*COMMAND, "in", "-o", "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "1 of 6 images colorized: out\n")
    reasons = {
        "dangling": "No such file or directory",
        "device": "a pipe or device, not a file",
        "loop": "Too many levels of symbolic links",
        "pipe_link": "a pipe or device, not a file",
        "socket_link": "a socket or device, not a file",
    }
    assert done.stderr.splitlines() == [
        f"keras-colorize: in/{name}.png: cannot be read ({reason})"
        for name, reason in reasons.items()
    ]
    assert list(Path("out").iterdir()) == [Path("out/image.png")]


def test_a_pipe_whose_writer_is_silent_is_waited_for_until_the_command_is_ended(special):
    command = [*COMMAND, "pipe.png", "-o", "out/"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        writer = _open_when_read("pipe.png", process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    os.close(writer)
    assert (process.returncode, errors) == (130, "keras-colorize: interrupted\n")


def _open_when_read(pipe, process):
    while True:
        assert process.poll() is None
        with contextlib.suppress(OSError):  # As long as nobody reads.
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("socket.png", r"^socket\.png: a device or socket, not a file or pipe$"),
        ("in/socket_link.png", r"^in/socket_link\.png: a device or socket, not a file or pipe$"),
        ("in/dangling.png", r"^in/dangling\.png: no such file or folder$"),
        ("in/loop.png", r"^in/loop\.png: no such file or folder$"),
    ],
)
def test_special_files_that_are_named(special, source, message):
    with pytest.raises(ColorizeError, match=message):
        colorize_files(source, "out/")
