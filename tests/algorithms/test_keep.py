"""Keep: values of the run as EXtra-data reads them, by train, entry and frame."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
from dxflow import Frames, FrameSelection, From, Key, PlanError, PulseKey
from dxflow.algorithms.average import Average
from dxflow.algorithms.keep import Keep
from dxflow.algorithms.litframes import LitFrames
from dxflow.commands import main as cli
from dxflow.simulate import Plant, Scan
from dxflow.testing import check_algorithm

XGM, MOTOR = "SA1_XTD2_XGM/XGM/DOOCS:output", "SPB_EXP_SCAN/MOTOR/STAGE"
CAMERA = "SPB_EXP_CAM/CAM/SIDE:daqOutput"
KEYS = {
    "xgm": f"{XGM}:data.intensityTD",
    "x": Key(MOTOR, "actualPosition"),
    "bits": f"{CAMERA}:data.image.bitsPerPixel",
}
LINE = [f"xgm={XGM}:data.intensityTD", f"x={MOTOR}:actualPosition", f"bits={CAMERA}:data.image.bitsPerPixel"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of which a train is lost, one has no frames, and one no image of the camera."""
    truth = make_run(
        tmp_path_factory.mktemp("keep") / "r0001",
        detector="AGIPD500K",
        trains=7,
        pulses=4,
        module_shape=(8, 8),
        lit=[True, True, False, True],
        energy_spread=0.3,
        devices=("xgm", "motor", "camera", "timeserver"),
        scan=Scan(0.0, 1.0, 3),
        plant=Plant(missing_trains=(2,), empty_trains=(4,)),
    )
    for name in sorted(Path(truth.path).glob("*DA02*")):
        with h5py.File(name, "a") as file:
            file[f"INDEX/{CAMERA}/data/count"][...] = file["INDEX/trainId"][:] != 10002
    for name in sorted(Path(truth.path).glob("*DA01*")):
        with h5py.File(name, "a") as file:
            file[f"CONTROL/{MOTOR}/actualPosition/value"].attrs["unitSymbol"] = b"mm"
    return truth


def kept(run, **options):
    given = {"cluster": "here", "on_fault": "mask", **options}
    return dxflow.reduce(run.path, Keep(keys=KEYS), **given).dataset


def test_values_are_those_that_extra_data_reads(run):
    data, opened = kept(run), RunDirectory(run.path)
    motor = opened[MOTOR, "actualPosition"]
    found = data["keep.x"].to_series()
    assert dict(zip(found.index, found, strict=True)) == dict(
        zip(motor.train_ids, motor.ndarray().tolist(), strict=True)
    )
    # Also of the train without frames.
    assert 10005 in found.index
    camera = opened[CAMERA, "data.image.bitsPerPixel"]
    bits = data["keep.bits"]
    assert bits.dtype == camera.dtype == np.int32
    np.testing.assert_array_equal(bits, camera.ndarray())
    assert bits["entry_train_id"].values.tolist() == [t for t in motor.train_ids if t != 10002]
    assert data["keep.bits_valid"].all()
    assert data["keep.x"].attrs["long_name"] == f"{MOTOR} actualPosition"
    assert data["keep.x"].attrs["units"] == opened[MOTOR, "actualPosition"].units == "mm"


def test_energies_of_pulses_are_those_of_frames(run):
    xgm = kept(run)["keep.xgm"]
    read = RunDirectory(run.path)[XGM, "data.intensityTD"].xarray()
    for train in np.unique(xgm["train_id"]):
        own = xgm.values[xgm["train_id"] == train]
        energies = read.sel(trainId=train).values
        # The third frame of each train sees no pulse.
        np.testing.assert_array_equal(own[[0, 1, 3]], energies[:3])
        assert own[2] == 0


def test_it_gives_the_same_however_it_is_cut(run):
    check_algorithm(lambda: Keep(keys=KEYS), run.path, on_fault="mask")


def test_of_a_selection_frames_are_left_out_and_trains_by_their_ids(run):
    every = kept(run)
    lit = dxflow.reduce(run.path, LitFrames(threshold=0.05), cluster="here", on_fault="mask")
    some = dxflow.reduce(
        run.path, [Average(), Keep(keys=KEYS)], cluster="here", on_fault="mask", frames=lit
    ).dataset
    chosen = lit.selection().values
    assert 0 < chosen.sum() < len(chosen)
    np.testing.assert_array_equal(some["keep.xgm"], every["keep.xgm"].values[chosen])
    np.testing.assert_array_equal(some["keep.x"], every["keep.x"])
    few = kept(run, frames=FrameSelection(trains=slice(10001, 10003)))
    assert np.isfinite(few["keep.x"]).values.tolist() == [True, True, False, False, False, False]
    assert few["keep.bits"].sizes == {"entry": 1}
    where = kept(run, where="x > 0.4", labels={"x": Key(MOTOR, "actualPosition")})
    by_train = every["keep.x"].values[np.searchsorted(every["train"], every["keep.xgm"]["train_id"])]
    np.testing.assert_array_equal(where["keep.xgm"], every["keep.xgm"].values[by_train > 0.4])
    np.testing.assert_array_equal(where["keep.x"], every["keep.x"])


