"""The account of a run: where time went in one sentence, what is read in bytes, and progress only where one looks."""

from collections import Counter

import h5py
import numpy as np
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow import Algorithm, Frames, Key, Output
from dxflow.algorithms.average import Average
from dxflow.declare.lack import Lack
from dxflow.driver.report import account, times
from dxflow.simulate import Plant, make_run
from dxflow.worker.summary import Summary


def summary(chunk, worker, read=0.0, wait=0.0, compute=0.0, write=0.0, reused=False, **more):
    seconds = {"read": read, "wait": wait, "compute": compute, "write": write}
    return Summary(chunk, worker, 10**9, seconds, more.pop("used", []), reused=reused, **more)


def test_times_are_summed_by_worker_and_reused_chunks_count_for_nothing():
    chunks = [summary(0, "a:1", compute=2), summary(1, "b:2", compute=3), summary(2, "a:1", compute=4)]
    out = times([*chunks, summary(3, "c:3", compute=99, reused=True)], 10)
    assert {w: t["compute"] for w, t in out["workers"].items()} == {"a:1": 6, "b:2": 3}
    assert out["sum"]["compute"] == 9
    assert out["bytes"] == 3 * 10**9
    assert out["rate"] == 3 * 10**8


def test_the_account_is_counted_and_what_nobody_counted_is_said_to_be_unexplained(run):
    plan = dxflow.plan(run.path, RoiSum())
    used = [[0, m, 72 - 6 * (m == 3)] for m in range(16)]
    counted = [[0, 3, "exception in hook", 4]]
    rows = account(plan, [summary(0, "a:1", used=used, masked=counted)])
    assert [r["used"] for r in rows] == [72, 72, 72, 66] + [72] * 12
    assert [r["masked"] for r in rows if r["masked"]] == [{"exception in hook": 4, "unexplained": 2}]


def test_the_manifest_keeps_what_is_needed_to_do_it_again(run):
    manifest = dxflow.reduce(run.path, RoiSum(ss=(1, 2)), cluster="here").manifest
    made = manifest["plan"]
    assert made["algorithms"][0]["options"] == {"ss": [1, 2]}
    assert all(size > 0 for size, *_ in made["files"].values())
    assert Counter(manifest["chunks"]) == {"computed": len(made["chunks"]), "reused": 0}
    assert "dxflow" in made["versions"]


def test_a_chunk_found_after_its_worker_died_was_computed_by_this_run(run, tmp_path):
    from dataclasses import replace

    from dxflow.driver import journal
    from dxflow.driver.report import Report
    from dxflow.worker.chunk import run_chunk
    from dxflow.worker.workspace import Workspace

    plan = dxflow.plan(run.path, RoiSum(), tmp_path / "x.zarr", chunk=5_000)
    work = Workspace(plan, journal.begin(plan))
    first = run_chunk(work, 0)
    again = run_chunk(work, 0)
    assert again.reused
    for found, reused in ((set(), False), (journal.found(work.folder, plan), True)):
        report = Report(plan, found)
        report.add(again)
        assert report.in_order()[0] == replace(again, reused=reused)
    assert first.chunk in journal.found(work.folder, plan)


def test_a_camera_is_in_the_account_and_said_to_have_no_mask(tmp_path):
    truth = make_run(tmp_path, detector=None, devices=("camera",), trains=9)
    camera = Key(truth.devices["camera"] + ":daqOutput", "data.image.pixels")
    made = dxflow.plan(tmp_path, Average(img=camera))
    assert "no mask: images of a Key have none" in str(made)
    result = dxflow.execute(made, "here")
    (row,) = result.manifest["account"]
    assert (row["module"], row["expected"], row["used"], row["masked"]) == (-1, 9, 9, {})
    assert f"{camera.source} {camera.key}: all 9 entries by average" in result.report()


class Bright(Algorithm):
    """Needs two inputs of each frame."""

    ALG_ID = "bright"
    inputs = {"img": Frames(), "gain": Frames("image.gain")}

    def outputs(self, info):
        return {"n": Output(per="img", dtype="i8")}

    def process_module_data(self, block, out):
        out.n += np.count_nonzero(block["gain"] >= 0, axis=(1, 2))


