"""The page in a real browser: the command in a process of its own, and Chromium.

Chromium is no Python package: `apt-get install chromium`, or another that is on PATH.
"""

import ipaddress
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import cv2
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

import keras_colorize
from keras_colorize import cli, demo, pretrained
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.images import read_image, write_image
from keras_colorize.models.predict import vividness

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason=f"none of {', '.join(NAMES)} is on PATH (apt-get install chromium)"
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

expect.set_options(timeout=30_000)  # Of a busy machine.

# The command, with a note of every address that its process asks for or connects to.
COMMAND = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        address = arguments[1] if event == "socket.connect" else arguments[0]
        print(address[0] if isinstance(address, tuple) else address, file=log)
sys.addaudithook(note)
from keras_colorize import cli
cli.main()
"""


class Server:
    """The command `demo` in a process; `folder` is the current folder and keeps its notes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._addresses = folder / "addresses"
        command = [sys.executable, "-c", COMMAND, str(self._addresses), "demo", "--port=0"]
        self._errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=folder,
        )
        line = self.process.stdout.readline()
        assert line, self.errors()
        self.url = line.split()[0]

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def end(self) -> None:
        """Ends it as Ctrl-C does; nothing went wrong in it, and it has called nobody."""
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(30) == 0
        finally:
            self.process.kill()
            self.process.stdout.close()
        assert self.errors() == ""
        self._errors.close()
        for address in self._addresses.read_text().split():
            assert address == "localhost" or ipaddress.ip_address(address).is_loopback


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "old photo.png"
    scene = cv2.cvtColor(paint_scenes(1, 180, 36)[0], cv2.COLOR_RGB2GRAY)[:121]
    write_image(path, cv2.cvtColor(scene, cv2.COLOR_GRAY2RGB))
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, random_unet) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    random_unet.save(folder / "tiny.keras")
    (folder / "broken.keras").write_bytes(b"nonsense")
    models = [pretrained.DEFAULT, "tiny.keras", "broken.keras"]
    server = Server(folder, "--max-megabytes=1", *(f"--models={model}" for model in models))
    yield server
    server.end()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=CHROMIUM,
            args=FLAGS,
            viewport={"width": 1280, "height": 800},
        )
        yield context
        context.close()


@pytest.fixture
def page(server: Server, browser: BrowserContext) -> Iterator[Page]:
    """The page; whatever a test does with it, all that it loads comes from the server."""
    page = browser.new_page()
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda note: errors.append(note.text) if note.type == "error" else None)
    page.goto(server.url)
    yield page
    page.close()
    origins = {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in requests}
    assert origins - {"data://", "blob://"} == {server.url}
    assert not errors


def upload(page: Page, file: Path) -> None:
    page.locator("#image input[type=file]").set_input_files(file)


def color_shown(page: Page) -> str:
    """The address of the colorized image, once there is one."""
    image = page.locator("#comparison img").nth(1)
    expect(image).to_be_visible()
    return image.get_attribute("src")


def set_vividness(page: Page, share: float) -> None:
    """Moves the knob, and waits for another image."""
    before = color_shown(page)
    page.locator("#vividness input[type=range]").fill(str(share))
    expect(page.locator("#comparison img").nth(1)).not_to_have_attribute("src", before)


def download(page: Page, name: str) -> Path:
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download {name}").click()
    target = Path(started.value.path()).with_name(started.value.suggested_filename)
    started.value.save_as(target)
    return target


