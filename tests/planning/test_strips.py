"""Strips: some rows of pixels of all trains at once, from any files, with any mask, the same as from whole frames."""

import numpy as np
import pytest
from samples import RoiSum, Scale, Stats

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.clusters import Local
from dxflow.deaths import search as deaths
from dxflow.deaths.notes import Attempt, Death
from dxflow.errors import WorkerDied
from dxflow.simulate import Plant, make_run
from dxflow.testing import check_algorithm

MODULES = 3
TRAINS = 9


class Medians(Algorithm):
    """What has no partials: the median of each pixel, and how many values it is of."""

    ALG_ID = "medians"
    STRIPS = True
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {
            "median": Output(per="pixel"),
            "n": Output(per="pixel", dtype="i8"),
            "first": Output(per="pixel"),
        }

    def process_module_data(self, block, out):
        there = block.valid("img")
        there = there if there.ndim > 1 else there[:, None, None]
        img = np.where(there, block["img"].astype("f8"), np.nan)
        out.n = np.isfinite(img).sum(axis=0)
        some = np.array(out.n) > 0
        out.median = np.nan
        out.median[some] = np.nanmedian(img[:, some], axis=0)
        out.first = block.strip.start + 100 * block.module


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    plant = Plant(
        empty_trains=(4,),
        lost_trains={0: (1, 2), 2: (2,)},
        pulse_counts=np.array([4, 3, 4, 0, 2, 4, 4, 1, 4]),
    )
    return make(tmp_path_factory.mktemp("strips"), plant=plant)


def make(folder, **options):
    return make_run(
        folder / "r0001",
        **({"detector": "AGIPD500K"} | options),
        trains=TRAINS,
        pulses=4,
        modules=MODULES,
        module_shape=(8, 12),
    )


class Stack(Algorithm):
    """The frames themselves, bad pixels as NaN, through blocks."""

    ALG_ID = "stack"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f8")}

    def process_module_data(self, block, out):
        good = block.valid("img") if block.masked("img") else np.ones(block["img"].shape, bool)
        out.img = np.where(good, block["img"].astype("f8"), np.nan)


def expected(run, img, **options):
    """Return medians and counts of what blocks hold, by numpy."""
    with dxflow.reduce(run.path, Stack(img=img), cluster="here", on_fault="mask", **options).dataset as data:
        frames = data["stack.img"].values
    n = np.isfinite(frames).sum(axis=0)
    median = np.full(n.shape, np.nan)
    median[n > 0] = np.nanmedian(frames[:, n > 0], axis=0)
    return median, n


INPUTS = {
    "masked floats": {},
    "no mask": {"mask": None},
    "a region": {"roi": np.s_[2:7, 3:9]},
    "filled": {"mask": "image.mask", "fill": 0},
    "some modules": {"modules": (0, 2)},
    "integers": {"key": "image.gain"},
}


