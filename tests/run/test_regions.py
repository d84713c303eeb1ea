"""Modules and pixels of an earlier result are what is read, and nothing else; what does not fit is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from runs import make_run
from samples import Somewhere, Stats

import dxflow
from dxflow import Frames, Key, PlanError
from dxflow.run.regions import COLUMNS

BOXES = [(1, 3, 6, 2, 7), (1, 10, 12, 0, 3), (3, 4, 15, 5, 6)]
SHAPE = (16, 8)


def simulated(tmp_path, name="r", **options):
    small = {"trains": 4, "pulses": 3, "module_shape": SHAPE, "devices": ()}
    return make_run(tmp_path / name, **{**small, **options})


@pytest.fixture
def run(tmp_path):
    return simulated(tmp_path)


@pytest.fixture
def found(run, tmp_path):
    return dxflow.reduce(run.path, Somewhere(boxes=BOXES), tmp_path / "signal.zarr", cluster="here")


def table(found):
    return pd.DataFrame(BOXES, columns=list(COLUMNS))[["fs0", *COLUMNS[:3], "fs1"]]


@pytest.mark.parametrize(
    "roi",
    [
        lambda found: found,
        lambda found: found.dataset,
        lambda found: found.dataset["signal.roi"],
        lambda found: found.dataset["signal.mask"],
        lambda found: found.dataset["signal.mask"].values,
        lambda found: np.array(BOXES),
        lambda found: np.array([tuple(b) for b in BOXES], [(c, "u2") for c in COLUMNS]),
        table,
    ],
    ids=["result", "dataset", "table", "mask", "plain mask", "plain table", "structured", "DataFrame"],
)
def test_the_region_around_those_of_the_modules_that_are_read_is_read(run, found, roi):
    which = roi(found)
    for modules, region in (((1,), (3, 12, 0, 7)), ((3, 2), (4, 15, 5, 6)), (None, (3, 15, 0, 7))):
        plan = dxflow.plan(run.path, Stats(img=Frames(modules=modules, roi=which)))
        assert plan.inputs[0].location.roi == (slice(*region[:2]), slice(*region[2:]))


def test_only_modules_and_pixels_of_a_result_come_out(run, found):
    whole = dxflow.reduce(run.path, Stats(), cluster="here").dataset["stats.mean"]
    expected = whole.values[[1, 3], 3:15, 0:7]
    given = {"modules": found, "roi": found}
    by_input = dxflow.reduce(run.path, Stats(img=Frames(**given)), cluster="here").dataset["stats.mean"]
    by_pass = dxflow.reduce(run.path, Stats(), cluster="here", **given).dataset["stats.mean"]
    for mean in (by_input, by_pass):
        np.testing.assert_array_equal(mean, expected)
        assert mean["module"].values.tolist() == [1, 3]
        assert (mean["ss"][0], mean["fs"][-1]) == (3, 6)


def test_inputs_that_say_it_themselves_keep_it(run, found):
    own = Stats(name="own", img=Frames(modules=[0], roi=np.s_[0:2, 0:2]))
    plan = dxflow.plan(run.path, [own, Stats()], modules=found, roi=found)
    assert [i.modules for i in plan.inputs] == [(0,), (1, 3)]
    assert own.inputs["img"].modules == (0,)
    with pytest.raises(PlanError, match="no input takes them"):
        dxflow.plan(run.path, own, modules=found, roi=found)


def test_what_a_result_says_of_another_detector_is_refused(run, found, tmp_path):
    other = simulated(tmp_path, "other", detector="LPD1M")
    for given in ({"modules": found}, {"roi": found}, {"modules": found.dataset["signal.modules"]}):
        with pytest.raises(PlanError, match="no such detector.*SPB_DET_LPD1M-1"):
            dxflow.plan(other.path, Stats(), **given)
        with pytest.raises(ValueError, match="SPB_DET_AGIPD1M-1.*detector='SPB_DET_LPD1M-1'"):
            Frames(detector="SPB_DET_LPD1M-1", **given)
    assert Frames(detector="AGIPD1M", roi=found).detector == "SPB_DET_AGIPD1M-1"
    # Of a detector it is the same for raw data.
    raw = simulated(tmp_path, "raw", data="raw")
    assert dxflow.plan(raw.path, Stats(img=Frames(data="raw", modules=found, roi=found)))


def test_regions_that_do_not_fit_modules_are_refused(run, found, tmp_path):
    smaller = simulated(tmp_path, "smaller", module_shape=(8, 8))
    with pytest.raises(
        PlanError, match=r"modules of \(16, 8\) pixels, SPB_DET_AGIPD1M-1 has modules of \(8, 8\)"
    ):
        dxflow.plan(smaller.path, Stats(), roi=found)
    with pytest.raises(PlanError, match=r"up to \(15, 7\) pixels"):
        dxflow.plan(smaller.path, Stats(), roi=np.array(BOXES))
    with pytest.raises(PlanError, match=r"no region is on modules \[0, 2\].*some on modules \[1, 3\]"):
        dxflow.plan(run.path, Stats(), modules=[2, 0], roi=found)


def test_a_result_in_which_nothing_was_found_is_refused(run):
    nothing = dxflow.reduce(run.path, Somewhere(), cluster="here")
    with pytest.raises(PlanError, match="has no module: nothing was found"):
        dxflow.plan(run.path, Stats(), modules=nothing)
    with pytest.raises(PlanError, match="has no region: nothing was found"):
        dxflow.plan(run.path, Stats(), roi=nothing)


def test_what_has_no_regions_is_refused_with_what_it_has(run, found):
    other = dxflow.reduce(run.path, Stats(), cluster="here")
    with pytest.raises(PlanError, match="no output 'modules'; it has .*stats.mean"):
        dxflow.plan(run.path, Stats(), modules=other)
    with pytest.raises(PlanError, match="no output 'roi' or 'mask'; it has .*stats.mean"):
        dxflow.plan(run.path, Stats(), roi=other)
    for odd in (np.ones((3, 4)), "a text", [slice(1, 2)], xr.DataArray([True])):
        with pytest.raises(PlanError, match="expected two slices, a result, a table"):
            dxflow.plan(run.path, Stats(), roi=odd)
    twice = xr.Dataset({"a.mask": found.dataset["signal.mask"], "b.mask": found.dataset["signal.mask"]})
    with pytest.raises(PlanError, match="a.mask, b.mask: give one of them"):
        dxflow.plan(run.path, Stats(), roi=twice)
    with pytest.raises(PlanError, match="no input takes them"):
        dxflow.plan(run.path, Stats(img=Key("A/B/C", "d")), roi=found)


def test_inputs_with_regions_are_values(found):
    frames = Frames(modules=found, roi=found)
    assert frames == Frames(modules=found, roi=found)
    assert hash(frames) == hash(Frames(modules=found, roi=found.dataset))
    assert frames != Frames(modules=found, roi=np.array(BOXES[:2]))
    assert frames.narrowed(modules=(1,)).modules == (1,)
    assert "3 regions SPB_DET_AGIPD1M-1" in str(frames)
