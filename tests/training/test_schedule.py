import keras
import pytest
import tensorflow as tf

from keras_colorize.training.optimizers import Adam
from keras_colorize.training.schedule import FlooredExponentialDecay, Warmup, WarmupCosine

# The original's: 3e-4 * 0.1 ** (step / 6e4), at least 1e-6, its steps counted from 1.
SCHEDULE = FlooredExponentialDecay(3e-4, 0.1, 60_000, 1e-6)


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (0, 2.999885e-4),
        (29_999, 9.486833e-5),
        (59_999, 3e-5),
        (119_999, 3e-6),
        (148_626, 1.0000106e-6),
        # The floor, from log10(300) * 6e4 = 148627.3 steps on.
        (148_627, 1e-6),
        (10**7, 1e-6),
    ],
)
def test_rate_after_so_many_steps(finished, expected):
    assert float(SCHEDULE(finished)) == pytest.approx(expected, rel=1e-6)


def test_no_floor_and_no_decay():
    assert float(FlooredExponentialDecay(1.0, 0.5, 1, 0.0)(9)) == pytest.approx(2**-10)
    assert float(FlooredExponentialDecay(2e-4, 1.0, 10, 0.0)(10**6)) == pytest.approx(2e-4)


def test_counts_the_steps_of_its_optimizer():
    optimizer = Adam(FlooredExponentialDecay(1.0, 0.1, 2, 1e-3))
    variable = keras.Variable([0.0])
    rates = []

    @tf.function
    def step():
        optimizer.apply([tf.constant([1.0])], [variable])

    for _ in range(8):
        rates.append(float(optimizer.learning_rate))
        step()
    expected = [0.1**0.5, 0.1, 0.1**1.5, 0.01, 0.1**2.5, 0.001, 0.001, 0.001]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_config():
    again = FlooredExponentialDecay.from_config(SCHEDULE.get_config())
    assert again.get_config() == SCHEDULE.get_config()
    serialized = keras.optimizers.schedules.serialize(SCHEDULE)
    assert isinstance(keras.optimizers.schedules.deserialize(serialized), FlooredExponentialDecay)


COSINE = WarmupCosine(1e-3, steps=110, warmup_steps=10, minimum=2e-5)


@pytest.mark.parametrize(
    ("finished", "expected"),
    [
        (0, 1e-4),
        (4, 5e-4),
        (9, 1e-3),
        (34, 8.5355339e-4),  # (1 + cos(pi / 4)) / 2
        (59, 5e-4),
        (99, 2.4471742e-5),
        (104, 2e-5),
        (10**6, 2e-5),
    ],
)
def test_cosine_after_so_many_steps(finished, expected):
    assert float(COSINE(finished)) == pytest.approx(expected, rel=1e-5)


def test_cosine_without_warmup_starts_at_the_top():
    assert float(WarmupCosine(1.0, 1000, 0, 0.0)(0)) == pytest.approx(1.0, abs=1e-5)


def test_config_of_a_cosine():
    serialized = keras.optimizers.schedules.serialize(COSINE)
    again = keras.optimizers.schedules.deserialize(serialized)
    assert again.get_config() == COSINE.get_config()


@pytest.mark.parametrize("after", [SCHEDULE, 3e-4])
def test_warmup_rises_to_what_comes_after(after):
    warmup = Warmup(after, 4)
    serialized = keras.optimizers.schedules.serialize(warmup)
    for schedule in (warmup, keras.optimizers.schedules.deserialize(serialized)):
        rates = [float(schedule(step)) for step in (0, 1, 3, 99)]
        assert rates == pytest.approx([0.75e-4, 1.5e-4, 3e-4, 3e-4], rel=5e-3)
