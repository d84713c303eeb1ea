"""Streams reduced: what EXtra-data's server sends makes the bits that the files make, and nothing is left behind."""

import os
import pickle
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bridges import DET, Server, free_port, served, train, until
from runs import make_run
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import Frames
from dxflow.driver.execute import execute
from dxflow.live.receiver import Asked
from dxflow.live.receiving import PREFIX
from dxflow.live.stream import Stream, StreamFailed, memory_for

CORR = "*/CORR/*"


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A run whose modules have so many bytes that they do not go into files."""
    folder = tmp_path_factory.mktemp("big") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=10, pulses=6, module_shape=(64, 32))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Raw data of all 16 modules: data and gain."""
    folder = tmp_path_factory.mktemp("raw") / "r0001"
    return make_run(folder, trains=4, pulses=6, module_shape=(32, 32), data="raw")


def asked(endpoint, folder, **options):
    """Return what is received in tests."""
    usual = {"pattern": "REQ", "limit": 2**28, "chunk": 4, "wait": 20, "idle": 0}
    return Asked(**{"endpoint": endpoint, "folder": str(folder), "memory": "/dev/shm", **usual, **options})


def received(stream, trains):
    """Wait until so many trains have come, and end the stream."""
    until(lambda: stream.wait(len(stream.pieces), 0.05) or stream.report.account.came == trains, 60)
    until(lambda: stream.report.account.came == trains, 60)
    stream.stop()
    until(lambda: stream.wait(len(stream.pieces), 0.05) and stream.ended, 60)


def same(stream, files, but=("time",)):
    """Check that two results have the same bits."""
    assert set(files.dataset.variables) - {*but} == set(stream.dataset.variables) - {*but}
    for name, variable in files.dataset.variables.items():
        if name not in but:
            assert variable.values.tobytes() == stream.dataset.variables[name].values.tobytes(), name
    assert stream.manifest["losses"] == files.manifest["losses"]


def compared(stream, path, algorithms, **options):
    """Reduce what was received, and the files that were sent; check that it is the same; return the former."""
    options = {"chunk": "4 trains", "on_fault": "mask", "quiet": True, **options}
    made = stream.planned(dxflow.plan(stream.folder, [make() for make in algorithms], **options))
    result = execute(made, "here", quiet=True)
    same(result, dxflow.reduce(path, [make() for make in algorithms], cluster="here", **options))
    return result


def test_a_run_that_is_served_makes_the_same_bits_as_its_files(big, tmp_path):
    """By blocks of modules and by trains, with masks; also of a region, and of some frames.

    What is freed in the end is no data any more, and the others are used.
    """
    with served(big.path, CORR, sock="REP") as endpoint, Stream(asked(endpoint, tmp_path)) as stream:
        received(stream, 10)
        account = stream.report.account
        assert (account.sent, account.kept, account.came) == (10, 10, 10)
        result = compared(stream, big.path, [Stats, RoiSum, TrainSums])
        assert len(stream.given().paths) == len(stream.pieces) == 3
        assert all(Path(path).stat().st_size > 10**5 for path in stream.given().paths)
        assert result.dataset["stats.count"].values.max() == 60
        compared(stream, big.path, [Stats], roi=np.s_[10:50, 4:20], modules=[1, 5])
        compared(stream, big.path, [Stats, TrainSums], frames=np.arange(60) % 3 != 1)
        first, before = stream.pieces[0], stream.report.in_use
        stream.free(first)
        until(lambda: not Path(first.parcel).exists())
        made = dxflow.plan(stream.folder, Stats(), chunk="4 trains", on_fault="mask", quiet=True)
        result = execute(stream.planned(made), "here", quiet=True)
        lost = result.losses.groupby("cause")["frames"].sum()
        assert lost["not kept any more"] == len(first.train_ids) * 6 * 8
        assert result.dataset["stats.count"].values.max() == (10 - len(first.train_ids)) * 6
        unread = execute(replace(stream.planned(made), given=None), "here", quiet=True)
        assert set(unread.losses["cause"]) == {"never written"}
        assert before > 10**6
    assert not Path(stream.given().paths[0]).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*legacy name")
