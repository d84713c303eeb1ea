"""Groups of frames by a label, against numpy on the frames that have it."""

import numpy as np
import pytest
import xarray as xr
from campaign import groups as campaign
from readings import images, near
from runs import make_run

import dxflow
from dxflow import From, Labels, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.g2 import G2
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.twotime import TwoTime
from dxflow.commands import main as cli
from dxflow.testing import check_algorithm


def labelled(truth, values, keep=slice(None), **attrs):
    """Return values of frames as an array with train and pulse ids."""
    ids = {"train_id": ("frame", truth.frame_train_ids), "pulse_id": ("frame", truth.pulse_ids)}
    return xr.DataArray(values, dims="frame", coords=ids, **attrs)[keep]


def averaged(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def check(data, frames, chosen, at, name="average"):
    """Compare one group with numpy in float64 on its frames."""
    own = frames[chosen]
    n = np.isfinite(own).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n, np.nansum(own, axis=0) / n, np.nan)
        variance = np.where(n > 1, np.nansum((own - mean) ** 2, axis=0) / (n - 1), np.nan)
        error = np.sqrt(variance / n)
    np.testing.assert_array_equal(data[f"{name}.count"][at], n)
    for part, expected, rtol in (
        ("mean", mean, 1e-12),
        ("variance", variance, 1e-12),
        ("error", error, 1e-6),
    ):
        near(data[f"{name}.{part}"][at], expected, rtol)


@pytest.mark.parametrize(
    "values",
    [
        np.arange(72) % 2 == 0,
        np.arange(72) // 9 * 0.5,
        np.array(["off", "on", "late"])[np.arange(72) % 3],
    ],
    ids=["alternating", "steps", "texts"],
)
def test_each_group_is_the_average_of_its_frames(holey, values):
    n = len(holey.frame_train_ids)
    values = np.resize(values, n)
    keep = np.arange(n) % 7 != 3
    data, frames = averaged(holey, Average(by=labelled(holey, values, keep, name="delay"))), images(holey)
    np.testing.assert_array_equal(data["delay"], np.unique(values))
    for at, group in enumerate(np.unique(values)):
        check(data, frames, keep & (values == group), at)
    np.testing.assert_array_equal(data["average.ungrouped"], ~keep)


def test_labels_of_trains_make_groups_of_trains(holey):
    label = xr.DataArray(
        [0, 5, 0, 7], dims="train", coords={"train": holey.train_ids[[0, 1, 3, 4]]}, name="motor.x"
    )
    data, frames = averaged(holey, Average(by=label)), images(holey)
    np.testing.assert_array_equal(data["x"], [0, 5, 7])
    for at, trains in enumerate([[0, 3], [1], [4]]):
        check(data, frames, np.isin(holey.frame_train_ids, holey.train_ids[trains]), at)
    known = np.isin(holey.frame_train_ids, label["train"])
    np.testing.assert_array_equal(data["average.ungrouped"], ~known)


def test_groups_may_be_chosen_ordered_and_empty(holey):
    values = np.arange(len(holey.frame_train_ids)) % 3 * 1.5
    data, frames = averaged(holey, Average(by=labelled(holey, values), groups=[3, 9.25, 0])), images(holey)
    np.testing.assert_array_equal(data["group"], [3, 9.25, 0])
    check(data, frames, values == 3, 0)
    check(data, frames, values == 0, 2)
    assert (data["average.count"][1] == 0).all()
    assert np.isnan(data["average.mean"][1]).all()
    assert np.isnan(data["average.error"][1]).all()
    np.testing.assert_array_equal(data["average.ungrouped"], values == 1.5)


def test_raw_data_are_exact_in_groups(raw):
    frames = images(raw)
    values = np.arange(len(frames)) % 2 == 0
    data = averaged(raw, Average(by=labelled(raw, values, name="laser")))
    for at, flag in enumerate([False, True]):
        assert data["laser"][at] == flag
        check(data, frames, values == flag, at)


def test_cells_and_pulses_are_a_short_form(holey):
    short = averaged(holey, Average(per="pulse"))
    long = averaged(holey, Average(by=labelled(holey, holey.pulse_ids.astype("i8"))))
    for part in ("mean", "variance", "count"):
        np.testing.assert_array_equal(short[f"average.{part}"], long[f"average.{part}"])