def test_an_algorithm_that_could_use_fewer_frames_than_others_has_its_own_line(tmp_path):
    truth = make_run(tmp_path, detector="AGIPD500K", trains=4, pulses=4, module_shape=(8, 8))
    source = truth.sources[3]
    for path in tmp_path.glob("CORR*AGIPD*03-S00000.h5"):
        with h5py.File(path, "r") as f:
            chunk = f[f"INSTRUMENT/{source}/image/gain"].id.get_chunk_info(2)
        with open(path, "r+b") as f:
            f.seek(chunk.byte_offset)
            f.write(b"\xff" * chunk.size)
    result = dxflow.reduce(tmp_path, [Stats(), Bright()], cluster="here")
    account = [r for r in result.manifest["account"] if r["module"] == 3]
    assert [(r["input"].split()[1], r["algorithms"], r["used"], r["masked"]) for r in account] == [
        ("image.data", ["stats"], 16, {}),
        ("image.data", ["bright"], 15, {"not in all inputs": 1}),
        ("image.gain", ["bright"], 15, {"unreadable data": 1}),
    ]
    report = result.report()
    assert "all 16 frames of 8 modules by stats" in report
    assert "module 3: 15 of 16 (1 not in all inputs)" in report


class Unknown(Bright):
    """Says that it lacks a module that is not read."""

    def lacks(self, info):
        return [Lack("no table", 17)]


def test_a_module_that_is_not_read_cannot_be_lacking(run):
    with pytest.raises(ValueError, match="bright: lacks\\(\\) names module 17; .* is read with"):
        dxflow.plan(run.path, Unknown())


class Both(Algorithm):
    """Reads the same frames with a mask and without."""

    ALG_ID = "both"
    inputs = {"good": Frames(), "all": Frames(mask=None)}

    def outputs(self, info):
        return {"n": Output(per="good", dtype="i8")}

    def process_module_data(self, block, out):
        out.n += np.count_nonzero(np.isfinite(block["all"]), axis=(1, 2))


class BothOfTrains(Both):
    """The same of whole trains."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.n += np.count_nonzero(np.isfinite(train["all"]), axis=(1, 2, 3))


def spoil(folder, truth, module, key, frame):
    """Make a frame of a module, or its mask, one that cannot be decoded."""
    (path,) = folder.glob(f"CORR*AGIPD{module:02}-S00000.h5")
    name = f"INSTRUMENT/{truth.sources[module]}/image/{key}"
    with h5py.File(path, "r+") as f:
        values = f[name][:]
        del f[name]
        spoilt = f.create_dataset(name, data=values, chunks=(1, *values.shape[1:]), compression="gzip")
        spoilt.id.write_direct_chunk((frame, 0, 0), b"\xff" * 64)


@pytest.mark.parametrize("both", [Both, BothOfTrains])
def test_frames_that_are_read_twice_count_once(tmp_path, both):
    plant = Plant(silent_trains={1: (2,)})
    truth = make_run(tmp_path, detector="AGIPD500K", trains=4, pulses=4, module_shape=(16, 12), plant=plant)
    spoil(tmp_path, truth, 3, "data", 2)
    spoil(tmp_path, truth, 4, "mask", 5)
    result = dxflow.reduce(tmp_path, [RoiSum(img=Frames(mask=None)), both()], cluster="here", on_fault="mask")
    rows = [r for r in result.manifest["account"] if "both" in r["algorithms"]]
    assert [r["module"] for r in rows] == list(range(8))
    assert [r["used"] for r in rows] == [16, 12, 16, 15, 15, 16, 16, 16]
    assert [r["masked"] for r in rows if r["masked"]] == [
        {"missing frames": 4},
        {"unreadable data": 1},
        {"unreadable mask": 1},
    ]
    for r in rows:
        assert r["expected"] == 16 == r["used"] + sum(r["masked"].values())
    losses = result.losses.set_index("cause").frames
    assert losses.to_dict() == {"missing frames": 4, "unreadable data": 1, "unreadable mask": 1}
    lines = [line for line in result.report().splitlines() if " by both" in line]
    assert len(lines) == 1
    assert "of 16 frames of 8 modules, 122 of 128 by both" in lines[0]


def test_a_report_of_frames_that_are_read_twice_has_them_once(run):
    result = dxflow.reduce(run.path, Both(), cluster="here")
    assert [line.split(": ")[-1] for line in result.report().splitlines() if line.startswith("used")] == [
        "all 72 frames of 16 modules by both"
    ]
    assert len(result.account) == 16


def test_trains_without_data_are_lost_once_however_often_they_are_read(tmp_path):
    make_run(
        tmp_path,
        detector="AGIPD500K",
        trains=4,
        pulses=2,
        module_shape=(8, 8),
        plant=Plant(empty_trains=(1,)),
    )
    causes = [loss.cause for loss in dxflow.plan(tmp_path, Both()).losses]
    assert causes == ["missing trains"]
