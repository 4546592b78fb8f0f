"""What can be passed to `fit`: epochs, images, initial weights, callbacks, functions of one's own.

The networks are tiny ones of this file, which recipes name as `test_fit_options:FUNCTION`.
"""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_colorize
from keras_colorize import ColorizeError, RecipeError, Run
from keras_colorize.data.given import as_splits
from keras_colorize.data.painted_scenes import paint_scenes
from keras_colorize.training.kept_callbacks import kept_attributes

TRAIN, VALIDATION = paint_scenes(20, 32, seed=0), paint_scenes(6, 32, seed=1)
BATCHES = 3  # of an epoch
RECIPE = """\
[data]
source = "folder"

[generator]
network = "test_fit_options:generator"
filters = 2

[training]
epochs = 2
batch_size = 8
sample_images = 1
"""
GAN = RECIPE + '\n[discriminator]\nnetwork = "test_fit_options:discriminator"\n'


def generator(image_size: int, *, seed: int, filters: int) -> keras.Model:
    def convolution(filters: int, size: int, name: str, **options) -> keras.layers.Layer:
        initializer = keras.initializers.GlorotUniform(seed=seed)
        return keras.layers.Conv2D(
            filters, size, padding="same", name=name, kernel_initializer=initializer, **options
        )

    lightness = keras.Input((image_size, image_size, 1))
    x = convolution(filters, 3, "first")(lightness)
    x = keras.layers.BatchNormalization(name="normalization")(x)
    x = keras.layers.Dropout(0.5, seed=seed, name="dropout")(x)
    return keras.Model(lightness, convolution(2, 1, "last", activation="tanh")(x))


def discriminator(image_size: int, *, seed: int) -> keras.Model:
    inputs = [keras.Input((image_size, image_size, channels)) for channels in (1, 2)]
    x = keras.layers.Concatenate()(inputs)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    x = keras.layers.Conv2D(1, 8, strides=8, kernel_initializer=initializer)(x)
    return keras.Model(inputs, keras.layers.Flatten()(x))


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """Trains in one folder of runs, by default on the scenes, silently."""
    folder = tmp_path_factory.mktemp("options")
    path = folder / "tiny.toml"

    def fit(name: str, *overrides: str, recipe: str = RECIPE, **options) -> Run:
        path.write_text(recipe)
        options = {"data": (TRAIN, VALIDATION), "verbose": 0} | options
        return keras_colorize.fit(
            path, name=name, runs=folder / "runs", overrides=overrides, **options
        )

    return fit


@pytest.fixture(scope="module")
def whole(fit) -> Run:
    """Two epochs on end."""
    return fit("whole")


def state(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.state_file) as file:
        return {name: file[name] for name in file.files if name != "progress"}


def progress(run: Run) -> dict:
    with np.load(run.state_file) as file:
        return json.loads(str(file["progress"]))


def figures(run: Run) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]


def assert_same(run: Run, other: Run) -> None:
    """Bit for bit, in weights, optimizers and history."""
    np.testing.assert_equal(state(run), state(other))
    assert figures(run) == figures(other)


