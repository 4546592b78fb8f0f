import contextlib
import os
import resource
from pathlib import Path

import pytest
import tensorflow as tf

from keras_colorize.recipe import load_recipe
from keras_colorize.training.curves import EventFiles, TensorBoard
from keras_colorize.training.state import Progress


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "run" / "tensorboard"


def write(folder: Path, *steps: int, tags: tuple[str, ...] = ("a", "b")) -> None:
    """As one process does."""
    with EventFiles(folder) as events:
        for step in steps:
            with events.writing("train", step):
                for tag in tags:
                    tf.summary.scalar(tag, step)


def points(folder: Path) -> list[tuple[str, int, float]]:
    found = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    found.append((value.tag, event.step, float(tf.make_ndarray(value.tensor))))
    return found


def test_points_are_in_the_file_at_once(folder):
    with EventFiles(folder) as events:
        assert not folder.exists()
        with events.writing("train", 3):
            tf.summary.scalar("a", 0.5)
        assert points(folder) == [("a", 3, 0.5)]


def test_later_points_go(folder):
    write(folder, 1, 2, 3)
    write(folder, 3, 4)  # As runs of earlier versions have it.
    EventFiles(folder).keep("train", 3)
    assert points(folder) == [(tag, step, step) for step in (1, 2, 3) for tag in "ab"]
    (file,) = (folder / "train").iterdir()
    write(folder, 4)
    assert len(list((folder / "train").iterdir())) == 2
    EventFiles(folder).keep("train", 4)
    assert [path.name for path in (folder / "train").iterdir()] == [file.name]
    assert len(points(folder)) == 8


def test_half_a_record_is_left_out(folder):
    """What a killed process may leave."""
    write(folder, 1, 2)
    (file,) = (folder / "train").iterdir()
    os.truncate(file, file.stat().st_size - 5)
    write(folder, 2)
    EventFiles(folder).keep("train", 5)
    assert sorted(points(folder)) == [("a", 1, 1), ("a", 2, 2), ("b", 1, 1), ("b", 2, 2)]


def test_nothing_to_keep(folder):
    EventFiles(folder).keep("train", 5)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("batches", "expected"),
    [(3, [1, 2, 3]), (40, list(range(4, 41, 4))), (520, [*range(50, 501, 50)])],
)
def test_points_of_an_epoch(folder, batches, expected):
    with EventFiles(folder) as events:
        board = TensorBoard(load_recipe("quickstart"), events, Progress("", epoch=2), batches)
        board.on_epoch_begin(2)
        for batch in range(batches):
            board.on_train_batch_end(batch, {"l1_loss": 0.5})
    assert points(folder) == [("steps/l1_loss", 2 * batches + step, 0.5) for step in expected]


def test_several_steps_at_once(folder):
    """The last call may count more batches than there are."""
    with EventFiles(folder) as events:
        board = TensorBoard(load_recipe("quickstart"), events, Progress("", batch=4), batches=30)
        board.on_epoch_begin(0)
        for batch in (7, 15, 23, 31):
            board.on_train_batch_end(batch, {"l1_loss": 0.5})
    assert [step for _, step, _ in points(folder)] == [12, 20, 28, 30]


def test_a_full_disk_is_told(folder):
    progress = Progress("", history=[{f"loss_{number}": 0.5 for number in range(50)}])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    events = EventFiles(folder)
    try:
        with pytest.raises(OSError) as caught:
            TensorBoard(load_recipe("quickstart"), events, progress, batches=3).on_epoch_end(0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(folder) and "\n" not in caught.value.strerror
    with contextlib.suppress(OSError):
        events.__exit__()