def test_groups_have_the_same_bits_in_any_chunks_and_company(holey):
    by = labelled(holey, np.arange(len(holey.frame_train_ids)) % 4)
    alone = averaged(holey, Average(by=by))
    company = averaged(holey, Average(name="all"), Average(by=by))
    for name in alone.data_vars:
        if str(name).startswith("average."):
            assert alone[name].values.tobytes() == company[name].values.tobytes()


def plan(truth, **options):
    return dxflow.plan(truth.path, Average(**options))


def test_labels_that_are_no_groups_are_refused(holey):
    n = len(holey.frame_train_ids)
    with pytest.raises(
        PlanError, match=r"by= \(energy\) has 77 different values in 77 frames, one group each, 0\.0.*edges"
    ):
        plan(holey, by=labelled(holey, np.random.default_rng(1).random(n), name="energy"))
    with pytest.raises(PlanError, match="input 'by': it has no values: all 77 are missing"):
        plan(holey, by=labelled(holey, np.full(n, np.nan), name="energy"))
    with pytest.raises(PlanError, match=r"by= \(day\) is datetime64.*; expected booleans, numbers or texts"):
        plan(holey, by=labelled(holey, np.arange(n) + np.datetime64("2026-11-22"), name="day"))
    with pytest.raises(TypeError, match="groups='on': expected a list of values"):
        plan(holey, by=labelled(holey, np.full(n, "on")), groups="on")
    with pytest.raises(PlanError, match=r"average: groups=\[1\]: of which label\? Expected by= with it"):
        plan(holey, groups=[1])
    with pytest.raises(PlanError, match="no frame has one of them; by= has 0, 1"):
        plan(holey, by=labelled(holey, np.arange(n) % 2), groups=[7])
    with pytest.raises(PlanError, match="groups=1.5: expected values as the label has them, int64"):
        plan(holey, by=labelled(holey, np.arange(n) % 2), groups=[1.5])
    with pytest.raises(PlanError, match="expected different values"):
        plan(holey, by=labelled(holey, np.arange(n) % 2), groups=[1, 1])
    array = labelled(holey, np.arange(n) % 2)
    with pytest.raises(PlanError, match=r"values of shape \(3,\); expected one"):
        plan(holey, by=array.expand_dims({"k": 3}).transpose("frame", "k"))
    with pytest.raises(PlanError, match="none of its values belongs to a frame"):
        plan(holey, by=array.assign_coords(train_id=array.train_id + 10**6))
    with pytest.raises(ValueError, match="per='cell' and by= were given"):
        Average(per="cell", by=labelled(holey, np.arange(n) % 2))


def test_a_label_that_is_called_as_another_axis_does_not_take_its_place(holey, placed):
    by = labelled(holey, np.arange(len(holey.frame_train_ids)) % 2, name="q")
    plan = dxflow.plan(holey.path, [AzimuthalIntegration(by=by, **placed), Average(by=by.rename("valid"))])
    dims = {o.name: o.output.dims for o in plan.outputs}
    assert dims["azint.mean"] == ("group", "q")
    assert dims["average.mean"] == ("group",)


def test_the_command_line_makes_groups_of_an_algorithm_whose_options_are_left_out(holey, placed, lit, capsys):
    line = ["plan", holey.path, "azint", "--by", f"{lit.path}:litframes.lit", "--groups", "true", "false"]
    assert cli.main([*line, *(str(x) for k, v in placed.items() for x in (f"--{k}", v))]) == 0
    assert "by=" in capsys.readouterr().out.replace("by = ", "by=")


def test_typed_groups_are_values_of_the_label(holey):
    n = len(holey.frame_train_ids)
    flags = labelled(holey, np.arange(n) % 2 == 0)
    data = averaged(holey, Average(by=flags, groups=["on", "false"]))
    assert data["group"].values.tolist() == [True, False]
    check(data, images(holey), np.arange(n) % 2 == 0, 0)