def test_the_command_line_says_the_same(run, tmp_path):
    to = str(tmp_path / "x.zarr")
    line = [
        "reduce",
        run.path,
        "--to",
        to,
        "--cluster",
        "here",
        "--on-fault",
        "mask",
        "keep",
        "--keys",
        *LINE,
    ]
    assert cli.main(line) == 0
    made, wanted = dxflow.open(to).dataset, kept(run)
    for name in ("keep.xgm", "keep.x", "keep.bits"):
        np.testing.assert_array_equal(made[name], wanted[name])


def test_aliases_and_pulse_keys_are_kept_too(run):
    opened = RunDirectory(run.path).with_aliases({"where": (MOTOR, "actualPosition")})
    xgm = PulseKey(XGM, "data.intensityTD", frames=Frames(), exposure=1)
    keep = Keep(keys={"where": "where", "xgm": xgm})
    data = dxflow.reduce(opened, keep, cluster="here", on_fault="mask").dataset
    wanted = kept(run)
    np.testing.assert_array_equal(data["keep.where"], wanted["keep.x"])
    np.testing.assert_array_equal(data["keep.xgm"], wanted["keep.xgm"])


def test_a_list_of_pulses_stays_a_list_where_there_is_no_detector(tmp_path):
    run = make_run(tmp_path / "r", detector=None, trains=3, pulses=2, devices=("xgm", "timeserver"))
    data = dxflow.reduce(run.path, Keep(keys={"xgm": KEYS["xgm"]}), cluster="here").dataset
    np.testing.assert_array_equal(data["keep.xgm"], RunDirectory(run.path)[XGM, "data.intensityTD"].ndarray())


def test_arrays_of_several_shapes_stand_beside_each_other(run, tmp_path):
    wide = {
        "pixels": f"{CAMERA}:data.image.pixels",
        "lists": KEYS["xgm"],
        "dims": f"{CAMERA}:data.image.dims",
    }
    opened = RunDirectory(run.path)
    for to in ("x.zarr", "x.nc"):
        result = dxflow.reduce(run.path, Keep(keys=wide), tmp_path / to, cluster="here", on_fault="mask")
        data = result.dataset
        for name in ("pixels", "dims"):
            source, _, key = wide[name].rpartition(":")
            # One by one: read at once, EXtra-data does not look where the trains after an empty one begin.
            wanted = [opened[source, key].train_from_id(t)[1] for t in data["entry_train_id"].values]
            np.testing.assert_array_equal(data[f"keep.{name}"], wanted)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "expected names with what they are of, NAME=SOURCE:KEY"),
        (["a=b:c"], "expected names with what they are of"),
        ({"a b": KEYS["x"]}, "'a b' is no name"),
        ({"trains": KEYS["x"]}, "'trains' is no name"),
        ([("x", "a:b"), ("x", "a:c")], "expected different names"),
        ({"x": From("roi.sum")}, "expected a Key, a PulseKey or SOURCE:KEY"),
        ({"x": Frames()}, "expected a Key, a PulseKey or SOURCE:KEY"),
    ],
)
def test_what_cannot_be_kept_is_refused(keys, words):
    with pytest.raises((ValueError, TypeError), match=words):
        Keep(keys=keys)


def test_what_the_run_does_not_have_is_refused_with_near_names(run, capsys):
    with pytest.raises(
        PlanError, match="no source 'SPB_EXP_SCAN/MOTOR/STAG'.*Did you mean 'SPB_EXP_SCAN/MOTOR/STAGE'"
    ):
        dxflow.plan(run.path, Keep(keys={"x": "SPB_EXP_SCAN/MOTOR/STAG:actualPosition"}), on_fault="mask")
    assert cli.main(["plan", run.path, "keep", "--keys", "x"]) == 2
    assert "write NAME=SOURCE:KEY, such as xgm=" in capsys.readouterr().err
    assert cli.main(["plan", run.path, "keep"]) == 2
    assert "--keys" in capsys.readouterr().err
