"""Frames that lack a module, in tables and cubes: against sums of the pixels that EXtra-data reads, frame by frame."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
import dxflow.analysis
from dxflow import Frames
from dxflow.algorithms.roi import RoiSum
from dxflow.handover.exporting import export
from dxflow.simulate import Plant, Scan

CONFIG = {
    "variables": {
        "delay": "SPB_EXP_SCAN/MOTOR/STAGE actualPosition",
        "xgm": "SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD",
    },
    "algorithms": [{"roi": {"name": "water", "rois": {"all": [None, None]}}}, "litframes"],
}
SIZE = {"module_shape": (8, 8), "detector": "AGIPD500K", "modules": 8, "trains": 8, "pulses": 2}
LOST = {2: (0,), 5: (0, 5)}
BINS = {"delay": "unique"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run in which modules 2 and 5 lack trains, its table, and what is in it of each frame."""
    at = tmp_path_factory.mktemp("complete")
    plant = Plant(missing_trains=(3,), lost_trains=LOST)
    make_run(at / "r0080", scan=Scan(-1, 1, steps=2), plant=plant, **SIZE)
    with pytest.warns(
        UserWarning, match=r"table: modules_used: 4 of 14 .* 6 to 7 modules, others of 8, in water, litf"
    ):
        ev = dxflow.analysis.table(at / "r0080", at / "t.zarr", CONFIG, cluster="here", quiet=True)
    total, count = {}, {}
    run = RunDirectory(at / "r0080")
    for module in range(8):
        source = run[f"SPB_DET_AGIPD500K2G/CORR/{module}CH0:output"]
        pixels, bad = (source[f"image.{key}"].xarray() for key in ("data", "mask"))
        pulses = source["image.pulseId"].ndarray().ravel()
        for n, train in enumerate(pixels.trainId.values):
            key = int(train), int(pulses[n])
            good = np.isfinite(pixels.values[n]) & (bad.values[n] == 0)
            total[key] = total.get(key, 0.0) + float(pixels.values[n].astype("f8")[good].sum())
            count[key] = count.get(key, 0) + 1
    delay = run["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition"].xarray()
    return SimpleNamespace(at=at, ev=ev, total=total, count=count, delay=delay, frames=sorted(total))


def by_hand(made, least):
    """Return the mean of the sums of frames of so many modules, and their number, at each delay."""
    out = []
    for position in np.unique(made.delay.values):
        trains = set(made.delay.trainId.values[made.delay.values == position].tolist())
        of = [made.total[f] for f in made.frames if f[0] in trains and made.count[f] >= least]
        out.append((np.mean(of), len(of)))
    return np.array(out).T


def test_a_table_says_of_how_many_modules_each_frame_is(made):
    ev = made.ev
    frames = list(zip(ev.data.train_id.values.tolist(), ev.data.pulse_id.values.tolist(), strict=True))
    assert frames == made.frames
    assert ev.column("modules_used").values.tolist() == [made.count[f] for f in frames]
    assert np.allclose(ev.column("water.sum").values[:, 0], [made.total[f] for f in frames], rtol=1e-6)
    assert sorted(set(made.count.values())) == [6, 7, 8]
    assert ev.rate("modules_used") == "pulse"
    assert ev.mask("modules_used == 8").sum() == 10


def test_what_was_lost_is_kept_and_printed(made):
    losses = dxflow.open(made.at / "t.zarr").losses
    frames = losses[losses.cause == "missing frames"]
    assert sorted(zip(frames.module, frames.frames, strict=True)) == [(2, 2), (5, 4)]
    assert "lost: module 2 (SPB_DET_AGIPD500K2G), train 10001: missing frames, 2 frames" in repr(made.ev)
    assert "missing frames" in made.ev._repr_html_()


def test_cubes_leave_out_what_is_made_of_fewer_modules_and_say_so(made):
    with pytest.warns(
        UserWarning, match=r"cube: water\.sum: 4 of 14 frames are made of 6 to 7 modules, others of 8"
    ):
        cube = made.ev.cube(BINS, ["water.sum", "xgm"])
    mean, count = by_hand(made, 8)
    every = by_hand(made, 0)[1]
    data = cube.data
    assert data["water.sum_count"].values[:, 0].tolist() == count.tolist()
    assert np.allclose(data["water.sum_mean"].values[:, 0], mean, rtol=1e-6)
    assert data["water.sum_incomplete"].values.tolist() == (every - count).tolist()
    # What is of no module, and rows, are all there.
    assert data["xgm_count"].values.tolist() == data.n.values.tolist() == every.tolist()
    assert "xgm_incomplete" not in data
    assert "4 of 14 frames" in cube.stored.attrs["notes"]
    assert "missing frames" in {one["cause"] for one in cube.about["losses"]}