def test_trains_that_are_pushed_make_the_same_bits_also_where_they_come_twice_by_old_names(big, tmp_path):
    """EXtra-data sends corrected modules by two names: they are kept once."""
    with (
        served(big.path, "*DET*", sock="PUSH") as endpoint,
        Stream(asked(endpoint, tmp_path, pattern="PULL")) as stream,
    ):
        received(stream, 10)
        assert not any("/DET/" in name for piece in stream.pieces for name in piece.at)
        compared(stream, big.path, [Stats])


def test_stacked_raw_modules_make_the_same_bits_as_files_also_in_another_process(raw, tmp_path):
    with (
        served(raw.path, append_detector_modules=True) as endpoint,
        Stream(asked(endpoint, tmp_path)) as stream,
    ):
        received(stream, 4)
        assert "(frame, plane, module, ss, fs) = (6, 2, 16, 32, 32)" in "".join(stream.report.orders)
        options = {"chunk": "4 trains", "on_fault": "mask", "quiet": True}
        for plane in ("data", "gain"):
            made = Stats(img=Frames("image.data", plane=plane, mask=None))
            planned = stream.planned(dxflow.plan(stream.folder, made, **options))
            assert "axes of the stream (frame, plane, module, ss, fs) = (6, 2, 16, 32, 32)" in str(planned)
            # As workers get it.
            planned = replace(planned, given=pickle.loads(pickle.dumps(planned.given)))
            same(
                execute(planned, "here", quiet=True), dxflow.reduce(raw.path, made, cluster="here", **options)
            )


def test_too_fast_a_stream_is_dropped_in_whole_trains_and_counted(tmp_path):
    """Memory is what was allowed; the sum is exact; gaps and repetitions are told."""
    nbytes = 2 * 3 * 64 * 64 * 4
    options = {"pattern": "SUB", "limit": 9 * nbytes, "chunk": 0}
    with Server("PUB") as server, Stream(asked(server.endpoint, tmp_path, **options)) as stream:

        def joined():
            server.send(*train(10000, shape=(64, 64)))
            return stream.wait(0, 0.05) or stream.report.account.came

        until(joined)
        assert stream.report.chunk == 2
        for tid in (t for t in range(10001, 10100) if t % 10 not in (3, 4)):
            server.send(*train(tid, shape=(64, 64)))
        until(lambda: stream.report.account.ids.last == 10099)
        assert stream.report.in_use == 9 * nbytes
        assert sum(f.stat().st_size for f in Path(stream.given().paths[0]).parent.glob("*")) <= 9 * nbytes
        account = stream.report.account
        assert (account.sent, account.not_received, account.kept) == (100, 20, 9)
        assert account.trains_dropped == 71
        # With room again it goes on.
        for piece in stream.pieces[:4]:
            stream.free(piece)
        until(lambda: stream.report.in_use <= 5 * nbytes)
        server.send(*train(10100, shape=(64, 64)))
        received(stream, 81)
        account = stream.report.account
        assert account.kept + account.trains_dropped + account.not_received == account.sent == 101
        made = dxflow.plan(
            stream.folder, Stats(img=Frames("image.data", mask=None)), chunk="1 trains", on_fault="mask"
        )
        result = execute(stream.planned(made), "here", quiet=True)
        trains = {row["cause"]: row["trains"] for row in result.manifest["losses"]}
        assert len(result.dataset["train"]) == account.kept
        assert trains["not received"] == 20
        assert trains["dropped: faster than the work"] == account.trains_dropped


def test_trains_late_twice_without_detector_and_of_another_shape(tmp_path):
    with (
        Server("PUSH") as server,
        Stream(asked(server.endpoint, tmp_path, pattern="PULL", chunk=4)) as stream,
    ):
        server.send(*train(10001, motor=1.0))
        server.send(*train(10000, motor=1.0))
        server.send(*train(10000, motor=1.0))
        server.send(*train(10002, modules=0, motor=2.0))
        server.send(*train(10004, motor=3.0))
        server.send(*train(10003, motor=3.0))
        server.send(*train(10005, shape=(5, 4), motor=3.0))
        server.send(*train(10006, modules=1, motor=3.0))
        server.send(train(10007)[0], {source: {} for source in train(10007)[0]})
        server.send(*train(10**12))
        server.parts([b"none"])
        server.send(*train(10008, modules=3, motor=4.0))
        received(stream, 8)
        report = stream.report
        account = report.account
        assert (account.sent, account.kept, account.repeated, account.broken) == (9, 7, 1, 3)
        assert (account.trains_dropped, account.not_received) == (1, 1)
        unlike = {place: (one.trains, one.first, one.last) for place, one in report.unlike.items()}
        assert unlike == {f"{DET.format(m)}/image": (1, 10005, 10005) for m in (0, 1)}
        made = dxflow.plan(
            stream.folder, Stats(img=Frames("image.data", mask=None)), chunk="4 trains", on_fault="mask"
        )
        result = execute(stream.planned(made), "here", quiet=True)
        dataset = result.dataset
        (lost,) = [words for words in result.report().splitlines() if "another form" in words]
        assert (
            "modules 0-1 (SPB_DET_AGIPD500K), train 10005: another form: image.data is float32 (5, 4)" in lost
        )
        assert dataset["train"].values.tolist() == [10000, 10001, 10002, 10004, 10005, 10006, 10008]
        assert [int(dataset["stats.count"].sel(module=m).max()) for m in (0, 1, 2)] == [15, 12, 3]


