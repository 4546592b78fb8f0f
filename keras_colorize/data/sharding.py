"""Which part of each batch goes to which replica, when several train together."""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Shard:
    """The replicas of this process, among all that divide each batch between them.

    Of a batch of n images replica `i` has images `i * n // replicas` to `(i + 1) * n // replicas`,
    so a batch keeps its size, and an epoch its images, however many replicas there are. A replica
    without an image, in a last batch that is smaller than their number, gets one that counts
    nothing: networks have no result, and batch norm no statistics, of none.

    Attributes:
        replicas: of all processes.
        first: the first of this process.
        local: how many this process has.
    """

    replicas: int
    first: int = 0
    local: int = 1

    def split(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Parts of batches, for each batch one for each replica of this process, in their order.

        Args:
            batches: of known length; an element is one or several tensors, shape (N, ...) each.

        Returns:
            A dataset of (part, share, images): the same tensors as a tuple; the part's share of
            the batch's images, 0..1; and how many images the batch has. The last two are float32
            scalars.
        """

        def parts(*columns: tf.Tensor) -> tf.data.Dataset:
            images = tf.shape(columns[0], tf.int64)[0]

            def part(replica: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor, tf.Tensor]:
                start = replica * images // self.replicas
                stop = (replica + 1) * images // self.replicas
                total = tf.cast(images, tf.float32)
                share = tf.cast(stop - start, tf.float32) / total
                # `start` is below `images`, so there is an image to take in any case.
                stop = tf.maximum(stop, start + 1)
                return tuple(column[start:stop] for column in columns), share, total

            return tf.data.Dataset.range(self.first, self.first + self.local).map(part)

        length = len(batches) * self.local
        split = batches.flat_map(parts)
        return split.apply(tf.data.experimental.assert_cardinality(length))
