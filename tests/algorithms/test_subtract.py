"""Subtract against numpy, with darks in all forms."""

import pickle

import numpy as np
import pytest
from readings import Whole, images, near, pixels

import dxflow
from dxflow import Algorithm, Frames, From, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Flat, Plant, make_run


class Keep(Algorithm):
    """Stores images: what tests look at."""

    ALG_ID = "keep"
    inputs = {"img": From("subtract.img")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4")}

    def process_module_data(self, block, out):
        out.img = block["img"]


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    """The truth of a raw dark run with the same pedestals as `raw`, and more cells."""
    folder = tmp_path_factory.mktemp("dark") / "r0001"
    options = {
        "detector": "AGIPD500K",
        "data": "raw",
        "module_shape": (16, 24),
        "noise": 0.5,
        "signal": Flat(0),
    }
    return make_run(folder, trains=5, pulses=8, **options)


@pytest.fixture(scope="module")
def darks(dark, tmp_path_factory):
    """Averages of the dark run, per cell and over the run, in a store."""
    to = tmp_path_factory.mktemp("darks") / "dark.zarr"
    return dxflow.reduce(dark.path, [Average(per="cell"), Average(name="all")], to, cluster="here")


def subtracted(truth, dark, *others, **options):
    algorithms = [*others, Subtract(dark=dark, **options), Keep()]
    return dxflow.reduce(truth.path, algorithms, cluster="here")


def check(result, expected):
    near(result.dataset["keep.img"], expected.astype("f4"), 1e-7, 0)


def net(truth, per_cell):
    """Return frames minus darks (cell, module, ss, fs) with numpy, in float32."""
    return images(truth).astype("f4") - np.asarray(per_cell, "f4")[truth.cell_ids]


@pytest.mark.parametrize("form", ["result", "path", "str", "dataset", "array", "numpy"])
def test_darks_of_cells_are_taken_in_every_form(raw, darks, form):
    variable = darks.dataset["average.mean"]
    given = {
        "result": darks,
        "path": darks.path,
        "str": str(darks.path),
        "dataset": darks.dataset,
        "array": variable,
        "numpy": variable.values,
    }[form]
    named = {"variable": "average.mean"} if form in ("result", "path", "str", "dataset") else {}
    check(subtracted(raw, given, **named), net(raw, variable))


def test_the_result_of_dark_is_one(raw, dark):
    found = dxflow.reduce(dark.path, Pedestal(), cluster="here")
    check(subtracted(raw, found), net(raw, found.dataset["dark.offset"][0]))


def test_one_dark_for_all_frames(raw, darks):
    for dark in (raw.pedestal, darks.dataset["all.mean"]):
        check(subtracted(raw, dark), images(raw).astype("f4") - np.asarray(dark, "f4"))


def test_the_planted_pedestals_are_gone(dark, darks):
    image = subtracted(dark, darks.dataset["average.mean"]).dataset["keep.img"].values
    noise = dark.noise * dark.adu_per_photon[0]
    assert image.std() == pytest.approx(noise * np.sqrt(1 - 1 / 5), rel=0.05)
    assert abs(image.mean()) < 0.01 * noise


def test_whole_trains_give_the_same(raw, darks):
    variable = darks.dataset["average.mean"]
    check(subtracted(raw, variable, Whole()), net(raw, variable))


def test_cells_are_matched_by_number(raw, darks):
    variable = darks.dataset["average.mean"]
    check(subtracted(raw, variable[::-1]), net(raw, variable))


def test_frames_of_cells_without_a_dark_are_nan(raw, darks):
    variable = darks.dataset["average.mean"]
    expected = net(raw, variable)
    expected[raw.cell_ids == 2] = np.nan
    check(subtracted(raw, variable.drop_sel(cell=2)), expected)


def test_modules_are_matched_by_number_and_nan_without_a_dark(raw, darks):
    variable = darks.dataset["average.mean"]
    expected = net(raw, variable)
    expected[:, 3] = np.nan
    check(subtracted(raw, variable.sel(module=[7, 6, 5, 4, 2, 1, 0])), expected)


def test_integers_do_not_wrap(raw):
    image = subtracted(raw, np.full((8, 16, 24), 16000, "u2")).dataset["keep.img"].values
    assert image.min() == -16000


def test_lost_frames_stay_out(broken):
    result = dxflow.reduce(
        broken.path,
        [Subtract(dark=np.ones((16, 16))[None].repeat(8, 0)), Keep()],
        cluster="here",
        on_fault="mask",
    )
    there = result.dataset["keep.img"].sel(module=broken.module_numbers)
    count = np.isfinite(there).any(("ss", "fs")).sum("frame")
    assert list(count) == [4 * (5 if m == 5 else 7) for m in broken.module_numbers]
    good = np.isfinite(there.values)
    near(there.values[good], (images(broken).astype("f4") - 1)[good], 1e-6)


def test_a_camera_with_an_image_as_dark(camera):
    key, frames = pixels(camera)
    algorithms = [Subtract(img=key, dark=np.full(frames.shape[1:], 50)), Average(img=From("subtract.img"))]
    data = dxflow.reduce(camera.path, algorithms, cluster="here").dataset
    near(data["average.mean"][0], (frames - 50.0).mean(axis=0), 1e-6)


def test_a_result_travels_as_its_path(darks):
    one = Subtract(dark=darks, variable="average.mean")
    assert len(pickle.dumps(one)) < 2000
    assert pickle.loads(pickle.dumps(one)).dark == str(darks.path)


def test_a_result_without_a_name_lives_long_enough(raw, dark):
    result = subtracted(raw, dxflow.reduce(dark.path, Average(), cluster="here"))
    assert np.isfinite(result.dataset["keep.img"]).all()


def test_memory_counts_the_cells_of_the_run(raw, darks):
    for dark, cells in ((Subtract(dark=darks, variable="average.mean"), 6), (Subtract(dark=raw.pedestal), 1)):
        plan = dxflow.plan(raw.path, [dark, Keep()])
        assert dark.memory(plan.algorithms[0].info) == cells * 8 * 16 * 24 * 4
        assert plan.memory.tables >= cells * 8 * 16 * 24 * 4


def test_a_plain_array_of_all_modules_is_taken_by_module_number(raw):
    dark = np.arange(8.0)[:, None, None] * np.ones((1, 16, 24))
    order = (5, 0, 7, 1, 2, 3, 4, 6)
    chain = [Subtract(img=Frames(modules=order), dark=dark), Average(img=From("subtract.img"))]
    mean = dxflow.reduce(raw.path, chain, cluster="here").dataset["average.mean"].values
    near(mean, (images(raw).mean(axis=0) - dark)[list(order)], 1e-5)


def test_the_dark_of_another_detector_or_region_is_refused(raw, tmp_path):
    options = {"trains": 2, "pulses": 6, "module_shape": (16, 24), "data": "raw"}
    big = make_run(tmp_path / "big", **options)
    dark = dxflow.reduce(big.path, Average(per="cell"), tmp_path / "dark.zarr", cluster="here")
    for form in (dark, str(dark.path), dark.dataset, dark.dataset["average.mean"]):
        with pytest.raises(
            PlanError, match="the dark is of SPB_DET_AGIPD1M-1, the frames are of SPB_DET_AGIPD500K2G"
        ):
            dxflow.plan(raw.path, Subtract(dark=form))
    with pytest.raises(PlanError, match="modules up to 15, SPB_DET_AGIPD500K2G up to 7"):
        dxflow.plan(raw.path, Subtract(dark=dark.dataset["average.mean"].drop_attrs()))
    part = Frames(roi=np.s_[4:8, :])
    cut = dxflow.reduce(raw.path, Average(img=part), tmp_path / "cut.zarr", cluster="here")
    dxflow.plan(raw.path, [Subtract(dark=cut, img=part), Keep()])
    with pytest.raises(
        PlanError, match="the dark begins at pixel ss = 4, the frames at 8; read the same roi="
    ):
        dxflow.plan(raw.path, Subtract(dark=cut, img=Frames(roi=np.s_[8:12, :])))


def test_modules_and_cells_that_the_dark_has_not_are_warned_of(raw, darks):
    variable = darks.dataset["average.mean"]
    with pytest.warns(UserWarning, match="the dark has no module 2, 5: frames of these become NaN"):
        dxflow.plan(raw.path, [Subtract(dark=variable.drop_sel(module=[2, 5])), Keep()])
    with pytest.warns(
        UserWarning, match="the dark has none of the memory cells 3: frames of these become NaN"
    ):
        dxflow.plan(raw.path, [Subtract(dark=variable.drop_sel(cell=[3])), Keep()])


def test_what_does_not_fit_is_refused_in_the_plan(raw, camera, darks, tmp_path):
    variable = darks.dataset["average.mean"]
    per_pulse = variable.rename(cell="pulse")
    cases = {
        r"frames of \(8, 8\) pixels; expected \(16, 24\)": np.zeros((8, 8, 8)),
        "none of the memory cells": variable.assign_coords(cell=variable.cell + 100),
        "modules up to 27, SPB_DET_AGIPD500K2G up to 7": variable.assign_coords(module=variable.module + 20),
        "has 3 modules; expected 8": np.zeros((3, 16, 24)),
        "expected a Result of Average": np.zeros(5),
        "2 variables named mean": darks,
        "per pulse; expected per memory cell": per_pulse,
        "nowhere": str(tmp_path / "nowhere.zarr"),
    }
    for message, dark in cases.items():
        with pytest.raises(PlanError, match=message):
            dxflow.plan(raw.path, Subtract(dark=dark))
    key, frames = pixels(camera)
    with pytest.raises(PlanError, match="has no cell ids"):
        dxflow.plan(camera.path, Subtract(img=key, dark=np.zeros((3, 1, *frames.shape[1:]))))


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """The truth of corrected data of the same detector."""
    folder = tmp_path_factory.mktemp("corrected") / "r0002"
    return make_run(folder, detector="AGIPD500K", trains=2, pulses=6, module_shape=(16, 24))


def account_of(result, reader):
    """The rows of the account of an algorithm, by module."""
    rows = [r for r in result.manifest["account"] if reader in r["algorithms"]]
    for r in rows:
        assert r["expected"] == r["used"] + sum(r["masked"].values())
    return {r["module"]: (r["used"], r["masked"]) for r in rows}


@pytest.mark.filterwarnings("ignore:subtract")
@pytest.mark.parametrize("whole_trains", [False, True])
def test_frames_without_a_dark_are_losses_and_not_used_by_those_that_read_them(raw, darks, whole_trains):
    variable = darks.dataset["average.mean"]
    lacking = variable.drop_sel(module=[2, 5], cell=[3])
    others = [Average(), *([Whole(img=Frames())] if whole_trains else [])]
    made = dxflow.plan(raw.path, [*others, Subtract(dark=lacking), Keep()])
    result = dxflow.execute(made, "here")
    images, cells = result.dataset["keep.img"].values, result.dataset["cell_id"].values
    empty = np.isnan(images).all(axis=(2, 3)).sum(axis=0)
    there = len(images)
    for n, lost in enumerate(empty):
        assert lost == (there if n in (2, 5) else (cells == 3).sum())
        left = {"no dark": lost}
        assert account_of(result, "subtract")[n] == account_of(result, "keep")[n] == (there - lost, left)
        assert account_of(result, "average")[n] == (there, {})
    losses = result.losses[result.losses.cause == "no dark"].set_index("module")
    assert losses.frames.to_dict() == dict(enumerate(empty))
    assert set(losses.algorithm) == {"subtract"}
    assert "subtract: the dark has no such module" in losses.detail[2]
    assert "modules 2, 5" in str(made)
    assert "no dark" in str(made)
    report = result.report()
    assert "by subtract, keep" in report
    assert f"modules 2, 5: 0 of {there} ({there} no dark)" in report
    assert len(set(result.account["input"])) == 2


@pytest.mark.filterwarnings("ignore:subtract")
def test_a_module_of_which_the_dark_run_had_nothing_has_no_dark(dark, raw, tmp_path):
    part = make_run(
        tmp_path / "r0003",
        detector="AGIPD500K",
        data="raw",
        module_shape=(16, 24),
        trains=2,
        pulses=8,
        signal=Flat(0),
        plant=Plant(missing_modules=(4,)),
    )
    made = dxflow.reduce(part.path, Average(), tmp_path / "dark.zarr", cluster="here", on_fault="mask")
    for form in (made, made.dataset, str(made.path)):
        plan = dxflow.plan(raw.path, [Subtract(dark=form), Keep()])
        assert [(x.cause, x.module) for x in plan.losses if x.cause == "no dark"] == [("no dark", 4)]


def test_what_says_that_it_is_no_dark_of_these_data_is_refused(raw, darks, corrected):
    for name in ("count", "variance"):
        for form in (
            {"dark": darks.dataset[f"average.{name}"]},
            {"dark": darks, "variable": f"average.{name}"},
        ):
            with pytest.raises(PlanError, match=f"average.{name} is no dark; expected the mean"):
                dxflow.plan(raw.path, Subtract(**form))
    with pytest.raises(PlanError, match="the dark is of data 'raw', .* of 'corrected': average a dark run"):
        dxflow.plan(corrected.path, Subtract(dark=darks.dataset["average.mean"]))
    light = dxflow.reduce(corrected.path, Average(per="cell"), cluster="here").dataset["average.mean"]
    with pytest.raises(PlanError, match="the dark is of data 'corrected', .* of 'raw'"):
        dxflow.plan(raw.path, Subtract(dark=light))
    photons = darks.dataset["average.mean"].assign_attrs(data="corrected", units="keV")
    if light.attrs.get("units"):
        with pytest.raises(PlanError, match="the dark is of unit 'keV'"):
            dxflow.plan(corrected.path, Subtract(dark=photons))
    # An array says nothing of itself.
    dxflow.plan(corrected.path, [Subtract(dark=darks.dataset["average.mean"].values), Keep()])


class Twice(Algorithm):
    """Makes images of images."""

    ALG_ID = "twice"
    inputs = {"img": From("subtract.img")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4", store=False)}

    def process_module_data(self, block, out):
        out.img = 2 * block["img"]


class Naive(Algorithm):
    """Sums pixels as the README does, and counts frames of modules in integers."""

    ALG_ID = "naive"
    inputs = {"img": From("twice.img")}

    def outputs(self, info):
        return {"sum": Output(per="img"), "n": Output(per="img", dtype="i4")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=(1, 2))
        out.n += 1


class NaiveTrains(Algorithm):
    """The same of whole trains."""

    ALG_ID = "trains"
    inputs = {"img": From("twice.img")}

    def outputs(self, info):
        return {"n": Output(per="img", dtype="i4")}

    def process_train_data(self, train, out):
        there = train.valid("img")
        assert np.isnan(train["img"]).all(axis=(2, 3)).tolist() == (~there).tolist()
        out.n = there.sum(axis=1)


class Beside(NaiveTrains):
    """Reads frames as they are, and beside them those that were made."""

    ALG_ID = "beside"
    inputs = {"raw": Frames(), "img": From("subtract.img")}


@pytest.mark.filterwarnings("ignore:subtract")
def test_trains_that_are_there_beside_what_has_no_dark_are_used(raw, darks):
    lacking = darks.dataset["average.mean"].drop_sel(module=[2], cell=[3])
    result = dxflow.reduce(raw.path, [Subtract(dark=lacking), Beside()], cluster="here")
    there = ~np.isnan(images(raw)).all(axis=(2, 3))
    (used,) = (v for k, v in result.dataset.variables.items() if k.startswith("modules_used"))
    assert used.values.tolist() == there.sum(axis=1).tolist()
    assert account_of(result, "beside")[2] == (there[:, 2].sum(), {})
    there[raw.cell_ids == 3] = there[:, 2] = False
    assert result.dataset["beside.n"].values.tolist() == there.sum(axis=1).tolist()


@pytest.mark.filterwarnings("ignore:subtract")
@pytest.mark.parametrize("whole_trains", [False, True])
def test_frames_without_a_dark_are_missing_for_all_that_read_them(raw, darks, whole_trains):
    lacking = darks.dataset["average.mean"].drop_sel(module=[2], cell=[3])
    algorithms = [
        RoiSum(),
        Subtract(dark=lacking),
        Twice(),
        Naive(),
        *([NaiveTrains()] if whole_trains else []),
    ]
    result = dxflow.reduce(raw.path, algorithms, cluster="here")
    ds, without = result.dataset, raw.cell_ids == 3
    frames = ~np.isnan(images(raw)).all(axis=(2, 3))
    there = frames & ~without[:, None]
    there[:, 2] = False
    exact = images(raw).astype("f8") - darks.dataset["average.mean"].values[raw.cell_ids]
    expected = np.where(
        without, np.nan, 2 * np.nansum(np.where(there[..., None, None], exact, np.nan), (1, 2, 3))
    )
    near(ds["naive.sum"], expected, 1e-4, 1e-2)
    used = {v.attrs["algorithms"]: v.values for k, v in ds.variables.items() if "modules_used" in k}
    assert used["roi"].tolist() == frames.sum(axis=1).tolist()
    (own,) = (values for by, values in used.items() if "naive" in by)
    assert own.tolist() == ds["naive.n"].values.tolist() == there.sum(axis=1).tolist()
    assert ds["naive.n_valid"].values.tolist() == there.any(axis=1).tolist()
    if whole_trains:
        assert ds["trains.n"].values.tolist() == there.sum(axis=1).tolist()
        assert ds["trains.n_valid"].values.tolist() == there.any(axis=1).tolist()
    assert account_of(result, "naive")[2] == (0, {"no dark": frames[:, 2].sum()})
