"""SavedModels for TF Serving: encoded images in, PNG out, in core TensorFlow operations alone."""

import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from keras_colorize.color import normalize, render
from keras_colorize.errors import ColorizeError
from keras_colorize.models.predict import (
    MULTIPLE,
    PREDICTION_SIZE,
    blend_ends,
    both_ends,
    has_vividness,
    prediction_shape,
    resize,
    vividness,
)
from keras_colorize.serving.warmup import write_warmup_requests


def export_saved_model(generator: keras.Model, folder: Path) -> Path:
    """Writes the generator into the next version folder of `folder`, whole or not at all.

    Signatures:
        serving_default: `image_bytes`, string (N,), encoded JPEG, PNG, BMP or GIF of any sizes ->
            `colorized_bytes`, string (N,), PNG of the same sizes. EXIF orientation is not read.
        predict_ab: `lightness`, float32 (N, S, S, 1), or (N, H, W, 1) for a generator of any
            size, -1..1 -> `ab`, float32, of the same size.

    And for a generator with vividness:
        colorize: `image_bytes`, and `vividness`, float32 (N,), 0..1 -> `colorized_bytes`.
        predict_both_ends: `lightness` -> `ends`, float32 (N, H/4, W/4, 4): faithful and vivid
            ab, which vividness blends; and `vividness`, the share of the other signatures.

    Args:
        generator: `lightness` -> `ab`.
        folder: the model's folder; versions are numbered from 1 in it.

    Returns:
        The version's folder.

    Raises:
        ColorizeError: if `folder` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ColorizeError(f"{folder}: is a file, must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    ends = both_ends(generator)
    own_vividness = vividness(generator)

    def colorize(image_bytes: tf.Tensor, vividness: tf.Tensor) -> dict[str, tf.Tensor]:
        # One by one, since the images of a batch have different sizes.
        colorized = tf.map_fn(
            lambda one: _colorize_bytes(ends, *one),
            (image_bytes, vividness),
            fn_output_signature=tf.TensorSpec((), tf.string),
        )
        return {"colorized_bytes": colorized}

    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return colorize(image_bytes, tf.fill(tf.shape(image_bytes), own_vividness))

    def predict_ab(lightness: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ab": generator(lightness, training=False)}

    def predict_both_ends(lightness: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"ends": ends(lightness, training=False), "vividness": tf.constant(own_vividness)}

    images = tf.TensorSpec((None,), tf.string, "image_bytes")
    lightness = tf.TensorSpec((None, *generator.input_shape[1:3], 1), tf.float32, "lightness")
    archive = keras.export.ExportArchive()
    archive.track(generator)
    archive.add_endpoint("serving_default", serving_default, [images])
    archive.add_endpoint("predict_ab", predict_ab, [lightness])
    if has_vividness(generator):
        archive.add_endpoint(
            "colorize", colorize, [images, tf.TensorSpec((None,), tf.float32, "vividness")]
        )
        archive.add_endpoint("predict_both_ends", predict_both_ends, [lightness])
    beside = folder / f".incomplete-{os.getpid()}"
    try:
        archive.write_out(beside, verbose=False)
        write_warmup_requests(
            beside, generator.input_shape[1] or PREDICTION_SIZE, has_vividness(generator)
        )
        version = folder / str(1 + max(map(int, _versions(folder)), default=0))
        beside.rename(version)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return version


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
        reason = str(error).splitlines()[0]
        raise ColorizeError(f"{version}: no SavedModel with predict_ab: {reason}") from error
    lightness = keras.Input(shape[1:], name="lightness")
    name = version.parent.name
    if not has_ends:
        return keras.Model(lightness, layer(lightness)["ab"], name=name)
    side = 2 * MULTIPLE
    probe = signatures["predict_both_ends"](lightness=tf.zeros((1, side, side, 1)))
    stride = side // probe["ends"].shape[1]
    ab = blend_ends(layer(lightness)["ends"], float(probe["vividness"]), stride)
    return keras.Model(lightness, ab, name=name)


def _colorize_bytes(ends: keras.Model, image_bytes: tf.Tensor, vividness: tf.Tensor) -> tf.Tensor:
    """One encoded image of any size -> PNG of the same size and lightness."""
    image = _decode(image_bytes)[None]
    lightness, _ = normalize(image)
    height, width = tf.unstack(tf.shape(image)[1:3])
    # Resized before it becomes Lab, as the images that the generator was trained on.
    small = resize(tf.cast(image, tf.float32), height, width, prediction_shape(ends, height, width))
    small = tf.clip_by_value(tf.round(small), 0.0, 255.0)
    ab = ends(normalize(small)[0], training=False)
    if ab.shape[-1] == 4:
        ab = (1.0 - vividness) * ab[..., :2] + vividness * ab[..., 2:]
    ab = tf.image.resize(ab, (height, width), method="bicubic")
    return tf.io.encode_png(render(lightness, ab)[0])


def _decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """An encoded image -> uint8, shape (H, W, 3).

    TensorFlow takes the indices of a BMP with a palette for gray levels; they are looked up here.
    """
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    header = tf.cast(tf.io.decode_raw(tf.strings.substr(image_bytes, 0, 2048), tf.uint8), tf.int32)

    def look_up() -> tf.Tensor:
        # The palette, of blue, green, red and nothing each, lies between header and pixels.
        start, end = 14 + header[14], header[10] + 256 * header[11]
        palette = tf.reshape(header[start : start + (end - start) // 4 * 4], (-1, 4))[:, 2::-1]
        return tf.gather(tf.cast(palette, tf.uint8), tf.cast(image[..., 0], tf.int32))

    is_bmp = tf.equal(tf.strings.substr(image_bytes, 0, 2), "BM")
    has_palette = is_bmp & tf.reduce_all(tf.equal(header[28:29], 8))  # bits a pixel
    return tf.cond(has_palette, look_up, lambda: image)


def _versions(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.isdecimal()]
