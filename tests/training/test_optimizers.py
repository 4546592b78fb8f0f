import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_colorize.training.optimizers import Adam
from keras_colorize.training.schedule import FlooredExponentialDecay


def adam_of_the_paper(start, gradients, rate, beta_1, beta_2, epsilon):
    """Algorithm 1 of Kingma and Ba, 2015, in float64; yields the parameters after each step."""
    parameters = start.astype("float64")
    first, second = np.zeros_like(parameters), np.zeros_like(parameters)
    for step, gradient in enumerate(gradients, start=1):
        first = beta_1 * first + (1 - beta_1) * gradient
        second = beta_2 * second + (1 - beta_2) * gradient**2
        corrected_first = first / (1 - beta_1**step)
        corrected_second = second / (1 - beta_2**step)
        parameters -= rate(step) * corrected_first / (np.sqrt(corrected_second) + epsilon)
        yield parameters.copy()


# The original's epsilon; the paper's example of an 8-digit one tells nothing of where it is added.
@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
@pytest.mark.parametrize("in_graph", [False, True])
def test_is_the_papers(epsilon, in_graph):
    random = np.random.default_rng(0)
    starts = [random.normal(size=shape) for shape in ((3, 4), (5,))]
    # Of all magnitudes, so that epsilon matters for some.
    gradients = [
        [random.normal(size=start.shape) * 10.0 ** random.uniform(-5, 1) for start in starts]
        for _ in range(12)
    ]
    schedule = FlooredExponentialDecay(0.1, 0.5, 4, 0.02)
    optimizer = Adam(schedule, beta_1=0.5, beta_2=0.999, epsilon=epsilon)
    variables = [keras.Variable(start, dtype="float32") for start in starts]

    def step(gradients):
        optimizer.apply(gradients, variables)

    if in_graph:
        optimizer.build(variables)
        step = tf.function(step)

    expected = [
        adam_of_the_paper(
            start,
            [of_step[index] for of_step in gradients],
            lambda number: max(0.1 * 0.5 ** (number / 4), 0.02),
            beta_1=0.5,
            beta_2=0.999,
            epsilon=epsilon,
        )
        for index, start in enumerate(starts)
    ]
    for of_step in gradients:
        step([tf.constant(gradient, tf.float32) for gradient in of_step])
        for variable, values in zip(variables, expected, strict=True):
            np.testing.assert_allclose(variable, next(values), rtol=2e-5, atol=2e-5)


def test_differs_from_keras_where_gradients_are_small():
    """Keras's epsilon of 1e-2 counts as 1e-2 / sqrt(1 - 0.999) = 0.32 in the first step."""
    moved = []
    for kind in (Adam, keras.optimizers.Adam):
        variable = keras.Variable([0.0])
        kind(1.0, epsilon=1e-2).apply([tf.constant([0.01])], [variable])
        moved.append(float(variable[0]))
    assert moved == pytest.approx([-0.01 / 0.02, -0.01 / 0.3262], rel=1e-3)


def test_state_is_where_checkpoints_find_it():
    variable = keras.Variable([1.0, 2.0])
    optimizer = Adam(0.1)
    optimizer.build([variable])
    names = [v.path for v in optimizer.variables]
    optimizer.apply([tf.constant([1.0, -2.0])], [variable])
    assert [v.path for v in optimizer.variables] == names
    values = [v.numpy() for v in optimizer.variables if v.shape == (2,)]
    np.testing.assert_allclose(values[0], [0.1, -0.2], rtol=1e-6)
    np.testing.assert_allclose(values[1], [0.001, 0.004], rtol=1e-4)
    assert int(optimizer.iterations) == 1


def test_takes_bfloat16_gradients():
    variable = keras.Variable([0.0])
    Adam(0.5).apply([tf.constant([3.0], tf.bfloat16)], [variable])
    assert float(variable[0]) == pytest.approx(-0.5, rel=1e-5)


def test_refuses_amsgrad():
    with pytest.raises(ValueError, match="Received: amsgrad=True"):
        Adam(0.1, amsgrad=True)


def test_config():
    optimizer = Adam(0.25, beta_1=0.5, epsilon=1e-8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is Adam
    assert (again.beta_1, again.epsilon, float(again.learning_rate)) == (0.5, 1e-8, 0.25)


def test_some_variables_learn_more_slowly():
    optimizer = Adam(0.1)
    variables = [keras.Variable([1.0]) for _ in range(2)]
    optimizer.build(variables)
    optimizer.scale_learning_rate(variables[1:], 0.25)
    optimizer.apply([tf.constant([3.0])] * 2, variables)
    # Adam's first step is as long as the learning rate.
    np.testing.assert_allclose([float(v[0]) for v in variables], [0.9, 0.975], atol=1e-6)


def test_weight_decay_is_decoupled_and_spares_biases():
    """Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101."""
    optimizer = Adam(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    variables = [keras.Variable([2.0], name=name) for name in ("kernel", "bias")]
    optimizer.apply([tf.constant([0.0])] * 2, variables)
    np.testing.assert_allclose([float(v[0]) for v in variables], [2 - 0.1 * 0.5 * 2, 2], atol=1e-6)
