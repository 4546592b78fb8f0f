"""The models that train: a generator alone, and a generator against a discriminator."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_colorize.training.losses import l1_loss, mean_delta_e_76

Batch = tuple[tf.Tensor, tf.Tensor]
"""`lightness` (N, S, S, 1) and `ab` (N, S, S, 2), normalized float32."""


class Colorizer(keras.Model):
    """Supervised training of a generator.

    Args:
        generator: `lightness` (N, S, S, 1) -> `ab` (N, S, S, 2).
        reconstruction_loss: (ab, predicted_ab) -> scalar.
        weight_average: decay of the moving average of the generator's weights, 0 for none.
        pretrained_layers: layers of the generator that `freeze` keeps as they are.
        strategy: of tf.distribute, by which the networks were built; by default none.
    """

    log_names: tuple[str, ...] = ("generator_loss", "l1_loss", "delta_e_76")
    """What `train_step` and `test_step` log: the epoch's means so far, each image weighing 1."""

    def __init__(
        self,
        generator: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor],
        *,
        weight_average: float = 0.0,
        pretrained_layers: Sequence[keras.layers.Layer] = (),
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        super().__init__(name="colorizer")
        self.strategy = strategy or tf.distribute.get_strategy()
        self.generator = generator
        self.reconstruction_loss = reconstruction_loss
        self.weight_average = weight_average
        self.pretrained_layers = [layer for layer in pretrained_layers if layer.trainable]
        self.output_generator = generator
        """What is validated and saved: the generator with averaged weights, if they are."""
        if weight_average:
            with self.strategy.scope():
                self.output_generator = keras.models.clone_model(generator)
            self.output_generator.set_weights(generator.get_weights())
        self.means = {name: keras.metrics.Mean(name) for name in self.log_names}
        self.built = True

    @property
    def networks(self) -> dict[str, tuple[keras.Model, keras.optimizers.Optimizer]]:
        """What is trained, and by which optimizer."""
        return {"generator": (self.generator, self.generator_optimizer)}

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        *,
        jit_compile: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Takes the optimizer; `jit_compile` and `steps_per_execution` are Keras's own."""
        super().compile(
            optimizer=generator_optimizer,
            jit_compile=jit_compile,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,  # Keras would, for `optimizer` alone.
        )
        self.generator_optimizer = generator_optimizer
        # Before the first step, so that a checkpoint finds the same variables at any time.
        with self.strategy.scope():
            generator_optimizer.build(self.generator.trainable_variables)

    def freeze(self, frozen: bool) -> None:
        """Keeps the pretrained layers as they are, or trains them too; for the next `fit`."""
        for layer in self.pretrained_layers:
            layer.trainable = not frozen
        self.train_function = None  # It holds the variables that it updates.

    def call(self, lightness: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Predicts ab; `predict` works as for any Keras model."""
        return self.output_generator(lightness, training=training)

    def save(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Saves the generator, as a run's models are, when a Keras callback saves its model."""
        self.output_generator.save(filepath, overwrite=overwrite, **options)

    def save_weights(self, filepath: str | Path, overwrite: bool = True, **options: Any) -> None:
        """Saves those of the generator, for callbacks too."""
        self.output_generator.save_weights(filepath, overwrite=overwrite, **options)

    def load_weights(self, filepath: str | Path, *arguments: Any, **options: Any) -> None:
        """Loads what `save_weights` saved, into the generator and its averages."""
        self.generator.load_weights(filepath, *arguments, **options)
        self.output_generator.set_weights(self.generator.get_weights())

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """One update, as Keras's `fit` calls it; logs the epoch's means so far."""
        return self._log(batch, self.update(batch))

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The same figures in inference mode, as Keras's `evaluate` calls it."""
        return self._log(batch, self.measure(batch))

    def update(self, batch: Batch, share: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Updates the generator.

        Args:
            batch: `lightness` and `ab`.
            share: of the images of the whole batch, where this is one replica's part of it.

        Returns:
            The figures of `log_names`, means over the batch's images.
        """
        lightness, ab = batch
        with tf.GradientTape() as tape:
            predicted_ab = self.generator(lightness, training=True)
            generator_loss = self.reconstruction_loss(ab, predicted_ab)
        self._apply_to_generator(tape, generator_loss, share)
        return self._figures(batch, predicted_ab, {"generator_loss": generator_loss})

    def measure(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The same figures in inference mode; changes nothing."""
        lightness, ab = batch
        predicted_ab = self.output_generator(lightness, training=False)
        generator_loss = self.reconstruction_loss(ab, predicted_ab)
        return self._figures(batch, predicted_ab, {"generator_loss": generator_loss})

    def _apply(
        self, name: str, tape: tf.GradientTape, loss: tf.Tensor, share: tf.Tensor | None
    ) -> None:
        """Updates one network by the gradients of its loss.

        Keras sums gradients over all replicas: each times its share makes those of the whole batch.
        The optimizer may scale losses, and divides gradients by the same then.
        """
        network, optimizer = self.networks[name]
        variables = network.trainable_variables
        weight = optimizer.scale_loss(tf.ones_like(loss) if share is None else share)
        optimizer.apply(tape.gradient(loss, variables, output_gradients=weight), variables)

    def _apply_to_generator(
        self, tape: tf.GradientTape, loss: tf.Tensor, share: tf.Tensor | None
    ) -> None:
        """Updates the generator, then moves the averages towards its weights.

        They move faster in the first steps, and not in a step that loss scaling leaves out.
        """
        steps_before = tf.identity(self.generator_optimizer.iterations)
        self._apply("generator", tape, loss, share)
        if not self.weight_average:
            return
        steps = tf.identity(self.generator_optimizer.iterations)
        step, taken = tf.cast(steps, tf.float32), tf.cast(steps - steps_before, tf.float32)
        rest = taken * (1.0 - tf.minimum(self.weight_average, step / (step + 10.0)))
        for average, weight in zip(
            self.output_generator.weights, self.generator.weights, strict=True
        ):
            if tf.as_dtype(weight.dtype).is_floating:
                average.assign(average + rest * (weight - average))

    def _figures(
        self, batch: Batch, predicted_ab: tf.Tensor, losses: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        _, ab = batch
        return {
            **losses,
            "l1_loss": l1_loss(ab, predicted_ab),
            "delta_e_76": mean_delta_e_76(ab, predicted_ab),
        }

    def _log(self, batch: Batch, figures: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        for name, value in figures.items():
            self.means[name].update_state(value, sample_weight=tf.shape(batch[0])[0])
        return {name: self.means[name].result() for name in self.log_names}


class AdversarialColorizer(Colorizer):
    """A generator and a discriminator trained against each other, as the original does.

    A step makes one generator pass. The generator is updated first, on
    `weight * reconstruction + (1 - weight) * adversarial`; then the discriminator, on the real
    batch and on the same fake batch, made before the generator moved.

    Args:
        generator: `lightness` -> `ab`.
        discriminator: `[lightness, ab]` -> logits (N, patches), positive for real.
        reconstruction_loss: (ab, predicted_ab) -> scalar.
        reconstruction_weight: 0..1.
        adversarial_losses: the generator's, (fake_logits) -> scalar, and the discriminator's,
            (real_logits, fake_logits, real_target) -> (real_loss, fake_loss).
        real_target: what the discriminator should say of real images; below 1: smoothed.
        weight_average: as for `Colorizer`.
        strategy: as for `Colorizer`.
    """

    log_names = (
        "generator_loss",
        "l1_loss",
        "adversarial_loss",
        "discriminator_loss",
        "discriminator_real_loss",
        "discriminator_fake_loss",
        "discriminator_accuracy",
        "discriminator_real_accuracy",
        "discriminator_fake_accuracy",
        "delta_e_76",
    )

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        reconstruction_loss: Callable[..., tf.Tensor],
        *,
        reconstruction_weight: float,
        adversarial_losses: tuple[Callable[..., tf.Tensor], Callable[..., tuple]],
        real_target: float,
        weight_average: float = 0.0,
        strategy: tf.distribute.Strategy | None = None,
    ) -> None:
        super().__init__(
            generator, reconstruction_loss, weight_average=weight_average, strategy=strategy
        )
        self.discriminator = discriminator
        self.reconstruction_weight = reconstruction_weight
        self.adversarial_generator_loss, self.adversarial_discriminator_loss = adversarial_losses
        self.real_target = real_target

    @property
    def networks(self) -> dict[str, tuple[keras.Model, keras.optimizers.Optimizer]]:
        """What is trained, and by which optimizer."""
        return {
            **super().networks,
            "discriminator": (self.discriminator, self.discriminator_optimizer),
        }

    def compile(  # type: ignore[override]  # one optimizer more
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        *,
        jit_compile: bool = False,
        steps_per_execution: int = 1,
    ) -> None:
        """Takes both optimizers; each is built on its own network's variables."""
        super().compile(
            generator_optimizer, jit_compile=jit_compile, steps_per_execution=steps_per_execution
        )
        self.discriminator_optimizer = discriminator_optimizer
        with self.strategy.scope():
            discriminator_optimizer.build(self.discriminator.trainable_variables)

    def update(self, batch: Batch, share: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Updates the generator, then the discriminator."""
        lightness, ab = batch
        with tf.GradientTape() as tape:
            predicted_ab = self.generator(lightness, training=True)
            fake_logits = self.discriminator([lightness, predicted_ab], training=True)
            losses = self._generator_losses(ab, predicted_ab, fake_logits)
        self._apply_to_generator(tape, losses["generator_loss"], share)

        fake_ab = tf.stop_gradient(predicted_ab)
        with tf.GradientTape() as tape:
            real_logits = self.discriminator([lightness, ab], training=True)
            fake_logits = self.discriminator([lightness, fake_ab], training=True)
            real_loss, fake_loss = self.adversarial_discriminator_loss(
                real_logits, fake_logits, self.real_target
            )
            discriminator_loss = real_loss + fake_loss
        self._apply("discriminator", tape, discriminator_loss, share)

        losses |= _discriminator_logs(real_logits, fake_logits, real_loss, fake_loss)
        return self._figures(batch, predicted_ab, losses)

    def measure(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The same figures in inference mode; changes nothing."""
        lightness, ab = batch
        predicted_ab = self.output_generator(lightness, training=False)
        real_logits = self.discriminator([lightness, ab], training=False)
        fake_logits = self.discriminator([lightness, predicted_ab], training=False)
        losses = self._generator_losses(ab, predicted_ab, fake_logits)
        real_loss, fake_loss = self.adversarial_discriminator_loss(
            real_logits, fake_logits, self.real_target
        )
        losses |= _discriminator_logs(real_logits, fake_logits, real_loss, fake_loss)
        return self._figures(batch, predicted_ab, losses)

    def _generator_losses(
        self, ab: tf.Tensor, predicted_ab: tf.Tensor, fake_logits: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        reconstruction = self.reconstruction_loss(ab, predicted_ab)
        adversarial = self.adversarial_generator_loss(fake_logits)
        weight = self.reconstruction_weight
        return {
            "generator_loss": weight * reconstruction + (1.0 - weight) * adversarial,
            "adversarial_loss": adversarial,
        }


def _discriminator_logs(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_loss: tf.Tensor, fake_loss: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Losses, and accuracy: real where the logit is positive; both halves weigh the same."""
    real_accuracy = tf.reduce_mean(tf.cast(real_logits > 0.0, tf.float32))
    fake_accuracy = tf.reduce_mean(tf.cast(fake_logits <= 0.0, tf.float32))
    return {
        "discriminator_loss": (real_loss + fake_loss) / 2.0,
        "discriminator_real_loss": real_loss,
        "discriminator_fake_loss": fake_loss,
        "discriminator_accuracy": (real_accuracy + fake_accuracy) / 2.0,
        "discriminator_real_accuracy": real_accuracy,
        "discriminator_fake_accuracy": fake_accuracy,
    }
