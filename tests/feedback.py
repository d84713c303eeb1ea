"""Fixtures for feedback: a Redis server, results that stand for snapshots, and a live run that shows them."""

import time
from itertools import count
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest
import redisd
from extra_data import RunDirectory

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.live import publish
from dxflow.live.address import Address
from dxflow.live.observers import Snapshot, Status
from dxflow.live.publish import Publisher

STEPS = (4, 8, 12)
"""Trains of snapshots."""
NUMBERS = count(1)
"""Of snapshots: no two runs of a name have the same ones."""


class Bright(Algorithm):
    """The brightest pixels of module 0: no two frames have as many events."""

    ALG_ID = "bright"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"pixels": Output(per="event", dtype="f4", shape=(2,), unit="px")}

    def process_module_data(self, block, out):
        for frame, image in enumerate(block["img"]):
            at = np.argwhere(image >= np.nanquantile(image, 0.99))
            if block.module_number == 0:
                out.pixels.append(at, frames=np.full(len(at), frame))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server that all tests use, each with names of its own."""
    with redisd.running(tmp_path_factory.mktemp("redis")) as one:
        yield one


@pytest.fixture
def own_server(tmp_path):
    """A server that a test may stop and change."""
    with redisd.running(tmp_path) as one:
        yield one


@pytest.fixture(scope="session")
def results(half, tmp_path_factory):
    """The reductions of the first 4, 8 and 12 trains of a run, and one of all with another threshold."""
    folder, run = tmp_path_factory.mktemp("snapshots"), RunDirectory(half.path)

    def reduce(trains, name, **options):
        some = run.select_trains(slice(trains))
        to = folder / f"{name}.zarr"
        return dxflow.reduce(
            some, [LitFrames(**options), Average(), Bright()], to, cluster="here", quiet=True
        )

    return [*(reduce(trains, trains) for trains in STEPS), reduce(12, "other", threshold=0.1)]


@pytest.fixture
def _at_once(monkeypatch):
    """Nothing waits."""
    monkeypatch.setattr(publish, "PAUSES", (0.05,))
    monkeypatch.setattr(publish, "SHARE", 0)
    monkeypatch.setattr(publish, "END", 1.0)


@pytest.fixture
def live(_at_once, results):
    """Return a function that begins to publish at an address; what is begun is closed in the end."""
    begun = []

    def begin(url, **about):
        begun.append(Live(url, results, about))
        return begun[-1]

    yield begin
    for one in begun:
        one.publisher.close()


class Live:
    """Stands for a live run: gives a publisher snapshots when it is told to."""

    def __init__(self, url, results, about):
        self.address = Address.of(url)
        self.publisher, self._results = Publisher(self.address), results
        self.publisher.begin(about)

    def show(self, result, **facts):
        """Have a result published; a number is one of `results`."""
        number = next(NUMBERS)
        result = self._results[result] if isinstance(result, int) else result
        ids = result.dataset["train"].values
        told = {"version": 1, "trains": len(ids), "final": False, "status": Status(), **facts}
        snapshot = Snapshot(
            number=number, path=result.path, first_train=ids[0], last_train=ids[-1], chunk="4 trains", **told
        )
        self.publisher.snapshot(snapshot)
        return number

    def shown(self, result, **facts):
        """Have a result published, and wait until it is."""
        number = self.show(result, **facts)
        self.wait(lambda: opened(self.address).snapshot["number"] == number)

    def wait(self, condition):
        until(condition, lambda: f"trouble: {self.publisher.trouble}")


def until(condition, why=lambda: "", seconds=60):
    """Wait until something holds; where it raises, it does not."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            last = "it is not so"
        except (OSError, ValueError) as e:
            last = e
        assert time.monotonic() < end, f"{last}; {why()}"
        time.sleep(0.02)


def opened(address):
    """Return what is published at an address."""
    return dxflow.open(f"{address.server}?name={quote(address.name)}")


@pytest.fixture
def tools():
    """What tests of feedback use."""
    return SimpleNamespace(until=until, opened=opened, Status=Status)
