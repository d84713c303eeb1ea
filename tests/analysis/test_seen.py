"""Frames of X-ray pulses: pulse ids of frames are not the slots of the bunch pattern."""

import h5py
import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow import Frames, PlanError, analysis
from dxflow.algorithms.frames import KeepFrames
from dxflow.analysis.seen import clock_of, frames_of

SHIFT = 96
"""Slots before the first frame."""
HERE = {"cluster": "here", "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose frames are numbered from 0, with pulses from slot 100 on: some slots are numbers of other frames."""
    path = tmp_path_factory.mktemp("seen") / "r0001"
    make_run(
        path, detector="AGIPD500K", trains=4, pulses=40, module_shape=(16, 16), lit=0.5, first_slot=SHIFT
    )
    for file in path.glob("*AGIPD*.h5"):
        with h5py.File(file, "r+") as f:
            (source,) = f["INSTRUMENT/SPB_DET_AGIPD500K2G/DET"].values()
            source["image/pulseId"][...] = source["image/pulseId"][...] - SHIFT
    return str(path)


def test_pulses_are_in_the_frames_of_their_slots(run, tmp_path):
    ev = analysis.table(run, tmp_path / "t.zarr", quiet=True)
    assert ev.data.attrs["rows"] == "pulses"
    slots = ev.rows.pulse_ids
    assert slots.min() == SHIFT
    assert np.isin(slots, np.arange(0, 160, 4)).any()
    label, ids, there = frames_of(run, Frames(), ev.rows.train_ids, slots, {})
    assert label == "pulse_id"
    assert there.all()
    np.testing.assert_array_equal(ids, slots - SHIFT)
    label, ids, there = frames_of(run, Frames(), ev.rows.train_ids, slots, {"offset": SHIFT + 4})
    np.testing.assert_array_equal(ids[there], slots[there] - SHIFT - 4)
    assert not there[slots == SHIFT].any()


def test_picked_pulses_have_the_images_of_the_frames_that_saw_them(run, tmp_path):
    ev = analysis.table(run, tmp_path / "t.zarr", quiet=True)
    picks = ev.pick(5, of="xgm.intensityTD").read(geometry=False, **HERE)
    whole = dxflow.reduce(run, KeepFrames(), **HERE).dataset
    at = {ids: n for n, ids in enumerate(zip(whole.train_id.values, whole.pulse_id.values, strict=True))}
    flat = picks.flat
    rows = [at[t, p - SHIFT] for t, p in zip(flat.train_id.values, flat.pulse_id.values, strict=True)]
    np.testing.assert_array_equal(picks.images["corrected"], whole["frames.img"].values[rows])
    np.testing.assert_array_equal(picks.images["frame_id"], flat["pulse_id"].values - SHIFT)
    np.testing.assert_array_equal(picks.images["pulse_id"], flat["pulse_id"])


def test_pulses_that_several_frames_cannot_tell_apart_have_the_same_one(run, tmp_path):
    ev = analysis.table(run, tmp_path / "t.zarr", quiet=True)
    slots = ev.rows.pulse_ids
    _, ids, there = frames_of(run, Frames(), ev.rows.train_ids, slots + 2, {"exposure": 3})
    assert there.all()
    np.testing.assert_array_equal(ids, slots - SHIFT)


def test_runs_without_a_bunch_pattern_cannot_say_it(tmp_path):
    path = make_run(
        tmp_path / "r0002", detector="AGIPD500K", devices=(), trains=2, pulses=2, module_shape=(16, 16)
    ).path
    with pytest.raises(PlanError, match="which frames are to be read is not known"):
        frames_of(path, Frames(), np.array([10001], "u8"), np.array([0], "u4"), {})


def test_a_table_keeps_how_its_pulses_were_found(run, tmp_path):
    asked = {"everything": True, "pulses": {"offset": SHIFT + 4}}
    ev = analysis.table(run, tmp_path / "t.zarr", asked, quiet=True)
    assert clock_of(ev.data.attrs) == {"offset": SHIFT + 4}
    assert clock_of(ev.data.attrs, {"offset": SHIFT}) == {"offset": SHIFT}
    assert clock_of({**ev.data.attrs, "rows": "frames"}) is None
    picks = ev.pick(3, of="xgm.intensityTD").read(geometry=False, **HERE)
    np.testing.assert_array_equal(picks.images["frame_id"], picks.images["pulse_id"] - SHIFT - 4)
    cubes = [
        ev.cube({"train_id": "unique"}, images=True, **HERE, **more)
        for more in ({}, {"pulses": asked["pulses"]}, {"pulses": {"offset": SHIFT}})
    ]
    first, same, other = (cube.stored["image_mean"] for cube in cubes)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
