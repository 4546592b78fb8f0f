import json
import socket
import threading
import time

import pytest

from keras_colorize.errors import ColorizeError
from keras_colorize.recipe import RecipeError, load_recipe
from keras_colorize.training.cluster import Cluster, find_cluster, wait_for_others

WORKERS = ["a:2222", "b:2222"]


@pytest.fixture
def tf_config(monkeypatch):
    """Sets TF_CONFIG, as an object or as text."""

    def set_it(value):
        monkeypatch.setenv("TF_CONFIG", value if isinstance(value, str) else json.dumps(value))

    monkeypatch.delenv("TF_CONFIG", raising=False)
    return set_it


def config(cluster, job, index):
    return {"cluster": cluster, "task": {"type": job, "index": index}}


def test_without_tf_config_a_process_trains_alone(tf_config):
    assert find_cluster(None) is None
    with pytest.raises(ColorizeError, match="needs TF_CONFIG, which is not set"):
        find_cluster("multi_worker")


@pytest.mark.parametrize("strategy", [None, "multi_worker"])
def test_workers(tf_config, strategy):
    tf_config(config({"worker": WORKERS}, "worker", 1))
    cluster = find_cluster(strategy)
    assert cluster == Cluster(("a:2222", "b:2222"), 1)
    assert not cluster.is_chief


def test_a_chief_comes_first(tf_config):
    jobs = {"worker": WORKERS, "chief": ["c:2222"]}
    tf_config(config(jobs, "chief", 0))
    assert find_cluster(None) == Cluster(("c:2222", "a:2222", "b:2222"), 0)
    tf_config(config(jobs, "worker", "0"))  # Some schedulers write numbers as text.
    assert find_cluster(None) == Cluster(("c:2222", "a:2222", "b:2222"), 1)


@pytest.mark.parametrize("strategy", ["none", "mirrored"])
def test_other_strategies_do_not_read_it(tf_config, strategy):
    tf_config("{")
    assert find_cluster(strategy) is None


def test_a_single_worker_trains_alone_unless_it_is_asked_for(tf_config):
    tf_config(config({"worker": ["a:2222"]}, "worker", 0))
    assert find_cluster(None) is None
    assert find_cluster("multi_worker") == Cluster(("a:2222",), 0)


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        "{}",
        {"cluster": {"worker": WORKERS}},
        config({"worker": WORKERS}, "worker", 2),
        config({"worker": WORKERS}, "worker", -1),
        config({"worker": WORKERS}, "ps", 0),
        config({"worker": "a:2222"}, "worker", 0),
        config({"worker": [1, 2]}, "worker", 0),
        config({"worker": ["a", "b"]}, "worker", 0),
        config({"worker": ["a:2222", "b:http"]}, "worker", 0),
        config({"worker": ["a:2222", "b:0"]}, "worker", 0),
        config({"worker": ["a:2222", "b:65536"]}, "worker", 0),
        config({"worker": WORKERS}, "worker", None),
        config({"worker": ["a:2222", "a:2222"]}, "worker", 0),
    ],
)
def test_mistakes_are_one_line(tf_config, wrong):
    tf_config(wrong)
    with pytest.raises(ColorizeError, match=r"^TF_CONFIG: .*\(got .*\)$"):
        find_cluster(None)


def test_steps_that_xla_compiles_cannot_be_divided():
    overrides = ["training.jit_compile=true", "training.strategy=mirrored"]
    with pytest.raises(RecipeError, match=r'jit_compile: is for strategy = "none", not "mirrored"'):
        load_recipe("quickstart", overrides)


@pytest.fixture
def addresses():
    """Of two workers on this machine; nothing listens there yet."""
    with socket.create_server(("localhost", 0)) as one, socket.create_server(("", 0)) as other:
        return tuple(f"localhost:{server.getsockname()[1]}" for server in (one, other))


def listen(address):
    return socket.create_server(("localhost", int(address.rpartition(":")[2])))


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_waits_for_the_others(addresses, index):
    said = []
    cluster = Cluster(addresses, index)
    waiting = threading.Thread(target=wait_for_others, args=(cluster, said.append))
    waiting.start()
    while not said:
        time.sleep(0.01)
    assert said == [f"worker {index} of 2: waits for {addresses[1 - index]}"]
    assert waiting.is_alive()
    with listen(addresses[1 - index]):
        waiting.join(timeout=60)
    assert not waiting.is_alive()
    listen(addresses[index]).close()  # TensorFlow listens there next.


def test_workers_find_each_other(addresses):
    """The chief goes first: TensorFlow then opens its port, which the other waits for."""
    other = threading.Thread(target=wait_for_others, args=(Cluster(addresses, 1), str))
    other.start()
    wait_for_others(Cluster(addresses, 0), str)
    with listen(addresses[0]):
        other.join(timeout=60)
    assert not other.is_alive()


def test_a_worker_that_was_reached_is_not_asked_again(addresses, monkeypatch):
    """No process accepts connections, and a system keeps a limited number of them."""
    monkeypatch.setattr("keras_colorize.training.cluster._POLL_SECONDS", 0.01)
    late, ready = addresses
    said = []
    with listen(ready) as server:
        cluster = Cluster(("localhost:1", ready, late), 0)
        chief = threading.Thread(target=wait_for_others, args=(cluster, said.append))
        chief.start()
        time.sleep(0.5)
        with listen(late):
            chief.join(timeout=60)
        server.settimeout(0.5)
        server.accept()[0].close()
        with pytest.raises(TimeoutError):
            server.accept()
    assert not chief.is_alive()
    assert said == [f"worker 0 of 3: waits for {late}"]


def test_a_port_in_use(addresses):
    with listen(addresses[1]), pytest.raises(ColorizeError) as raised:
        wait_for_others(Cluster(addresses, 1), str)
    message = f"TF_CONFIG: cannot listen at {addresses[1]} (Address already in use)"
    assert str(raised.value) == message
