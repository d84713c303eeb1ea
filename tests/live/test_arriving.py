"""Streams that are followed: snapshots as chunks come, memory given back, the result of what came when it is ended."""

import json
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bridges import Server, train, until
from samples import Stats

import dxflow
from dxflow import Frames
from dxflow.errors import PlanError
from dxflow.live import arriving
from dxflow.live.arriving import GrowingStream, ending, is_stream, set_aside
from dxflow.live.following import Step, follow
from dxflow.live.parameters import Asked as Change
from dxflow.live.parameters import ask
from dxflow.live.receiver import Asked
from dxflow.live.stream import Stream

SHAPE = (64, 64)
BYTES = 2 * 3 * 64 * 64 * 4


class Planner:
    """Plans as the command does; an option of it can be changed."""

    def __init__(self, stream, mask=None):
        self.stream, self.mask = stream, mask

    def __call__(self, run, to, *, chunk, resume=False):
        made = Stats(img=Frames("image.data", mask=self.mask))
        return self.stream.planned(dxflow.plan(run, made, to, chunk=chunk, on_fault="mask", quiet=True))

    def changed(self, asked):
        return Planner(self.stream, self.mask)


class Seen:
    """Keeps what it is told; does something at each snapshot."""

    def __init__(self, act=lambda snapshot: None):
        self.snapshots, self.statuses, self._act = [], [], act

    def begin(self, about):
        self.about = about

    def snapshot(self, snapshot):
        self.snapshots.append(snapshot)
        self._act(snapshot)

    def status(self, status):
        self.statuses.append(status)

    def close(self):
        pass


def followed(stream, to, seen):
    """Follow a stream in this process."""
    with ending(stream, lambda text: None):
        about = {"source": stream.asked.endpoint, "algorithms": []}
        return follow(GrowingStream(stream, Planner(stream), about), to, [seen], "here")


@pytest.fixture
def server():
    with Server("PUSH") as server:
        yield server


def asked(server, folder, **options):
    usual = {"pattern": "PULL", "memory": "/dev/shm", "limit": 2**24, "chunk": 2, "wait": 20, "idle": 1}
    return Asked(**{"endpoint": server.endpoint, "folder": str(folder), **usual, **options})


def mean_of(ids):
    """Return the mean of the first module over some trains."""
    return np.mean([train(t, shape=SHAPE)[0]["SPB_DET_AGIPD500K/DET/0CH0:xtdf"]["image.data"] for t in ids])


