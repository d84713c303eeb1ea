"""Integrating against sums over trains with numpy."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow import Frames, From, Key, Labels, PlanError
from dxflow.algorithms.integrating import Integrating
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.simulate import Plant
from dxflow.testing import check_algorithm

ENDS = (10003, 10004, 10008, 10012)
"""Trains in which the slow detector has a frame."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose camera has a frame now and then; a train is lost, and one has no frames of the detector."""
    path = tmp_path_factory.mktemp("slow") / "r0001"
    plant = Plant(missing_trains=(5,), empty_trains=(9,))
    options = {"devices": ("xgm", "motor", "camera"), "plant": plant, "detector": "AGIPD500K"}
    truth = make_run(path, trains=14, pulses=4, module_shape=(8, 8), **options)
    for name in sorted(Path(path).glob("*DA02*")):
        with h5py.File(name, "a") as file:
            index = file[f"INDEX/{truth.devices['camera']}:daqOutput/data"]
            index["count"][...] = np.isin(file["INDEX/trainId"][:], ENDS).astype("u8")
    return truth


def slow(run):
    return Key(run.devices["camera"] + ":daqOutput", "data.image.bitsPerPixel")


def motor(run):
    return Key(run.devices["motor"], "actualPosition")


def made(run, *first, **options):
    algorithms = [*first, Integrating(**{"slow": slow(run), **options})]
    return dxflow.reduce(run.path, algorithms, cluster="here").dataset


def exposed(ids, end, trains):
    """Return which trains are in the exposure that ends with a train."""
    if trains:
        return (ids > end - trains) & (ids <= end)
    earlier = [e for e in ENDS if e < end]
    return (ids > (earlier[-1] if earlier else 0)) & (ids <= end)


@pytest.mark.parametrize("trains", [None, 1, 3, 20])
def test_values_of_each_exposure_are_added_up(run, trains):
    data = made(run, RoiSum(), of=From("roi.sum"), trains=trains)
    ids = data["train"].values.astype(int)
    frames = data["train_id"].values.astype(int)
    values = data["roi.sum"].values
    assert data["integrating.last"].values.tolist() == list(ENDS)
    for row, end in enumerate(ENDS):
        found = {name: data[f"integrating.{name}"].values[row] for name in ("sum", "mean", "count", "seen")}
        inside = exposed(ids, end, trains)
        wanted = values[np.isin(frames, ids[inside])]
        assert found["count"] == len(wanted)
        np.testing.assert_allclose([found["sum"], found["mean"]], [wanted.sum(), wanted.mean()], rtol=1e-12)
        assert found["seen"] == len(np.unique(frames[np.isin(frames, ids[inside])]))
    # The lost train is expected all the same; of the first exposure nobody knows when it began.
    expected = {None: [0, 1, 4, 4], 1: [1] * 4, 3: [3] * 4, 20: [20] * 4}[trains]
    assert data["integrating.expected"].values.tolist() == expected
    first = {None: [10001, 10004, 10005, 10009], 1: list(ENDS), 3: [e - 2 for e in ENDS]}
    assert data["integrating.first"].values.tolist() == first.get(trains, [e - 19 for e in ENDS])


def test_an_exposure_ends_also_in_a_train_in_which_there_is_nothing_to_add_up(run):
    # No frame of train 10008, in which an exposure ends, is used: what comes after belongs to the next one.
    others = dxflow.FrameSelection(trains=[int(train) for train in run.train_ids if train != 10008])
    both = [RoiSum(), Integrating(slow=slow(run), of=From("roi.sum"))]
    data = dxflow.reduce(run.path, both, frames=others, cluster="here").dataset
    values, frames = data["roi.sum"].values, data["train_id"].values
    assert data["integrating.last"].values.tolist() == list(ENDS)
    for row, (first, last) in enumerate([(0, 10003), (10004, 10004), (10005, 10007), (10009, 10012)]):
        wanted = values[(frames >= first) & (frames <= last)]
        np.testing.assert_allclose(data["integrating.sum"].values[row], np.nansum(wanted), rtol=1e-12)
    assert data["integrating.seen"].values.tolist()[2:] == [2, 3]
    assert data["integrating.expected"].values.tolist()[2:] == [4, 4]
    # Train 10010 has no frames at all.
    late = Key(slow(run).source, slow(run).key, offset=-2)
    data = made(run, RoiSum(), of=From("roi.sum"), slow=late)
    assert data["integrating.last"].values[-1] == 10010
    assert np.isfinite(data["integrating.sum"].values[-1])


def test_arrays_per_pulse_and_values_per_train_are_added_up_as_well(run):
    xgm = Key(run.devices["xgm"] + ":output", "data.intensityTD")
    data = made(run, of=xgm)
    assert data["integrating.sum"].shape == (4, 1000)
    assert (data["integrating.count"].values[1] == 1).all()
    slowly = made(run, of=motor(run))
    inside = exposed(run.train_ids.astype(int), 10008, None)
    np.testing.assert_allclose(slowly["integrating.sum"][ENDS.index(10008)], run.motor[inside].sum())


def test_axes_of_values_keep_their_names(run):
    data = made(run, Projection(ss=(2, 5)), of=From("projection.fs"))
    fs = data["projection.fs"]
    assert data["integrating.sum"].dims[1:] == fs.dims[1:] == ("projected_fs",)
    np.testing.assert_array_equal(data["integrating.sum"]["projected_fs"], np.arange(8))
    first = fs.values[data["train_id"].values.astype(int) <= ENDS[0]]
    np.testing.assert_allclose(data["integrating.sum"].values[0], first.sum(axis=0), rtol=1e-12)


def test_a_late_detector_is_put_right_by_an_offset(run):
    late = Key(slow(run).source, slow(run).key, offset=-1)
    data = dxflow.reduce(run.path, Integrating(slow=late, of=motor(run)), cluster="here").dataset
    assert data["integrating.last"].values.tolist() == [e - 1 for e in ENDS]
    assert np.isfinite(data["integrating.sum"]).all()


def test_the_contract_of_algorithms_is_kept(run):
    check_algorithm(lambda: Integrating(slow=slow(run), of=motor(run)), run.path)


def test_what_cannot_be_is_refused(run):
    with pytest.raises(ValueError, match="give of= and slow="):
        Integrating()
    with pytest.raises(ValueError, match="of= is Labels"):
        Integrating(of=Labels(motor(run)), slow=slow(run))
    with pytest.raises(ValueError, match="trains=0"):
        Integrating(of=motor(run), slow=slow(run), trains=0)
    with pytest.raises(PlanError, match="expected a slow detector"):
        dxflow.plan(run.path, [RoiSum(), Integrating(of=motor(run), slow=From("roi.sum"))])
    with pytest.raises(PlanError, match="has images"):
        dxflow.plan(run.path, Integrating(of=Frames("image.data"), slow=slow(run)))
    with pytest.raises(PlanError, match="in each train, and no frames"):
        dxflow.plan(run.path, Integrating(of=motor(run), slow=motor(run)))
