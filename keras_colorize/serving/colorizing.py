"""Colorizing encoded images in a TensorFlow graph, in little more memory than the image takes."""

import keras
import tensorflow as tf

from keras_colorize.color import normalize, render
from keras_colorize.models.predict import prediction_shape, resize
from keras_colorize.serving.decoding import decode_image

_STRIP_PIXELS = 2**18
"""Pixels that are Lab at a time; each takes about 160 bytes for that moment."""


def colorize_image(
    ends: keras.Model,
    image_bytes: tf.Tensor,
    vividness: tf.Tensor,
    name: tf.Tensor,
    max_pixels: int,
) -> tf.Tensor:
    """Colorizes an encoded image at full resolution; its lightness and alpha are kept.

    Args:
        ends: what `models.predict.both_ends` gives.
        image_bytes: string, shape (), a JPEG, PNG, GIF or BMP file.
        vividness: float32, shape (), 0..1.
        name: string, shape (), what errors call the image.
        max_pixels: images with more are refused.

    Returns:
        PNG, string, shape ().
    """
    pixels = decode_image(image_bytes, name, max_pixels)
    height, width = tf.unstack(tf.shape(pixels)[:2])
    # Resized before it becomes Lab, as the images that the generator was trained on.
    shape = prediction_shape(ends, height, width)
    small = resize(pixels[None, ..., :3], height, width, shape)
    small = tf.clip_by_value(tf.round(small), 0.0, 255.0)
    ab = ends(normalize(small)[0], training=False)
    if ab.shape[-1] == 4:
        ab = (1.0 - vividness) * ab[..., :2] + vividness * ab[..., 2:]
    return tf.io.encode_png(_recolor(pixels, ab))


def _recolor(pixels: tf.Tensor, ab: tf.Tensor) -> tf.Tensor:
    """Gives pixels (H, W, 3 or 4), uint8, the colors of a small ab, (1, h, w, 2), by strips."""
    height, width = tf.unstack(tf.shape(pixels)[:2])
    rows = tf.maximum(_STRIP_PIXELS // width, 1)

    def recolor_strip(index: tf.Tensor, strips: tf.TensorArray) -> list[tf.Tensor | tf.TensorArray]:
        top = index * rows
        strip = pixels[top : top + rows]
        lightness, _ = normalize(strip[..., :3])
        rgb = render(lightness, _enlarge(ab, height, width, top, tf.shape(strip)[0])[0])
        return [index + 1, strips.write(index, tf.concat([rgb, strip[..., 3:]], axis=-1))]

    count = (height + rows - 1) // rows
    strips = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=(None, None, None))
    _, strips = tf.while_loop(
        lambda index, _: index < count, recolor_strip, [0, strips], parallel_iterations=1
    )
    return strips.concat()


def _enlarge(
    ab: tf.Tensor, height: tf.Tensor, width: tf.Tensor, top: tf.Tensor, rows: tf.Tensor
) -> tf.Tensor:
    """Rows `top` to `top + rows` of (1, h, w, 2) enlarged bicubically to (1, height, width, 2)."""
    target = tf.cast([height, width], tf.float32)
    # What `tf.image.resize` calls too, when it antialiases; it takes an offset.
    return tf.raw_ops.ScaleAndTranslate(
        images=ab,
        size=[rows, width],
        scale=target / tf.cast(tf.shape(ab)[1:3], tf.float32),
        translation=tf.cast([-top, 0], tf.float32),
        kernel_type="keyscubic",
        antialias=False,
    )