def test_a_signal_that_comes_by_two_ways_is_one_and_a_later_one_ends_at_once(monkeypatch):
    """As Slurm sends it to each process of a job, and its script to the one that it has begun."""
    stopped, said = threading.Event(), []
    before = signal.signal(signal.SIGTERM, lambda *_: said.append("ended"))
    try:
        with ending(SimpleNamespace(stop=stopped.set), said.append):
            monkeypatch.setattr(arriving, "TWICE", 1000.0)
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
            assert stopped.wait(10)
            assert [line.split()[0] for line in said] == ["ending"]
            monkeypatch.setattr(arriving, "TWICE", 0.0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert said[1:] == ["ended"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_snapshots_come_with_chunks_and_their_memory_is_given_back(server, tmp_path):
    """As in a run, Ctrl-C makes the result of what came; a train more is sent when the snapshot before is there."""
    to, sent, used = tmp_path / "x.zarr", iter(range(10000, 10100)), []

    def more(snapshot):
        assert to.is_symlink() != snapshot.final
        if snapshot.final:
            return
        used.append(stream.report.in_use)
        if len(seen.snapshots) == 4:
            os.kill(os.getpid(), signal.SIGINT)
            until(lambda: stream.ended)
            return
        for _ in range(2):
            server.send(*train(next(sent), shape=SHAPE))

    with Stream(asked(server, tmp_path, idle=0)) as stream:
        for _ in range(3):
            server.send(*train(next(sent), shape=SHAPE))
        seen = Seen(more)
        result = followed(stream, to, seen)
        until(lambda: stream.report.in_use == 0 or stream.report.waiting)
    trains, last = [s.trains for s in seen.snapshots], seen.snapshots[-1]
    assert len(trains) >= 5
    assert trains == sorted(trains)
    assert (last.final, last.first_train, last.trains) == (True, 10000, last.last_train - 9999)
    # No chunk was done twice, though the data of the first ones are long gone.
    assert result.manifest["chunks"] == {"computed": -(-last.trains // 2), "reused": 0}
    assert set(result.losses["cause"]) == {"missing module"}
    mean = float(result.dataset["stats.mean"].sel(module=0).mean())
    assert mean == pytest.approx(mean_of(range(10000, last.last_train + 1)))
    assert max(used) <= 5 * BYTES
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zarr"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_options_are_changed_from_the_next_chunk_on(server, tmp_path):
    """Nothing of what is gone is asked for again, and the versions together have all trains."""
    to, sent = tmp_path / "x.zarr", iter(range(10000, 10100))

    def more(snapshot):
        if len(seen.snapshots) == 2:
            with pytest.raises(ValueError, match="without --again"):
                source.check(Change("stats", {}, again=True))
            ask(to.with_suffix(".live"), "stats", {"x": "1"})
        if len(seen.snapshots) < 5 and not snapshot.final:
            for _ in range(2):
                server.send(*train(next(sent), shape=SHAPE))
        elif not snapshot.final:
            stream.stop()

    with Stream(asked(server, tmp_path, idle=0)) as stream:
        for _ in range(3):
            server.send(*train(next(sent), shape=SHAPE))
        seen, source = Seen(more), GrowingStream(stream, Planner(stream), {"source": stream.asked.endpoint})
        second = follow(source, to, [seen], "here")
        kept = stream.report.account.kept
    assert {s.version for s in seen.snapshots} == {1, 2}
    first = dxflow.open(tmp_path / "x.v1.zarr").dataset
    assert first.sizes["train"] + second.dataset.sizes["train"] == kept
    assert "not kept any more" not in set(second.losses["cause"])
    assert second.dataset["stats.count"].values.max() == 3 * second.dataset.sizes["train"]


@pytest.mark.parametrize("other", [{"frames": 5}, {"modules": 3}])
def test_a_stream_that_is_another_from_some_train_on_makes_another_version(server, tmp_path, other):
    """Of other pulses, or with a module that comes late: what was done of before is not done again without data."""
    sent = [
        *(train(10000 + n, shape=SHAPE) for n in range(5)),
        *(train(10006 + n, shape=SHAPE, **other) for n in range(3)),
    ]

    def more(snapshot):
        while sent and not snapshot.final and len(sent) > max(0, 5 - 2 * len(seen.snapshots)):
            server.send(*sent.pop(0))
        if not sent and not snapshot.final:
            until(lambda: stream.report.account.came == 8)
            stream.stop()

    with Stream(asked(server, tmp_path, idle=0)) as stream:
        for _ in range(3):
            server.send(*sent.pop(0))
        seen = Seen(more)
        results = [followed(stream, tmp_path / "x.zarr", seen)]
    results.insert(0, dxflow.open(tmp_path / "x.v1.zarr"))
    first, last = (result.dataset for result in results)
    assert (first.sizes["train"], last.sizes["train"]) == (5, 3)
    assert [int(d["stats.count"].sel(module=0).max()) for d in (first, last)] == [
        15,
        3 * other.get("frames", 3),
    ]
    for result in results:
        assert "missing sequence" not in set(result.losses["cause"])
        assert not {"not kept any more", "never written"} & set(result.losses["cause"])
    assert {s.version for s in seen.snapshots} == {1, 2}


def test_a_stream_of_which_chunks_become_shorter_makes_another_version(server, tmp_path):
    """Each version is cut in one way, and nothing that is done is done again without data."""

    def more(snapshot):
        while sent and not snapshot.final:
            server.send(*sent.pop(0))

    with Stream(asked(server, tmp_path, limit=32 * BYTES, chunk=0)) as stream:
        for n in range(9):
            server.send(*train(10000 + n, shape=SHAPE))
        sent = [train(10009 + n, modules=12, shape=SHAPE) for n in range(10)]
        seen = Seen(more)
        last = followed(stream, tmp_path / "x.zarr", seen)
        assert stream.report.account.kept == sum(len(piece.train_ids) for piece in stream.pieces)
    first = dxflow.open(tmp_path / "x.v1.zarr")
    cut = [json.loads(one.dataset.attrs["live"])["chunk"] for one in (first, last)]
    assert cut == ["8 trains", "1 train"]
    assert (first.dataset.sizes["train"], int(last.dataset["train"][0])) == (8, 10008)
    for one in (first, last):
        assert not {"not kept any more", "never written"} & set(one.losses["cause"])


def test_what_came_after_the_trains_of_a_plan_is_not_taken_for_unread(server, tmp_path):
    """A module that begins to send while a plan without it is made; what that plan does not read is kept no more."""
    camera = {"SPB/CAM/1:daqOutput": {"data.image.pixels": np.ones((100, 100), np.uint16)}}
    with Stream(asked(server, tmp_path)) as stream:
        source = GrowingStream(stream, Planner(stream), {"source": "tcp://"})
        for n in range(7):
            if n == 5:
                until(lambda: len(stream.pieces) == 2)
                source.plan(Step(10000, 10001, what=1), None)
            server.send(*train(10000 + n, modules=2 if n < 2 else 3, shape=SHAPE, **camera))
        until(lambda: len(stream.pieces) == 3)
        modules = [
            sum("image/data" in name and "DET" in name for name in piece.at) for piece in stream.pieces
        ]
        assert modules == [2, 3, 3]
        assert stream._unread == {name for name in stream.pieces[0].at if "CAM" in name}


def test_the_status_says_what_is_dropped_and_what_is_waited_for(server, tmp_path):
    seen = Seen()
    with Stream(asked(server, tmp_path, limit=8 * BYTES, idle=3)) as stream:
        for n in (*range(4), *range(6, 30)):
            server.send(*train(10000 + n, shape=SHAPE))
        until(lambda: stream.report.account.came == 28)
        result = followed(stream, tmp_path / "x.zarr", seen)
    last = seen.snapshots[-1].status
    assert last.dropped == 20
    assert last.not_received == 2
    assert seen.snapshots[-1].trains == 8
    assert any("trains from tcp://" in s.waiting_for for s in seen.statuses)
    causes = result.losses.set_index("cause")["trains"].to_dict()
    assert (causes["dropped: faster than the work"], causes["not received"]) == (20, 2)
    assert "dropped: faster than the work" in result.report()


def test_a_detector_that_begins_later_is_waited_for(server, tmp_path):
    with Stream(asked(server, tmp_path)) as stream:
        for n in range(4):
            server.send(*train(10000 + n, modules=0, motor=1.0))
        begun = threading.Timer(1.0, lambda: [server.send(*train(10004 + n, shape=SHAPE)) for n in range(3)])
        begun.start()
        result = followed(stream, tmp_path / "x.zarr", Seen())
        begun.join()
    assert result.dataset["stats.count"].values.max() == 9


def test_chunks_are_as_long_as_a_detector_that_begins_later_needs(server, tmp_path):
    """Trains without it come first, also so many that a chunk of them is complete."""
    with Stream(asked(server, tmp_path, limit=16 * BYTES, chunk=0)) as stream:
        for n in range(70):
            server.send(*train(9984 + n, modules=0, motor=1.0))
        begun = threading.Timer(0.3, lambda: [server.send(*train(10054 + n, shape=SHAPE)) for n in range(11)])
        begun.start()
        result = followed(stream, tmp_path / "x.zarr", seen := Seen())
        begun.join()
    assert result.dataset["stats.count"].values.max() == 33
    assert {one.chunk for one in seen.snapshots} == {"4 trains"}
    assert {one.version for one in seen.snapshots} == {1}


def test_without_a_detector_in_all_of_it_it_is_said(server, tmp_path):
    with Stream(asked(server, tmp_path)) as stream:
        for n in range(3):
            server.send(*train(10000 + n, modules=0, motor=1.0))
        with pytest.raises(PlanError, match="detector"):
            followed(stream, tmp_path / "x.zarr", Seen())


def test_the_newest_snapshot_of_a_stream_that_was_killed_is_kept_and_the_name_is_free(server, tmp_path):
    to = tmp_path / "x.zarr"

    class KilledError(BaseException):
        pass

    def kill(snapshot):
        raise KilledError

    assert set_aside(to) is None
    for n in (1, 2):
        with Stream(asked(server, tmp_path)) as stream:
            for tid in range(10 * n, 10 * n + 3):
                server.send(*train(10000 + tid, shape=SHAPE))
            with pytest.raises(KilledError):
                followed(stream, to, Seen(kill))
        assert to.is_symlink()
        kept = set_aside(to)
        assert kept == tmp_path / f"x-{n}.zarr"
        assert dxflow.verify(kept) == []
        assert sorted(p.name for p in tmp_path.iterdir()) == [f"x-{m + 1}.zarr" for m in range(n)]
    with Stream(asked(server, tmp_path)) as stream:
        server.send(*train(10030, shape=SHAPE))
        followed(stream, to, Seen())
    assert set_aside(to) is None
    assert Path(to).is_dir()
    assert not to.is_symlink()


def test_nobody_there_is_said_as_a_plan_that_cannot_work(tmp_path):
    nobody = Asked("tcp://127.0.0.1:9", "REQ", str(tmp_path), "/dev/shm", 2**24, wait=0.3)
    with Stream(nobody) as stream, pytest.raises(PlanError, match="nobody answers"):
        followed(stream, tmp_path / "x.zarr", Seen())
    assert set_aside(tmp_path / "x.zarr") is None
    assert list(tmp_path.iterdir()) == []


def test_streams_are_told_from_runs_by_their_address():
    assert [is_stream(one) for one in ("tcp://host:1", "/tcp/host", ("1", 2), Path("tcp:/x"))] == [
        True,
        *[False] * 3,
    ]