def test_nobody_is_said_within_the_time_that_was_given(tmp_path):
    with Server("REP") as server, ExitStack() as stack:
        said = {
            f"tcp://127.0.0.1:{free_port()}": "nobody answers",
            server.endpoint: r"there is a server, but no train came.*--socket SUB",
            "tcp://no.such.host.invalid:1": "no such host",
        }
        streams = [stack.enter_context(Stream(asked(one, tmp_path, wait=0.5))) for one in said]
        for stream, why in zip(streams, said.values(), strict=True):
            with pytest.raises(StreamFailed, match=why):
                stream.wait(0, 20)


def test_chunks_that_do_not_fit_into_memory_are_refused(tmp_path):
    with (
        Server("PUSH") as server,
        Stream(asked(server.endpoint, tmp_path, pattern="PULL", chunk=64, limit=2**20)) as stream,
    ):
        server.send(*train(10000, shape=(64, 64)))
        with pytest.raises(StreamFailed, match="two of them do not fit"):
            stream.wait(0, 20)


def test_a_server_that_comes_back_is_listened_to_again(tmp_path):
    port = free_port()
    with Stream(asked(f"tcp://127.0.0.1:{port}", tmp_path, idle=0)) as stream:
        for first in (10000, 10004):
            with Server("REP", port) as server:
                for tid in range(first, first + 3):
                    server.send(*train(tid))
                server.asked()
                until(
                    lambda first=first: (
                        stream.report.account.came and stream.report.account.ids.last == first + 2
                    )
                )
            until(lambda: not stream.report.connected)
            assert "there is no connection" in stream.report.waiting
        stream.stop()
        received(stream, 6)
        assert (stream.report.account.kept, stream.report.account.not_received) == (6, 1)


PARENT = """
import sys, time
from dxflow.live.stream import Stream
from dxflow.live.receiver import Asked
with Stream(Asked({endpoint!r}, "PULL", {folder!r}, "/dev/shm", 2**28, chunk=1, wait=60)) as stream:
    stream.wait(0, 30)
    print(stream.pieces[0].parcel, stream._process.pid, flush=True)
    time.sleep(60)
"""


def test_a_process_that_is_killed_leaves_nothing_in_memory(tmp_path):
    with Server("PUSH") as server:
        program = PARENT.format(endpoint=server.endpoint, folder=str(tmp_path))
        parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        for tid in (10000, 10001):
            server.send(*train(tid, shape=(64, 64)), seconds=30)
        parcel, pid = parent.stdout.readline().split()
        assert Path(parcel).stat().st_size > 10**4
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        until(lambda: not Path(parcel).parent.exists())
        until(lambda: not os.path.exists(f"/proc/{pid}"))
        assert list(tmp_path.iterdir()) == []
    # What both left when both were killed is removed by the next that begins.
    left = Path("/dev/shm", f"{PREFIX}{os.getuid()}-test{os.getpid()}")
    left.mkdir()
    (left / "lock").touch()
    (left / "00000.parcel").write_bytes(b"x" * 1000)
    with (
        Server("PUSH") as server,
        Stream(asked(server.endpoint, tmp_path, pattern="PULL", chunk=1)) as stream,
    ):
        server.send(*train(10000, shape=(64, 64)))
        server.send(*train(10001, shape=(64, 64)))
        stream.wait(0, 20)
        assert not left.exists()


def test_parcels_are_in_memory_if_there_is_room():
    assert memory_for(1000, "beside") == "/dev/shm"
    assert memory_for(2**60, "beside") == "beside"
