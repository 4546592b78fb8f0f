import base64
import csv
import json
import re
import sys
from html import unescape

import cv2
import numpy as np
import pytest
import skimage.color

from keras_colorize import color
from keras_colorize.errors import ColorizeError
from keras_colorize.evaluation import metrics
from keras_colorize.evaluation.report import evaluate_colorizers


def leave_gray(lightness):
    return np.zeros((*lightness.shape[:-1], 2), np.float32)


def sepia(lightness):
    return leave_gray(lightness) + np.float32([0.05, 0.1])


def by_lightness(lightness):
    """Some colors in the gamut and some beyond."""
    return np.concatenate([0.3 * lightness, np.cos(4.0 * lightness)], axis=-1)


def all_knowing(images):
    """A colorizer that knows the original of each lightness."""
    lightness, ab = color.split_lab(color.rgb_to_lab(images.astype(np.float32) / 255))
    known = {key.tobytes(): value for key, value in zip(lightness.numpy(), ab.numpy(), strict=True)}
    return lambda asked: np.stack([known[key.tobytes()] for key in asked])


def names_of(images):
    return [f"tile-{index:03}.png" for index in range(len(images))]


@pytest.fixture(scope="module")
def report(photographs):
    colorizers = {"by_lightness": by_lightness, "original": all_knowing(photographs)}
    return evaluate_colorizers(photographs, names_of(photographs), colorizers, batch_size=50)


@pytest.fixture(scope="module")
def by_hand(photographs):
    """What `by_lightness` gives, by the shortest way: 8-bit images and CIEDE2000 of pixels."""
    lab = color.rgb_to_lab(photographs.astype(np.float32) / 255)
    lightness, _ = color.split_lab(lab)
    fitted = color.fit_gamut(color.join_lab(lightness, by_lightness(lightness.numpy())))
    rgb = np.rint(color.lab_to_rgb(fitted).numpy() * 255).astype(np.uint8)
    labs = (skimage.color.rgb2lab(images) for images in (photographs, rgb))
    return rgb, skimage.color.deltaE_ciede2000(*labs)


class TestScores:
    def test_gray_baseline_of_red(self):
        red = np.full((1, 16, 16, 3), (255, 0, 0), np.uint8)
        report = evaluate_colorizers(red, ["red"], {})
        scores = report.summary["gray"]
        # Lab of red is (53.2406, 80.0923, 67.2027); the nearest 8-bit gray, 127, has L 53.193.
        assert scores["l1"] == pytest.approx((80.0923 + 67.2027) / 2 / 127, abs=1e-5)
        assert scores["delta_e_76"] == pytest.approx(104.551, abs=2e-3)
        assert scores["delta_e_76_median"] == pytest.approx(104.55)
        expected = skimage.color.deltaE_ciede2000([53.2406, 80.0923, 67.2027], [53.193, 0, 0])
        assert scores["ciede2000"] == pytest.approx(float(expected), abs=5e-3)
        assert scores["more_similar_than_opposite"] == 1.0
        assert scores["lab_accuracy"] == 0.0
        # Mean squared error (128 ** 2 + 2 * 127 ** 2) / 3.
        assert scores["psnr"] == pytest.approx(10 * np.log10(255**2 / (48642 / 3)), abs=1e-4)
        assert scores["colorfulness"] == 0.0
        # Of red: 0.3 * sqrt(255 ** 2 + 127.5 ** 2).
        assert scores["colorfulness_difference"] == pytest.approx(-85.5296, abs=1e-3)
        assert scores["colorfulness_absolute_difference"] == pytest.approx(-85.5296, abs=1e-3)

    def test_the_original_colors_are_perfect(self, report):
        scores = report.summary["original"]
        for metric in ("l1", "delta_e_76", "delta_e_76_percentile_95", "ciede2000_percentile_95"):
            assert scores[metric] == pytest.approx(0.0, abs=1e-4)
        assert scores["imperceptible"] == scores["lab_accuracy"] == scores["ssim"] == 1.0
        assert scores["psnr"] == metrics.PSNR_CEILING
        assert scores["colorfulness_difference"] == 0.0

    def test_evaluated_is_the_8_bit_image_in_the_gamut(self, report, photographs, by_hand):
        rgb, ciede2000 = by_hand
        scores = report.images["by_lightness"]
        np.testing.assert_allclose(scores["ciede2000"], ciede2000.mean(axis=(1, 2)), atol=0.02)
        np.testing.assert_allclose(scores["psnr"], metrics.psnr(photographs, rgb), atol=0.02)
        found = scores["lab_accuracy"]
        np.testing.assert_allclose(found, metrics.lab_accuracy(photographs, rgb), atol=0.01)
        found = report.summary["by_lightness"]["at_a_glance"]
        assert found == pytest.approx(((ciede2000 > 2) & (ciede2000 <= 10)).mean(), abs=1e-3)

    def test_l1_is_of_the_ab_as_predicted(self, report, photographs):
        lab = color.rgb_to_lab(photographs.astype(np.float32) / 255)
        lightness, ab = (part.numpy() for part in color.split_lab(lab))
        expected = abs(by_lightness(lightness) - ab).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(report.images["by_lightness"]["l1"], expected, rtol=1e-5)

    @pytest.mark.parametrize(("name", "percent"), [("median", 50), ("percentile_95", 95)])
    def test_percentiles_are_over_all_pixels(self, report, by_hand, name, percent):
        expected = np.percentile(by_hand[1], percent, method="inverted_cdf")
        assert report.summary["by_lightness"][f"ciede2000_{name}"] == pytest.approx(
            expected, abs=0.006
        )

    def test_summary_is_the_mean_of_the_images(self, report):
        for model, scores in report.images.items():
            for metric, values in scores.items():
                assert values.shape == (192,)
                assert report.summary[model][metric] == pytest.approx(values.mean(), rel=1e-5)

    def test_the_batch_size_changes_nothing(self, photographs):
        few = photographs[:4]
        pairs, together = (
            evaluate_colorizers(few, names_of(few), {"sepia": sepia}, size) for size in (2, None)
        )
        for metric, value in pairs.summary["sepia"].items():
            assert value == pytest.approx(together.summary["sepia"][metric], rel=1e-5)

    def test_one_tiny_image_of_any_shape(self):
        report = evaluate_colorizers(np.full((1, 2, 3, 3), 77, np.uint8), ["dot"], {"sepia": sepia})
        assert report.summary["gray"]["ssim"] == pytest.approx(1.0)
        assert report.summary["sepia"]["ciede2000"] > 5.0
        assert report.examples == {"best": [0], "median": [0], "worst": [0]}


