"""Evaluates colorizers side by side, beside a gray baseline."""

import csv
import html
import io
import json
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from keras_colorize.color import bytes_to_lab, delta_e_76, render, split_lab
from keras_colorize.errors import ColorizeError, warn_renamed
from keras_colorize.evaluation import metrics
from keras_colorize.files import named_failure, write_text
from keras_colorize.images import image_grid
from keras_colorize.notebook import html_image, html_table
from keras_colorize.plots import draw_images, save_figure

if TYPE_CHECKING:
    import pandas

GRAY = "gray"
"""The baseline that leaves every image gray (ab = 0), evaluated beside all colorizers."""

# Delta E of all pixels are counted in bins of this width, each centered on a multiple of it, so
# percentiles are exact to half of it. No two 8-bit sRGB colors are 300 apart.
_BIN = 0.01
_BINS = 30_001

METRICS_NAME = "metrics.json"

_EXAMPLES = 6
_TABLE_WIDTH = 100


@dataclass(frozen=True)
class _Row:
    """A line of the table; `rank` is least for the best value, None where there is no best."""

    label: str
    metric: str
    form: str
    rank: Callable[[float], float] | None


_ROWS = (
    _Row("L1, normalized ab", "l1", ".4f", abs),
    _Row("Delta E*ab (1976), mean", "delta_e_76", ".2f", abs),
    _Row("  median", "delta_e_76_median", ".2f", abs),
    _Row("  95th percentile", "delta_e_76_percentile_95", ".2f", abs),
    _Row("CIEDE2000, mean", "ciede2000", ".2f", abs),
    _Row("  median", "ciede2000_median", ".2f", abs),
    _Row("  95th percentile", "ciede2000_percentile_95", ".2f", abs),
    _Row("  imperceptible, up to 1", "imperceptible", ".1%", operator.neg),
    _Row("  seen on close look, up to 2", "on_close_look", ".1%", None),
    _Row("  seen at a glance, up to 10", "at_a_glance", ".1%", None),
    _Row("  more similar than opposite, to 49", "more_similar_than_opposite", ".1%", None),
    _Row("  nearly opposite, above", "nearly_opposite", ".1%", None),
    _Row("Lab accuracy", "lab_accuracy", ".1%", operator.neg),
    _Row("PSNR, dB", "psnr", ".2f", operator.neg),
    _Row("SSIM", "ssim", ".4f", operator.neg),
    _Row("Colorfulness", "colorfulness", ".1f", None),
    _Row("  minus the originals'", "colorfulness_difference", "+.1f", abs),
    _Row("Colorfulness, absolute variant", "colorfulness_absolute", ".1f", None),
    _Row("  minus the originals'", "colorfulness_absolute_difference", "+.1f", abs),
)


