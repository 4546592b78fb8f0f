"""Lightness as in old photographs and poor scans: blurred, faded or darkened, and grainy."""

import tensorflow as tf

BLUR_STEPS = 80
"""The widest blur's standard deviation is the image's side divided by this."""


def random_degradations(
    count: int, share: float, seed: tuple[int, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws what happens to each image.

    Args:
        count: images.
        share: probability that an image is degraded at all.
        seed: of all of it.

    Returns:
        What `degrade` takes of each image: float32, shape (count, 5), and int32, shape (count, 2).
        The five are: standard deviation of the blur as a share of the side; gamma; black and white
        point as shares of the range of lightness; standard deviation of the grain in normalized
        lightness. (0, 1, 0, 1, 0) leaves an image as it is. The two are the seed of the grain.
    """
    random = tf.random.stateless_uniform((count, 6), seed=seed)
    is_degraded, blur, gamma, black, white, grain = tf.split(random, 6, axis=-1)
    # Half of the degraded images are blurred, and half are grainy.
    blur = tf.nn.relu(2.0 * blur - 1.0) / BLUR_STEPS
    grain = 0.06 * tf.nn.relu(2.0 * grain - 1.0)
    values = [blur, tf.exp(gamma - 0.5), 0.25 * black, 1.0 - 0.35 * white, grain]
    degradations = tf.where(is_degraded < share, tf.concat(values, -1), [0.0, 1.0, 0.0, 1.0, 0.0])
    return degradations, tf.random.stateless_uniform((count, 2), seed, None, None, tf.int32)


def degrade(lightness: tf.Tensor, degradations: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """Degrades the lightness of a batch.

    Args:
        lightness: normalized, float32, shape (B, S, S, 1).
        degradations: float32, shape (B, 5), as `random_degradations` draws them.
        seeds: int32, shape (B, 2), likewise.

    Returns:
        Normalized lightness in [-1, 1], float32, shape (B, S, S, 1).
    """
    blur, gamma, black, white, grain = tf.unstack(degradations[:, :, None, None, None], axis=1)
    share = (_blur(lightness, blur) + 1.0) / 2.0
    toned = 2.0 * (black + (white - black) * tf.clip_by_value(share, 0.0, 1.0) ** gamma) - 1.0
    noise = tf.map_fn(
        lambda seed: tf.random.stateless_normal(lightness.shape[1:], seed),
        seeds,
        fn_output_signature=tf.float32,
    )
    return tf.clip_by_value(toned + grain * noise, -1.0, 1.0)


def _blur(images: tf.Tensor, deviations: tf.Tensor) -> tf.Tensor:
    """Gaussian blur, another one for each image, which is a channel of a depthwise convolution.

    Args:
        images: float32, shape (B, S, S, 1).
        deviations: as shares of S, at most 1 / BLUR_STEPS; shape (B, 1, 1, 1).
    """
    side = images.shape[1]
    radius = -(-3 * side // BLUR_STEPS)
    distances = tf.range(-radius, radius + 1, dtype=tf.float32)[:, None]
    pixels = tf.maximum(deviations[:, 0, 0, 0] * side, 1e-3)
    taps = tf.exp(-0.5 * tf.square(distances / pixels))
    taps /= tf.reduce_sum(taps, axis=0)
    x = tf.transpose(images, (3, 1, 2, 0))
    x = tf.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), "SYMMETRIC")
    for kernel in (taps[:, None, :, None], taps[None, :, :, None]):
        x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "VALID")
    return tf.transpose(x, (3, 1, 2, 0))
