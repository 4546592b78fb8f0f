import itertools
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.images import read_image, read_rgb, write_image
from keras_colorize.inference import budget, files
from keras_colorize.inference.arrays import colorize_array
from keras_colorize.inference.plan import plan
from keras_colorize.inference.single import Options

PLANNING = ("force", "skip_existing", "suffix", "format")
RUNNING = ("vividness", "prediction_size", "progress", "report")


def colorize_files(inputs, output, network, **options):
    planning = {name: options.pop(name) for name in PLANNING if name in options}
    running = {name: options.pop(name) for name in RUNNING if name in options}
    planned = plan(inputs, output, **planning)
    return files.colorize_files(planned, network, Options(**options), **running)


@pytest.fixture
def folder(tmp_path, paint):
    """Images of several kinds and sizes, in a tree; their paths below the folder."""
    root = tmp_path / "in"
    shapes = {"a.png": (40, 60), "deep/er/b.tif": (5, 9), "deep/c.bmp": (33, 32), "d.PNG": (1, 70)}
    for seed, (name, shape) in enumerate(shapes.items()):
        write_image(root / name, paint(*shape, seed=seed))
    write_image(root / "deep16.png", paint(30, 20, np.uint16), paint(30, 20, np.uint16)[..., 0])
    write_image(root / "photo.jpg", paint(64, 48))
    return root


def files_below(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_folder_keeps_its_structure_and_each_image_its_format(folder, tmp_path, network):
    out = tmp_path / "out"
    calls = []
    summary = colorize_files([folder], out, network, progress=lambda *call: calls.append(call))
    assert summary.failed == []
    assert calls == [(done, 6) for done in range(1, 7)]
    assert files_below(out) == files_below(folder)
    assert summary.done == [out / path.relative_to(folder) for path in sorted(folder.rglob("*.*"))]
    for name in files_below(folder):
        source, result = read_image(folder / name), read_image(out / name)
        expected = colorize_array(source.rgb, network)
        if name == "photo.jpg":
            write_image(tmp_path / "expected.jpg", expected)
            expected = read_image(tmp_path / "expected.jpg").rgb.astype(int)
            assert np.abs(result.rgb - expected).mean() < 0.1
        else:
            # The network's last digit depends on the size of the batch.
            np.testing.assert_allclose(result.rgb.astype(int), expected, rtol=0, atol=1)
            assert result.rgb.dtype == source.rgb.dtype
            np.testing.assert_array_equal(result.alpha, source.alpha)


def test_a_single_file_to_a_file_or_a_folder(folder, tmp_path, network):
    summary = colorize_files([folder / "a.png"], tmp_path / "new.bmp", network)
    assert summary.done == [tmp_path / "new.bmp"]
    assert (tmp_path / "new.bmp").read_bytes()[:2] == b"BM"
    summary = colorize_files([folder / "a.png"], tmp_path / "out", network)
    assert summary.done == [tmp_path / "out" / "a.png"]


def test_bad_files_are_reported_and_the_rest_done(folder, tmp_path, network):
    (folder / "torn.jpg").write_bytes((folder / "photo.jpg").read_bytes()[:-99])
    (folder / "e.txt").write_text("not an image")
    summary = colorize_files([folder, folder / "e.txt"], tmp_path / "out", network)
    assert len(summary.done) == 6
    reasons = dict(summary.failed)
    assert list(reasons) == [folder / "torn.jpg", folder / "e.txt"]
    assert reasons[folder / "torn.jpg"] == f"{folder / 'torn.jpg'}: cannot be read (truncated)"
    assert "not a JPEG" in reasons[folder / "e.txt"]


def test_names_with_newlines_make_no_second_line(tmp_path, network):
    odd = tmp_path / "two\nlines.jpg"
    odd.write_text("no image")
    [(path, reason)] = colorize_files([odd], tmp_path / "out", network).failed
    assert path == odd
    assert reason.startswith(f"{tmp_path}/two\\nlines.jpg: cannot be read (not a JPEG")
    assert reason.count("two") == 1


def _with_alpha():
    return np.zeros((40, 60, 3), np.uint8), np.full((40, 60), 9, np.uint8)


def test_nothing_is_overwritten_without_force(folder, tmp_path, network):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    (out / "a.png").write_bytes(b"mine")
    (out / "deep" / "c.bmp").write_bytes(b"mine")
    with pytest.raises(ColorizeError, match=r"out/a\.png and 1 more: already there; use --skip"):
        colorize_files([folder], out, network)
    assert files_below(out) == ["a.png", "deep/c.bmp"]
    assert (out / "a.png").read_bytes() == b"mine"
    assert len(colorize_files([folder], out, network, force=True).done) == 6
    assert read_image(out / "a.png").rgb.shape == (40, 60, 3)


def test_results_inside_the_input_folder_are_not_inputs_of_the_next_call(folder, network):
    colorize_files([folder], folder / "out", network)
    summary = colorize_files([folder], folder / "out", network, force=True)
    assert len(summary.done) == 6
    assert not (folder / "out" / "out").exists()


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["in/a.png", "other/a.png"], "out", r"out/a\.png: would be written for both .*in/a\.png"),
        (["in/a.png", "other/a.png"], "out", "; rename one, or colorize them into dif"),
        (["in/a.png"], "notes/new", "notes: not a folder"),
        (["in"], "/proc/1/out", r"/proc/1/out: cannot be written \("),
        (["in/none.jpg"], "out", r"none\.jpg: no such file or folder"),
        (["empty"], "out", "empty: no images in this folder"),
        (["in"], "out.png", r"out\.png: a single file; give a folder"),
        (["in/a.png", "in/photo.jpg"], "out.png", "a single file; give a folder"),
        (["in/a.png"], "notes", "notes: not a folder"),
    ],
)
def test_mistakes_are_told_before_any_work(folder, tmp_path, network, inputs, output, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "notes").touch()
    (tmp_path / "other" / "a.png").write_bytes((folder / "a.png").read_bytes())
    before = files_below(tmp_path)
    with pytest.raises(ColorizeError, match=message):
        colorize_files([tmp_path / name for name in inputs], tmp_path / output, network)
    assert files_below(tmp_path) == before


