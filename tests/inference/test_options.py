"""What the options of `colorize_files` do with files of every kind."""

import errno
import io
import os
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from keras_colorize import api
from keras_colorize.errors import ColorizeError
from keras_colorize.inference import budget, streams


@pytest.fixture
def colorize(generator, tmp_path, monkeypatch):
    """Colorizes in an empty folder, with the small network."""
    monkeypatch.chdir(tmp_path)

    def call(inputs, output=None, **options):
        return api.colorize_files(inputs, output, generator, **options)

    return call


@pytest.fixture
def gray(paint):
    """Makes a gray Pillow image."""

    def make(height=24, width=30, seed=0):
        return Image.fromarray(paint(height, width, seed=seed)[..., 0])

    return make


def is_colorful(image):
    rgb = np.asarray(image.convert("RGB")).astype(int)
    return np.abs(rgb[..., 0] - rgb[..., 2]).max() > 10


def test_pages_of_a_tiff_keep_their_sizes(colorize, gray):
    pages = [gray(), gray(40, 20, 1), gray(10, 50, 2)]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:])
    assert colorize("a.tif", "out").failed == []
    with Image.open("out/a.tif") as result:
        sizes = [page.size for page in ImageSequence.Iterator(result) if is_colorful(page)]
    assert sizes == [(30, 24), (20, 40), (50, 10)]
    [(source, reason)] = colorize("a.tif", "out", format="jpg").failed
    assert source == Path("a.tif")
    assert reason == "a.tif: out/a.jpg: holds one image, not 3 pages or frames; choose --format tif"


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_keep_frames_and_durations(colorize, gray, suffix):
    frames = [gray(seed=seed) for seed in range(3)]
    durations = [50, 100, 200]
    options = {"save_all": True, "append_images": frames[1:], "duration": durations}
    frames[0].save(f"a.{suffix}", **options)
    assert colorize(f"a.{suffix}", "out").failed == []
    found = []
    with Image.open(f"out/a.{suffix}") as result:
        for frame in ImageSequence.Iterator(result):
            frame.load()
            assert frame.size == (30, 24)
            assert is_colorful(frame)
            found.append(frame.info["duration"])
    assert found == durations


def test_images_in_color_are_copied(colorize, gray, paint):
    Path("in").mkdir()
    gray().save("in/gray.png")
    Image.fromarray(paint(24, 30)).save("in/color.png", dpi=(300, 300))
    colored = [Image.fromarray(paint(24, 30, seed=seed)) for seed in range(2)]
    colored[0].save("in/color.tif", save_all=True, append_images=colored[1:])
    colored[0].save("in/mixed.tif", save_all=True, append_images=[gray()])
    summary = colorize("in", "out", keep_color=True)
    assert summary.kept == [Path("out/color.png"), Path("out/color.tif")]
    for name in ("color.png", "color.tif"):
        assert Path("out", name).read_bytes() == Path("in", name).read_bytes()
    with Image.open("out/gray.png") as result:
        assert is_colorful(result)
    with Image.open("out/mixed.tif") as result:
        np.testing.assert_array_equal(np.asarray(result), np.asarray(colored[0]))
        result.seek(1)
        assert is_colorful(result)
    # In another format or without metadata the pixels stay.
    colorize("in/color.png", "out/a.tif", keep_color=True)
    colorize("in/color.png", "out/b.png", keep_color=True, strip_metadata=True)
    for name in ("a.tif", "b.png"):
        with Image.open(f"out/{name}") as result:
            np.testing.assert_array_equal(np.asarray(result), paint(24, 30))
            assert ("dpi" in result.info) == (name == "a.tif")


def test_metadata_is_kept_or_stripped(colorize, gray):
    exif = Image.Exif()
    exif[0x0132] = "1931:05:06 07:08:09"
    gray().save("a.jpg", exif=exif, dpi=(600, 600))
    colorize("a.jpg", "kept.jpg")
    colorize("a.jpg", "stripped.jpg", strip_metadata=True)
    with Image.open("kept.jpg") as kept, Image.open("stripped.jpg") as stripped:
        assert kept.getexif()[0x0132] == "1931:05:06 07:08:09"
        assert kept.info["dpi"] == (600, 600)
        assert not stripped.getexif()
        assert stripped.info.get("dpi") != (600, 600)


def test_transparent_images_to_jpeg(colorize, paint):
    rgba = np.dstack([paint(24, 30), np.zeros((24, 30), np.uint8)])
    rgba[:, :10, 3] = 255
    Image.fromarray(rgba).save("a.png")
    [(_, reason)] = colorize("a.png", "out", format="jpg").failed
    assert reason.startswith("a.png: out/a.jpg: JPEG cannot hold transparency; ")
    assert "--background white" in reason
    assert colorize("a.png", "out", format="jpg", background="#ff0000", quality=100).failed == []
    with Image.open("out/a.jpg") as result:
        pixels = np.asarray(result).astype(int)
    np.testing.assert_allclose(pixels[:, 12:], np.full((24, 18, 3), (255, 0, 0)), atol=4)
    assert is_colorful(Image.fromarray(pixels[:, :10].astype(np.uint8)))
    rgba[..., 3] = 255
    Image.fromarray(rgba).save("opaque.png")
    assert colorize("opaque.png", "out", format="jpg").failed == []


