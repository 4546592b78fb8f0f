import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_colorize.errors import ColorizeError
from keras_colorize.inference import plan as plan_module
from keras_colorize.inference.plan import plan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a few images and other files in `in`; all paths are relative."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    image = Image.fromarray(np.zeros((2, 3, 3), np.uint8))
    for name in ("a.png", "b.jpg", "deep/c.tiff"):
        image.save(root / name)
    return tmp_path


def planned(*inputs, output="out", **options):
    found = plan([Path(path) for path in inputs], output, **options)
    return {str(target): str(source) for target, source in found.sources.items()}, found


def test_folders_keep_their_structure(folder):
    assert planned("in")[0] == {
        "out/a.png": "in/a.png",
        "out/b.jpg": "in/b.jpg",
        "out/deep/c.tiff": "in/deep/c.tiff",
    }


def test_format_and_suffix(folder):
    targets, _ = planned("in", format="PNG", suffix="_color")
    assert list(targets) == ["out/a_color.png", "out/b_color.png", "out/deep/c_color.png"]
    targets, _ = planned("in", output=None, suffix="_color")
    assert list(targets) == ["in/a_color.png", "in/b_color.jpg", "in/deep/c_color.tiff"]


def test_results_beside_the_originals_are_not_inputs_again(folder):
    for name in ("a_color.png", "b_color.webp"):
        (folder / "in" / name).write_bytes((folder / "in" / "a.png").read_bytes())
    (folder / "in" / "water_color.jpg").write_bytes((folder / "in" / "b.jpg").read_bytes())
    expected = ["in/b_color.jpg", "in/deep/c_color.tiff", "in/water_color_color.jpg"]
    options = {"output": None, "suffix": "_color", "skip_existing": True}
    targets, found = planned("in", **options)
    assert list(targets) == expected
    assert [str(path) for path in found.skipped] == ["in/a_color.png"]
    assert "2 results of earlier calls (*_color) are not colorized again" in found.notes
    names = sorted(str(path) for path in (folder / "in").glob("*.*"))
    assert sorted(planned(*names, **options)[0]) == sorted(
        str(folder / name) for name in expected if "deep" not in name
    )


@pytest.mark.parametrize("options", [{}, {"force": True}, {"skip_existing": True}])
@pytest.mark.parametrize(
    "spelling", ["in", "in/../in", "link", "hard", "linked", "absolute", "deep"]
)
def test_a_source_is_never_a_target(folder, spelling, options):
    original = folder / "in" / "a.png"
    before = original.read_bytes()
    output = spelling
    if spelling == "link":
        (folder / "link").symlink_to("in")
    elif spelling in ("hard", "linked"):
        (folder / spelling).mkdir()
        os.link(original, folder / "hard.png")
        if spelling == "hard":
            os.link(original, folder / "hard" / "a.png")
        else:
            (folder / "linked" / "a.png").symlink_to(original)
    elif spelling == "absolute":
        output = folder / "in"
    elif spelling == "deep":  # Another source.
        output = "in/deep"
        original.rename(folder / "c.tiff")
        inputs = ["c.tiff", "in/deep/c.tiff"]
        with pytest.raises(ColorizeError, match=r"never overwritten|for both"):
            planned(*inputs, output=output, **options)
        return
    with pytest.raises(ColorizeError, match=r"is the original in/a\.png, which is never overwr"):
        planned("in/a.png", output=output, **options)
    assert original.read_bytes() == before


def test_two_sources_are_never_one_target(folder):
    (folder / "other").mkdir()
    (folder / "other" / "a.png").write_bytes((folder / "in" / "a.png").read_bytes())
    with pytest.raises(ColorizeError, match=r"out/a\.png: .* both in/a\.png and other/a\.png"):
        planned("in/a.png", "other/a.png")
    # The same folder by another name.
    (folder / "out" / "x").mkdir(parents=True)
    (folder / "out" / "y").symlink_to("x")
    for name in ("x", "y"):
        (folder / "tree" / name).mkdir(parents=True)
        (folder / "tree" / name / "a.png").write_bytes((folder / "in" / "a.png").read_bytes())
    with pytest.raises(ColorizeError, match=r"both tree/x/a\.png and tree/y/a\.png"):
        planned("tree")
    with pytest.raises(ColorizeError, match=r"both in/a\.png and in/a\.jpg"):
        (folder / "in" / "a.jpg").write_bytes((folder / "in" / "b.jpg").read_bytes())
        planned("in/a.png", "in/a.jpg", format="webp")


def test_one_source_named_twice_is_one(folder):
    assert planned("in", "in/../in/a.png")[0] == planned("in")[0]


def test_names_that_differ_in_case_are_one_where_the_disk_says_so(folder, monkeypatch):
    (folder / "in" / "A.png").write_bytes((folder / "in" / "a.png").read_bytes())
    assert {"out/A.png", "out/a.png"} < set(planned("in")[0])
    assert not (folder / "out").exists()
    # No such disk is at hand.
    monkeypatch.setattr(plan_module, "_ignores_case", lambda folder: True)
    with pytest.raises(ColorizeError, match=r"would be written for both in/A\.png and in/a\.png"):
        planned("in")