def test_interruption_leaves_whole_files_and_no_thread(folder, tmp_path, network):
    out = tmp_path / "out"
    for number in range(300):
        (folder / f"copy{number}.png").write_bytes((folder / "a.png").read_bytes())
    threads = threading.active_count()
    reported = {}
    counts = []

    def interrupt(done, total):
        counts.append(done)
        if counts == [1, 2, 3, 4, 5]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colorize_files(
            [folder],
            out,
            network,
            progress=interrupt,
            report=lambda result: reported.setdefault(result.target, result.status),
        )
    assert threading.active_count() == threads
    written = files_below(out)
    assert 5 <= len(written) < 200  # Of those begun, 128 at most.
    assert set(reported) == {out / name for name in written}
    assert counts[-1] == len(written)
    for name in written:
        read_image(out / name)


def test_memory_is_bounded(folder, tmp_path, network, monkeypatch):
    # Room for two images of 40x60: readers wait.
    charge = budget.memory(folder / "a.png", Path("a.jpg"), 1)
    monkeypatch.setattr(files, "BUDGET", 2 * charge)
    monkeypatch.setattr(files, "SMALLEST", 100)
    held, sums, numbers = {}, [], itertools.count()  # Several threads read.

    def watched_read(path, pages, **options):
        image = read_image(path, **options)
        number = next(numbers)
        held[number] = budget.memory(path, Path("a.jpg"), 1)
        weakref.finalize(image.rgb, held.pop, number)
        sums.append(sum(list(held.values())))
        return [image]

    monkeypatch.setattr(files, "read_pages", watched_read)
    for number in range(20):
        (folder / f"copy{number}.png").write_bytes((folder / "a.png").read_bytes())
    write_image(folder / "alpha.png", *_with_alpha())
    for number in range(20):  # Failures must not hold on to their images.
        (folder / f"alpha{number}.png").write_bytes((folder / "alpha.png").read_bytes())
    summary = colorize_files([folder], tmp_path / "out", network, format="jpg")
    assert len(summary.done) == 25
    assert len(summary.failed) == 22
    assert charge < max(sums) <= 2 * charge


def test_a_bug_is_not_taken_for_a_bad_image(folder, tmp_path, network, monkeypatch):
    def broken(rgb, ab, threads):
        raise ZeroDivisionError

    monkeypatch.setattr(files, "recolor", broken)
    with pytest.raises(ZeroDivisionError):
        colorize_files([folder], tmp_path / "out", network)


def test_files_of_many_shapes_are_what_arrays_become(any_size_network, paint, tmp_path):
    shapes = [(40, 60), (60, 40), (40, 60), (5, 300), (64, 64), (41, 61)]
    for number, (height, width) in enumerate(shapes):
        write_image(tmp_path / "in" / f"{number}.png", paint(height, width, seed=number))
    summary = colorize_files(
        [tmp_path / "in"],
        tmp_path / "out",
        any_size_network,
        vividness=0.8,
        prediction_size=64,
    )
    assert not summary.failed
    for number, (height, width) in enumerate(shapes):
        expected = colorize_array(
            paint(height, width, seed=number), any_size_network, vividness=0.8, prediction_size=64
        )
        found = read_rgb(tmp_path / "out" / f"{number}.png")
        assert np.abs(found.astype(int) - expected).max() <= 1