def test_they_count_where_that_is_asked_for(made):
    mean, count = by_hand(made, 0)
    cube = made.ev.cube(BINS, "water.sum", incomplete=True)
    assert cube.data["water.sum_count"].values[:, 0].tolist() == count.tolist()
    assert np.allclose(cube.data["water.sum_mean"].values[:, 0], mean, rtol=1e-6)
    assert "modules" not in cube.stored.attrs["notes"]


def test_frames_are_compared_with_those_that_are_selected(made):
    cube = made.ev.cube(BINS, "water.sum", "modules_used == 7")
    assert int(cube.data["water.sum_count"].sum()) == 2
    with pytest.warns(UserWarning, match="made of 6 modules, others of 7, none of all 8"):
        cube = made.ev.cube(BINS, "water.sum", "modules_used < 8")
    assert int(cube.data["water.sum_count"].sum()) == 2


@pytest.mark.filterwarnings("ignore:cube")
@pytest.mark.parametrize("how", ["ratio", "each"])
def test_what_divides_and_weighs_is_of_all_modules_too(made, how):
    divided = made.ev.cube(BINS, "xgm", normalise="litframes.intensity", how=how)
    weighed = made.ev.cube(BINS, "xgm", weights="litframes.intensity")
    whole = made.ev.cube(BINS, "xgm", "modules_used == 8", normalise="litframes.intensity", how=how)
    assert np.array_equal(divided.data.xgm_mean, whole.data.xgm_mean)
    assert divided.data.xgm_count.values.tolist() == by_hand(made, 8)[1].tolist()
    assert weighed.data.xgm_count.values.tolist() == by_hand(made, 8)[1].tolist()


def test_a_frame_that_lacks_a_module_is_in_no_bin_of_a_sum(made):
    with pytest.warns(
        UserWarning, match=r"litframes\.intensity: 4 of 14 .* are in no bin; incomplete=True has them"
    ):
        cube = made.ev.cube({"litframes.intensity": [0, 1e9]}, "xgm")
    assert cube.data.n.values.tolist() == [10]
    every = made.ev.cube({"litframes.intensity": [0, 1e9]}, "xgm", incomplete=True)
    assert every.data.n.values.tolist() == [14]


@pytest.mark.filterwarnings("ignore:cube")
def test_added_variables_are_of_what_they_were_made_of(made):
    ev = dxflow.open(made.at / "t.zarr")
    ev.add("signal", ev["water.sum"][0] / ev.xgm)
    ev.add("twice", ev.signal * 2)
    counts = ev.cube(BINS, {"a": "twice", "b": "`water.sum`[0] + 1"}).data
    assert counts.a_count.values.tolist() == counts.b_count.values.tolist() == by_hand(made, 8)[1].tolist()


@pytest.mark.filterwarnings("ignore:cube", "ignore:table")
def test_the_same_of_pulses_of_lcls_files_of_results_and_of_several_runs(made):
    expected = by_hand(made, 8)[1].tolist()
    run, to = made.at / "r0080", made.at / "t.h5"
    lcls = dxflow.analysis.table(run, to, CONFIG, cluster="here", quiet=True)
    assert lcls.cube(BINS, "water.sum").data["water.sum_count"].values[:, 0].tolist() == expected
    pulses = dxflow.analysis.table(run, made.at / "p.zarr", CONFIG, rows="pulses", cluster="here", quiet=True)
    assert pulses.cube(BINS, "water.sum").data["water.sum_count"].values[:, 0].tolist() == expected

    make_run(made.at / "r0081", first_train=20000, scan=Scan(-1, 1, steps=2), **SIZE)
    dxflow.analysis.table(made.at / "r0081", made.at / "u.zarr", CONFIG, cluster="here", quiet=True)
    both = dxflow.open([made.at / "t.zarr", made.at / "u.zarr"])
    assert both.cube(BINS, "water.sum").data["water.sum_count"].values[:, 0].tolist() == [
        n + 8 for n in expected
    ]
    assert {one["run"] for one in both.about["losses"]} >= {"80"}

    result = dxflow.reduce(run, RoiSum(), cluster="here", quiet=True).table
    assert result.column("modules_used").values.tolist() == [made.count[f] for f in made.frames]
    found = result.cube({"train_id": [0, 1e9]}, "roi.sum").data
    assert found["roi.sum_count"].values.tolist() == [sum(expected)]
    assert "missing frames" in set(result.losses.cause)


