import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import RecipeError, load_recipe
from keras_colorize.training import environment
from keras_colorize.training.run import Run, run_of_a_worker


@pytest.fixture
def recipe():
    return load_recipe("quickstart")


@pytest.fixture
def run(tmp_path, recipe):
    return Run.open(tmp_path / "runs" / "mine", recipe)


def contents(path):
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))


def test_the_environment_names_the_packages_that_are_there(tmp_path, monkeypatch):
    """As on Python 3.13, which tensorflow-io has no wheel for."""
    monkeypatch.setattr(environment, "_PACKAGES", ("numpy", "no-such-package"))
    environment.write_environment(tmp_path / "environment.json", {"train": 3}, "none (CPU:0)")
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written["numpy"] == np.__version__
    assert "no-such-package" not in written


def test_open_makes_a_run(run, recipe):
    assert contents(run.path) == ["recipe.toml"]
    assert run.recipe.differences(recipe) == []
    assert run.recipe_file.read_text() == recipe.to_toml()
    assert (run.history, run.models, run.is_finished) == ([], {}, False)
    assert repr(run) == f"Run({str(run.path)!r})"


def test_at(run, tmp_path):
    assert Run.at(run.path).path == run.path
    assert Run.at(tmp_path) is Run.at(tmp_path / "none") is None


def test_the_best_epoch_is_the_first_of_least_validation_l1(run):
    assert run.best_epoch is None
    rows = [{"epoch": n, "val_l1_loss": loss} for n, loss in enumerate([0.3, 0.1, 0.2, 0.1], 1)]
    run.write_history(rows)
    assert run.best_epoch == rows[1]


def test_open_finds_it_again(run, recipe):
    before = run.recipe_file.stat().st_mtime_ns
    again = Run.open(run.path, recipe)
    assert again.path == run.path
    assert again.recipe_file.stat().st_mtime_ns == before
    assert contents(run.path) == ["recipe.toml"]


def test_open_takes_an_empty_folder(tmp_path, recipe):
    (tmp_path / "empty").mkdir()
    assert Run.open(tmp_path / "empty", recipe).recipe.differences(recipe) == []


def test_open_goes_on_where_a_kill_left_a_half_written_recipe(tmp_path, recipe):
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / ".recipe.4711-1.toml").write_text("[data]\nsour")
    assert Run.open(tmp_path / "killed", recipe).recipe.differences(recipe) == []


def test_open_names_the_keys_of_another_recipe(run, recipe):
    """And where there is a model to start from, how."""
    other = load_recipe(recipe, ["training.epochs=9", "generator.filters=4"])
    for start in ("", f" (with --from {run.path} it begins with this run's weights)"):
        with pytest.raises(ColorizeError) as caught:
            Run.open(run.path, other)
        assert str(caught.value) == (
            f"{run.path}: was made by another recipe (generator.filters: 4, not 16; "
            f"training.epochs: 9, not 8); choose another name{start}, or delete the run"
        )
        run.model_file("best").parent.mkdir(exist_ok=True)
        run.model_file("best").touch()
    assert run.recipe_file.read_text() == recipe.to_toml()


def test_open_refuses_what_is_no_run(tmp_path, recipe):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("\\begin{document}")
    (tmp_path / "file").write_text("")
    for name in ("folder", "file"):
        with pytest.raises(ColorizeError, match=f"{name}: exists and is no run; choose another"):
            Run.open(tmp_path / name, recipe)
    assert contents(tmp_path / "folder") == ["thesis.tex"]


def test_open_refuses_what_is_no_folder_for_runs(tmp_path, recipe):
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dangling"):
        for path in (tmp_path / name / "run", tmp_path / name / "deeper" / "run"):
            with pytest.raises(ColorizeError, match=f"{name}: not a folder; choose another"):
                Run.find(path, recipe)
    with pytest.raises(ColorizeError, match="dangling: exists and is no run"):
        Run.find(tmp_path / "dangling", recipe)


def test_a_run_with_a_broken_recipe_names_it(run, recipe):
    run.recipe_file.write_text("[data]\nsource = 3\n")
    with pytest.raises(RecipeError, match=r"mine/recipe\.toml:2: data\.source: "):
        Run.open(run.path, recipe)


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(ColorizeError, match=r"nowhere: no run: it has no recipe\.toml"):
        Run(tmp_path / "nowhere")