@pytest.mark.parametrize("how", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_medians_are_those_of_whole_frames(gaps, how, rows):
    how = dict(how)
    img = Frames(how.pop("key", "image.data"), **({"modules": range(MODULES)} | how))
    plan = planned(gaps, Medians(img=img), rows)
    data = dxflow.execute(plan, "here").dataset
    height = plan.walk.step_bytes
    assert height < 40_000
    median, n = expected(gaps, img)
    np.testing.assert_array_equal(data["medians.median"], median)
    np.testing.assert_array_equal(data["medians.n"], n)
    starts = np.unique(data["medians.first"].values % 100)
    high = plan.inputs[0].location.shape[0]
    assert starts.tolist() == list(range(0, high, min(rows, high)))


def planned(run, algorithm, rows, **options):
    """Return a plan with strips of so many rows."""
    plan = dxflow.plan(run.path, [algorithm], on_fault="mask", **options)
    (group,) = plan.walk.groups
    line = sum(plan.walk._line_bytes(group, plan.inputs[n]) for n in group.inputs)
    return dxflow.plan(run.path, [algorithm], on_fault="mask", block=-(-line * rows // 64), **options)


@pytest.mark.parametrize(
    "files", [{"compress_data": True}, {"data": "raw"}, {"detector": "JUNGFRAU", "module_shape": (8, 12)}]
)
def test_any_files_can_be_read_in_strips(tmp_path, files):
    options = {"trains": 5, "pulses": 4, "modules": 2, "module_shape": (8, 12)} | files
    run = make_run(tmp_path / "r0001", **options)
    img = Frames(run_key(run))
    data = dxflow.execute(planned(run, Medians(img=img), 3), "here").dataset
    median, n = expected(run, img)
    np.testing.assert_array_equal(data["medians.median"], median)
    np.testing.assert_array_equal(data["medians.n"], n)


def run_key(run):
    """Return the key of the frames: JUNGFRAU has another."""
    return "data.adc" if run.kind.startswith("JUNGFRAU") else "image.data"


def test_a_mask_for_each_memory_cell_is_cut_into_strips_too(gaps, tmp_path):
    noisy = np.zeros((4, MODULES, 8, 12), bool)
    noisy[1, 2, 4:6, 3] = noisy[3, 0, 7, 11] = noisy[:, 1, 0, 0] = True
    import xarray as xr

    mask = xr.DataArray(
        noisy,
        dims=("cell", "module", "ss", "fs"),
        coords={"cell": np.arange(4), "module": np.arange(MODULES)},
    )
    img = Frames("image.data", modules=range(MODULES), mask=mask)
    data = dxflow.execute(planned(gaps, Medians(img=img), 3), "here").dataset
    median, n = expected(gaps, img)
    np.testing.assert_array_equal(data["medians.median"], median)
    np.testing.assert_array_equal(data["medians.n"], n)


class Weighted(Medians):
    """Reads a value per train beside the frames."""

    inputs = {"img": Frames("image.data"), "x": None}

    def process_module_data(self, block, out):
        there = block.valid("x")
        assert there.shape == (len(block),)
        out.n = np.where(there, np.nan_to_num(block["x"]) * 1000, 0).astype("i8").sum()
        out.median = np.isnan(block["x"]).sum()
        out.first = len(np.unique(block.train_ids))


def test_values_of_trains_are_those_of_each_frame(gaps):
    key = Key(gaps.devices["motor"], "actualPosition.value")
    img = Frames("image.data", modules=range(MODULES))
    data = dxflow.execute(planned(gaps, Weighted(img=img, x=key), 3), "here").dataset
    known = dict(zip(gaps.train_ids.tolist(), gaps.motor.tolist(), strict=True))
    ids = dxflow.reduce(gaps.path, Stack(img=img), cluster="here", on_fault="mask").dataset["train_id"].values
    want = sum(int(np.nan_to_num(known[int(i)]) * 1000) for i in ids)
    assert int(data["medians.n"].values[0, 0, 0]) == want


def test_the_same_bits_on_workers_and_by_the_checks_of_algorithms(gaps):
    img = Frames("image.data", modules=range(MODULES))
    plan = planned(gaps, Medians(img=img), 3)
    here, there = (dxflow.execute(plan, on).dataset for on in ("here", Local(workers=2)))
    for name, variable in here.variables.items():
        assert there.variables[name].values.tobytes() == variable.values.tobytes(), name
    check_algorithm(lambda: Plain(img=img), gaps.path, on_fault="mask")


class Plain(Medians):
    """Without what depends on where strips begin."""

    def process_module_data(self, block, out):
        super().process_module_data(block, out)
        out.first = 0


def test_the_account_says_each_frame_once_and_what_cannot_be_read_is_no_number(gaps, monkeypatch):
    from dxflow.reader.ways import Direct

    real, broken = Direct.read, []

    def read(self, start, stop, out):
        if (
            self.target.dataset.endswith("image/data")
            and self.target.path.find("01-S00000") > 0
            and self.line == 0
            and start <= 2 < stop
        ):
            broken.append(self)
            raise self.target.fault(self.line + 2, 1, "planted")
        return real(self, start, stop, out)

    monkeypatch.setattr(Direct, "read", read)
    img = Frames("image.data", modules=range(MODULES), mask=None)
    result = dxflow.execute(planned(gaps, Medians(img=img), 3), "here")
    assert broken
    row = result.manifest["account"][1]
    assert row["expected"] == row["used"] + sum(row["masked"].values())
    assert row["masked"]["unreadable data"] == 1
    assert "unexplained" not in row["masked"]
    others = result.dataset["medians.n"].values[:, 0, 0]
    assert others[1] == row["used"]


@pytest.mark.parametrize(
    ("algorithms", "says"),
    [
        (
            lambda: [Medians(), Average()],
            "works on strips of pixels of all trains, but average on whole frames",
        ),
        (lambda: [Scale(), Medians(img=From("scale.img"))], "but scale on whole frames"),
        (lambda: [Rows()], "makes outputs per pixel only, not sum"),
        (lambda: [Whole()], "implements process_module_data"),
        (lambda: [Finishing()], "leave out WHOLE_TRAINS, WHOLE_FRAMES and finalize_chunk_processing"),
        (lambda: [OfTrains()], "a block has all trains"),
        (lambda: [Medians(img=Key("MOTOR", "x"))], "MOTOR"),
    ],
)
def test_what_strips_cannot_offer_is_refused_by_the_plan(gaps, algorithms, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(gaps.path, algorithms(), on_fault="mask")


class Rows(RoiSum):
    """Rows of frames have no pixels."""

    STRIPS = True

    def outputs(self, info):
        return {"sum": Output(per=next(iter(self.inputs)))}


class Finishing(Medians):
    """Has no trains to finish."""

    def finalize_chunk_processing(self, out):
        raise AssertionError


class OfTrains(Medians):
    """Asks for two things."""

    WHOLE_TRAINS = True


class Raises(Medians):
    """Cannot work on one strip."""

    def process_module_data(self, block, out):
        if (block.module, block.strip.start) == (1, 0):
            raise ZeroDivisionError("planted")
        super().process_module_data(block, out)


def test_a_strip_that_cannot_be_worked_on_ends_the_run_rather_than_leaving_out_all_of_its_trains(gaps):
    plan = planned(gaps, Raises(img=Frames("image.data", modules=range(MODULES))), 3)
    with pytest.raises(ZeroDivisionError, match="planted"):
        dxflow.execute(plan, "here")


def test_a_strip_that_kills_whatever_trains_it_has_ends_the_run(gaps):
    plan = planned(gaps, Medians(img=Frames("image.data", modules=range(MODULES))), 3)
    filled = np.flatnonzero(plan.inputs[0].index.counts).tolist()
    death = Death(Attempt("probe", 0, 1), "exited with status 3")
    assert len(deaths.losses(plan, plan.chunks[0], dict.fromkeys(filled[1:], death))) == len(filled) - 1
    with pytest.raises(WorkerDied, match="status 3"):
        deaths.losses(plan, plan.chunks[0], dict.fromkeys(filled, death))


class Whole(Stats):
    """Has no blocks."""

    STRIPS = True
    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        raise AssertionError

    def outputs(self, info):
        return {"mean": Output(per="pixel")}


@pytest.mark.parametrize("chunk", ["3 trains", 3000])
def test_a_strip_has_all_trains_whatever_chunks_are_asked_for(gaps, chunk):
    img = Frames("image.data", modules=range(MODULES))
    plan = dxflow.plan(gaps.path, [Medians(img=img)], chunk=chunk, on_fault="mask")
    assert {(c.first, c.last) for c in plan.chunks} == {(0, len(plan.train_ids))}
    np.testing.assert_array_equal(
        dxflow.execute(plan, "here").dataset["medians.median"], expected(gaps, img)[0]
    )
