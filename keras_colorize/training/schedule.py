"""The learning rate of each step."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_colorize")
@dataclass(eq=False)
class FlooredExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """`base * decay_rate ** (step / decay_steps)`, never below a floor; steps count from 1.

    Args:
        base: learning rate before the first step.
        decay_rate: factor after each `decay_steps` steps.
        decay_steps: steps in which the rate falls by `decay_rate`.
        minimum: the floor.
    """

    base: float
    decay_rate: float
    decay_steps: int
    minimum: float

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of the update that follows `step` finished ones; float32 scalar."""
        exponent = (tf.cast(step, tf.float32) + 1.0) / self.decay_steps
        return tf.maximum(self.base * tf.pow(self.decay_rate, exponent), self.minimum)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return asdict(self)


@keras.saving.register_keras_serializable("keras_colorize")
@dataclass(eq=False)
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A rise along a line, then a fall along half a cosine to a floor; steps count from 1.

    Args:
        base: the highest learning rate.
        steps: steps of the whole training.
        warmup_steps: steps of the rise.
        minimum: the floor.

    Reference:
        Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983.
    """

    base: float
    steps: int
    warmup_steps: int
    minimum: float

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of the update that follows `step` finished ones; float32 scalar."""
        step = tf.cast(step, tf.float32) + 1.0
        rise = step / max(self.warmup_steps, 1)
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        fall = (1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0))) / 2.0
        return tf.maximum(self.base * tf.minimum(rise, fall), self.minimum)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return asdict(self)


@keras.saving.register_keras_serializable("keras_colorize")
@dataclass(eq=False)
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule, or a constant rate, after a rise along a line; steps count from 1.

    Args:
        after: a schedule, or a learning rate.
        warmup_steps: steps of the rise, 1 or more.
    """

    after: keras.optimizers.schedules.LearningRateSchedule | float
    warmup_steps: int

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        """The rate of the update that follows `step` finished ones; float32 scalar."""
        rate = self.after(step) if callable(self.after) else self.after
        return rate * tf.minimum((tf.cast(step, tf.float32) + 1.0) / self.warmup_steps, 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        after = self.after
        if callable(after):
            after = keras.optimizers.schedules.serialize(after)
        return {"after": after, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warmup":
        """The schedule that `get_config` describes."""
        after = config["after"]
        if isinstance(after, dict):
            after = keras.optimizers.schedules.deserialize(after)
        return cls(after, config["warmup_steps"])
