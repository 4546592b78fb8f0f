"""SavedModels for TF Serving: encoded images in, PNG out, in core TensorFlow operations alone."""

import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_colorize.console import log
from keras_colorize.errors import ColorizeError, first_line
from keras_colorize.models.predict import (
    blend_ends,
    both_ends,
    has_vividness,
    vividness,
)
from keras_colorize.prediction_size import MULTIPLE, PREDICTION_SIZE
from keras_colorize.serving.colorizing import colorize_image
from keras_colorize.serving.warmup import write_warmup_requests

MAX_MEGAPIXELS = 64.0
"""Images with more are refused unless an export says otherwise."""


def export_saved_model(
    generator: keras.Model,
    folder: Path,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    texts: Mapping[str, str] | None = None,
) -> Path:
    """Writes the generator into the next version folder of `folder`, whole or not at all.

    Signatures:
        serving_default: `image_bytes`, string (N,), files of any sizes -> `colorized_bytes`,
            string (N,), PNG of the same sizes. JPEG (EXIF orientation applied), PNG (orientation
            applied, alpha kept, 16 bits become 8), GIF (first frame) and uncompressed BMP. ICC
            profiles are ignored. If one image cannot be read, or has too many pixels, the
            whole request fails, and the error names it: `image_bytes[2]: ...`.
        predict_ab: `lightness`, float32 (N, S, S, 1), or (N, H, W, 1) for a generator of any
            size, multiples of 32; -1..1 -> `ab`, float32, of the same size.

    And for a generator with vividness:
        colorize: `image_bytes`, and `vividness`, float32 (N,) or (), 0..1 -> `colorized_bytes`.
        predict_both_ends: `lightness` -> `ends`, float32 (N, H/4, W/4, 4): faithful and vivid
            ab, which vividness blends; and `vividness`, float32 (N,), the share of the other
            signatures.

    Args:
        generator: `lightness` -> `ab`.
        folder: the model's folder; versions are numbered from 1 in it.
        max_megapixels: larger images are refused, by their header.
        texts: name -> contents of files to put beside the model, such as its card.

    Returns:
        The version's folder.

    Raises:
        ColorizeError: if `folder` is a file, or `max_megapixels` is not above 0.
    """
    if folder.exists() and not folder.is_dir():
        raise ColorizeError(f"{folder}: is a file, must be a folder")
    if not max_megapixels > 0:
        raise ColorizeError(f"max megapixels: must be above 0 (got {max_megapixels:g})")
    folder.mkdir(parents=True, exist_ok=True)
    max_pixels = max(round(max_megapixels * 1e6), 1)
    log.info("tracing the signatures")
    archive = _archive(generator, max_pixels)
    beside = folder / f".incomplete-{os.getpid()}"
    log.info("writing the SavedModel")
    try:
        archive.write_out(beside, verbose=False)
        size = generator.input_shape[1] or PREDICTION_SIZE
        write_warmup_requests(beside, size, max_pixels, has_vividness(generator))
        for name, text in (texts or {}).items():
            (beside / name).write_text(text, encoding="utf-8")
        version = folder / str(1 + max(map(int, _versions(folder)), default=0))
        beside.rename(version)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return version


