"""The command ``dxflow live tcp://HOST:PORT``, as it is typed."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from bridges import Server, free_port, train

from dxflow.commands import streaming
from dxflow.commands.main import main
from dxflow.live.account import Unlike


def sent(server, ids, **options):
    """Send trains in the background."""

    def send():
        for tid in ids:
            server.send(*train(tid, shape=(64, 64), **options), seconds=60)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def line(endpoint, to, *words):
    options = ["--cluster", "here", "--chunk", "2 trains", "--end", "1", "--mask", "none"]
    return ["live", endpoint, *options, *words, "average", "--to", str(to)]


def test_a_stream_is_reduced_until_it_ends_and_what_came_is_said(tmp_path, capsys):
    to = tmp_path / "x.zarr"
    with Server("REP") as server:
        thread = sent(server, (10000, 10001, 10003), **{"../X": {"a": 1}})
        assert main(line(server.endpoint, to)) == 0
        thread.join()
    assert xr.open_zarr(to)["average.count"].max() == 9
    assert xr.open_zarr(to).attrs["run"] == server.endpoint
    said = capsys.readouterr().out
    assert f"live     {server.endpoint} -> {to}" in said
    assert "result   3 trains, 10000 to 10003" in said
    assert "stream   4 trains sent, 3 used, 1 not received" in said
    # They are those of files.
    assert "axes" not in said
    assert "left out ../X: '../X' is no name of a source or key" in said
    assert "not received" in said.partition("lost")[2]
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]
    with Server("REP") as server:
        assert main(line(server.endpoint, to)) == 2
    assert "exists: choose another name" in capsys.readouterr().err


def test_a_source_of_another_name_and_order_is_said_to_be_one(tmp_path, capsys):
    data, _ = train(10000, modules=8, shape=(4, 6))
    image = {
        "image.data": data["SPB_DET_AGIPD500K/DET/0CH0:xtdf"]["image.data"].repeat(8, 0).reshape(3, 8, 4, 6)
    }
    image["image.cellId"] = data["SPB_DET_AGIPD500K/DET/0CH0:xtdf"]["image.cellId"]
    sources = {"MY/PIPE": {**image, "image.data": image["image.data"].transpose(1, 2, 3, 0)}}
    words = ["--source", "MY/PIPE", "SPB_DET_AGIPD500K/CAL/APPEND_CORRECTED", "--socket", "PULL"]
    words += ["--axes", "SPB_DET_AGIPD500K/CAL/APPEND_CORRECTED", "module,ss,fs,frame"]
    with Server("PUSH") as server:
        thread = threading.Thread(
            target=server.send, args=(sources, {"MY/PIPE": {"timestamp.tid": 10000}}, 60)
        )
        thread.start()
        assert main(line(server.endpoint, tmp_path / "x.zarr", *words)) == 0
        thread.join()
    mean = xr.open_zarr(tmp_path / "x.zarr")["average.mean"]
    assert mean.shape == (8, 4, 6)
    assert mean.values == pytest.approx(image["image.data"].mean(axis=0))
    said = capsys.readouterr().out
    assert "axes of the stream (module, ss, fs, frame) = (8, 4, 6, 3)" in said
    words = "SPB_DET_AGIPD500K/CAL/APPEND_CORRECTED, image.data: (module, ss, fs, frame) = (8, 4, 6, 3)"
    assert f"axes     {words}" in said


def test_the_order_of_axes_may_be_said_of_the_name_that_is_sent_and_what_never_came_is_said(tmp_path, capsys):
    """Of square modules the first order that fits would be taken, and be wrong."""
    image = np.arange(3 * 8 * 4 * 4, dtype=np.float32).reshape(3, 8, 4, 4)
    values = {"image.data": image.transpose(1, 2, 3, 0), "image.cellId": np.arange(3, dtype=np.uint16)}
    words = ["--source", "MY/PIPE", "SPB_DET_AGIPD500K/CAL/APPEND_CORRECTED", "--socket", "PULL"]
    words += [
        "--axes",
        "MY/PIPE",
        "module,ss,fs,frame",
        "--source",
        "NOT/THERE",
        "SPB/X/Y",
        "--axes",
        "NOR/IS",
        "ss,fs",
    ]
    sources = {"MY/PIPE": values, "SPB/M\x1b[31m": {"x": 1}}
    with Server("PUSH") as server:
        thread = threading.Thread(
            target=server.send, args=(sources, {name: {"timestamp.tid": 10000} for name in sources}, 60)
        )
        thread.start()
        assert main(line(server.endpoint, tmp_path / "x.zarr", *words)) == 0
        thread.join()
    assert xr.open_zarr(tmp_path / "x.zarr")["average.mean"].values == pytest.approx(image.mean(axis=0))
    said = capsys.readouterr().out
    assert "unused   NOR/IS: no source of this name came (--source, --axes)" in said
    assert "unused   NOT/THERE: no source" in said
    assert "unused   MY" not in said
    # What is sent writes nothing else on a terminal.
    assert "left out SPB/M\\x1b[31m" in said
    assert "\x1b" not in said


def test_why_nothing_can_be_made_of_a_stream_is_said(tmp_path, capsys):
    image = {"image.data": np.ones((3, 7, 4, 4), np.float32), "image.cellId": np.arange(3, dtype=np.uint16)}
    source = "SPB_DET_AGIPD500K/CAL/APPEND_CORRECTED"
    with Server("PUSH") as server:
        thread = threading.Thread(
            target=server.send, args=({source: image}, {source: {"timestamp.tid": 10000}}, 60)
        )
        thread.start()
        assert main(line(server.endpoint, tmp_path / "x.zarr", "--socket", "PULL", "--wait", "2")) == 2
        thread.join()
    said = capsys.readouterr().out
    assert f"left out {source} image.data: shape (3, 7, 4, 4) fits no order of axes that is known" in said


def test_sources_that_change_are_said_once_for_all_modules():
    report = SimpleNamespace(refused={}, unused=(), unlike={})
    report.unlike = {f"DET/{n}": Unlike(2, 1, 5, "it is other") for n in range(16)} | {
        "X": Unlike(1, 2, 2, "too")
    }
    assert streaming.left_out(report) == [
        "left out DET/0 and 15 more in 2 trains: it is other",
        "left out X in 1 trains: too",
    ]


WRONG = {
    "--source A B --source A C": "--source A is given twice",
    "--chunk 1GiB": "a stream is cut by train ids, such as '16 trains'",
    "--end now": "a stream ends after seconds without a train, or never",
    "--end soon": "--end soon",
    "--buffer much": "'much' is not a size",
    "--axes A x,y": "expected some of frame, plane, module, ss, fs",
    "--axes A ss,ss,fs": "each once",
    "--socket REP": "invalid choice",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_before_anything_is_waited_for(tmp_path, capsys, words):
    head = f"live tcp://127.0.0.1:{free_port()} --to {tmp_path}/x.zarr"
    assert main([*head.split(), *words.split(), "average"]) == 2
    assert WRONG[words] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_places_and_hosts_that_are_not_there_are_said(tmp_path, capsys):
    for endpoint, to, why in (
        ("tcp://no.such.host.invalid:1", tmp_path / "x.zarr", "no such host"),
        ("tcp://127.0.0.1", tmp_path / "x.zarr", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", tmp_path / "no" / "x.zarr", "does not exist; make it first"),
    ):
        assert main(["live", endpoint, "average", "--to", str(to)]) == 2
        assert why in capsys.readouterr().err
    nobody = [
        "live",
        f"tcp://127.0.0.1:{free_port()}",
        "average",
        "--to",
        str(tmp_path / "x.zarr"),
        "--wait",
        "0.5",
    ]
    assert main(nobody) == 2
    assert "nobody answers there in 0.5 s" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_trains_take_a_part_of_the_memory_that_is_free():
    assert streaming.LEAST <= streaming.usual() <= streaming.MOST
