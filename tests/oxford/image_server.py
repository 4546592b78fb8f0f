"""A real HTTP server on loopback that serves images, well or badly, and keeps a log.

The first part of a path says how: `/drop/a.jpg` is answered by `send_drop`, and a path that has
no such method by an image that no other path has. `attempt` counts the requests for one path.
"""

import contextlib
import functools
import gzip
import io
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Request:
    """One line of the log; `start` and `end` are monotonic seconds."""

    path: str
    host: str
    agent: str
    start: float
    end: float
    attempt: int


@functools.lru_cache(maxsize=512)
def image(path: str, width: int = 48, height: int = 36, kind: str = "JPEG") -> bytes:
    """Noise that only this path has."""
    noise = np.random.default_rng(zlib.crc32(path.encode()))
    file = io.BytesIO()
    Image.fromarray(noise.integers(0, 256, (height, width, 3), np.uint8)).save(file, kind)
    return file.getvalue()


class ImageServer(ThreadingHTTPServer):
    """Serves in threads of its own from `with` to its end; the log is in order of arrival."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.most_at_a_time = self.at_a_time = 0
        self.log: list[Request] = []

    def __enter__(self) -> "ImageServer":
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""

    def requests(self, path: str) -> list[Request]:
        """The log of one path."""
        return [request for request in list(self.log) if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    server: ImageServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """The server keeps its own log."""

    def do_GET(self) -> None:
        start = time.monotonic()
        server = self.server
        with server.lock:
            server.attempts[self.path] += 1
            attempt = server.attempts[self.path]
            server.at_a_time += 1
            server.most_at_a_time = max(server.most_at_a_time, server.at_a_time)
        try:
            how = getattr(self, "send_" + self.path.split("/")[1].replace("-", "_"), self.send_ok)
            with contextlib.suppress(ConnectionError):
                how(attempt)
        finally:
            with server.lock:
                server.at_a_time -= 1
                host, agent = self.headers["Host"], self.headers["User-Agent"]
                end = time.monotonic()
                server.log.append(Request(self.path, host, agent, start, end, attempt))

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_ok(self, attempt: int) -> None:
        self.send(200, image(self.path), Content_Type="image/jpeg")

    def send_as(self, attempt: int) -> None:
        """/as/png/a.jpg is a PNG, whatever its name says."""
        kind = self.path.split("/")[2]
        self.send(200, image(self.path, kind=kind), Content_Type="image/jpeg")

    def send_same(self, attempt: int) -> None:
        self.send(200, image("same"), Content_Type="image/jpeg")

    def send_bomb(self, attempt: int) -> None:
        """A few kilobytes that are 81 megapixels."""
        file = io.BytesIO()
        Image.new("1", (9000, 9000)).save(file, "PNG")
        self.send(200, file.getvalue(), Content_Type="image/png")

    def send_slow(self, attempt: int) -> None:
        time.sleep(0.2)
        self.send_ok(attempt)

    def send_gone_404(self, attempt: int) -> None:
        self.send(404, b"no such image")

    def send_gone_410(self, attempt: int) -> None:
        self.send(410)

    def send_once(self, attempt: int) -> None:
        """An image, which is then gone."""
        if attempt == 1:
            self.send_ok(attempt)
        else:
            self.send(404)

    def send_forbidden(self, attempt: int) -> None:
        self.send(403)

    def send_busy(self, attempt: int) -> None:
        """429 with Retry-After, once."""
        if attempt == 1:
            self.send(429, Retry_After="1")
        else:
            self.send_ok(attempt)

    def send_closed(self, attempt: int) -> None:
        """503 with a Retry-After of a day."""
        self.send(503, Retry_After="86400")

    def send_flaky(self, attempt: int) -> None:
        """500 twice, then the image."""
        if attempt <= 2:
            self.send(500)
        else:
            self.send_ok(attempt)

    def send_broken(self, attempt: int) -> None:
        self.send(500)

    def send_silent(self, attempt: int) -> None:
        """Closes without an answer."""
        self.close_connection = True

    def send_hang_up(self, attempt: int) -> None:
        """Closes without an answer, twice."""
        if attempt <= 2:
            self.close_connection = True
        else:
            self.send_ok(attempt)

    def send_drop(self, attempt: int) -> None:
        """Closes in the middle of the body, twice."""
        if attempt > 2:
            self.send_ok(attempt)
            return
        body = image(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def send_truncated(self, attempt: int) -> None:
        """Half an image that claims to be whole."""
        body = image(self.path)
        self.send(200, body[: len(body) // 2], Content_Type="image/jpeg")

    def send_html(self, attempt: int) -> None:
        self.send(200, b"<html>Not found, politely</html>", Content_Type="image/jpeg")

    def send_gzip(self, attempt: int) -> None:
        """A compressed body, which was not asked for."""
        self.send(200, gzip.compress(image(self.path)), Content_Encoding="gzip")

    def send_large(self, attempt: int) -> None:
        """Announces a terabyte, and waits for the client to hang up."""
        self.send_response(200)
        self.send_header("Content-Length", str(2**40))
        self.end_headers()
        self.rfile.read(1)

    def send_endless(self, attempt: int) -> None:
        """A body without Content-Length that goes on until the client hangs up."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(image(self.path))
        while True:
            self.wfile.write(bytes(2**16))

    def send_drip(self, attempt: int) -> None:
        """Headers that come a byte at a time, and never end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            self.wfile.write(b"x")
            time.sleep(0.02)

    def send_drip_body(self, attempt: int) -> None:
        """An image that comes a byte at a time."""
        body = image(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(0.02)

    def send_continue(self, attempt: int) -> None:
        """Says 100 Continue forever."""
        while True:
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.02)

    def send_circle(self, attempt: int) -> None:
        self.send(302, Location=self.path)

    def send_moved(self, attempt: int) -> None:
        """To the address that follows: /moved/http://..., or /moved//ok/a.jpg on this server."""
        self.send(302, Location=self.path.removeprefix("/moved/"))