@needs_chromium
def test_what_is_downloaded_is_what_colorize_returns(page: Page, gray: Path) -> None:
    upload(page, gray)
    own = color_shown(page)
    set_vividness(page, 0.85)
    png, jpeg = download(page, "PNG"), download(page, "JPEG")
    assert (png.name, jpeg.name) == ("old photo_color.png", "old photo_color.jpg")
    colorized = keras_colorize.colorize(gray, vividness=0.85)
    np.testing.assert_array_equal(read_image(png).rgb, colorized)
    with urllib.request.urlopen(color_shown(page)) as shown:
        assert shown.read() == jpeg.read_bytes(), "the image shown is the whole JPEG"
    difference = read_image(jpeg).rgb.astype(int) - colorized
    assert np.abs(difference).mean() < 2
    # And back.
    set_vividness(page, vividness(keras_colorize.load()))
    assert color_shown(page) == own
    colorized = keras_colorize.colorize(gray)
    np.testing.assert_array_equal(read_image(download(page, "PNG")).rgb, colorized)


@needs_chromium
def test_a_broken_file_has_a_message_and_the_next_one_works(
    page: Page, gray: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken <b>.png"
    broken.write_bytes(gray.read_bytes()[:-200])
    upload(page, broken)
    message = page.get_by_role("alert")
    expect(message).to_have_text(re.compile(r"^broken .*\.png: cannot be read \(truncated\)$"))
    body = page.evaluate("getComputedStyle(document.body).color")
    expect(message).not_to_have_css("color", body)
    expect(page.locator("#comparison")).to_have_count(0)
    page.get_by_label("Clear").click()
    expect(message).to_have_count(0)
    upload(page, gray)
    color_shown(page)


@needs_chromium
def test_an_upload_that_is_too_large_is_refused(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2**20 + 1))
    upload(page, large)
    expect(
        page.get_by_text(re.compile(r'exceed the maximum allowed size.*"large\.png"'))
    ).to_be_visible()
    expect(page.locator("#comparison")).to_have_count(0)


@needs_chromium
def test_models_and_examples(page: Page, server: Server) -> None:
    page.locator("#examples").get_by_role("button").nth(2).click()
    ours = color_shown(page)
    knob = page.locator("#vividness")
    expect(knob).to_be_visible()

    def choose(model: str) -> None:
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name=model).click()

    choose("tiny.keras")
    expect(page.locator("#comparison img").nth(1)).not_to_have_attribute("src", ours)
    expect(knob).to_have_count(0)
    tiny = read_image(download(page, "PNG")).rgb
    assert tiny.shape == (768, 768, 3)
    choose("broken.keras")
    expect(page.get_by_role("alert")).to_have_text(re.compile("^broken.keras: .*damaged"))
    choose(pretrained.DEFAULT)
    expect(page.locator("#comparison img").nth(1)).to_have_attribute("src", ours)
    expect(knob).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_as_wide_as_the_window(page: Page, gray: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    upload(page, gray)
    color_shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for part in ("#comparison", "#vividness", "#png", "#jpeg", "#examples"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    # Image and knob are seen together.
    knob = page.locator("#vividness").bounding_box()
    assert knob["y"] + knob["height"] <= 800


def test_it_serves_this_machine_alone_and_no_other_files(server: Server, gray: Path) -> None:
    assert urlsplit(server.url).hostname == "127.0.0.1"
    for path in (
        f"/gradio_api/file={quote(str(gray))}",
        "/gradio_api/file=tiny.keras",
        "/docs",
    ):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            urllib.request.urlopen(server.url + path)


def test_what_cannot_be_served_is_one_line(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)

    def errors(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [cli.NAME, "demo", *arguments])
        with pytest.raises(SystemExit, match="1"):
            cli.main()
        return capsys.readouterr().err

    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert errors("--port", str(port)) == (
            f"keras-colorize: 127.0.0.1:{port}: cannot listen here (Address already in use); "
            "choose another --port, 0 for any\n"
        )
    assert "no.such.host.invalid:7860: cannot listen here" in errors("--host=no.such.host.invalid")
    assert errors("--host=a..b").startswith("keras-colorize: a..b:7860: cannot listen here (")
    assert errors("--port=0", "--models", "nowhere").startswith("keras-colorize: nowhere: no model")
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert errors() == "keras-colorize: demo: needs pip install 'keras-colorize[demo]'\n"
