"""The client of a bridge: formats, what is no message, and servers that come and go."""

import pickle
import time

import msgpack
import numpy as np
import pytest
from bridges import Server, free_port, train, until
from karabo_bridge import serialize

from dxflow.live.bridge import Bridge, Broken, NoBridge, decoded, train_of


class Part:
    """A part of a message, as a frame of ZeroMQ is."""

    def __init__(self, data):
        self.buffer = memoryview(data)

    @property
    def bytes(self):
        return bytes(self.buffer)


class Planted:
    """A pickle that runs something."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def parts(data, meta, version):
    import zmq

    return [zmq.Frame(bytes(part)) for part in serialize(data, meta, version)]


@pytest.mark.parametrize("version", ["1.0", "2.2"])
def test_messages_of_both_formats_are_the_same(version):
    data, meta = train(10000, motor=2.5)
    message = decoded(parts(data, meta, version))
    assert message.data.keys() == data.keys()
    for source, values in data.items():
        for key, value in values.items():
            assert np.array_equal(message.data[source][key], value)
            assert np.asarray(message.data[source][key]).dtype == value.dtype
        assert "metadata" not in message.data[source]
    assert message.meta == meta
    assert message.nbytes > 100
    assert train_of(message, lambda source: False) == 10000


def header(**fields):
    import zmq

    return zmq.Frame(msgpack.packb({"source": "A", "content": "array", "path": "x", **fields}))


def frame(data):
    import zmq

    return zmq.Frame(data)


GOOD = [frame(msgpack.packb({"source": "A", "content": "msgpack", "metadata": {}})), frame(msgpack.packb({}))]


@pytest.mark.parametrize(
    "message",
    [
        [frame(b"")],
        [frame(b"\xc1 none")],
        [frame(msgpack.packb([1, 2]))],
        [frame(msgpack.packb({1: {}}))],
        [frame(msgpack.packb({"A": 3}))],
        GOOD[:1] * 3,
        [frame(b"x"), frame(b"y")],
        [*GOOD, header(dtype="f4", shape=[4]), frame(bytes(15))],
        [*GOOD, header(dtype="O", shape=[1]), frame(bytes(8))],
        [*GOOD, header(dtype="f4", shape=[2**40, 2**40]), frame(bytes(8))],
        [header(dtype="f4", shape=[2]), frame(bytes(8))],
        [*GOOD, frame(msgpack.packb({"source": "B", "content": "pictures"})), frame(b"")],
        [
            frame(msgpack.packb({"source": "A", "content": "msgpack", "metadata": 7})),
            frame(msgpack.packb({})),
        ],
    ],
)
def test_what_is_no_message_is_broken(message):
    with pytest.raises(Broken):
        decoded(message)


def test_objects_of_format_1_are_not_made():
    array = {b"nd": True, b"type": "|O", b"kind": b"O", b"shape": (1,), b"data": pickle.dumps(Planted())}
    message = decoded([frame(msgpack.packb({"A": {"x": array, "y": 1}}))])
    assert message.data == {"A": {"x": None, "y": 1}}


def test_the_train_is_that_of_the_detector_or_of_most():
    data, meta = train(10000, motor=1)
    meta["SPB/MOTOR/X"]["timestamp.tid"] = 9999
    message = decoded(parts(data, meta, "2.2"))
    assert train_of(message, lambda source: False) == 10000
    assert train_of(message, lambda source: "MOTOR" in source) == 9999
    for tid in (None, 0, -3, 2**48, "10000", True, 1.5):
        with pytest.raises(Broken, match=r"timestamp\.tid"):
            train_of(
                decoded(parts(data, {s: {"timestamp.tid": tid} for s in data}, "2.2")), lambda source: True
            )
    with pytest.raises(Broken, match=r"timestamp\.tid"):
        train_of(decoded(parts(data, {s: {} for s in data}, "2.2")), lambda source: True)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://no.such.host.invalid:4545", "no such host 'no.such.host.invalid'"),
        ("tcp://127.0.0.1", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:0", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:70000", "expected tcp://HOST:PORT"),
        ("ipc:///tmp/x", "expected tcp://HOST:PORT"),
        ("tcp://" + "a" * 300 + ":1", "no such host"),
    ],
)
def test_addresses_without_anybody_are_refused_at_once(endpoint, why):
    with pytest.raises(NoBridge, match=why):
        Bridge(endpoint, "REQ", 2**20)


def taken(bridge, seconds=10):
    """Return the next message, asking for it as the receiver does."""
    found = []

    def there():
        bridge.look()
        bridge.ask()
        bridge.socket.poll(20)
        found.append(bridge.take())
        return found[-1] is not None

    until(there, seconds)
    return found[-1]


def test_a_request_whose_server_died_is_made_again():
    port = free_port()
    server = Server("REP", port)
    bridge = Bridge(server.endpoint, "REQ", 2**20)
    bridge.ask()
    server.asked()
    server.close()
    time.sleep(0.1)
    with Server("REP", port) as again:

        def asked():
            bridge.look()
            bridge.ask()
            return again.socket.poll(20)

        until(asked)
        again.send(*train(10001))
        assert train_of(taken(bridge), bool) == 10001
        assert bridge.connected
        assert bridge.lost == 1
    bridge.close()


def test_messages_come_in_order_and_a_larger_array_than_agreed_ends_the_connection():
    with Server("PUSH") as server:
        bridge = Bridge(server.endpoint, "PULL", 10_000)
        for tid in (1, 2):
            server.send(*train(10000 + tid))
        assert [train_of(taken(bridge), bool) for _ in range(2)] == [10001, 10002]
        server.send(*train(10003, shape=(100, 100)))

        def refused():
            bridge.look()
            return bridge.lost

        until(refused)
        bridge.close()