def test_frames_that_lack_a_module_are_no_neighbours(made):
    ev = dxflow.open(made.at / "t.zarr")
    ev.select("on", "train_id == 10002")
    ev.select("off", "train_id != 10002")
    with pytest.warns(UserWarning, match=r"nearest: water\.sum\[0\]: 4 of 14 .* are no neighbours"):
        near = ev.nearest("`water.sum`[0]", n=2)
    # Of train 10001, whose frames are nearer, module 2 is missing, and train 10004 was not recorded.
    frames = [f for f in made.frames if f[0] not in (10002,) and made.count[f] == 8]
    close = sorted(frames, key=lambda f: abs(f[0] - 10002 + (f[1] - 4) * 1e-6))[:2]
    assert {f[0] for f in close} == {10003}
    found = near.values[ev.data.train_id.values == 10002]
    assert np.allclose(found, np.mean([made.total[f] for f in close]), rtol=1e-6)


@pytest.mark.parametrize("what", ["table", "result"])
def test_what_is_exported_says_of_how_many_modules_it_is(made, what, tmp_path):
    result = dxflow.reduce(made.at / "r0080", RoiSum(), cluster="here", quiet=True)
    source, name = (made.ev, "water.sum") if what == "table" else (result, "roi.sum")
    export(source, tmp_path / "a.csv", name)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [int(row["modules_used"]) for row in rows] == [made.count[f] for f in made.frames]


def test_picks_say_that_frames_of_fewer_modules_are_compared(made):
    with pytest.warns(
        UserWarning, match=r"pick: litframes.intensity: 4 of 14 .* where='modules_used == 8' leaves"
    ):
        picks = made.ev.pick(1, of="litframes.intensity", rule="smallest")
    frame = min(made.frames, key=made.total.get)
    assert (picks.data.train_id.item(), picks.data.pulse_id.item()) == frame
    whole = made.ev.pick(1, of="litframes.intensity", rule="smallest", where="modules_used == 8").data
    frame = min((f for f in made.frames if made.count[f] == 8), key=made.total.get)
    assert (whole.train_id.item(), whole.pulse_id.item()) == frame


@pytest.mark.filterwarnings("ignore:cube", "ignore:table")
def test_algorithms_that_see_other_frames_and_other_detectors_are_told_apart(tmp_path):
    size = {"module_shape": (8, 8), "trains": 4, "pulses": 2}
    make_run(tmp_path / "a", detector="AGIPD500K", modules=8, plant=Plant(lost_trains={2: (0,)}), **size)
    make_run(tmp_path / "b", detector="LPD1M", plant=Plant(lost_trains={3: (1,), 4: (1,)}), **size)
    both = RunDirectory(tmp_path / "a").union(RunDirectory(tmp_path / "b").select("*LPD*"))
    some, all_of_it = (
        Frames(modules=(0, 1, 3), detector="SPB_DET_AGIPD500K2G"),
        Frames(detector="SPB_DET_AGIPD500K2G"),
    )
    algorithms = [
        RoiSum(name=n, img=f)
        for n, f in (("a", some), ("b", all_of_it), ("c", Frames(detector="SPB_DET_LPD1M-1")))
    ]
    ev = dxflow.analysis.table(
        both, tmp_path / "t.zarr", {"variables": {}, "algorithms": algorithms}, cluster="here", quiet=True
    )
    used = {v.attrs["algorithms"]: v.values.tolist() for n, v in ev.data.items() if "modules_used" in n}
    assert used == {"a": [3] * 8, "b": [7, 7, *[8] * 6], "c": [16, 16, 14, 14, *[16] * 4]}
    data = ev.cube({"train_id": [0, 1e9]}, ["a.sum", "b.sum", "c.sum"]).data
    assert [int(data[f"{n}.sum_count"].sum()) for n in "abc"] == [8, 6, 6]
