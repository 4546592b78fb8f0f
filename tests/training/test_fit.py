"""Whole runs, tiny ones: what they leave, how they stop, what can be done with them."""

import base64
import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import keras_colorize
from keras_colorize import ColorizeError, Run
from keras_colorize.color import normalize
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.data.sources import load_painted_scenes
from keras_colorize.training.colorizer import AdversarialColorizer, Colorizer
from keras_colorize.training.losses import l1_loss

EPOCHS, BATCHES, VALIDATION = 3, 5, 12  # The last batch of either has 4 images.
TRAIN = 30  # of the folder
SETTINGS = [
    "data.train_images=36",
    f"data.validation_images={VALIDATION}",
    "data.test_images=9",
    "generator.filters=4",
    "discriminator.filters=4",
    "training.batch_size=8",
    f"training.epochs={EPOCHS}",
    "training.keep_epochs=[2]",
    "training.sample_images=3",
]


TAGS = {
    "generator_loss": "generator/loss",
    "l1_loss": "generator/l1_loss",
    "adversarial_loss": "generator/adversarial_loss",
    "delta_e_76": "generator/delta_e_76",
    "discriminator_loss": "discriminator/loss",
    "discriminator_real_loss": "discriminator/real_loss",
    "discriminator_fake_loss": "discriminator/fake_loss",
    "discriminator_accuracy": "discriminator/accuracy",
    "discriminator_real_accuracy": "discriminator/real_accuracy",
    "discriminator_fake_accuracy": "discriminator/fake_accuracy",
    "generator_learning_rate": "learning_rate/generator",
    "discriminator_learning_rate": "learning_rate/discriminator",
    "seconds": "epoch/seconds",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(runs) -> Run:
    """A GAN trained on painted scenes."""
    return keras_colorize.fit("quickstart", name="gan", runs=runs, overrides=SETTINGS, verbose=0)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """A folder of painted scenes, a gray one and a file that is no image."""
    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", TRAIN), ("validation", 6), ("test", 4)):
        (folder / split).mkdir()
        for index, rgb in enumerate(paint_scenes(count, 40, seed=count)):
            Image.fromarray(rgb).save(folder / split / f"{index:02}.png")
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(folder / "train" / "gray.png")
    (folder / "train" / "text.jpg").write_text("<html>")
    return folder


def files(path: Path) -> set[str]:
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


def events(path: Path) -> EventAccumulator:
    return EventAccumulator(str(path), size_guidance={"tensors": 0}).Reload()


class TestRunDirectory:
    def test_files(self, run):
        found = {re.sub("/events.out.tfevents.*", "", name) for name in files(run.path)}
        assert found == {
            ".lock",
            "recipe.toml",
            "environment.json",
            "history.csv",
            "checkpoints/state.npz",
            "models/best.keras",
            "models/epoch_0002.keras",
            "models/last.keras",
            "samples/epoch_0001.png",
            "samples/epoch_0002.png",
            "samples/epoch_0003.png",
            "tensorboard",
            "tensorboard/steps",
            "tensorboard/train",
            "tensorboard/validation",
        }
        assert run.is_finished

    def test_recipe_is_resolved(self, run):
        expected = keras_colorize.load_recipe("quickstart", SETTINGS)
        assert run.recipe.differences(expected) == []

    def test_environment(self, run):
        environment = json.loads(run.environment_file.read_text())
        assert environment["tensorflow"] == tf.__version__
        assert environment["keras"] == keras.__version__
        assert environment["keras-colorize"] == keras_colorize.__version__
        assert environment["cpus"] == len(os.sched_getaffinity(0))
        assert environment["pictures"] == {
            "train": 36,
            "validation": VALIDATION,
            "test": 9,
            "gray_skipped": 0,
            "unreadable_skipped": 0,
            "unreadable": [],
        }

    def test_history(self, run):
        names = sorted(AdversarialColorizer.log_names)
        assert list(run.history[0]) == [
            "epoch",
            "seconds",
            "generator_learning_rate",
            "discriminator_learning_rate",
            *names,
            *(f"val_{name}" for name in names),
        ]
        assert [row["epoch"] for row in run.history] == [1, 2, 3]
        assert all(np.isfinite(list(row.values())).all() for row in run.history)
        for row in run.history:
            # The rate of the step that follows.
            decay = 0.1 ** ((BATCHES * row["epoch"] + 1) / 600)
            assert row["generator_learning_rate"] == pytest.approx(1e-3 * decay, rel=1e-5)
            assert row["discriminator_learning_rate"] == pytest.approx(2e-4 * decay, rel=1e-5)
            for side in ("", "val_"):
                weighted = 0.99 * row[f"{side}l1_loss"] + 0.01 * row[f"{side}adversarial_loss"]
                assert row[f"{side}generator_loss"] == pytest.approx(weighted, rel=1e-5)

    def test_it_learns(self, run):
        assert run.history[-1]["l1_loss"] < run.history[0]["l1_loss"]

    def test_tensorboard_scalars_are_the_history(self, run):
        rows = run.history
        for name, prefix in (("train", ""), ("validation", "val_")):
            curves = events(run.path / "tensorboard" / name)
            columns = set(AdversarialColorizer.log_names)
            if name == "train":
                columns |= {"seconds", "generator_learning_rate", "discriminator_learning_rate"}
            tags = {TAGS[column]: prefix + column for column in columns}
            other = {"original, gray, predicted"}
            assert set(curves.Tags()["tensors"]) - other == set(tags)
            for tag, column in tags.items():
                points = curves.Tensors(tag)
                assert [point.step for point in points] == [1, 2, 3]
                values = [float(tf.make_ndarray(point.tensor_proto)) for point in points]
                assert values == pytest.approx([row[column] for row in rows], rel=1e-6)

    def test_tensorboard_shows_the_recipe(self, run):
        about = events(run.path / "tensorboard")
        (point,) = about.Tensors("recipe")
        (text,) = np.atleast_1d(tf.make_ndarray(point.tensor_proto))
        assert text.decode() == f"```\n{run.recipe_file.read_text()}```"
        content = about.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        values = HParamsPluginData.FromString(content).session_start_info.hparams
        assert values.keys() == run.recipe.values().keys()
        assert values["losses.reconstruction_weight"].number_value == 0.99
        assert values["data.flip"].bool_value is True
        assert values["discriminator.normalization"].string_value == "batch"

    def test_tensorboard_has_points_within_epochs(self, run):
        curves = events(run.path / "tensorboard" / "steps")
        assert set(curves.Tags()["tensors"]) == {
            f"steps/{name}" for name in AdversarialColorizer.log_names
        }
        for name in AdversarialColorizer.log_names:
            points = curves.Tensors(f"steps/{name}")
            assert [point.step for point in points] == list(range(1, EPOCHS * BATCHES + 1))
            ends = [float(tf.make_ndarray(p.tensor_proto)) for p in points[BATCHES - 1 :: BATCHES]]
            assert ends == pytest.approx([row[name] for row in run.history], rel=1e-6)

    def test_a_notebook_shows_its_curves(self, run, tmp_path):
        html = run._repr_html_()
        assert html.startswith(f"<p>{run.path}: 3 of 3 epochs</p>")
        pngs = [base64.b64decode(png) for png in re.findall(r"png;base64,([^\"]+)", html)]
        assert len(pngs) == 4
        assert all(cv2.imdecode(np.frombuffer(png, np.uint8), 1) is not None for png in pngs)
        begun = Run.open(tmp_path / "a&b", run.recipe)
        assert begun._repr_html_() == f"<p>{tmp_path}/a&amp;b: 0 of 3 epochs</p>"

    def test_samples_are_originals_grays_and_predictions(self, run):
        curves = events(run.path / "tensorboard" / "validation")
        scenes = load_painted_scenes(32, 1, 3, 0, seed=0).validation.rgb
        for epoch, point in enumerate(curves.Tensors("original, gray, predicted"), start=1):
            grid = cv2.imread(str(run.path / "samples" / f"epoch_{epoch:04}.png"))[..., ::-1]
            width, height, png = tf.make_ndarray(point.tensor_proto)
            assert (int(width), int(height)) == (grid.shape[1], grid.shape[0])
            np.testing.assert_array_equal(tf.io.decode_png(png), grid)
        assert epoch == EPOCHS
        assert any_part_is(grid, scenes[0].repeat(5, axis=0).repeat(5, axis=1))

    def test_models_are_of_their_epochs(self, run):
        losses = [row["val_l1_loss"] for row in run.history]
        expected = {"best": min(losses), "last": losses[-1], "epoch_0002": losses[1]}
        lightness, ab = normalize(load_painted_scenes(32, 1, VALIDATION, 0, seed=0).validation.rgb)
        assert run.models.keys() == expected.keys()
        for name, path in run.models.items():
            generator = keras_colorize.load(path)
            loss = float(l1_loss(ab, generator(lightness, training=False)))
            assert loss == pytest.approx(expected[name], rel=1e-4), name


def any_part_is(grid: np.ndarray, image: np.ndarray) -> bool:
    """Whether the image is somewhere in the grid, pixel for pixel."""
    matches = cv2.matchTemplate(grid, np.ascontiguousarray(image), cv2.TM_SQDIFF)
    top, left = np.unravel_index(matches.argmin(), matches.shape)
    height, width = image.shape[:2]
    return np.array_equal(grid[top : top + height, left : left + width], image)


class TestAgain:
    def test_a_finished_run_changes_nothing(self, run, runs):
        def times():
            return {name: (run.path / name).stat().st_mtime_ns for name in files(run.path)}

        before = times()
        again = keras_colorize.fit(
            "quickstart", name="gan", runs=runs, overrides=SETTINGS, verbose=0
        )
        assert times() == before
        assert again.history == run.history

    def test_another_recipe_is_refused(self, run, runs):
        overrides = [*SETTINGS, "losses.reconstruction_weight=0.5", "training.seed=1"]
        with pytest.raises(ColorizeError) as caught:
            keras_colorize.fit("quickstart", name="gan", runs=runs, overrides=overrides)
        assert str(caught.value).startswith(
            f"{run.path}: was made by another recipe (losses.reconstruction_weight: 0.5, not 0.99; "
            "training.seed: 1, not 0); "
        )


class TestUse:
    def test_load(self, run):
        best = keras_colorize.load(run)
        lightness = np.linspace(-1, 1, 1024, dtype="float32").reshape(1, 32, 32, 1)
        expected = best(lightness, training=False)
        for model in (run.path, str(run.path), run.models["best"], best):
            found = keras_colorize.load(model)(lightness, training=False)
            np.testing.assert_array_equal(found, expected)

    def test_load_refuses(self, run, runs, tmp_path):
        with pytest.raises(ColorizeError, match="nowhere: no model: neither a run"):
            keras_colorize.load(tmp_path / "nowhere")
        empty = Run.open(tmp_path / "begun", run.recipe)
        with pytest.raises(ColorizeError, match="begun: has no model yet"):
            keras_colorize.load(empty)
        damaged = tmp_path / "damaged.keras"
        damaged.write_bytes(run.models["best"].read_bytes()[:1000])
        (tmp_path / "text.keras").write_text("no model")
        content = bytearray(run.models["best"].read_bytes())
        middle = len(content) // 2
        content[middle : middle + 64] = bytes(64)
        (tmp_path / "holed.keras").write_bytes(content)
        for path in (damaged, tmp_path / "text.keras", tmp_path / "holed.keras"):
            with pytest.raises(ColorizeError, match="cannot be loaded as a Keras model") as caught:
                keras_colorize.load(path)
            assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        with pytest.raises(ColorizeError, match="it is damaged"):
            keras_colorize.load(damaged)
        with zipfile.ZipFile(run.models["best"]) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        weights = bytearray(parts["model.weights.h5"])
        weights[2000:20_000:40] = bytes(len(weights[2000:20_000:40]))
        for name, content in [
            ("config.json", b"[" * 99_999),
            ("config.json", b"3"),
            ("config.json", b'{"module": "keras", "class_name": "Model", "config": []}'),
            ("model.weights.h5", bytes(weights)),
            ("model.weights.h5", b"\x89HDF\r\n\x1a\n"),
        ]:
            with zipfile.ZipFile(damaged, "w") as archive:
                for part, whole in parts.items():
                    archive.writestr(part, content if part == name else whole)
            with pytest.raises(ColorizeError, match="cannot be loaded as a Keras model") as caught:
                keras_colorize.load(damaged)
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
        saved_model = keras_colorize.export(run, tmp_path / "saved")
        variables = saved_model / "variables" / "variables.data-00000-of-00001"
        for size in (variables.stat().st_size // 2, 0):
            os.truncate(variables, size)
            with pytest.raises(ColorizeError) as caught:
                keras_colorize.load(saved_model)
            assert str(caught.value).startswith(f"{saved_model}: ")
            assert "\n" not in str(caught.value)
        other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 1)])
        with pytest.raises(ColorizeError, match=r"no generator: .*Received: .*, 8, 8, 3\)"):
            keras_colorize.load(other)
        wide = keras.Sequential([keras.Input((8, 16, 1)), keras.layers.Conv2D(2, 1)])
        with pytest.raises(ColorizeError, match=r"no generator: .*Received: \(None, 8, 16, 1\)"):
            keras_colorize.load(wide)
        with pytest.raises(ColorizeError, match=r"no generator: .*Received: None -> None"):
            keras_colorize.load(Colorizer(other, l1_loss))

    def test_evaluate(self, run, images, tmp_path):
        report = keras_colorize.evaluate(run, images, output=tmp_path / "report")
        assert list(report.summary) == ["gray", "gan"]
        assert report.names == ("test/00.png", "test/01.png", "test/02.png", "test/03.png")
        assert report.summary["gray"]["colorfulness"] < 1 < report.summary["gan"]["colorfulness"]
        written = {"metrics.json", "images.csv", "best.png", "median.png", "worst.png"}
        assert files(tmp_path / "report") == written
        metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
        assert metrics["models"]["gan"]["l1"] == report.summary["gan"]["l1"]

    def test_a_run_is_evaluated_on_its_own_test_images(self, run, tmp_path):
        test = load_painted_scenes(32, 1, 1, 9, seed=0).test
        for index, rgb in enumerate(test.rgb):
            Image.fromarray(rgb).save(tmp_path / f"{index}.png")
        report = keras_colorize.evaluate(run)
        assert report.names == test.names
        expected = keras_colorize.evaluate(run, tmp_path)
        assert report.summary["gan"] == pytest.approx(expected.summary["gan"])
        with pytest.raises(ColorizeError, match=r"best: is no run; name the images .*--data"):
            keras_colorize.evaluate(run.models["best"])

    def test_runs_of_other_images_are_compared_on_named_ones_only(self, run, runs):
        settings = [*SETTINGS, "data.test_images=0", "training.epochs=1"]
        untested = keras_colorize.fit(
            "quickstart", name="untested.1", runs=runs, overrides=settings, verbose=0
        )
        with pytest.raises(ColorizeError, match=r"^gan, untested\.1: trained on different images"):
            keras_colorize.compare([run, untested])
        with pytest.raises(ColorizeError, match=r"^untested\.1: no images were kept"):
            keras_colorize.evaluate(untested)

    def test_evaluating_on_the_images_trained_on_warns(self, runs, images, tmp_path):
        for path in images.glob("*/[0-9]*.png"):
            shutil.copy(path, tmp_path / f"{path.parent.name} {path.name}")
        overrides = [f"data.path={tmp_path}", "generator.filters=4", "training.epochs=1"]
        run = keras_colorize.fit(
            "paintings_cnn", name="cnn", runs=runs, overrides=overrides, verbose=0
        )
        with pytest.warns(UserWarning, match="cnn was trained on images of this folder"):
            keras_colorize.evaluate(run, tmp_path)
        report = keras_colorize.evaluate(run)
        assert 0 < len(report.names) < 10

    def test_only_the_images_tested_are_read(self, runs, images, tmp_path):
        folder = shutil.copytree(images, tmp_path / "images")
        (folder / "train" / "text.jpg").unlink()
        settings = [f"data.path={folder}", "generator.filters=4", "training.epochs=1"]
        run = keras_colorize.fit(
            "paintings_cnn", name="read", runs=runs, overrides=settings, verbose=0
        )
        report = keras_colorize.evaluate(run)
        for path in [*folder.glob("train/*"), *folder.glob("validation/*")]:
            path.write_text("would be warned of if it were read")
        assert keras_colorize.evaluate(run).summary == report.summary

    def test_a_finished_run_needs_no_images(self, runs, tmp_path, images):
        folder = shutil.copytree(images, tmp_path / "images")
        (folder / "train" / "text.jpg").unlink()
        settings = [f"data.path={folder}", "generator.filters=4", "training.epochs=1"]

        def fit() -> Run:
            return keras_colorize.fit(
                "paintings_cnn", name="moved", runs=runs, overrides=settings, verbose=0
            )

        history = fit().history
        shutil.rmtree(folder)
        assert fit().history == history

    def test_a_runs_recipe_goes_by_the_runs_name(self, run, runs):
        again = keras_colorize.fit(run.recipe, runs=runs, verbose=0)
        assert again.path == run.path

    def test_compare(self, run, images):
        last = run.models["last"]
        copy = shutil.copy(last, images.parent / "gan.keras")
        report = keras_colorize.compare([run, last, copy], images, size=64)
        assert list(report.summary) == ["gray", "gan", "gan/last", "gan #2"]
        assert report.summary["gan/last"] == report.summary["gan #2"]
        assert next(iter(report.example_images.values())).shape == (2 + 3, 64, 64, 3)

    def test_names_that_are_not_utf8(self, run, tmp_path):
        for name in (b"\xff.png", b"b.png"):
            path = tmp_path / os.fsdecode(name)
            Image.fromarray(paint_scenes(1, 32, seed=len(name))[0]).save(path)
        report = keras_colorize.evaluate(run, tmp_path, output=tmp_path / "report")
        assert len(report.names) == 2
        assert b"\xff.png,gray" in (tmp_path / "report" / "images.csv").read_bytes()
        assert (tmp_path / "report" / "worst.png").exists()

    def test_what_cannot_be_compared(self, run, images):
        with pytest.raises(ColorizeError, match="no model to evaluate"):
            keras_colorize.compare([], images)
        with pytest.raises(ColorizeError, match="nowhere: no model"):
            keras_colorize.compare("nowhere", images)
        with pytest.raises(ColorizeError, match=r"size: must be 1 or more \(got 0\)"):
            keras_colorize.evaluate(run, images, size=0)
        with pytest.raises(ColorizeError, match="nowhere: not a folder"):
            keras_colorize.evaluate(run, "nowhere")

    def test_plot(self, run, tmp_path):
        paths = keras_colorize.plot(run, tmp_path)
        assert {path.name for path in paths} == files(tmp_path)
        assert {"losses.png", "accuracy.png", "learning_rate.png"} <= files(tmp_path)
        assert all(cv2.imread(str(path)) is not None for path in paths)
        begun = Run.open(tmp_path / "begun", run.recipe)
        with pytest.raises(ColorizeError, match="begun: has not finished an epoch yet"):
            keras_colorize.plot(begun)

    def test_colorize(self, run):
        gray = cv2.cvtColor(paint_scenes(1, 96, seed=9)[0], cv2.COLOR_RGB2GRAY)[:80]
        colorized = keras_colorize.colorize(gray, run)
        assert (colorized.shape, colorized.dtype) == ((80, 96, 3), np.uint8)
        assert np.ptp(colorized, axis=-1).max() > 0
        with pytest.raises(ColorizeError, match="nowhere: no model"):
            keras_colorize.colorize(gray, "nowhere")


