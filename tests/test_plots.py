import math
import subprocess
import sys

import cv2
import numpy as np
import pytest

from keras_colorize import plots
from keras_colorize.errors import ColorizeError
from keras_colorize.plots import draw_images, figure_pixels, plot_history

CNN = ("generator_loss", "l1_loss", "delta_e_76")
GAN = (
    *CNN,
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_real_loss",
    "discriminator_fake_loss",
    "discriminator_accuracy",
    "discriminator_real_accuracy",
    "discriminator_fake_accuracy",
)


def make_history(epochs, logs, best=1, validation=True):
    """A history whose validation L1 is least, 0.05, at epoch `best`."""
    epoch = np.arange(1, epochs + 1)
    columns = {"epoch": epoch, "seconds": np.full(epochs, 60.5)}
    columns["generator_learning_rate"] = 3e-4 * 0.9**epoch
    if logs is GAN:
        columns["discriminator_learning_rate"] = 6e-5 * 0.9**epoch
    for name in logs:
        columns[name] = 1.0 / (1.0 + epoch)
        if validation:
            columns[f"val_{name}"] = 0.05 + 0.01 * abs(epoch - best)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture
def figures(monkeypatch):
    """Figures by file name, beside being saved."""
    drawn = {}

    def keep(figure, path):
        drawn[path.name] = figure
        save(figure, path)

    save = plots.save_figure
    monkeypatch.setattr(plots, "save_figure", keep)
    return drawn


def lines_of(figure):
    """Panel title -> label -> (x, y)."""
    return {
        axes.get_title(loc="left"): {line.get_label(): line.get_data() for line in axes.lines}
        for axes in figure.axes
    }


def test_a_gan_has_all_four_charts(tmp_path, figures):
    written = plot_history(make_history(40, GAN, best=12), tmp_path / "report" / "plots")
    assert [path.name for path in written] == [
        "losses.png",
        "accuracy.png",
        "delta_e.png",
        "learning_rate.png",
    ]
    assert set(written) == set((tmp_path / "report" / "plots").iterdir())
    for path in written:
        image = cv2.imread(path)
        assert image.shape[1] >= 800
        assert np.ptp(image) > 150

    panels = lines_of(figures["losses.png"])
    assert list(panels) == [
        "Generator: L1",
        "Generator: adversarial",
        "Discriminator: all images",
        "Discriminator: real and fake separately",
    ]
    epoch = np.arange(1, 41)
    for title, curves in panels.items():  # The first legend names the line.
        named = "best validation L1: 0.0500, epoch 12"
        assert curves[named if title == "Generator: L1" else "_nolegend_"][0] == [12, 12]
    for label, values in (
        ("train", 1 / (1 + epoch)),
        ("validation", 0.05 + 0.01 * abs(epoch - 12)),
    ):
        np.testing.assert_array_equal(panels["Generator: L1"][label][0], epoch)
        np.testing.assert_allclose(panels["Generator: L1"][label][1], values)
    sides = {"real train", "real validation", "fake train", "fake validation"}
    assert sides < panels["Discriminator: real and fake separately"].keys()
    assert sides < lines_of(figures["accuracy.png"])["Discriminator accuracy"].keys()
    assert figures["learning_rate.png"].axes[0].get_yscale() == "log"
    rates = lines_of(figures["learning_rate.png"])["Learning rate"]
    assert {"generator", "discriminator"} < rates.keys()


def test_a_cnn_has_no_accuracy(tmp_path, figures):
    written = plot_history(make_history(5, CNN, best=3), tmp_path)
    assert [path.name for path in written] == ["losses.png", "delta_e.png", "learning_rate.png"]
    assert list(lines_of(figures["losses.png"])) == ["Generator: L1"]


def test_a_single_epoch_without_validation(tmp_path, figures):
    plot_history(make_history(1, CNN, validation=False), tmp_path)
    curves = lines_of(figures["losses.png"])["Generator: L1"]
    assert list(curves) == ["train"]
    np.testing.assert_array_equal(curves["train"], [[1], [0.5]])


def test_gaps_are_left_open(tmp_path, figures):
    nan = math.nan
    table = [(1, 0.3, nan, nan), (2, 0.2, 0.25, nan), (3, nan, nan, nan)]
    names = ("epoch", "l1_loss", "val_l1_loss", "val_delta_e_76")
    plot_history([dict(zip(names, row, strict=True)) for row in table], tmp_path)
    assert set(figures) == {"losses.png"}
    curves = lines_of(figures["losses.png"])["Generator: L1"]
    np.testing.assert_array_equal(curves["train"][1], [0.3, 0.2, np.nan])
    np.testing.assert_array_equal(curves["validation"][1], [np.nan, 0.25, np.nan])
    assert curves["best validation L1: 0.2500, epoch 2"][0] == [2, 2]


def test_a_grid_has_whole_frames_around_enlarged_images():
    rows = np.random.default_rng(0).integers(0, 200, (2, 2, 40, 80, 3), np.uint8)
    pixels = figure_pixels(draw_images("title", ["a", "b"], rows, [["c"] * 2] * 2))
    assert pixels.shape == (68 + 2 * (80 + 30), 12 + 2 * (160 + 12), 3)
    for row, column in np.ndindex(2, 2):
        top, left = 68 + row * (80 + 30), 12 + column * (160 + 12)
        framed = np.pad(
            rows[row, column].repeat(2, axis=0).repeat(2, axis=1),
            ((1, 1), (1, 1), (0, 0)),
            constant_values=221,
        )
        np.testing.assert_array_equal(pixels[top - 1 : top + 81, left - 1 : left + 161], framed)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ColorizeError, match=r"losses\.png: cannot be written"):
        plot_history(make_history(2, CNN), tmp_path / "file")


def test_needs_neither_tensorflow_nor_pyplot(tmp_path):
    program = (
        "import sys; from pathlib import Path; from keras_colorize import plots; "
        f"plots.plot_history({make_history(2, CNN)}, Path({str(tmp_path)!r})); "
        "print({'tensorflow', 'matplotlib.pyplot'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "set()\n", "")
    assert (tmp_path / "delta_e.png").is_file()