class TestHistory:
    ROWS = (
        {"epoch": 1, "seconds": 1.5, "l1_loss": 0.1 + 0.2, "val_l1_loss": 1e-30},
        {"epoch": 2, "seconds": 0.001, "l1_loss": 1 / 3, "val_l1_loss": float("inf")},
    )

    def test_round_trip(self, run):
        run.write_history(self.ROWS)
        assert run.history == list(self.ROWS)
        assert [type(row["epoch"]) for row in run.history] == [int, int]
        assert run.history_file.read_text().splitlines()[0] == "epoch,seconds,l1_loss,val_l1_loss"
        assert contents(run.path) == ["history.csv", "recipe.toml"]

    def test_rows_may_name_their_columns_in_any_order(self, run):
        run.write_history([self.ROWS[0], dict(reversed(self.ROWS[1].items()))])
        assert run.history == list(self.ROWS)

    def test_finished_after_the_last_epoch(self, tmp_path, recipe):
        run = Run.open(tmp_path / "two", load_recipe(recipe, ["training.epochs=2"]))
        run.write_history(self.ROWS[:1])
        assert not run.is_finished
        run.write_history(self.ROWS)
        assert run.is_finished

    @pytest.mark.parametrize(
        "text",
        [
            "epoch,val_l1_loss\n1,much\n",
            "val_l1_loss\n0.5\n",
            "epoch,val_l1_loss\n1\n",
            "epoch,val_l1_loss\n1,2,3\n",
            "epoch,val_l1_loss\ninf,0.1\n",
            "epoch,l1_loss\n1,0.1\n",
        ],
    )
    def test_a_damaged_one_is_named(self, run, text):
        run.history_file.write_text(text)
        with pytest.raises(ColorizeError, match=r"mine/history\.csv: not a run's history"):
            run.is_finished  # noqa: B018

    def save_state(self, run, rows):
        run.state_file.parent.mkdir(exist_ok=True)
        progress = {"fingerprint": "", "epoch": len(rows), "batch": 0, "history": rows}
        np.savez(run.state_file, progress=np.array(json.dumps(progress)))

    def test_it_is_the_states_if_there_is_one(self, run):
        self.save_state(run, self.ROWS)
        assert run.history == list(self.ROWS)
        run.write_history(self.ROWS)
        whole = run.history_file.read_bytes()
        for damaged in (whole[:-9], whole[:-4], b"", b"epoch,val_l1_loss\ninf,0\n"):
            run.history_file.write_bytes(damaged)
            assert run.history == list(self.ROWS)
            run.restore_history()
            assert run.history_file.read_bytes() == whole

    def test_a_filled_up_one_does_not_finish_a_run(self, tmp_path, recipe):
        run = Run.open(tmp_path / "two", load_recipe(recipe, ["training.epochs=2"]))
        self.save_state(run, self.ROWS[:1])
        run.write_history(self.ROWS)
        assert not run.is_finished
        self.save_state(run, self.ROWS)
        run.history_file.unlink()
        assert run.is_finished
        run.state_file.write_bytes(b"damaged")
        assert run.history == [] and not run.is_finished


def test_models(run):
    (run.path / "models").mkdir()
    for name in ("last", "best", "epoch_0200", ".best.123-4"):
        run.model_file(name).write_text("")
    assert list(run.models) == ["best", "epoch_0200", "last"]
    assert run.models["best"] == run.path / "models" / "best.keras"


LOCK = """
import sys, time
from keras_colorize.training.run import Run, run_of_a_worker
with Run(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(run):
    """Another process that holds the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_one_process_at_a_time(run, holder):
    with (
        pytest.raises(ColorizeError, match="mine: another process is training this run"),
        run.locked(),
    ):
        pass
    # Looking is allowed.
    assert not run.is_finished


def test_a_killed_process_frees_the_run(run, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with run.locked():
        pass


def test_the_lock_ends_with_its_block(run):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), run.locked():
            raise ZeroDivisionError
    with run.locked():
        refused = []

        def other():
            try:
                with Run(run.path).locked():
                    pass
            except ColorizeError as error:
                refused.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert len(refused) == 1


def test_loads_no_tensorflow(run):
    script = """
import sys
from keras_colorize.training.run import Run, run_of_a_worker
Run(sys.argv[1]).is_finished
assert not {"tensorflow", "keras"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", script, str(run.path)], check=True)


def test_messages_of_a_worker_name_the_run_and_not_its_temporary_folder(tmp_path, recipe):
    path = tmp_path / "mine"
    error = pytest.raises(ColorizeError, match=f"^{path}/checkpoints/state.npz: damaged$")
    with error, run_of_a_worker(path, recipe) as run:
        assert run.shown_path == path
        raise ColorizeError(f"{run.state_file}: damaged")
    assert not run.path.exists()