def test_a_setting_that_a_model_lacks_names_the_model(generator, gray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator.save("mine.keras")
    gray().save("a.png")
    for call in (
        lambda: api.load("mine.keras", vividness=0.5),
        lambda: api.colorize("a.png", "mine.keras", vividness=0.5),
        lambda: api.colorize_files("a.png", "out", "mine.keras", vividness=0.5),
    ):
        with pytest.raises(ColorizeError, match=r"^vividness: mine\.keras has none; leave it out"):
            call()


def test_a_list_without_names(colorize, tmp_path):
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(ColorizeError, match=r"list\.txt: names no image"):
        colorize([], "out", files_from="list.txt")


@pytest.mark.parametrize("start", ["", "\ufeff"])  # As Windows writes it.
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_written_on_windows(colorize, gray, tmp_path, start, end):
    gray(20, 30).save("a.png")
    gray(20, 30).save("\u00fc.png")
    text = f"{start}a.png{end}\u00fc.png{end}"
    (tmp_path / "list.txt").write_bytes(text.encode())
    summary = colorize([], "out", files_from="list.txt")
    assert summary.failed == []
    assert [path.name for path in summary.done] == ["a.png", "\u00fc.png"]


def test_quality_makes_files_smaller(colorize, gray):
    gray(100, 100).save("a.png")
    sizes = []
    for quality in (5, 50, 100):
        colorize("a.png", f"{quality}.jpg", quality=quality)
        sizes.append(Path(f"{quality}.jpg").stat().st_size)
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 101}, r"quality: must be in 1\.\.100 \(got 101\)"),
        ({"background": "dull"}, "background: must be a color as white or #ffffff"),
        ({"background": (255, 0, 0)}, r"background: must be a color.*got \(255, 0, 0\)"),
        ({"device": "tpu"}, r"device: must be cpu or gpu:N, as gpu:0 \(got tpu\)"),
        ({"device": "gpu:77"}, "device: no gpu:77 here; there is cpu"),
    ],
)
def test_bad_options(colorize, gray, options, message):
    gray().save("a.png")
    with pytest.raises(ColorizeError, match=message):
        colorize("a.png", "out", **options)
    assert not Path("out").exists()


def test_inputs_of_every_kind(colorize, gray):
    gray().save("a.png")
    for inputs in ("a.png", Path("a.png"), ["a.png"], ("a.png",), (path for path in ["a.png"])):
        assert colorize(inputs, "out", force=True).done == [Path("out/a.png")]
    for inputs, kind in ((b"a.png", "bytes"), ([3], "int"), (None, "NoneType")):
        with pytest.raises(ColorizeError, match=rf"inputs: must be paths \(got {kind}\)"):
            colorize(inputs, "out", force=True)


def test_a_batch_that_grew_is_continued(colorize, gray):
    Path("in").mkdir()
    gray().save("in/a.png")
    colorize("in", "out")
    before = Path("out/a.png").stat().st_mtime_ns
    assert colorize("in", "out", skip_existing=True).done == []
    gray().save("in/b.png")
    summary = colorize(["in"], "out", skip_existing=True)
    assert summary.done == [Path("out/b.png")]
    assert summary.skipped == [Path("out/a.png")]
    assert Path("out/a.png").stat().st_mtime_ns == before


