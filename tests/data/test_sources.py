import hashlib
import io
import os
import pickle
import tarfile
import urllib.error
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_colorize.data import reading
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.data.sources import (
    load_cifar10,
    load_folder,
    load_painted_scenes,
    load_test_images,
)
from keras_colorize.errors import ColorizeError


def write(path: Path, rgb: np.ndarray | None = None, **options) -> Path:
    """Writes an image in the format of its suffix; a colored one of 40x48 by default."""
    if rgb is None:
        rgb = np.zeros((48, 40, 3), np.uint8)
        rgb[...] = (200, 120, sum(path.name.encode()) % 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **options)
    return path


def write_many(root: Path, count: int, pattern: str = "{:04d}.png") -> None:
    for index in range(count):
        write(root / pattern.format(index))


def gray_image(noise: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    gray = rng.integers(20, 230, (64, 64, 1)).repeat(3, axis=-1)
    return (gray + rng.integers(-noise, noise + 1, gray.shape)).astype(np.uint8)


def split_of(splits) -> dict[str, str]:
    return {
        name: split
        for split in ("train", "validation", "test")
        for name in getattr(splits, split).names
    }


def test_reads_every_format_anywhere_in_the_tree(tmp_path):
    names = [
        "a.jpg",
        "b.JPEG",
        "c.png",
        "d.WebP",
        "e.bmp",
        "f.tif",
        "deep/er/g.TIFF",
        "Käthe Kollwitz/été à l'île.png",
    ]
    for name in names:
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    images = load_test_images(tmp_path, 16)
    assert sorted(images.names) == sorted(names)
    assert images.rgb.shape == (8, 16, 16, 3)
    assert images.rgb.dtype == np.uint8
    for name, image in zip(images.names, images.rgb, strict=True):
        expected = (200, 120, sum(Path(name).name.encode()) % 100)
        np.testing.assert_allclose(image.mean(axis=(0, 1)), expected, atol=4)


def test_crops_the_center_and_averages_areas(tmp_path):
    rgb = np.zeros((64, 128, 3), np.uint8)
    rgb[:, :32] = rgb[:, 96:] = (255, 0, 0)
    rgb[::2, 32:96] = (0, 0, 240)
    write(tmp_path / "wide.png", rgb)
    image = load_test_images(tmp_path, 8).rgb[0]
    np.testing.assert_allclose(image, np.broadcast_to((0, 0, 120), (8, 8, 3)), atol=1)


def test_splits_keep_their_images_when_others_are_added(tmp_path):
    write_many(tmp_path, 120)
    before = split_of(load_folder(tmp_path, 8, validation_share=0.2, test_share=0.2))
    write_many(tmp_path / "new", 60)
    write(tmp_path / "0000b.png")
    after = split_of(load_folder(tmp_path, 8, validation_share=0.2, test_share=0.2))
    assert len(before) == 120 and len(after) == 181
    assert before.items() <= after.items()


def test_splits_are_the_same_wherever_the_folder_lies(tmp_path):
    for place in ("here", "over/there"):
        write_many(tmp_path / place, 40)
    here, there = (load_folder(tmp_path / place, 8) for place in ("here", "over/there"))
    assert split_of(here) == split_of(there)
    # Validation begins at the smallest 8-byte BLAKE2b of the path, test ends at the largest.
    digests = {
        hashlib.blake2b(name.encode(), digest_size=8).digest(): name for name in split_of(here)
    }
    assert here.validation.names[0] == digests[min(digests)]
    assert here.test.names[-1] == digests[max(digests)]


def test_shares(tmp_path):
    write_many(tmp_path, 400)
    splits = load_folder(tmp_path, 8, validation_share=0.3, test_share=0.1)
    assert len(split_of(splits)) == 400
    assert 90 < len(splits.validation) < 150
    assert 20 < len(splits.test) < 60
    other = load_folder(tmp_path, 8, validation_share=0.3, test_share=0.4)
    assert other.validation.names == splits.validation.names
    assert set(splits.test.names) < set(other.test.names)


def test_limits_take_the_first_of_each_split(tmp_path):
    write_many(tmp_path, 100)
    every = load_folder(tmp_path, 8)
    some = load_folder(tmp_path, 8, train_images=20, validation_images=3, test_images=0)
    assert (len(some.train), len(some.validation), len(some.test)) == (20, 3, 0)
    assert some.train.names == every.train.names[:20]
    assert some.train.names != tuple(sorted(every.train.names)[:20])
    np.testing.assert_array_equal(some.train.rgb, every.train.rgb[:20])
    assert len(load_folder(tmp_path, 8, train_images=10**6).train) == len(every.train)


def test_limits_count_only_images_that_can_be_used(tmp_path):
    write_many(tmp_path, 60)
    first = load_folder(tmp_path, 8, train_images=10).train.names
    write(tmp_path / first[0], gray_image())
    (tmp_path / first[1]).write_bytes(b"")
    with pytest.warns(UserWarning, match=first[1]):
        splits = load_folder(tmp_path, 8, train_images=10)
    assert len(splits.train) == 10
    assert splits.train.names[:8] == first[2:]
    assert (splits.gray, splits.unreadable) == (1, (first[1],))


def test_split_by_folder_keeps_folders_together(tmp_path):
    for artist in range(60):
        write_many(tmp_path / f"artist {artist}", 2)
    splits = load_folder(tmp_path, 8, split_by="folder")
    artists = [
        {name.partition("/")[0] for name in images.names}
        for images in (splits.train, splits.validation, splits.test)
    ]
    assert sum(map(len, artists)) == 60
    assert all(artists)


def test_a_single_folder_cannot_be_split_by_folder(tmp_path):
    write_many(tmp_path, 30)
    with pytest.raises(ColorizeError, match=r'add folders, or set split_by to "file"$'):
        load_folder(tmp_path, 8, split_by="folder")


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_folders_named_after_splits_decide(tmp_path, validation):
    write_many(tmp_path / "train/x", 10)
    write_many(tmp_path / validation, 4)
    write_many(tmp_path / "test", 3)
    splits = load_folder(tmp_path, 8, validation_share=0.9, test_share=0.05)
    assert sorted(splits.train.names) == [f"train/x/{index:04d}.png" for index in range(10)]
    assert sorted(splits.validation.names) == [f"{validation}/{n:04d}.png" for n in range(4)]
    assert sorted(splits.test.names) == [f"test/{index:04d}.png" for index in range(3)]


def test_a_missing_validation_folder_is_split_off_train(tmp_path):
    write_many(tmp_path / "train", 60)
    write_many(tmp_path / "test", 5)
    splits = load_folder(tmp_path, 8, validation_share=0.25, test_share=0.25)
    assert len(splits.train) + len(splits.validation) == 60
    assert 5 < len(splits.validation) < 30
    assert len(splits.test) == 5


def test_without_a_test_folder_train_is_not_tested_on(tmp_path):
    write_many(tmp_path / "train", 40)
    write_many(tmp_path / "validation", 5)
    splits = load_folder(tmp_path, 8, test_share=0.5)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 5, 0)