class StopAfter(keras.callbacks.Callback):
    """Stops after so many batches of this call, and counts those of all calls."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.batches = batches
        self.seen = 0
        self.epochs: list[int] = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.batches:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)


class Collecting(keras.callbacks.Callback):
    """Notes the epochs that begin, and collects the losses of the last one."""

    def __init__(self, patience: int = 0) -> None:
        super().__init__()
        self._patience = patience
        self.begun: list[int] = []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(epoch)
        self.batches: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(float(logs["l1_loss"]))


class TestEpochs:
    def test_more_epochs_give_the_same_weights(self, fit):
        whole = fit("whole_gan", "training.weight_average=0.9", recipe=GAN)
        grown = fit("grown", "training.weight_average=0.9", recipe=GAN, epochs=1)
        assert (len(grown.history), grown.is_finished) == (1, True)
        grown = fit("grown", "training.weight_average=0.9", recipe=GAN, epochs=2)
        assert (len(grown.history), grown.is_finished) == (2, True)
        assert_same(grown, whole)
        assert Run(grown.path).recipe.training.epochs == 2

    def test_fewer_epochs_than_done(self, fit, whole):
        with pytest.raises(ColorizeError, match=r"epochs: must be at least 2.*\(got 1\)"):
            fit("whole", epochs=1)
        assert Run(whole.path).recipe.training.epochs == 2

    def test_other_keys_are_refused_with_the_remedy(self, fit, whole):
        with pytest.raises(ColorizeError) as caught:
            fit("whole", "training.seed=1", epochs=3)
        assert str(caught.value).startswith(
            f"{whole.path}: was made by another recipe (training.epochs: 3, not 2; "
            "training.seed: 1, not 0); "
        )
        assert f"--from {whole.path}" in str(caught.value)


class TestInitialWeights:
    def test_of_a_run(self, fit, whole):
        # A rate so low that nothing moves.
        still = ["optimizers.generator_learning_rate=1e-30", "schedule.minimum_learning_rate=0"]
        new = fit("new", *still, initial_weights=whole, epochs=1)
        assert Run(new.path).recipe.training.initial_weights == str(whole.path)
        models = (new.models["last"], whole.models["best"])
        found, expected = (keras_colorize.load(model) for model in models)
        for weight in ("first", "last"):
            layers = found.get_layer(weight), expected.get_layer(weight)
            np.testing.assert_array_equal(layers[0].kernel, layers[1].kernel)
        with pytest.raises(ColorizeError, match=r"initial_weights: unset, not .*whole"):
            fit("new", *still, epochs=1)

    def test_are_read_once(self, fit, whole, tmp_path):
        path = tmp_path / "weights.keras"
        path.write_bytes(whole.models["best"].read_bytes())
        fit("resumed", initial_weights=str(path), epochs=1)
        path.unlink()
        assert len(fit("resumed", initial_weights=path, epochs=2).history) == 2

    def test_of_another_network(self, fit, whole):
        for override, message in [
            (
                "generator.filters=3",
                r"first/kernel has the shape \(3, 3, 1, 2\), not",
            ),
            ("generator.network=test_fit_options:other", "has no another/bias, another/kernel"),
        ]:
            with pytest.raises(ColorizeError, match=f"best.keras: is another network: {message}"):
                fit("refused", override, initial_weights=whole)
        assert not (whole.path.parent / "refused").exists()

    def test_what_has_no_weights(self, fit, whole, tmp_path):
        (tmp_path / "served" / "1").mkdir(parents=True)
        (tmp_path / "served" / "1" / "saved_model.pb").write_bytes(b"")
        (tmp_path / "original.pt").write_bytes(b"no checkpoint")
        for model, message in [
            (tmp_path / "served", "is a SavedModel, whose weights have no names"),
            (tmp_path / "nothing", "nothing: no model"),
            (tmp_path / "original.pt", r"original\.pt: (needs PyTorch|no PyTorch checkpoint)"),
            (keras_colorize.load(whole), "must be a run, a path or a name, .*got Functional"),
        ]:
            with pytest.raises(ColorizeError, match=message):
                fit("refused", initial_weights=model)
        assert not (whole.path.parent / "refused").exists()


def other(image_size: int, *, seed: int, filters: int) -> keras.Model:
    lightness = keras.Input((image_size, image_size, 1))
    return keras.Model(lightness, keras.layers.Conv2D(2, 1, name="another")(lightness))


KERAS = ("_model", "params", "validation_data")  # attributes of all callbacks, not yet set


class TestCallbacks:
    @pytest.mark.parametrize("batches", [BATCHES, BATCHES + 1])
    def test_one_that_stops(self, fit, whole, batches, caplog):
        """At an epoch's last batch, before it is validated, and within an epoch."""
        done, name = batches // 4, f"stopped_after_{batches}"
        caplog.set_level("INFO", "keras_colorize")
        run = fit(name, epochs=5, callbacks=[StopAfter(batches)])
        epochs = "1 epoch" if done == 1 else f"{done} epochs"
        assert caplog.messages[-1].endswith(f"{name}: stopped by a callback after {epochs}")
        assert (len(run.history), run.is_finished) == (done, False)
        if done:  # One may be content with it.
            before = run.state_file.read_bytes()
            assert fit(name, epochs=done).is_finished
            assert Run(run.path).is_finished
            assert run.state_file.read_bytes() == before
        callback = StopAfter(0)
        run = fit(name, epochs=2, callbacks=[callback])
        assert run.is_finished
        assert_same(run, whole)
        assert (callback.seen, callback.batches, callback.epochs) == (2 * BATCHES, 0, [0, 1])

    def test_early_stopping(self, fit):
        def stopper() -> keras.callbacks.EarlyStopping:
            # Nothing is such an improvement.
            return keras.callbacks.EarlyStopping(
                "val_l1_loss", min_delta=10.0, patience=2, mode="min"
            )

        run = fit("early", epochs=9, callbacks=[stopper()])
        assert (len(run.history), run.is_finished) == (3, False)
        (kept,) = progress(run)["callbacks"]
        name, attributes = kept
        assert (name, attributes["wait"]) == ("EarlyStopping", 2)
        assert attributes["best"] == run.history[0]["val_l1_loss"]
        assert not attributes.keys() & {"patience", "min_delta", "monitor", "mode"}
        # It has waited long enough before, and does not wait anew.
        run = fit("early", epochs=9, callbacks=[stopper()])
        assert len(run.history) == 4

    def test_a_plateau_reduces_a_constant_rate(self, fit):
        def plateau() -> keras.callbacks.ReduceLROnPlateau:
            return keras.callbacks.ReduceLROnPlateau(
                "val_l1_loss", factor=0.5, patience=1, min_delta=10.0, mode="min"
            )

        run = fit("plateau", "schedule.shape=constant", epochs=2, callbacks=[plateau()])
        run = fit("plateau", "schedule.shape=constant", epochs=4, callbacks=[plateau()])
        rates = [row["generator_learning_rate"] for row in run.history]
        # A row has the rate of its epoch; the first one sets the best value.
        assert rates == pytest.approx([3e-4, 3e-4, 1.5e-4, 0.75e-4])

    def test_one_that_saves_the_model_saves_the_generator(self, fit, whole, tmp_path):
        """As `ModelCheckpoint` does, and those of W&B and others; one needs no list."""
        path = tmp_path / "epoch_{epoch}.keras"
        run = fit("saved", epochs=2, callbacks=keras.callbacks.ModelCheckpoint(path))
        saved, last = (
            keras_colorize.load(model).get_weights()
            for model in (tmp_path / "epoch_2.keras", run.models["last"])
        )
        np.testing.assert_equal(saved, last)
        assert_same(run, whole)
        fit("from_saved", initial_weights=tmp_path / "epoch_1.keras", epochs=1, callbacks=None)

    def test_one_that_saves_weights_saves_those_of_the_generator(self, fit, tmp_path):
        path = tmp_path / "last.weights.h5"
        saving = keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
        run = fit("weights", epochs=2, callbacks=saving)
        model = keras_colorize.load(run.models["last"])
        last = model.get_weights()
        model.set_weights([np.zeros_like(array) for array in last])
        model.load_weights(path)
        np.testing.assert_equal(model.get_weights(), last)

        class Loading(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.load_weights(path)
                self.loaded = [
                    network.get_weights()
                    for network in (self.model.generator, self.model.output_generator)
                ]

        loading = Loading()
        fit("loaded", "training.weight_average=0.9", epochs=1, callbacks=loading)
        np.testing.assert_equal(loading.loaded, [last, last])

    def test_an_epoch_that_resumes_has_begun_before(self, fit):
        """What callbacks do as an epoch begins is not done twice to rates and attributes."""

        def callbacks() -> list[keras.callbacks.Callback]:
            halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
            return [Collecting(), halving]

        once, resumed = callbacks(), callbacks()
        whole = fit("halved", "schedule.shape=constant", epochs=3, callbacks=once)
        stop = StopAfter(BATCHES + 1)
        fit("halved_twice", "schedule.shape=constant", epochs=3, callbacks=[*callbacks(), stop])
        run = fit("halved_twice", "schedule.shape=constant", epochs=3, callbacks=resumed)
        assert_same(run, whole)
        assert (resumed[0].begun, resumed[0].batches) == (once[0].begun, once[0].batches)

    def test_settings_stay_as_they_are_passed(self, fit):
        """Under whatever name a callback holds them."""
        first, second = Collecting(patience=3), Collecting(patience=10)
        fit("settings", epochs=1, callbacks=[first])
        fit("settings", epochs=2, callbacks=[second])
        assert (second._patience, second.begun) == (10, [0, 1])

    def test_keras_logs_that_resume(self, fit, tmp_path):
        """One header; and TensorBoard's files go where the new callback says."""

        def callbacks(folder: str) -> list[keras.callbacks.Callback]:
            log = keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)
            return [log, keras.callbacks.TensorBoard(tmp_path / folder)]

        fit("logged", epochs=1, callbacks=callbacks("first"))
        before = sorted((tmp_path / "first").rglob("events*"))
        fit("logged", epochs=2, callbacks=callbacks("second"))
        header, *rows = (tmp_path / "log.csv").read_text().splitlines()
        assert header.startswith("epoch,") and [row[:2] for row in rows] == ["0,", "1,"]
        assert sorted((tmp_path / "first").rglob("events*")) == before
        assert list((tmp_path / "second" / "validation").iterdir())

    def test_what_cannot_be_used(self, fit, whole):
        plateau = keras.callbacks.ReduceLROnPlateau()
        for callback, message in [
            (keras.callbacks.BackupAndRestore("backup"), "BackupAndRestore; a run resumes exactly"),
            (keras.callbacks.SwapEMAWeights(), "SwapEMAWeights; training.weight_average averages"),
            (keras.callbacks.EarlyStopping(), 'monitors val_loss, .*"val_l1_loss", mode="min"'),
            (keras.callbacks.EarlyStopping("val_l1_loss"), 'needs mode="min" or "max"'),
            (
                keras.callbacks.ModelCheckpoint("a.keras", save_best_only=True),
                "ModelCheckpoint monitors val_loss, which is not logged",
            ),
            (plateau, 'ReduceLROnPlateau sets .*schedule.shape = "constant"'),
            (len, r"must be Keras callbacks \(got builtin_function_or_method\)"),
        ]:
            with pytest.raises(ColorizeError, match=message):
                fit("refused", callbacks=[callback])
        with pytest.raises(ColorizeError, match="ReduceLROnPlateau sets"):
            fit(
                "refused", "schedule.shape=constant", "schedule.warmup_steps=1", callbacks=[plateau]
            )
        assert not (whole.path.parent / "refused").exists()

    def test_plain_attributes_are_kept(self):
        callback = StopAfter(3)
        callback.number, callback.text, callback.nothing = np.float32(0.5), "a", None
        callback.nested, callback.array = [1, [np.int64(2)]], np.zeros(2)
        callback.date, callback.dates = np.datetime64("2026-11-28"), [np.datetime64("2026-11-28")]
        kept = kept_attributes(callback)
        assert {k: v for k, v in kept.items() if k not in KERAS} == {
            "seen": 0,
            "epochs": [],
            "number": 0.5,
            "text": "a",
            "nothing": None,
            "nested": [1, [2]],
        }
        assert json.loads(json.dumps(kept)) == kept