def test_existing_results(folder):
    (folder / "out").mkdir()
    (folder / "out" / "a.png").write_bytes(b"mine")
    with pytest.raises(ColorizeError, match=r"out/a\.png: already there; use --skip-existing"):
        planned("in")
    (folder / "in" / "a_color.png").write_bytes(b"mine")
    with pytest.raises(ColorizeError) as raised:
        planned("in/a.png", output=None, suffix="_color")
    assert str(raised.value) == (
        "in/a_color.png: already there; use --skip-existing (skip_existing=True) to leave it, "
        "--force (force=True) to overwrite it, or another suffix"
    )
    (folder / "in" / "a_color.png").unlink()
    (folder / "out" / "b.jpg").touch()
    with pytest.raises(ColorizeError, match=r"leave them, .* overwrite them, or another folder"):
        planned("in")
    (folder / "out" / "b.jpg").unlink()
    targets, found = planned("in", skip_existing=True)
    assert list(targets) == ["out/b.jpg", "out/deep/c.tiff"]
    assert [str(path) for path in found.skipped] == ["out/a.png"]
    assert "out/a.png" in planned("in", force=True)[0]
    with pytest.raises(ColorizeError, match="exclude each other"):
        planned("in", force=True, skip_existing=True)


def test_names_follow_the_content(folder):
    png = (folder / "in" / "a.png").read_bytes()
    jpeg = (folder / "in" / "b.jpg").read_bytes()
    files = {"w.jpg": png, "x.jfif": jpeg, "y.jpe": jpeg, "z": jpeg, "k.JPEG": jpeg, "t.jpg": b""}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    targets, found = planned(*files)
    assert list(targets) == [
        *("out/w.png", "out/x.jpg", "out/y.jpg", "out/z.jpg", "out/k.JPEG", "out/t.jpg"),
    ]
    assert found.notes == ["w.jpg: holds another format than its name says; see out/w.png"]


def test_what_is_not_read_is_counted(folder):
    for name in ("a.txt", "b.TXT", "deep/c.mov", "README", ".hidden.txt"):
        (folder / "in" / name).touch()
    assert planned("in")[1].notes == ["in: not read: 2 .txt, 1 without suffix, 1 .mov"]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["in/a.png"], {"output": "result.xyz"}, r"unknown image suffix; .* or result\.xyz/ for a"),
        (["in/none.png"], {"output": "photos.old"}, r"photos\.old/ for a folder"),
        (["in"], {"output": "photos.gif"}, r"photos\.gif: a single file; give a folder"),
        (["in/a.png"], {"output": None}, "no output: name a folder"),
        (["in/a.png"], {"suffix": "_x/y"}, "must be a part of a file name"),
        (["in/a.png"], {"format": "docx"}, "--format docx: unknown format; use one of jpg"),
        (["in/a.png"], {"output": "b.png", "format": "jpg"}, "not the suffix of --format jpg"),
        (["in/a.png"], {"output": "b.png", "suffix": "_x"}, "--suffix _x is for results in"),
        (["in", "in/a.png"], {"output": "b.png"}, "a single file; give a folder"),
    ],
)
def test_mistakes(folder, inputs, options, message):
    with pytest.raises(ColorizeError, match=message) as raised:
        planned(*inputs, **options)
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in folder.iterdir()) == ["in"]


def test_a_folder_may_have_a_dot_in_its_name(folder):
    assert list(planned("in/a.png", output="photos.old/")[0]) == ["photos.old/a.png"]
    (folder / "photos.old").mkdir()
    assert list(planned("in/a.png", output="photos.old")[0]) == ["photos.old/a.png"]
    assert list(planned("in/a.png", output="new.GIF")[0]) == ["new.GIF"]
    # No file can hold several images.
    assert list(planned("in/deep", output="vivid0.75")[0]) == ["vivid0.75/c.tiff"]
    targets, _ = planned("in/a.png", "in/b.jpg", output="vivid0.75")
    assert list(targets) == ["vivid0.75/a.png", "vivid0.75/b.jpg"]


def test_what_a_list_names_fails_by_itself(folder):
    (folder / "empty").mkdir()
    bad = ["none.png", "in/a.png ", "x" * 300, "empty"]
    listed = {Path(name): f"line {line} of list.txt" for line, name in enumerate(bad, 1)}
    targets, found = planned("in/a.png", *bad, listed=listed)
    assert list(targets) == ["out/a.png"]
    assert [path for path, _ in found.failed] == list(listed)
    missing, spaced, long, empty = (reason for _, reason in found.failed)
    assert missing == "none.png: no such file or folder (line 1 of list.txt)"
    assert spaced == "'in/a.png ': no such file or folder (line 2 of list.txt)"
    assert long.endswith("(File name too long) (line 3 of list.txt)")
    assert empty.startswith("empty: no images in this folder")