def test_images_beside_a_train_folder_are_left_out_with_a_warning(tmp_path):
    write_many(tmp_path / "train", 40)
    write_many(tmp_path / "previews", 3)
    with pytest.warns(UserWarning, match="3 of 43 images are outside train/"):
        splits = load_folder(tmp_path, 8)
    assert len(splits.train) + len(splits.validation) == 40


def test_bad_files_are_named_in_one_warning_and_skipped(tmp_path):
    write_many(tmp_path, 50)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for suffix in ("jpg", "png"):
        whole = write(tmp_path / f"whole.{suffix}", noise).read_bytes()
        (tmp_path / f"truncated.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("<html>404</html>")
    (tmp_path / "empty.tif").write_bytes(b"")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        splits = load_folder(tmp_path, 8)
    bad = {"truncated.jpg", "truncated.png", "text.jpg", "empty.tif"}
    assert set(splits.unreadable) == bad
    assert len(split_of(splits)) == 52
    (warning,) = caught
    assert warning.filename == __file__
    message = str(warning.message)
    assert message.startswith(f"{tmp_path}: unreadable images skipped: 4 (")
    assert sum(name in message for name in bad) == 3 and message.endswith(", ...)")


def test_an_image_that_cannot_be_opened_is_unreadable(tmp_path):
    write_many(tmp_path, 40)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning, match=r"skipped: 1 \(gone\.png\)$"):
        assert load_folder(tmp_path, 8).unreadable == ("gone.png",)


