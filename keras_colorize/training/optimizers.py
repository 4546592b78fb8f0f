"""Adam exactly as PyTorch defines it, and loss scaling for float16."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_colorize")
class Adam(keras.optimizers.Adam):
    """Adam whose epsilon is added to the bias-corrected second moment, as in the paper.

    Keras adds it before the correction, which makes it 1 / sqrt(1 - beta_2 ** t) times larger in
    step t: 32 times in the first, enough to change where training goes. One fused operation
    updates each variable and both its moments in place.

    Reference:
        Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, algorithm 1.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("There is no AMSGrad here. Received: amsgrad=True")
        self._factors: dict[int, float] = {}

    def scale_learning_rate(self, variables: Sequence[keras.Variable], factor: float) -> None:
        """Multiplies the learning rate of some variables; call it after `build`."""
        for variable in variables:
            self._factors[self._get_variable_index(variable)] = factor

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable and its moments."""
        step = tf.cast(self.iterations + 1, tf.float32)
        beta_2_power = tf.pow(self.beta_2, step)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=beta_2_power,
            lr=tf.cast(learning_rate, tf.float32) * self._factors.get(index, 1.0),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon * tf.sqrt(1.0 - beta_2_power),
            grad=tf.cast(gradient, tf.float32),
        )


@keras.saving.register_keras_serializable("keras_colorize")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, with one decision for all replicas.

    A step whose gradients are not finite is left out, and the next loss is scaled by half as much;
    after 2,000 steps in a row that were taken it is scaled by twice as much. Keras looks at the
    gradients of one replica, since it expects sums over all; here the inner optimizer adds them up.

    Reference:
        Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740.
    """

    def check_finite(self, grads: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """Whether the gradients of all replicas are finite; bool scalar."""
        others = tf.cast(tf.logical_not(super().check_finite(grads)), tf.float32)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, others) == 0.0