def test_a_full_disk_loses_nothing(run, runs):
    """There is no room for a model; then there is."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fit() -> Run:
        return keras_colorize.fit(
            "quickstart", name="full", runs=runs, overrides=SETTINGS, verbose=0
        )

    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, limits[1]))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EFBIG)) as caught:
            fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(runs / "full" / "models")
    full = fit()
    assert [{**row, "seconds": 0} for row in full.history] == [
        {**row, "seconds": 0} for row in run.history
    ]
    with np.load(run.state_file) as expected, np.load(full.state_file) as found:
        for name in set(expected.files) - {"progress"}:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert sorted(full.models) == sorted(run.models)
    assert not list(full.path.rglob(".*[0-9]"))


@pytest.mark.filterwarnings("ignore:.*unreadable images skipped")
class TestStopping:
    """SIGINT stops a GAN, SIGTERM a plain CNN on a folder of images, both midway."""

    @pytest.fixture(scope="class")
    @classmethod
    def stopped(cls, tmp_path_factory, images) -> dict[str, tuple[Run, int, list[str]]]:
        """The run of each, its exit code and the lines on stderr."""
        runs = tmp_path_factory.mktemp("stopped")
        commands = {
            "gan": (signal.SIGINT, ["quickstart", *SETTINGS, "training.epochs=1000"]),
            "cnn": (signal.SIGTERM, ["paintings_cnn", *cls.cnn_settings(images)]),
        }
        processes = {}
        for name, (_, (recipe, *overrides)) in commands.items():
            arguments = ["fit", recipe, "--name", name, "--runs", str(runs)]
            for override in [*overrides, "training.checkpoint_minutes=1e-9"]:
                arguments += ["--set", override]
            processes[name] = subprocess.Popen(
                [sys.executable, "-m", "keras_colorize.cli", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        results = {}
        for name, process in processes.items():
            state = runs / name / "checkpoints" / "state.npz"
            deadline = time.monotonic() + 120
            while not state.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(commands[name][0])
        for name, process in processes.items():
            _, errors = process.communicate(timeout=60)
            results[name] = (Run(runs / name), process.returncode, errors.splitlines())
        return results

    @staticmethod
    def cnn_settings(images: Path) -> list[str]:
        return [
            f"data.path={images}",
            "generator.filters=4",
            "training.batch_size=1",
            "training.epochs=2",
            "training.sample_images=2",
        ]

    @staticmethod
    def progress(run: Run) -> dict:
        with np.load(run.state_file) as file:
            return json.loads(str(file["progress"]))

    def test_signals_save_the_state_and_end_the_process(self, stopped):
        message = "keras-colorize: interrupted"
        for run, code, errors in stopped.values():
            assert errors[-1] == message, errors
            assert code == 130
            progress = self.progress(run)
            assert progress["epoch"] * TRAIN + progress["batch"] > 0
            assert not run.is_finished
        assert len(stopped["gan"][2]) == 1, "TensorFlow's notes, or Keras's warnings"

    def test_bad_images_are_one_warning(self, stopped):
        run, _, errors = stopped["cnn"]
        warning = "keras-colorize: warning: {}: unreadable images skipped: 1 (train/text.jpg)"
        assert errors[:-1] == [warning.format(run.recipe.data.path)]
        environment = json.loads(run.environment_file.read_text())
        assert environment["pictures"] == {
            "train": TRAIN,
            "validation": 6,
            "test": 4,
            "gray_skipped": 1,
            "unreadable_skipped": 1,
            "unreadable": ["train/text.jpg"],
        }

    def fit_cnn(self, run: Run, images: Path) -> Run:
        overrides = [*self.cnn_settings(images), "training.checkpoint_minutes=1e-9"]
        return keras_colorize.fit(
            "paintings_cnn", name="cnn", runs=run.path.parent, overrides=overrides, verbose=0
        )

    def test_changed_images_are_refused(self, stopped, images):
        run, *_ = stopped["cnn"]
        file = images / "train" / "07.png"
        content = file.read_bytes()
        before = run.state_file.read_bytes()
        with Image.open(file) as image:
            image.rotate(90).save(file)
        with pytest.raises(ColorizeError, match="cnn: the images are not those the run began"):
            self.fit_cnn(run, images)
        file.write_bytes(content)
        assert run.state_file.read_bytes() == before

    def test_the_same_command_finishes(self, stopped, images):
        run, *_ = stopped["cnn"]
        run = self.fit_cnn(run, images)
        assert run.is_finished
        names = sorted(Colorizer.log_names)
        assert list(run.history[0])[2:] == [
            "generator_learning_rate",
            *names,
            *(f"val_{name}" for name in names),
        ]
        assert self.progress(run)["history"] == run.history
        assert list(run.models) == ["best", "last"]
        paths = keras_colorize.plot(run)
        assert "accuracy.png" not in {path.name for path in paths}
        assert {path.parent for path in paths} == {run.report_folder}