def test_unreadable_names_stay_on_one_line(tmp_path):
    write_many(tmp_path, 40)
    for name in ("line\nbreak.png", "x" * 200 + ".png", "gone.png"):
        (tmp_path / name).symlink_to("nowhere")
    with pytest.warns(UserWarning, match="skipped: 3") as caught:
        assert len(load_folder(tmp_path, 8).unreadable) == 3
    (warning,) = caught
    message = str(warning.message)
    assert r"line\nbreak.png" in message and f"{'x' * 80}..." in message and "\n" not in message


def test_gray_images_are_skipped_for_training_and_kept_for_evaluating(tmp_path, caplog):
    caplog.set_level("INFO", "keras_colorize")
    write_many(tmp_path, 40)
    write(tmp_path / "gray.png", gray_image())
    write(tmp_path / "gray mode.png", gray_image()[..., 0])
    write(tmp_path / "noisy scan.jpg", gray_image(noise=3), quality=60)
    nearly = gray_image()
    nearly[20:30, 20:30] = (250, 60, 40)  # A red seal, 2.4 % of the image.
    write(tmp_path / "seal.png", nearly)
    splits = load_folder(tmp_path, 32)
    assert splits.gray == 3
    assert caplog.messages == [f"{tmp_path}: gray images skipped: 3"]
    assert "seal.png" in split_of(splits)
    assert len(split_of(splits)) == 41
    assert len(load_test_images(tmp_path, 32)) == 44


def test_progress_is_told_up_to_the_total(tmp_path):
    write_many(tmp_path, 40)
    calls: list[tuple[int, int]] = []
    load_folder(tmp_path, 8, train_images=20, progress=lambda *call: calls.append(call))
    total = calls[-1][1]
    assert calls[-1] == (total, total)
    assert calls == sorted(calls) and total < 40


def test_an_interrupted_reading_leaves_the_rest_unread(tmp_path, monkeypatch):
    write_many(tmp_path, 600)
    read: list[str] = []
    read_rgb = reading.read_rgb

    def note(name: str, **options: int) -> np.ndarray:
        read.append(name)
        return read_rgb(name, **options)

    monkeypatch.setattr(reading, "read_rgb", note)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_folder(tmp_path, 8, progress=interrupt)
    assert len(read) < 200


def test_evaluating_takes_the_test_folder_if_there_is_one(tmp_path):
    write_many(tmp_path / "train", 3)
    write(tmp_path / "test/b.png")
    write(tmp_path / "test/a/c.png")
    assert load_test_images(tmp_path, 8).names == ("test/a/c.png", "test/b.png")
    assert len(load_test_images(tmp_path / "train", 8)) == 3


@pytest.mark.parametrize("load", [load_folder, load_test_images])
def test_a_folder_that_is_none_or_holds_no_image_is_an_error(tmp_path, load):
    with pytest.raises(ColorizeError, match="missing: not a folder"):
        load(tmp_path / "missing", 8)
    with pytest.raises(ColorizeError, match=r"one\.png: not a folder"):
        load(write(tmp_path / "elsewhere/one.png"), 8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ColorizeError, match=r"empty: no image in it \(\.jpg .*\.gif"):
        load(tmp_path / "empty", 8)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.jpg").write_text("no")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ColorizeError, match="bad: no"):
            load(tmp_path / "bad", 8)