def test_damaged_files_on_request(colorize, gray):
    gray(100, 100).save("whole.jpg")
    data = Path("whole.jpg").read_bytes()
    Path("a.jpg").write_bytes(data[: len(data) * 2 // 3])
    assert len(colorize("a.jpg", "out").failed) == 1
    with pytest.warns(UserWarning, match=r"^a\.jpg: "):
        assert colorize("a.jpg", "out", allow_damaged=True).failed == []
    with Image.open("out/a.jpg") as result:
        assert result.size == (100, 100)


def test_what_takes_too_much_memory_is_refused_by_its_header(colorize, gray, monkeypatch):
    monkeypatch.setattr(budget, "MAX_MEMORY", 24 * 30 * 50)
    Image.fromarray(np.full((24, 30), 40_000, np.uint16)).save("deep.png")
    Image.fromarray(np.full((24, 30, 4), 99, np.uint8)).save("rgba.png")
    gray(24, 30 * 6).save("large.tif")
    gray().save("a.gif", save_all=True, append_images=[gray(seed=1), gray(seed=2)])
    names = ["deep.png", "rgba.png", "large.tif", "a.gif"]
    summary = colorize(names, "out")
    assert [path.name for path in summary.done] == names[:2]
    assert [path.name for path, _ in summary.failed] == names[2:]
    assert all("GB are taken; shrink it or split it" in reason for _, reason in summary.failed)
    # What the result will be counts too, and a thriftier format is named.
    gray(30, 60).save("wide.png")
    [(_, reason)] = colorize("wide.png", "out", format="avif").failed
    assert "GB at work as avif; at most" in reason
    assert reason.endswith("shrink it or split it, or choose --format png")
    assert colorize("wide.png", "out", format="png").failed == []


def test_a_full_disk_ends_the_batch(colorize, gray, monkeypatch):
    Path("in").mkdir()
    for number in range(5):
        gray(seed=number).save(f"in/{number}.png")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ColorizeError, match=r"No space left on device.*--skip-existing") as raised:
        colorize("in", "out")
    assert "\n" not in str(raised.value)
    assert list(Path("out").iterdir()) == []


def test_failures_in_writing_name_source_and_target(colorize, gray):
    Path("in/deep").mkdir(parents=True)
    gray().save("in/a.png")
    gray().save("in/deep/b.png")
    Path("out").mkdir()
    Path("out/deep").touch()
    summary = colorize("in", "out")
    assert summary.done == [Path("out/a.png")]
    [(source, reason)] = summary.failed
    assert source == Path("in/deep/b.png")
    assert reason.startswith("in/deep/b.png: out/deep/b.png: cannot be written (")


def test_pipes(colorize, gray):
    gray().save("a.png")
    colorize("a.png", "expected.png")
    expected = Path("expected.png").read_bytes()
    os.mkfifo("pipe")
    data = Path("a.png").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(data))
    writer.start()
    summary = colorize("pipe", "out")
    writer.join()
    assert (summary.done, summary.failed) == ([Path("out/pipe.png")], [])
    assert Path("out/pipe.png").read_bytes() == expected


def test_what_would_never_end_is_refused_by_name_and_by_link(colorize, monkeypatch):
    monkeypatch.setattr(streams, "_PATIENCE", 0.1)
    os.mkfifo("pipe.jpg")
    Path("link.jpg").symlink_to("pipe.jpg")
    Path("zero.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "link.jpg"):
        with pytest.raises(ColorizeError, match=f"{name}: a pipe that no program writes to"):
            colorize(name, "out")
    for name in ("zero.jpg", "/dev/null"):
        with pytest.raises(ColorizeError, match=f"{name}: a device or socket, not a file or pipe"):
            colorize(name, "out")


def test_a_program_that_writes_slowly_is_waited_for(colorize, gray, monkeypatch):
    monkeypatch.setattr(streams, "_PATIENCE", 0.1)
    gray().save("a.png")
    data = Path("a.png").read_bytes()
    end, writing = os.pipe()

    def write():
        for part in (data[:50], data[50:]):
            time.sleep(0.5)
            os.write(writing, part)
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    summary = colorize(f"/dev/fd/{end}", "out/a.png")
    writer.join()
    os.close(end)
    assert summary.failed == []
    with Image.open("out/a.png") as result:
        assert result.size == (30, 24)


def test_standard_streams(colorize, gray, monkeypatch):
    gray().save("a.png")
    colorize("a.png", "expected.png")
    with Path("a.png").open() as stdin, io.TextIOWrapper(io.BytesIO()) as stdout:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("sys.stdout", stdout)
        summary = colorize("-", "-")
        assert summary.done == [Path("-")]
        assert stdout.buffer.getvalue() == Path("expected.png").read_bytes()
    with io.TextIOWrapper(io.BytesIO(b"no image")) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        [(source, reason)] = colorize("-", "b.png").failed
    assert source == Path("stdin")
    assert reason.startswith("stdin: cannot be read (not a JPEG")
    with pytest.raises(ColorizeError, match="-o -: standard output takes a single image"):
        colorize(["a.png", "a.png"], "-")
    with pytest.raises(ColorizeError, match="stdin: needs an output"):
        colorize("-", suffix="_color")


def test_what_killed_commands_left_is_removed(colorize, gray):
    gray().save("a.png")
    Path("out").mkdir()
    process = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(process, 0)
    machine = f"{zlib.crc32(os.uname().nodename.encode()):08x}"
    Path("out", f".b.{machine}-{process}-140000000.part.png").touch()
    colorize("a.png", "out")
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]


def _bytes_read():
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("suffix", ["tif", "gif", "png", "webp"])
def test_many_pages_are_read_once(colorize, gray, suffix):
    """Reading the file anew for each page would take 60 times its bytes."""
    pages = [gray(64, 64, seed) for seed in range(60)]
    pages[0].save(f"a.{suffix}", save_all=True, append_images=pages[1:])
    assert colorize(f"a.{suffix}", "first").failed == []
    before = _bytes_read()
    assert colorize(f"a.{suffix}", "out").failed == []
    assert _bytes_read() - before < 10 * Path(f"a.{suffix}").stat().st_size
    with Image.open(f"out/a.{suffix}") as result:
        assert result.n_frames == 60