def datasets() -> list[tf.data.Dataset]:
    return [tf.data.Dataset.from_tensor_slices(rgb) for rgb in (TRAIN, VALIDATION)]


class TestData:
    def test_arrays_are_used_as_those_of_a_source(self, fit, whole):
        counts = ("train_images=20", "validation_images=6", "test_images=0")
        overrides = ["data.source=painted_scenes", *(f"data.{count}" for count in counts)]
        assert_same(fit("scenes", *overrides, data=None), whole)
        assert (whole.recipe.data.source, whole.recipe.data.path) == ("given", None)
        used = json.loads(whole.environment_file.read_text())["pictures"]
        assert (used["train"], used["validation"], used["test"]) == (20, 6, 0)

    def test_splits(self):
        three = as_splits((TRAIN, VALIDATION, VALIDATION[:2]), 32, "data")
        assert three.test.names == ("test/00000", "test/00001")
        assert as_splits(three, 32, "data") is three
        with pytest.raises(ColorizeError, match=r"^data: train: must .* uint8 .* \(N, 64, 64, 3\)"):
            as_splits(three, 64, "data")

    def test_a_run_resumes_on_the_same_arrays_only(self, fit, whole):
        with pytest.raises(ColorizeError, match="whole: the images are not those the run began"):
            fit("whole", epochs=3, data=(TRAIN[1:], VALIDATION))
        with pytest.raises(RecipeError, match=r'data.source: "given" are .*fit\(\.\.\., data='):
            keras_colorize.fit(whole.recipe, runs=whole.path.parent, epochs=3)
        assert Run(whole.path).recipe.training.epochs == 2
        with pytest.raises(ColorizeError, match="images were passed to fit as data"):
            keras_colorize.evaluate(whole)

    def test_datasets(self, fit):
        once = fit("datasets", data=datasets())
        assert (once.recipe.data.flip, once.recipe.data.source) == (False, "given")
        stopped = fit("stopped", data=datasets(), callbacks=[StopAfter(BATCHES + 1)])
        assert len(stopped.history) == 1
        assert_same(fit("stopped", data=datasets()), once)
        assert (once.path / "samples" / "epoch_0001.png").exists()

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ((TRAIN,), "must be images to train and to validate on"),
            ("folder", r"must be images to train .*\(got str\)"),
            (
                (TRAIN, VALIDATION / 255),
                r"validation: must be a NumPy array, uint8 .*\(got float64 \(6, ",
            ),
            (
                (TRAIN[:, :16], VALIDATION),
                r"train: must be a NumPy array, uint8 of shape \(N, 32, 32, 3\)",
            ),
            ((tf.constant(TRAIN), VALIDATION), r"must be a NumPy array, .*\(got EagerTensor\)"),
            ((TRAIN[:0], VALIDATION), "train: has no image"),
            ([], "must be images to train and to validate on"),
            ((datasets()[0], VALIDATION), r"one image at a time, .*\(got ndarray\)"),
            (datasets()[:1], "must be two datasets"),
            ([one.batch(2) for one in datasets()], "one image at a time, uint8"),
            ([one.repeat() for one in datasets()], "number of images in a dataset must be known"),
            ([one.filter(lambda _: True) for one in datasets()], "number of images"),
        ],
    )
    def test_images_of_no_use(self, fit, whole, data, message):
        with pytest.raises(ColorizeError, match=f"^data: (datasets|the)?.*{message}"):
            fit("refused", data=data)
        assert not (whole.path.parent / "refused").exists()
