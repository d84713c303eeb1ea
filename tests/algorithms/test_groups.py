"""Groups of frames by a label, against numpy on the frames that have it."""

import numpy as np
import pytest
import xarray as xr
from readings import images, near

import dxflow
from dxflow import PlanError
from dxflow.algorithms.average import Average


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
        PlanError, match=r"by=energy has 77 different values in 77 frames, one group each, 0\.0.*edges"
    ):
        plan(holey, by=labelled(holey, np.random.default_rng(1).random(n), name="energy"))
    with pytest.raises(PlanError, match="no frame has one of them; values has 0, 1"):
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


def test_typed_groups_are_values_of_the_label(holey):
    n = len(holey.frame_train_ids)
    flags = labelled(holey, np.arange(n) % 2 == 0)
    data = averaged(holey, Average(by=flags, groups=["on", "false"]))
    assert data["group"].values.tolist() == [True, False]
    check(data, images(holey), np.arange(n) % 2 == 0, 0)