@dataclass(frozen=True, repr=False)
class Report:
    """Scores of several colorizers on the same images; the gray baseline comes first.

    Attributes:
        names: of the images.
        images: model -> metric -> float array of shape (N,): each image's value, for Delta E
            its mean over the pixels. The differences of colorfulness are the colorized image's
            minus the original's.
        summary: model -> metric -> mean over the images; also `*_median` and
            `*_percentile_95` of both Delta E over all pixels of all images, to 0.005.
        ranked_by: the model whose mean CIEDE2000 chose the examples: the first colorizer.
        examples: "best", "median", "worst" -> indices of images.
        example_images: index of an example -> uint8 of shape (2 + colorizers, H, W, 3): the
            original, gray, and each colorizer's result.
    """

    names: tuple[str, ...]
    images: dict[str, dict[str, np.ndarray]]
    summary: dict[str, dict[str, float]]
    ranked_by: str
    examples: dict[str, list[int]]
    example_images: dict[int, np.ndarray]

    @property
    def pictures(self) -> dict[int, np.ndarray]:
        """Deprecated: the earlier name of `example_images`."""
        warn_renamed("Report.pictures", "Report.example_images")
        return self.example_images

    def __repr__(self) -> str:
        """The table, so that a notebook or console shows it."""
        return self.table()

    def _repr_html_(self) -> str:
        """The table and the examples, for notebooks."""
        columns = [[self._title(), *(row.label for row in _ROWS)]]
        columns += [self._table_column(model) for model in self.summary]
        examples = "".join(
            f"<p>{kind}, by CIEDE2000 of {html.escape(self.ranked_by)}: original, "
            f"{html.escape(', '.join(self.images))}<br>{html_image(self._thumbnails(indices))}</p>"
            for kind, indices in self.examples.items()
        )
        return html_table(columns) + examples

    def to_dataframe(self) -> "pandas.DataFrame":
        """Each image's scores, as images.csv has them.

        Returns:
            A row for each image and model: `picture`, `model` and the metrics.

        Raises:
            ColorizeError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise ColorizeError(
                "to_dataframe needs pandas: pip install 'keras-colorize[pandas]'"
            ) from None
        frames = [
            pandas.DataFrame({"picture": self.names, "model": model, **scores})
            for model, scores in self.images.items()
        ]
        return pandas.concat(frames, ignore_index=True)

    def table(self) -> str:
        """The summary in lines of at most 100 characters, the best value of each row marked.

        Models that do not fit side by side follow in further blocks, each with the gray baseline.
        """
        labels = [self._title(), *(row.label for row in _ROWS)]
        label_width = max(map(len, labels))
        columns = {model: self._table_column(model) for model in self.summary}
        blocks: list[list[str]] = [[GRAY]]
        for model in list(columns)[1:]:
            width = label_width + sum(len(columns[shown][0]) for shown in [*blocks[-1], model])
            if width > _TABLE_WIDTH:
                blocks.append([GRAY])
            blocks[-1].append(model)
        lines = []
        for block in blocks:
            for label, *cells in zip(labels, *(columns[model] for model in block), strict=True):
                lines.append((label.ljust(label_width) + "".join(cells)).rstrip())
            lines.append("")
        return "\n".join([*lines, "* the best of all models"])

    def save(self, directory: Path) -> None:
        """Writes metrics.json, images.csv, best.png, median.png and worst.png.

        Args:
            directory: created if missing; files of these names are replaced, each whole.

        Raises:
            ColorizeError: a file cannot be written.
        """
        content = {
            "pictures": len(self.names),
            "size": self._size(),
            "examples_ranked_by": self.ranked_by,
            "models": self.summary,
        }
        with named_failure(directory):
            write_text(directory / METRICS_NAME, json.dumps(content, indent=2) + "\n")
            write_text(directory / "images.csv", self._csv())
        for kind, indices in self.examples.items():
            save_figure(self._draw(kind, indices), directory / f"{kind}.png")

    def _table_column(self, model: str) -> list[str]:
        """Name and values of a model, all of one width, with two spaces before."""
        name = model if len(model) <= 40 else "…" + model[-39:]
        cells = [name + " "]
        for row in _ROWS:
            cell = format(self.summary[model][row.metric], row.form)
            best = ""
            if row.rank is not None:
                values = [scores[row.metric] for scores in self.summary.values()]
                best = format(min(values, key=row.rank), row.form)
            cells.append(cell + ("*" if cell == best else " "))
        width = max(len(cell) for cell in cells)
        return ["  " + cell.rjust(width) for cell in cells]

    def _csv(self) -> str:
        """A row for each image and model."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["picture", "model", *self.images[GRAY]])
        for index, name in enumerate(self.names):
            for model, scores in self.images.items():
                values = (f"{values[index]:.6g}" for values in scores.values())
                writer.writerow([name, model, *values])
        return text.getvalue()

    def _draw(self, kind: str, indices: list[int]) -> Figure:
        """Examples as a labeled grid, with the mean CIEDE2000 of each colorized image."""
        captions = []
        for index in indices:
            scores = [scores["ciede2000"][index] for scores in self.images.values()]
            # A file's name may not be UTF-8; draw what can be decoded.
            name = os.fsencode(self.names[index]).decode(errors="replace")
            captions.append([name, *(f"CIEDE2000 {score:.1f}" for score in scores)])
        return draw_images(
            f"{kind.capitalize()} of {len(self.names):,} images by CIEDE2000 of {self.ranked_by}",
            ["original", *self.images],
            [list(self.example_images[index]) for index in indices],
            captions,
        )

    def _thumbnails(self, indices: list[int]) -> np.ndarray:
        """Examples side by side, small ones enlarged by a whole factor."""
        rows = [list(self.example_images[index]) for index in indices]
        return image_grid(rows, scale=max(1, 96 // rows[0][0].shape[1]))

    def _title(self) -> str:
        return f"{len(self.names):,} images of {self._size()}"

    def _size(self) -> str:
        """WIDTHxHEIGHT of the images."""
        height, width = next(iter(self.example_images.values())).shape[1:3]
        return f"{width}x{height}"


def evaluate_colorizers(
    originals: np.ndarray,
    names: Sequence[str],
    colorizers: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    batch_size: int | None = None,
) -> Report:
    """Evaluates colorizers on images of which they get only the lightness.

    L1 is measured on normalized ab as predicted, as in training; all else on the 8-bit sRGB
    image that a user would get, with its colors gamut-mapped. Every pixel counts alike.

    Args:
        originals: uint8, shape (N, H, W, 3).
        names: a name for each image.
        colorizers: model's name -> function from lightness, float32 of shape (B, H, W, 1), -1..1,
            to ab, float32 of shape (B, H, W, 2). May be empty: "gray" is always evaluated.
        batch_size: images at a time; by default as many as make 2 ** 19 pixels, 512 of 32x32.

    Returns:
        The report.

    Raises:
        ColorizeError: no images, images of another shape or type, too few or many names, a
            colorizer named "gray", or ab of another shape or not finite.
    """
    _check(originals, names, colorizers)
    colorizers = {GRAY: _leave_gray, **colorizers}
    batch_size = batch_size or max(1, 2**19 // (originals.shape[1] * originals.shape[2]))
    batches: dict[str, list[dict[str, np.ndarray]]] = {model: [] for model in colorizers}
    histograms = {model: np.zeros((2, _BINS), np.int64) for model in colorizers}
    for start in range(0, len(originals), batch_size):
        rgb = originals[start : start + batch_size]
        lab = bytes_to_lab(rgb)
        for model, colorizer in colorizers.items():
            predicted_ab = _predict(model, colorizer, lab, names[start:])
            colorized, values, *delta_e = _measure(rgb, lab, predicted_ab)
            values = {metric: value.numpy() for metric, value in values.items()}
            values["lab_accuracy"] = metrics.lab_accuracy(rgb, colorized.numpy())
            batches[model].append(values)
            for histogram, pixels in zip(histograms[model], delta_e, strict=True):
                bins = np.rint(pixels.numpy().ravel() / _BIN).astype(np.int64)
                histogram += np.bincount(bins, minlength=_BINS)

    images = {
        model: {metric: np.concatenate([batch[metric] for batch in parts]) for metric in parts[0]}
        for model, parts in batches.items()
    }
    summary = {model: _summarize(images[model], *histograms[model]) for model in colorizers}
    ranked_by = list(colorizers)[min(1, len(colorizers) - 1)]
    examples = _choose(images[ranked_by]["ciede2000"])
    shown = sorted({index for indices in examples.values() for index in indices})
    lab = bytes_to_lab(originals[shown])
    lightness, _ = split_lab(lab)
    columns = [originals[shown]]
    for model, colorizer in colorizers.items():
        predicted_ab = _predict(model, colorizer, lab, [names[index] for index in shown])
        columns.append(render(lightness, predicted_ab).numpy())
    rows = dict(zip(shown, np.stack(columns, axis=1), strict=True))
    return Report(tuple(names), images, summary, ranked_by, examples, rows)


def _check(originals: np.ndarray, names: Sequence[str], colorizers: Mapping[str, object]) -> None:
    """Raises for what cannot be evaluated."""
    if originals.dtype != np.uint8 or originals.ndim != 4 or originals.shape[-1] != 3:
        raise ColorizeError(
            "images to evaluate must be uint8 of shape (N, H, W, 3) "
            f"(got {originals.dtype} of shape {originals.shape})"
        )
    if originals.size == 0:
        raise ColorizeError(f"no images to evaluate (got shape {originals.shape})")
    if len(names) != len(originals):
        raise ColorizeError(f"{len(originals)} images to evaluate, but {len(names)} names")
    if GRAY in colorizers:
        raise ColorizeError(f"{GRAY!r} is the baseline, which is always there; rename the model")


def _leave_gray(lightness: np.ndarray) -> np.ndarray:
    """The baseline: ab = 0 everywhere."""
    return np.zeros((*lightness.shape[:-1], 2), np.float32)


def _predict(
    model: str,
    colorizer: Callable[[np.ndarray], np.ndarray],
    lab: tf.Tensor,
    names: Sequence[str],
) -> np.ndarray:
    """A colorizer's ab for the lightness; raises if its shape is wrong or it is not finite."""
    lightness, ab = split_lab(lab)
    predicted_ab = np.asarray(colorizer(lightness.numpy()), np.float32)
    if predicted_ab.shape != ab.shape:
        raise ColorizeError(
            f"{model}: must predict ab of shape {tuple(ab.shape)} (got {predicted_ab.shape})"
        )
    finite = np.isfinite(predicted_ab).all(axis=(1, 2, 3))
    if not finite.all():
        raise ColorizeError(
            f"{model}: predicts values that are not finite, first for {names[int(finite.argmin())]}"
        )
    return predicted_ab


@tf.function
def _measure(
    rgb: tf.Tensor, lab: tf.Tensor, predicted_ab: tf.Tensor
) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
    """Scores a batch, except for Lab accuracy, which needs OpenCV.

    Returns:
        The colorized images (uint8), each metric of each image, shape (B,), and Delta E 76 and
        CIEDE2000 of each pixel, shape (B, H, W).
    """
    lightness, ab = split_lab(lab)
    colorized = render(lightness, predicted_ab)
    colorized_lab = bytes_to_lab(colorized)
    delta_e = delta_e_76(lab, colorized_lab)
    ciede2000 = metrics.ciede2000(lab, colorized_lab)
    shares = tf.unstack(metrics.perception_shares(ciede2000), axis=-1)
    colorfulness = metrics.colorfulness(colorized)
    absolute = metrics.colorfulness_absolute(colorized)
    values = {
        "l1": tf.reduce_mean(tf.abs(predicted_ab - ab), axis=(1, 2, 3)),
        "delta_e_76": tf.reduce_mean(delta_e, axis=(1, 2)),
        "ciede2000": tf.reduce_mean(ciede2000, axis=(1, 2)),
        **dict(zip(metrics.PERCEPTION_BOUNDS, shares, strict=True)),
        "psnr": metrics.psnr(rgb, colorized),
        "ssim": metrics.ssim(rgb, colorized),
        "colorfulness": colorfulness,
        "colorfulness_difference": colorfulness - metrics.colorfulness(rgb),
        "colorfulness_absolute": absolute,
        "colorfulness_absolute_difference": absolute - metrics.colorfulness_absolute(rgb),
    }
    return colorized, values, delta_e, ciede2000


def _summarize(
    images: dict[str, np.ndarray], delta_e_76_counts: np.ndarray, ciede2000_counts: np.ndarray
) -> dict[str, float]:
    """Means over the images, and percentiles over the pixels."""
    summary = {metric: float(values.mean(dtype=np.float64)) for metric, values in images.items()}
    for metric, counts in (("delta_e_76", delta_e_76_counts), ("ciede2000", ciede2000_counts)):
        summary[f"{metric}_median"] = _percentile(counts, 50)
        summary[f"{metric}_percentile_95"] = _percentile(counts, 95)
    return summary


def _percentile(counts: np.ndarray, percent: int) -> float:
    """The least Delta E that `percent` of the counted pixels do not exceed, to half a bin."""
    cumulative = np.cumsum(counts)
    return round(float(np.searchsorted(cumulative, cumulative[-1] * percent / 100)) * _BIN, 2)


def _choose(errors: np.ndarray) -> dict[str, list[int]]:
    """Indices of the images with the least, middle and largest errors; the very worst first."""
    ranking = np.argsort(errors, kind="stable").tolist()
    middle = max(0, (len(ranking) - _EXAMPLES) // 2)
    return {
        "best": ranking[:_EXAMPLES],
        "median": ranking[middle : middle + _EXAMPLES],
        "worst": ranking[: -_EXAMPLES - 1 : -1],
    }


def markdown_table(summary: Mapping[str, Mapping[str, float]]) -> str:
    """The summary of a report, as metrics.json has it under `models`, as a table in Markdown."""
    lines = [["", *summary], ["---", *["---:"] * len(summary)]]
    lines += [
        [row.label.strip(), *(format(scores[row.metric], row.form) for scores in summary.values())]
        for row in _ROWS
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
