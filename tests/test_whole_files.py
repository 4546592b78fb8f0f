import os
import subprocess
import sys
import tempfile

import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.files import (
    locked,
    remove_dead_leftovers,
    remove_leftovers,
    temporary_folder,
    whole_file,
    write_text,
)


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with whole_file(path) as beside:
        beside.write_text("whole")
        assert (beside.suffix, beside.parent) == (".txt", path.parent)
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), whole_file(path) as beside:
        beside.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_longest_names_can_be_written(tmp_path):
    for name in ("x" * 251 + ".txt", "ä" * 125 + ".txt"):
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"


# A disk that fills up, by the limit of a process.
FILL = """
import resource, signal, sys
from pathlib import Path
from keras_colorize.files import require_room, write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
require_room(path.parent, 900)
for work in (lambda: write_text(path, "x" * 10_000), lambda: require_room(path.parent, 1100)):
    try:
        work()
    except OSError as error:
        print(error.filename)
"""


def test_a_full_disk_is_told_with_the_files_name(tmp_path):
    path = tmp_path / "a.txt"
    done = subprocess.run([sys.executable, "-c", FILL, path], stdout=subprocess.PIPE, text=True)
    assert done.stdout == f"{path}\n{tmp_path}\n"
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_not_utf8_keep_their_bytes(tmp_path):
    write_text(tmp_path / "names.csv", os.fsdecode(b"a,\xff.jpg\n"))
    assert (tmp_path / "names.csv").read_bytes() == b"a,\xff.jpg\n"


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    kept = ["a.txt", ".hidden", ".a.txt", ".lock", ".ipynb_checkpoints"]
    for name in [*kept, ".a.12-34.txt", ".a.0123abcd-12-34.part.txt"]:
        (tmp_path / name).touch()
    (tmp_path / ".a.12-34xy").mkdir()
    (tmp_path / ".a.12-34xy" / "part").touch()
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(kept)
    remove_leftovers(tmp_path / "none")


# Dies as by `kill -9` while it writes.
DIE = """
import os, sys
from pathlib import Path
from keras_colorize.files import whole_file
with whole_file(Path(sys.argv[1])) as beside:
    beside.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path):
    subprocess.run([sys.executable, "-c", DIE, tmp_path / "a.jpg"])
    left = [path.name for path in tmp_path.iterdir()]
    assert len(left) == 1
    subprocess.run([sys.executable, "-c", DIE, tmp_path / "b.jpg"])
    left_long_ago = next(path for path in tmp_path.iterdir() if path.name not in left)
    machine, process, thread = left_long_ago.name.split(".")[2].split("-")
    elsewhere = f".b.{int(machine, 16) ^ 1:08x}-{process}-{thread}.part.jpg"
    left_long_ago.rename(tmp_path / elsewhere)
    mine = [".photo.2024-05.jpg", ".a.part.jpg", "a.12345678-1-1.part.jpg", "photo.jpg"]
    for name in mine:
        (tmp_path / name).touch()
    with whole_file(tmp_path / "c.jpg") as beside:
        beside.touch()
        remove_dead_leftovers(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {*mine, elsewhere, beside.name}
    os.utime(tmp_path / elsewhere, (0, 0))
    remove_dead_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*mine, "c.jpg"}
    remove_dead_leftovers(tmp_path / "none")


DIE_IN_A_FOLDER = """
import os
from pathlib import Path
from keras_colorize.files import temporary_folder
with temporary_folder() as folder:
    Path(folder, "copy.jpg").touch()
    os.kill(os.getpid(), 9)
"""


def test_temporary_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with temporary_folder() as mine:
        os.utime(mine, (0, 0))  # In use for days.
        subprocess.run([sys.executable, "-c", DIE_IN_A_FOLDER])
        assert len(list(tmp_path.iterdir())) == 2
        with temporary_folder() as other:
            assert {str(path) for path in tmp_path.iterdir()} == {mine, other}
    assert list(tmp_path.iterdir()) == []


def test_a_lock_keeps_others_out_until_it_is_free(tmp_path):
    refused = pytest.raises(ColorizeError, match="another process is at work")
    with locked(tmp_path, "at work"), refused, locked(tmp_path, "at work"):
        raise AssertionError("two are in")
    with locked(tmp_path, "at work"):
        pass
