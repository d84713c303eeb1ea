"""Bridges that tests start: EXtra-data's own server of a run, and servers that misbehave."""

import socket
import threading
import time
from contextlib import contextmanager

import extra_data
import numpy as np
import zmq
from extra_data.export import serve_data
from karabo_bridge import serialize


def free_port():
    """Return a port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def served(path, sources="*", keys="*", **options):
    """Serve a run as EXtra-data does; yield the address."""
    data = extra_data.RunDirectory(path).select(sources, keys)
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    threading.Thread(target=serve_data, args=(data, endpoint), kwargs=options, daemon=True).start()
    yield endpoint


class Server:
    """A bridge that sends what a test says, when it says it."""

    def __init__(self, kind, port=0, version="2.2", hwm=None):
        self.context, self.version = zmq.Context(), version
        self.socket = self.context.socket(getattr(zmq, kind))
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.set_hwm(hwm or (10_000 if kind == "PUB" else 2))
        self.socket.bind(f"tcp://127.0.0.1:{port or free_port()}")
        self.endpoint = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.kind = kind

    def send(self, data, meta=None, seconds=10):
        """Send a train; a REP waits until it is asked."""
        self.parts(serialize(data, meta, self.version), seconds)

    def parts(self, parts, seconds=10):
        """Send a message as it is."""
        if self.kind == "REP":
            self.asked(seconds)
        assert self.socket.poll(seconds * 1000, zmq.POLLOUT)
        self.socket.send_multipart(parts)

    def asked(self, seconds=10):
        """Wait until somebody asks."""
        assert self.socket.poll(seconds * 1000), "nobody asks"
        assert self.socket.recv() == b"next"

    def close(self):
        self.context.destroy(0)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


DET = "SPB_DET_AGIPD500K/DET/{}CH0:xtdf"
MOTOR = "SPB/MOTOR/X"


def train(tid, modules=2, frames=3, shape=(4, 4), motor=None, **more):
    """Return data and metadata of a train: of some modules, and of a motor."""
    data = {
        DET.format(m): {
            "image.data": np.full((frames, *shape), 100 * (tid % 1000) + m, np.float32)
            + np.arange(frames, dtype=np.float32)[:, None, None],
            "image.pulseId": np.arange(frames, dtype=np.uint64) * 4,
            "image.cellId": np.arange(frames, dtype=np.uint16),
            "image.trainId": np.full(frames, tid, np.uint64),
        }
        for m in range(modules)
    }
    if motor is not None:
        data[MOTOR] = {"actualPosition.value": np.float64(motor)}
    data |= more
    return data, {source: {"source": source, "timestamp.tid": tid} for source in data}


def until(true, seconds=20):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)