def rows(values):
    """Return count, mean, variance and standard error of the mean of rows, plainly."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n, np.nansum(values, axis=0) / n, np.nan)
        variance = np.where(n > 1, np.nansum((values - mean) ** 2, axis=0) / (n - 1), np.nan)
        return n, mean, variance, np.sqrt(variance / n)


def compare(data, at, names, expected, rtol=1e-9):
    np.testing.assert_array_equal(data[names[0]][at], expected[0])
    for name, values in zip(names[1:], expected[1:], strict=True):
        np.testing.assert_allclose(data[name][at], values, rtol=rtol, atol=1e-12, equal_nan=True)


LABELS = np.array(["on", "off", "none", "on", "on", "off", "other"])
"""One in each group, and one of none, again and again."""


def by_frames(truth):
    values = np.resize(LABELS, len(truth.frame_train_ids))
    return values, labelled(truth, values, values != "none", name="pump")


@pytest.fixture(scope="module")
def placed(holey):
    return {
        "geometry": f"{holey.path}/geometry.npy",
        "distance": holey.distance,
        "energy": holey.photon_energy,
        "nbins": 6,
    }


@pytest.mark.parametrize("options", [{}, {"errors": "poisson"}, {"nchi": 3, "errors": "azimuthal"}])
def test_azimuthal_averages_of_groups_are_those_of_their_frames(holey, placed, options):
    values, by = by_frames(holey)
    given = placed | options
    data = averaged(
        holey,
        AzimuthalIntegration(by=by, groups=["on", "empty", "off"], **given),
        AzimuthalIntegration(by=by, groups=["on", "empty", "off"], per="run", name="run", **given),
        AzimuthalIntegration(name="all", **given),
    )
    assert data["pump"].values.tolist() == ["on", "empty", "off"]
    np.testing.assert_array_equal(data["all.intensity"], data["azint.intensity"])
    np.testing.assert_array_equal(data["azint.ungrouped"], ~np.isin(values, ["on", "off"]))
    for at, group in ((0, "on"), (2, "off")):
        one = averaged(
            holey, AzimuthalIntegration(**given), frames=dxflow.FrameSelection(mask=values == group)
        )
        own = data["azint.intensity"].values[values == group].astype("f8")
        n, _, variance, error = rows(own)
        np.testing.assert_array_equal(data["azint.frames"][at], n)
        np.testing.assert_allclose(data["azint.variance"][at], variance, rtol=1e-5)
        np.testing.assert_allclose(data["azint.error"][at], error, rtol=1e-5)
        for name in ("mean", "count", *(["mean_error"] if "errors" in options else [])):
            near(data[f"azint.{name}"][at], one[f"azint.{name}"], 1e-9)
            near(data[f"run.{name}"][at], one[f"azint.{name}"], 1e-9)
    for name in ("azint.mean", "run.mean", "azint.variance", "azint.error"):
        assert np.isnan(data[name][1]).all(), name
    assert not data["azint.count"][1].any()
    assert not data["azint.frames"][1].any()


def test_spectra_of_groups_are_those_of_their_frames(holey):
    values, by = by_frames(holey)
    data = averaged(holey, Spectrum(by=by, ss=(1, 3)))
    for at, group in enumerate(["off", "on", "other"]):
        own = data["spectrum.spectrum"].values[values == group]
        compare(data, at, [f"spectrum.{n}" for n in ("frames", "mean", "variance", "error")], rows(own))
    np.testing.assert_array_equal(data["spectrum.ungrouped"], values == "none")


@pytest.mark.parametrize("per", ["train", "frame"])
def test_correlations_of_groups_are_means_over_their_trains_and_pairs(holey, per):
    labels = np.zeros((8, 16, 40), int)
    labels[:, :8], labels[:, 8:] = 1, 2
    trains, pulses = len(holey.train_ids), len(holey.pulse_ids) // len(holey.train_ids)
    if per == "frame":
        values, by = by_frames(holey)
        values = values.reshape(trains, pulses)
    else:
        values = np.repeat(LABELS[:, None], pulses, axis=1)
        by = xr.DataArray(LABELS, dims="train", coords={"train": holey.train_ids}, name="pump")[
            LABELS != "none"
        ]
    data = averaged(
        holey,
        TwoTime(labels=labels, by=by),
        TwoTime(labels=labels, name="all"),
        G2(labels=labels, by=by, matrices=True),
    )
    for at, group in enumerate(["off", "on", "other"]):
        own = values == group
        pairs = own[:, :, None] & own[:, None]
        c = np.where(pairs[:, None], data["all.c"].values.astype("f8"), np.nan)
        expected = rows(c)
        np.testing.assert_array_equal(data["twotime.trains"][at], expected[0])
        for name, one, tol in zip(
            ("mean", "variance", "error"), expected[1:], (1e-6, 1e-5, 1e-5), strict=True
        ):
            np.testing.assert_allclose(data[f"twotime.{name}"][at], one, rtol=1e-4, atol=tol)
        diagonal = [rows(np.moveaxis(np.diagonal(c, lag, 2, 3), -1, 0))[1] for lag in range(pulses)]
        n, mean, _, error = rows(np.stack(diagonal, axis=-1))
        np.testing.assert_array_equal(data["g2.trains"][at], n)
        np.testing.assert_allclose(data["g2.mean"][at], mean, rtol=1e-6)
        np.testing.assert_allclose(data["g2.error"][at], error, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(data["twotime.ungrouped"].values.reshape(values.shape), values == "none")
    assert "twotime.c" not in data


@pytest.fixture(scope="module")
def lit(holey, tmp_path_factory):
    """Labels of an earlier result."""
    path = f"{tmp_path_factory.mktemp('lit')}/lit.zarr"
    dxflow.reduce(holey.path, LitFrames(), path, cluster="here")
    return Labels(path, "litframes.lit")


@pytest.mark.parametrize("make", [Average, Spectrum, TwoTime])
def test_labels_that_are_made_in_the_pass_are_those_of_a_pass_before(holey, lit, make):
    own = {TwoTime: {"labels": np.ones((8, 16, 40), int)}}.get(make, {})
    made = make(by=From("litframes.lit"), groups=[False, True], **own)
    once, before = averaged(holey, LitFrames(), made), averaged(holey, make(by=lit, **own))
    for name in before.data_vars:
        if str(name).startswith(made.name):
            near(once[name], before[name].values.astype("f8"), 1e-9)
    assert once["lit"].values.tolist() == [False, True]
    with pytest.raises(PlanError, match=r"is made in this pass: give groups=, its values, such as"):
        dxflow.plan(holey.path, [LitFrames(), make(by=From("litframes.lit"), **own)])


def test_labels_that_are_made_of_broken_modules_are_those_of_all_of_them(broken):
    """A module that lacks a frame says nothing of the label of the frame."""
    by = {"by": From("litframes.valid_pixels"), "groups": [7 * 256 - 6, 6 * 256 - 6]}
    data = averaged(broken, LitFrames(), Average(**by), on_fault="mask")
    values = data["litframes.valid_pixels"].values
    frames = np.full((len(values), 8, 16, 16), np.nan)
    frames[:, broken.module_numbers] = images(broken)
    for at, group in enumerate(data["valid_pixels"].values):
        check(data, frames, values == group, at)
    np.testing.assert_array_equal(
        data["average.ungrouped"], ~np.isin(values, by["groups"]) & data["litframes.valid_pixels_valid"]
    )


def test_labels_of_an_earlier_result_give_the_axis_their_name(holey, lit):
    data, flags = averaged(holey, Average(by=lit)), dxflow.open(lit.path).dataset["litframes.lit"]
    assert data["average.mean"].dims == ("lit", "module", "ss", "fs")
    assert data["lit"].values.tolist() == [False, True]
    for at, flag in enumerate([False, True]):
        check(data, images(holey), flags.values == flag, at)


@pytest.mark.parametrize("cls", [Average, AzimuthalIntegration, Spectrum, TwoTime])
def test_algorithms_with_groups_keep_what_is_asked_of_algorithms(tmp_path, placed, cls):
    truth = make_run(
        tmp_path / "run", detector="AGIPD500K", trains=3, pulses=3, module_shape=(4, 8), devices=()
    )
    dxflow.reduce(truth.path, LitFrames(), f"{tmp_path}/lit.zarr", cluster="here")
    labels = np.ones((8, 4, 8), int)
    geometry = {"geometry": f"{truth.path}/geometry.npy", "nbins": 3, "errors": "azimuthal"}
    own = {AzimuthalIntegration: placed | geometry, TwoTime: {"labels": labels}}
    by = Labels(f"{tmp_path}/lit.zarr", "litframes.valid_pixels")
    check_algorithm(lambda: cls(by=by, **own.get(cls, {})), truth.path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    return {name: campaign.made(folder, name) for name in campaign.PLANTS}


def test_any_labels_of_runs_with_gaps_give_what_numpy_has(runs):
    """A slice of the campaign, which tries 300."""
    campaign.tried(runs, 6)