class TestExamples:
    def test_best_median_and_worst_of_the_first_model(self, report):
        assert report.ranked_by == "by_lightness"
        errors = report.images["by_lightness"]["ciede2000"]
        ranking = np.argsort(errors, kind="stable")
        assert report.examples["best"] == ranking[:6].tolist()
        assert report.examples["median"] == ranking[93:99].tolist()
        assert report.examples["worst"] == ranking[:-7:-1].tolist()

    def test_example_images(self, report, photographs, by_hand):
        index = report.examples["worst"][0]
        original, gray, by_lightness, all_known = report.example_images[index]
        np.testing.assert_array_equal(original, photographs[index])
        assert gray.max(axis=-1).astype(int).max() == gray.min(axis=-1).max()
        np.testing.assert_allclose(by_lightness.astype(int), by_hand[0][index], atol=1)
        np.testing.assert_array_equal(all_known, original)
        with pytest.warns(DeprecationWarning, match=r"Report\.pictures is now"):
            assert report.pictures is report.example_images


class TestTable:
    def test_best_values_are_marked(self, report):
        lines = report.table().splitlines()
        assert " ".join(lines[0].split()) == "192 images of 32x32 gray by_lightness original"
        (line,) = (line for line in lines if line.startswith("CIEDE2000, mean"))
        values = line.removeprefix("CIEDE2000, mean").split()
        assert values[2] == "0.00*"
        expected = [f"{report.summary[model]['ciede2000']:.2f}" for model in report.summary]
        assert [value.rstrip("*") for value in values] == expected
        assert line.count("*") == 1

    def test_many_models_in_blocks_with_the_baseline(self, photographs):
        models = [f"runs/some_rather_long_model_name/models/epoch-{n:04}.keras" for n in range(5)]
        table = evaluate_colorizers(
            photographs[:2], ["a", "b"], dict.fromkeys(models, sepia)
        ).table()
        assert max(map(len, table.splitlines())) <= 100
        headers = [line for line in table.splitlines() if line.startswith("2 images")]
        assert all("gray" in header for header in headers)
        shown = re.findall(r"…\S*epoch-(\d+)\.keras", "".join(headers))
        assert shown == ["0000", "0001", "0002", "0003", "0004"]

    def test_baseline_alone(self, photographs):
        table = evaluate_colorizers(photographs[:2], ["a", "b"], {}).table()
        assert table.splitlines()[0].split()[-1] == "gray"


