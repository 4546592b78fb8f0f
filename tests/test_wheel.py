"""The package as a user installs it: a wheel, in a virtual environment of its own."""

import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from keras_colorize import pretrained

ROOT = Path(__file__).parents[1]

# As good as no network: whatever asks for an address is sent to a port where nobody listens.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, ROOT]
    subprocess.run(command, check=True)
    (path,) = folder.glob("keras_colorize-*.whl")
    return path


def test_the_wheel_holds_recipes_models_and_their_cards(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    recipes = {f"keras_colorize/recipes/{path.name}" for path in (ROOT / "recipes").iterdir()}
    models = {
        f"keras_colorize/pretrained/{name}.{suffix}"
        for name in pretrained.MODELS
        for suffix in ("keras", "md", "toml", "csv")
    }
    assert recipes | models <= names
    assert wheel.stat().st_size < 21 * 2**20


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What an index reads."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_an_index_shows_where_it_comes_from(metadata: Message) -> None:
    """What it builds on; the design notes say why the repository is not among them."""
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL"))
    assert list(urls) == ["Original program", "Oxford Paintings Dataset"]
    text = "".join((ROOT / "docs" / f"{page}.md").read_text() for page in ("design", "oxford"))
    assert all(f"]({url})" in text for url in urls.values())
    assert metadata["Author"] == "The keras_colorize authors"


def test_its_description_stands_without_the_repository(metadata: Message) -> None:
    """An index shows it: what it links to is at an address, and other files are named."""
    text = metadata.get_payload(decode=True).decode()
    assert "## Colorize" in text
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert not re.search(r"(?m)^\[[^\]]+\]:|<(img|a)\b", text)  # Other ways to write a link.
    assert "Museum paintings" not in text  # the caption of the image
    assert "[All options](" not in text and "All options (`docs/colorizing.md`)." in text
    files = re.findall(r"\(`([^`]+\.\w+)`\)", text)
    assert len(files) > 15
    assert all((ROOT / file).is_file() for file in files)


def test_an_installed_wheel_colorizes_without_network(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", environment],
        check=True,
    )
    # What the tests' own environment holds, behind what the wheel brings.
    site = next(environment.glob("lib/python3*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    Image.fromarray(data.camera()).save(tmp_path / "old.jpg")
    script = "import sys; from keras_colorize import __file__, cli; print(__file__); cli.main()"
    done = subprocess.run(
        [environment / "bin" / "python", "-c", script, "colorize", "old.jpg", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, **NO_NETWORK, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(str(site))
    assert done.stderr == ""
    with Image.open(tmp_path / "out" / "old.jpg") as result:
        rgb = np.asarray(result).astype(int)
    assert rgb.shape == (512, 512, 3)
    assert np.ptp(rgb, axis=-1).mean() > 3  # in color
