"""The layers that Keras lacks, or computes differently from the PyTorch original."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

MATMUL_MAX_SIDE = 8
"""Up to this many pixels a side a convolution is faster as a matrix product."""


@keras.saving.register_keras_serializable("keras_colorize")
class AlignedResize(keras.layers.Layer):
    """Bilinear resize whose corner pixels keep their place (`align_corners` in PyTorch).

    Args:
        size: height and width of the output.

    Shapes: (N, H, W, C) -> (N, size, size, C).
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Resizes a batch; keeps its dtype."""
        resized = tf.raw_ops.ResizeBilinear(
            images=inputs, size=(self.size, self.size), align_corners=True
        )
        return tf.cast(resized, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(N, H, W, C) -> (N, size, size, C)."""
        return (input_shape[0], self.size, self.size, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("keras_colorize")
class Enlarge(keras.layers.Layer):
    """Bilinear resize to a multiple of the size; Keras's `UpSampling2D` fails where it is unknown.

    Args:
        factor: of height and width.

    Shapes: (N, H, W, C) -> (N, factor * H, factor * W, C).
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Resizes a batch; keeps its dtype."""
        size = tf.shape(inputs)[1:3] * self.factor
        return tf.cast(tf.image.resize(inputs, size, method="bilinear"), inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """(N, H, W, C) -> (N, factor * H, factor * W, C)."""
        sides = (side and side * self.factor for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("keras_colorize")
class ChromaContrast(keras.layers.Layer):
    """Makes strong colors stronger and weak ones weaker; the hue stays.

    Chroma c becomes `pivot * (c / pivot) ** contrast`.

    Args:
        contrast: exponent, above 0; 1 changes nothing.
        pivot: the chroma that stays as it is, normalized as ab, above 0.

    Shapes: normalized ab (..., 2) -> (..., 2).
    """

    def __init__(self, contrast: float, pivot: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.contrast = contrast
        self.pivot = pivot

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Scales ab; in operations of Keras, of which `models.plain` makes a model."""
        squares = keras.ops.sum(keras.ops.square(inputs), axis=-1, keepdims=True)
        # The root of the square; its gradient is finite at gray, too.
        chroma = keras.ops.sqrt(squares + 1e-12)
        return inputs * keras.ops.power(chroma / self.pivot, self.contrast - 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "contrast": self.contrast, "pivot": self.pivot}


@keras.saving.register_keras_serializable("keras_colorize")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over the channels of (N, H, W, C), in TensorFlow's fused kernel.

    Unlike Keras's own it keeps the unbiased batch variance in its running variance, as PyTorch
    does, and makes one pass over the activations in the precision they have.

    Reference:
        Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Normalizes by the batch's statistics when training, else by the running ones."""
        learn = bool(training) and self.trainable
        none = tf.zeros((0,))
        result = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=none if learn else tf.cast(self.moving_mean, tf.float32),
            variance=none if learn else tf.cast(self.moving_variance, tf.float32),
            epsilon=self.epsilon,
            is_training=learn,
        )
        if learn:
            for running, batch in (
                (self.moving_mean, result.batch_mean),
                (self.moving_variance, result.batch_variance),
            ):
                running.assign(running * self.momentum + batch * (1.0 - self.momentum))
        return result.y


@keras.saving.register_keras_serializable("keras_colorize")
class Conv2D(keras.layers.Conv2D):
    """Keras's convolution; 4x4 kernels of stride 2 on small images as one matrix product.

    There the kernels are larger than the images, and oneDNN's convolutions spend most of their
    time bringing kernels into their own layout and back.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolves (N, H, W, C) with (h, w, C, filters)."""
        if not _fits_matmul(self, inputs.shape[1:3]):
            return super().convolution_op(inputs, kernel)
        patches = _im2col_op(inputs)
        _, height, width, depth = patches.shape
        outputs = tf.reshape(patches, (-1, depth)) @ tf.reshape(kernel, (depth, -1))
        return tf.reshape(outputs, (-1, height, width, self.filters))


@keras.saving.register_keras_serializable("keras_colorize")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's transposed convolution; 4x4 kernels of stride 2 to small images as in `Conv2D`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolves (N, H, W, C) to (N, 2H, 2W, filters), in 4x4 and stride 2."""
        _, height, width, depth = inputs.shape
        if not _fits_matmul(self, self.compute_output_shape(inputs.shape)[1:3]):
            return super().call(inputs)
        kernel = tf.reshape(self.kernel, (-1, depth))
        patches = tf.matmul(tf.reshape(inputs, (-1, depth)), kernel, transpose_b=True)
        patches = tf.reshape(patches, (-1, height, width, kernel.shape[0]))
        return _add_bias_and_activate(self, _col2im_op(patches))


def _fits_matmul(layer: keras.layers.Layer, sides: Iterable[int | None]) -> bool:
    """Whether `layer` maps between images of these even sides and their halves, 4x4 to 1."""
    form = (layer.kernel_size, layer.strides, layer.padding, layer.dilation_rate)
    is_plain = form == ((4, 4), (2, 2), "same", (1, 1)) and layer.data_format == "channels_last"
    # Convolutions alone have groups, transposed ones alone output padding.
    is_plain &= getattr(layer, "groups", 1) == 1 and getattr(layer, "output_padding", None) is None
    return is_plain and all(side in range(2, MATMUL_MAX_SIDE + 1, 2) for side in sides)


def _add_bias_and_activate(layer: keras.layers.Layer, outputs: tf.Tensor) -> tf.Tensor:
    """Bias and activation, where a layer has them."""
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, tf.cast(layer.bias, outputs.dtype))
    return layer.activation(outputs)


def _im2col(images: tf.Tensor) -> tf.Tensor:
    """The patches of a 4x4 kernel of stride 2: (N, 2H, 2W, C) -> (N, H, W, 16 * C)."""
    return tf.image.extract_patches(
        images, (1, 4, 4, 1), (1, 2, 2, 1), (1, 1, 1, 1), padding="SAME"
    )


def _col2im(patches: tf.Tensor) -> tf.Tensor:
    """The transpose of `_im2col`, which adds up: (N, H, W, 16 * C) -> (N, 2H, 2W, C)."""
    _, height, width, depth = patches.shape
    quarters = tf.reshape(patches, (-1, height, width, 2, 2, 2, 2, depth // 16))
    # A patch is 2x2 blocks of 2x2 pixels; each lies on a block of its neighbors.
    blocks = tf.add_n(
        [
            tf.pad(
                quarters[:, :, :, y, :, x],
                ((0, 0), (y, 1 - y), (x, 1 - x), (0, 0), (0, 0), (0, 0)),
            )
            for y in (0, 1)
            for x in (0, 1)
        ]
    )
    blocks = tf.reshape(blocks, (-1, height + 1, width + 1, depth // 4))
    return tf.nn.depth_to_space(blocks, 2)[:, 1:-1, 1:-1]


# Each is the other's gradient; TensorFlow's own for the first is a slow sparse product.
_im2col_op = tf.custom_gradient(lambda images: (_im2col(images), _col2im))
_col2im_op = tf.custom_gradient(lambda patches: (_col2im(patches), _im2col))


@keras.saving.register_keras_serializable("keras_colorize")
class SpectralConv2D(Conv2D):
    """Convolution whose kernel is divided by its largest singular value.

    One step of power iteration in every forward pass in training; the gradient flows through
    sigma, while Keras's `SpectralNormalization` overwrites the kernel and stops the gradient.

    Reference:
        Miyato et al., 2018, https://arxiv.org/abs/1802.05957.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Adds the running estimates of the kernel's first singular vectors, `u` and `v`."""
        super().build(input_shape)
        fan_in = math.prod(self.kernel.shape[:-1])
        self.u = self._add_vector("u", self.filters)
        self.v = self._add_vector("v", fan_in)

    def add_weight(self, *arguments: Any, **options: Any) -> keras.Variable:
        """Adds one that mixed precision does not round: sigma is computed in float32."""
        return super().add_weight(*arguments, **options, autocast=False)

    def _add_vector(self, name: str, size: int) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=(size,),
            initializer=keras.initializers.RandomNormal(seed=size),
            trainable=False,
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Convolves with the normalized kernel; training does one more iteration of `u` and `v`."""
        # Divided in float32: sigma's gradient sums over the whole kernel, too much for float16.
        kernel = tf.cast(self.kernel, tf.float32)
        matrix = tf.reshape(kernel, (-1, self.filters))
        sigma = self._largest_singular_value(matrix, bool(training))
        normalized = tf.cast(kernel / sigma, self.compute_dtype)
        return _add_bias_and_activate(self, self.convolution_op(inputs, normalized))

    def save_own_variables(self, store: dict[str, Any]) -> None:
        """Saves `u` and `v` too, which `Conv2D` does not have."""
        super().save_own_variables(store)
        store["u"], store["v"] = self.u, self.v

    def load_own_variables(self, store: dict[str, Any]) -> None:
        """Loads what `save_own_variables` saved."""
        super().load_own_variables(store)
        self.u.assign(store["u"])
        self.v.assign(store["v"])

    def _largest_singular_value(self, matrix: tf.Tensor, training: bool) -> tf.Tensor:
        @tf.custom_gradient
        def power_iteration(matrix: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            v = tf.math.l2_normalize(tf.linalg.matvec(matrix, tf.convert_to_tensor(self.u)))
            u = tf.math.l2_normalize(tf.linalg.matvec(matrix, v, transpose_a=True))
            if training:
                self.u.assign(u)
                self.v.assign(v)

            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                # d(v' W u) / dW with the newest vectors: when two passes share one backward pass,
                # the later iteration is the better estimate. So it is in the original.
                return upstream * tf.tensordot(
                    tf.convert_to_tensor(self.v), tf.convert_to_tensor(self.u), axes=0
                )

            return tf.reduce_sum(v * tf.linalg.matvec(matrix, u)), gradient

        return power_iteration(matrix)