@pytest.fixture(scope="module")
def saved(report, tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "report" / "test"
    report.save(directory)
    return directory


class TestSave:
    def test_nothing_else_is_left(self, saved):
        names = {path.name for path in saved.iterdir()}
        assert names == {"metrics.json", "images.csv", "best.png", "median.png", "worst.png"}

    def test_metrics(self, saved, report):
        content = json.loads((saved / "metrics.json").read_text())
        assert content["pictures"] == 192
        assert content["size"] == "32x32"
        assert content["models"] == report.summary

    def test_a_row_for_each_image_and_model(self, saved, report):
        with (saved / "images.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 192 * 3
        row = rows[3 * 17 + 1]
        assert (row["picture"], row["model"]) == ("tile-017.png", "by_lightness")
        for metric, values in report.images["by_lightness"].items():
            assert float(row[metric]) == pytest.approx(values[17], rel=1e-5, abs=1e-9)

    @pytest.mark.parametrize("kind", ["best", "median", "worst"])
    def test_grids_show_every_pixel_as_it_is(self, saved, report, kind):
        grid = cv2.imread(saved / f"{kind}.png", cv2.IMREAD_COLOR_RGB)
        for row, index in enumerate(report.examples[kind]):
            for column, image in enumerate(report.example_images[index]):
                top, left = 68 + row * 190, 12 + column * 172
                cell = grid[top : top + 160, left : left + 160]
                np.testing.assert_array_equal(cell, image.repeat(5, 0).repeat(5, 1))

    def test_names_of_any_script(self, photographs, tmp_path):
        evaluate_colorizers(photographs[:2], ["浮世絵/富士.png", "$1 and $x_$.png"], {}).save(
            tmp_path
        )
        assert cv2.imread(tmp_path / "best.png").shape[:2] == (68 + 2 * 190, 12 + 2 * 172)
        assert "浮世絵/富士.png,gray," in (tmp_path / "images.csv").read_text(encoding="utf-8")

    def test_a_folder_that_cannot_be_made(self, report, tmp_path):
        (tmp_path / "report").write_text("a file")
        with pytest.raises(ColorizeError, match=r"report: cannot be written \(.+\)$"):
            report.save(tmp_path / "report")


class TestBadInput:
    images = np.zeros((2, 8, 8, 3), np.uint8)

    @pytest.mark.parametrize(
        ("images", "names", "message"),
        [
            (images[:0], [], r"no images to evaluate \(got shape \(0, 8, 8, 3\)\)"),
            (images[0], ["a"], r"\(got uint8 of shape \(8, 8, 3\)\)"),
            (images[..., :1], ["a", "b"], r"\(got uint8 of shape \(2, 8, 8, 1\)\)"),
            (images / 255, ["a", "b"], r"\(got float64 of shape \(2, 8, 8, 3\)\)"),
            (images, ["a"], "2 images to evaluate, but 1 names"),
        ],
    )
    def test_images(self, images, names, message):
        with pytest.raises(ColorizeError, match=message):
            evaluate_colorizers(images, names, {"sepia": sepia})

    def test_a_model_called_as_the_baseline(self):
        with pytest.raises(ColorizeError, match="'gray' is the baseline"):
            evaluate_colorizers(self.images, ["a", "b"], {"gray": sepia})

    def test_ab_of_another_shape(self):
        with pytest.raises(ColorizeError, match=r"m: .* \(2, 8, 8, 2\) \(got \(2, 8, 8, 1\)\)"):
            evaluate_colorizers(self.images, ["a", "b"], {"m": lambda lightness: lightness})

    def test_ab_that_is_not_finite(self):
        def diverged(lightness):
            ab = leave_gray(lightness)
            ab[1, 3, 3] = np.nan
            return ab

        with pytest.raises(ColorizeError, match=r"m: .* not finite, first for b"):
            evaluate_colorizers(self.images, ["a", "b"], {"m": diverged})


class TestNotebook:
    def test_a_console_shows_the_table(self, report):
        assert repr(report) == report.table()

    def test_html_has_the_table_and_the_examples(self, report):
        html = report._repr_html_()
        cells = [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", html)]
        headings = cells[: 1 + len(report.summary)]
        assert headings[1:] == list(report.summary)
        for row in (line.split("  ") for line in report.table().splitlines()[1:-2]):
            assert all(cell.strip() in cells for cell in row if cell.strip())
        pngs = [base64.b64decode(png) for png in re.findall(r"png;base64,([^\"]+)", html)]
        assert len(pngs) == len(report.examples) == 3
        grid = cv2.imdecode(np.frombuffer(pngs[0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        original = report.example_images[report.examples["best"][0]][0]
        scale = max(1, 96 // original.shape[1])
        height, width = (side * scale for side in original.shape[:2])
        large = original.repeat(scale, axis=0).repeat(scale, axis=1)
        np.testing.assert_array_equal(grid[2 : 2 + height, 2 : 2 + width], large)

    def test_names_are_no_html(self, photographs):
        html = evaluate_colorizers(photographs[:1], ["a"], {"<b>": by_lightness})._repr_html_()
        assert "<b>" not in html and html.count("&lt;b&gt;") == 7

    def test_dataframe(self, report):
        pandas = pytest.importorskip("pandas")
        frame = report.to_dataframe()
        assert list(frame.columns[:3]) == ["picture", "model", "l1"]
        assert len(frame) == len(report.names) * len(report.images)
        means = frame.drop(columns="picture").groupby("model", sort=False).mean()
        assert list(means.index) == list(report.summary)
        for model, scores in report.summary.items():
            assert means.loc[model, "ciede2000"] == pytest.approx(scores["ciede2000"])
        assert isinstance(frame, pandas.DataFrame)

    def test_without_pandas(self, report, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(ColorizeError, match=r"needs pandas: pip install .*\[pandas\]"):
            report.to_dataframe()