def test_no_image_left_for_a_split_is_an_error(tmp_path):
    write(tmp_path / "gray/gray.png", gray_image())
    with pytest.raises(ColorizeError, match="to train on: of 1 found, 0 are unreadable and 1 gray"):
        load_folder(tmp_path / "gray", 8)
    write_many(tmp_path / "few", 3)
    with pytest.raises(ColorizeError, match="no image left to validate on: of 3 found"):
        load_folder(tmp_path / "few", 8, validation_share=1e-9)


def test_painted_splits_are_disjoint_and_independent_of_each_others_size():
    splits = load_painted_scenes(16, 20, 10, 5, seed=3)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (20, 10, 5)
    assert splits.validation.names[:2] == ("validation/00000", "validation/00001")
    images = np.concatenate([splits.train.rgb, splits.validation.rgb, splits.test.rgb])
    assert len({image.tobytes() for image in images}) == 35
    smaller = load_painted_scenes(16, 2, 10, 5, seed=3)
    np.testing.assert_array_equal(smaller.validation.rgb, splits.validation.rgb)
    next_seed = load_painted_scenes(16, 20, 10, 5, seed=4)
    seen = {image.tobytes() for image in images}
    assert not seen & {image.tobytes() for image in next_seed.train.rgb}


@pytest.mark.parametrize("counts", [(2**31 - 1, 1, 0), (1, 0, 2**31 - 1)])
def test_more_scenes_than_there_is_memory_for(counts):
    with pytest.raises(
        ColorizeError,
        match=r"^2,147,483,648 painted scenes of 512x512 take 1,6[0-9]{2},[0-9]{3} GB",
    ):
        load_painted_scenes(512, *counts, seed=0)


@pytest.fixture
def keras_home(tmp_path, monkeypatch) -> Path:
    """An empty cache for Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # Read at import.
    return tmp_path


def test_cifar10_comes_through_keras_and_its_cache(keras_home, monkeypatch):
    """Keras's own loader on an archive with one image a batch, which it repeats 10,000 times."""
    archive = keras_home / "datasets/cifar-10-batches-py-target_archive"
    archive.parent.mkdir()
    held_out = paint_scenes(10, 32, 1)
    batches = {f"data_batch_{n}": np.full((1, 3072), 10 * n, np.uint8) for n in range(1, 6)}
    batches["test_batch"] = held_out.transpose(0, 3, 1, 2).reshape(10, -1)
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in batches.items():
            pickled = pickle.dumps({b"data": data, b"labels": [0] * len(data)})
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(pickled)
            tar.addfile(entry, io.BytesIO(pickled))
    # It isn't the real archive.
    monkeypatch.setattr("keras.src.utils.file_utils.validate_file", lambda *_, **__: True)

    every = load_cifar10(32, train_images=10_001)
    assert len(every.train) == 10_001
    assert every.train.names[-1] == "train/10000"
    assert every.train.rgb[-2:, 5, 5, 1].tolist() == [10, 20]
    np.testing.assert_array_equal(every.validation.rgb, held_out)
    assert len(every.test) == 0

    some = load_cifar10(16, train_images=4, validation_images=7, test_images=2)
    assert (len(some.train), len(some.validation), len(some.test)) == (4, 7, 2)
    assert some.test.rgb.shape == (2, 16, 16, 3)
    assert abs(some.test.rgb[0].mean() - held_out[7].mean()) < 1


def test_a_failed_cifar10_download_says_what_to_do(keras_home, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", offline)
    with pytest.raises(ColorizeError, match="no route to host") as caught:
        load_cifar10(32)
    message = str(caught.value)
    assert message.startswith("CIFAR-10 cannot be loaded (URL fetch failure on https://")
    assert str(keras_home / "datasets/cifar-10-batches-py-target_archive") in message
    assert "\n" not in message


def test_a_file_whose_size_is_not_to_be_had_stops_nothing(tmp_path, monkeypatch):
    # In a folder that may be listed but not entered; root, who runs CI, may enter them all.
    write_many(tmp_path, 9)
    look = os.stat

    def refuse(path, *arguments, **options):
        if str(path).endswith("0007.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, *arguments, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert len(load_test_images(tmp_path, 8)) == 9
