"""The model that trains a generator with two heads: a color, and how likely each color is."""

from collections.abc import Callable, Iterable, Sequence

import keras
import tensorflow as tf

from keras_colorize.models.efficientnet.ab_classes import class_targets
from keras_colorize.models.efficientnet.generator import OUTPUT_STRIDE, Heads
from keras_colorize.training.colorizer import Batch, Colorizer
from keras_colorize.training.losses import class_loss


class ClassifyingColorizer(Colorizer):
    """Trains `efficientnet_generator` on both of its heads at once.

    The loss is `reconstruction_loss + class_weight * class_loss`, both at the stride at which the
    heads predict. The classes of a step are those of every second place along both axes, which
    four steps in turn shift: neighbors are redundant.

    Args:
        generator: what `efficientnet_generator` returns.
        reconstruction_loss: (ab, predicted_ab) -> scalar, of the faithful head.
        class_weight: 0 or more.
        rarity: weight of each class in the loss, float32, shape (classes,).
        weight_average: as for `Colorizer`.
        pretrained_layers: as for `Colorizer`.
        strategy: as for `Colorizer`.
    """

    log_names = ("generator_loss", "l1_loss", "class_loss", "delta_e_76")

    def __init__(
        self,
        generator: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor],
        *,
        class_weight: float,
        rarity: tf.Tensor,
        weight_average: float = 0.0,
        pretrained_layers: Sequence[keras.layers.Layer] = (),
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        super().__init__(
            generator,
            reconstruction_loss,
            weight_average=weight_average,
            pretrained_layers=pretrained_layers,
            strategy=strategy,
        )
        self.class_weight = class_weight
        self.rarity = rarity
        self.heads = Heads(self.generator)
        self.output_heads = Heads(self.output_generator)

    def update(self, batch: Batch, share: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Updates the generator."""
        lightness, _ = batch
        with tf.GradientTape() as tape:
            features = self.heads.features(lightness, training=True)
            shift = tf.cast(self.generator_optimizer.iterations % 4, tf.int32)
            losses, predicted_ab = self._both_losses(batch, self.heads, features, shift)
        self._apply_to_generator(tape, losses["generator_loss"], share)
        return self._figures(batch, predicted_ab, losses)

    def measure(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The same figures in inference mode; changes nothing."""
        features = self.output_heads.features(batch[0], training=False)
        losses, predicted_ab = self._both_losses(batch, self.output_heads, features, 0)
        return self._figures(batch, predicted_ab, losses)

    def _both_losses(
        self, batch: Batch, heads: Heads, features: tf.Tensor, shift: tf.Tensor | int
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """The losses, and the faithful ab at full size."""
        _, ab = batch
        ab = tf.nn.avg_pool2d(ab, OUTPUT_STRIDE, OUTPUT_STRIDE, "VALID")
        faithful_ab = heads.faithful_ab(features)
        top, left = shift // 2, shift % 2
        logits = heads.class_logits(features[:, top::2, left::2])
        targets = class_targets(ab[:, top::2, left::2])
        classes = class_loss(targets, logits, self.rarity)
        loss = self.reconstruction_loss(ab, faithful_ab) + self.class_weight * classes
        predicted_ab = tf.stop_gradient(heads.enlarge(faithful_ab))
        return {"generator_loss": loss, "class_loss": classes}, predicted_ab


def class_rarity(batches: Iterable[Batch], rebalancing: float) -> tf.Tensor:
    """The weight of each class in the loss: more for rare colors, 1 on average over the images.

    Args:
        batches: images, whose colors are counted.
        rebalancing: 0 weighs all classes alike, towards 1 as one over their frequency.

    Returns:
        float32, shape (classes,).

    Reference:
        Zhang et al., 2016, https://arxiv.org/abs/1603.08511, equation 4.
    """

    @tf.function
    def count(ab: tf.Tensor) -> tf.Tensor:
        # Every other place along both axes is enough, and takes a quarter of the time.
        ab = tf.nn.avg_pool2d(ab, OUTPUT_STRIDE, OUTPUT_STRIDE, "VALID")[:, ::2, ::2]
        return tf.reduce_sum(class_targets(ab), axis=(0, 1, 2))

    counts = tf.add_n([count(ab) for _, ab in batches])
    frequency = counts / tf.reduce_sum(counts)
    weights = 1.0 / (rebalancing * frequency + (1.0 - rebalancing) / len(frequency))
    return weights / tf.reduce_sum(weights * frequency)