def _archive(generator: keras.Model, max_pixels: int) -> keras.export.ExportArchive:
    """The signatures, traced."""
    ends = both_ends(generator)
    own_vividness = vividness(generator)

    @functools.partial(tf.function, autograph=False)  # Traced and stored once for two signatures.
    def colorize_all(image_bytes: tf.Tensor, vividness: tf.Tensor) -> tf.Tensor:
        positions = tf.range(tf.size(image_bytes))
        names = tf.strings.join(["image_bytes[", tf.strings.as_string(positions), "]"])
        # One by one: their sizes differ, and the memory is that of one.
        return tf.map_fn(
            lambda image: colorize_image(ends, image[0], image[1], image[2], max_pixels),
            (image_bytes, vividness, names),
            fn_output_signature=tf.TensorSpec((), tf.string),
            parallel_iterations=1,
        )

    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return colorize(image_bytes, tf.constant(own_vividness))

    def colorize(image_bytes: tf.Tensor, vividness: tf.Tensor) -> dict[str, tf.Tensor]:
        in_range = tf.reduce_all((vividness >= 0.0) & (vividness <= 1.0))
        with tf.control_dependencies(
            [tf.debugging.Assert(in_range, ["vividness: must be in 0..1, not", vividness])]
        ):
            each = tf.ensure_shape(tf.broadcast_to(vividness, tf.shape(image_bytes)), (None,))
        return {"colorized_bytes": colorize_all(image_bytes, each)}

    def predict_ab(lightness: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ab": _predict(generator, lightness)}

    def predict_both_ends(lightness: tf.Tensor) -> dict[str, tf.Tensor]:
        # Once for each image: TF Serving's batching splits every output by its first axis.
        own = tf.fill(tf.shape(lightness)[:1], own_vividness)
        return {"ends": _predict(ends, lightness), "vividness": own}

    images = tf.TensorSpec((None,), tf.string, "image_bytes")
    lightness = tf.TensorSpec((None, *generator.input_shape[1:3], 1), tf.float32, "lightness")
    # It finds the variables by itself; those that `track` is given are stored a second time.
    archive = keras.export.ExportArchive()
    archive.add_endpoint("serving_default", serving_default, [images])
    archive.add_endpoint("predict_ab", predict_ab, [lightness])
    if has_vividness(generator):
        # Of any rank: one for all images, or one each.
        shares = tf.TensorSpec(None, tf.float32, "vividness")
        archive.add_endpoint("colorize", colorize, [images, shares])
        archive.add_endpoint("predict_both_ends", predict_both_ends, [lightness])
    return archive


def _predict(model: keras.Model, lightness: tf.Tensor) -> tf.Tensor:
    """What a model predicts; fails for sides that it cannot take, and takes an empty batch."""
    shape = tf.shape(lightness)
    side = model.input_shape[1]
    if side is None:
        fits = tf.reduce_all(tf.equal(shape[1:3] % MULTIPLE, 0) & (shape[1:3] > 0))
        reason = f"lightness: height and width must be multiples of {MULTIPLE}, not"
    else:
        fits = tf.reduce_all(tf.equal(shape[1:3], side))
        reason = f"lightness: height and width must be {side}, not"
    with tf.control_dependencies([tf.debugging.Assert(fits, [reason, shape[1:3]])]):
        # Not all layers take an empty batch: it gets one image, whose result is left out.
        filled = tf.pad(lightness, [[0, tf.cast(tf.equal(shape[0], 0), tf.int32)], *[[0, 0]] * 3])
    filled.set_shape(lightness.shape)
    return model(filled, training=False)[: shape[0]]


def load_predict_ab(version: Path) -> keras.Model:
    """The network in a SavedModel as a Keras model, `lightness` -> `ab`.

    Raises:
        ColorizeError: if the SavedModel cannot be read or lacks the signature.
    """
    try:
        signatures = tf.saved_model.load(version).signatures
        shape = signatures["predict_ab"].structured_input_signature[1]["lightness"].shape
        has_ends = "predict_both_ends" in signatures
        layer = keras.layers.TFSMLayer(
            version, call_endpoint="predict_both_ends" if has_ends else "predict_ab"
        )
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = first_line(error)
        raise ColorizeError(f"{version}: no SavedModel with predict_ab: {reason}") from error
    lightness = keras.Input(shape[1:], name="lightness")
    name = version.parent.name
    if not has_ends:
        return keras.Model(lightness, layer(lightness)["ab"], name=name)
    side = 2 * MULTIPLE
    probe = signatures["predict_both_ends"](lightness=tf.zeros((1, side, side, 1)))
    stride = side // probe["ends"].shape[1]
    own = np.ravel(probe["vividness"])[0]  # Of any shape: earlier exports gave a scalar.
    ab = blend_ends(layer(lightness)["ends"], float(own), stride)
    return keras.Model(lightness, ab, name=name)


def _versions(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.isdecimal()]
