"""Difference against numpy on the frames that are compared, and against what was planted."""

import numpy as np
import oracle
import pytest
import xarray as xr
from campaign import pumps
from runs import make_run

import dxflow
from dxflow import Frames, From, Key, Labels, PlanError, PulseKey
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.difference import Difference
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum
from dxflow.testing import check_algorithm

XGM = PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")
RESULTS = ("on", "off", "on_error", "off_error", "difference", "error", "relative", "relative_error")


def labelled(truth, values, keep=slice(None)):
    ids = {"train_id": ("frame", truth.frame_train_ids), "pulse_id": ("frame", truth.pulse_ids)}
    return xr.DataArray(values, dims="frame", coords=ids, name="label")[keep]


def compared(truth, *algorithms, cluster="here", **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster=cluster, **options).dataset


def mean_and_error(y, x):
    """Return the ratio of sums of frames and its error, element by element, by loops."""
    value, error, count = (np.full(y.shape[1:], np.nan) for _ in range(3))
    for at in np.ndindex(y.shape[1:]):
        good = np.isfinite(y[(slice(None), *at)])
        a, b, n = y[(good, *at)], x[good], good.sum()
        count[at] = n
        if n:
            value[at] = r = a.sum() / b.sum()
            if n > 1:
                error[at] = np.sqrt(n / (n - 1) * ((a - r * b) ** 2).sum()) / b.sum()
    return value, error, count


def pooled(y, x, on):
    (a, da, n), (b, db, m) = mean_and_error(y[on], x[on]), mean_and_error(y[~on], x[~on])
    error = np.hypot(da, db)
    relative = np.hypot(da, a / b * db) / np.abs(b)
    found = dict(zip(RESULTS, (a, b, da, db, a - b, error, a / b - 1, relative), strict=True))
    return found | {"frames_on": n, "frames_off": m}


def paired(y, x, on, stretch):
    """Return the mean over stretches of on - off, and what else there is of it."""
    parts, counts, unpaired = [], [], 0
    for one in np.unique(stretch):
        own = stretch == one
        (a, _, n), (b, _, m) = (mean_and_error(y[own & k], x[own & k]) for k in (on, ~on))
        both = (n > 0) & (m > 0)
        unpaired = unpaired + ((n > 0) ^ (m > 0))
        parts.append(np.where(both, [a, b, a - b], np.nan))
        counts.append(np.where(both, [n, m], 0))
    parts, pairs = np.array(parts), np.isfinite(np.array(parts)[:, 2]).sum(axis=0)
    with np.errstate(all="ignore"):
        a, b, d = np.where(pairs > 0, np.nansum(parts, axis=0) / pairs, np.nan)
        moments = np.nansum((parts - [a, b, d]) ** 2, axis=0) / (pairs - 1.0) / pairs
        da, db, dd = np.sqrt(np.where(pairs > 1, moments, np.nan))
        off = (parts[:, 0] - a / b * parts[:, 1]) - (a - a / b * b)
        spread = np.sqrt(np.where(pairs > 1, np.nansum(off**2, axis=0) / (pairs - 1.0) / pairs, np.nan))
        relative = spread / np.abs(b)
    found = dict(zip(RESULTS, (a, b, da, db, d, dd, a / b - 1, relative), strict=True))
    n, m = np.sum(counts, axis=0)
    return found | {"frames_on": n, "frames_off": m, "trains": pairs, "unpaired": unpaired}


def check(data, expected, at=(), name="difference"):
    for what, values in expected.items():
        found = data[f"{name}.{what}"].values[at]
        if found.dtype.kind == "i":
            np.testing.assert_array_equal(found, values, err_msg=what)
        else:
            np.testing.assert_allclose(found, values, rtol=1e-7, atol=1e-9, equal_nan=True, err_msg=what)


@pytest.fixture(scope="module")
def flagged(holey):
    """Flags of frames: all off in one train, all on in another, unknown in some frames."""
    n = len(holey.frame_train_ids)
    on = np.resize([True, False, False, True, False], n)
    on[holey.frame_train_ids == holey.train_ids[2]] = False
    on[holey.frame_train_ids == holey.train_ids[5]] = True
    return on, np.arange(n) % 7 != 3


@pytest.fixture(scope="module")
def azint(holey):
    made = {"distance": holey.distance, "energy": holey.photon_energy, "nbins": 5, "qrange": (0, 9)}
    return lambda: AzimuthalIntegration(geometry=f"{holey.path}/geometry.npy", **made)


@pytest.mark.parametrize("pairing", ["train", "neighbour", "pooled"])
@pytest.mark.parametrize("options", [{}, {"i0": XGM}, {"i0": XGM, "normalise": "each", "min_i0": 900.0}])
def test_it_is_what_numpy_makes_of_the_frames_of_each_group(holey, flagged, azint, pairing, options):
    on, known = flagged
    step = np.resize([1.5, 2.5, 2.5, 3.5], len(on))
    given = {"on": labelled(holey, on, known), "by": labelled(holey, step), "groups": [2.5, 9.0, 1.5]}
    data = compared(holey, azint(), Difference(pairing=pairing, **given, **options))
    y, x = data["azint.intensity"].values.astype("f8"), holey.energy.astype("f8")
    assert np.isnan(y).any()
    good = x > options.get("min_i0", 0) if "i0" in options else np.ones(len(on), bool)
    if options.get("normalise") == "each" or "i0" not in options:
        y, x = (y / np.where(x > 0, x, 1)[:, None] if "i0" in options else y), np.ones(len(x))
    stretch = holey.frame_train_ids // (2 if pairing == "neighbour" else 1)
    for at, group in ((0, 2.5), (2, 1.5)):
        own = known & good & (step == group)
        rest = () if pairing == "pooled" else (stretch[own],)
        check(data, (pooled if pairing == "pooled" else paired)(y[own], x[own], on[own], *rest), at)
    assert np.isnan(data["difference.difference"][1]).all()
    assert not data["difference.frames_on"][1].any()
    assert data["difference.unlabelled"] == (~known).sum()
    assert data["difference.ungrouped"] == (known & (step == 3.5)).sum()
    assert data["difference.left_out"] == (known & (step != 3.5) & ~good).sum()


def test_values_of_trains_are_compared_in_stretches(holey):
    """Trains pumped in turn: a value per train, such as that of a motor, and flags of trains."""
    on = xr.DataArray(np.arange(7) % 2 == 0, dims="train", coords={"train": holey.train_ids})
    given = {"x": Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"), "on": on}
    data = compared(
        holey,
        Difference(pairing="neighbour", stretch=4, **given),
        Difference(pairing="pooled", name="all", **given),
    )
    motor, ones = holey.motor.astype("f8"), np.ones(7)
    check(data, paired(motor, ones, on.values, holey.train_ids.astype(int) // 4))
    check(data, pooled(motor, ones, on.values), name="all")
    with pytest.raises(PlanError, match="no train has both kinds: give pairing='neighbour'"):
        compared(holey, Difference(**given))
    with pytest.raises(PlanError, match="has one value per train, and i0 one for each frame"):
        compared(holey, Difference(pairing="pooled", i0=XGM, **given))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "r0001"
    return make_run(
        folder, detector="AGIPD500K", trains=5, pulses=4, module_shape=(4, 8), lit=[1, 0, 1, 1], pump="pulses"
    )


@pytest.mark.parametrize("pairing", ["neighbour", "pooled"])
def test_it_keeps_what_is_asked_of_algorithms(tiny, tmp_path, pairing):
    dxflow.reduce(tiny.path, LitFrames(), f"{tmp_path}/lit.zarr", cluster="here")
    given = {
        "on": Labels(f"{tmp_path}/lit.zarr", "litframes.lit"),
        "pairing": pairing,
        **({"stretch": 3} if pairing == "neighbour" else {}),
    }
    check_algorithm(
        lambda: [RoiSum(img=Frames(modules=[0])), Difference(x=From("roi.sum"), i0=XGM, min_i0=0.5, **given)],
        tiny.path,
    )


def test_planted_differences_lie_within_their_errors():
    """A slice of the campaign; `make faults` does 200 runs."""
    for pump in pumps.PUMPS:
        for what, off in pumps.gathered(pump, range(1)).items():
            # Bins share what pulse energies do, so that few runs are few numbers.
            assert np.abs(off).max() < 4.5, what
            assert off.std() < 1.6, what


def test_flags_are_those_of_the_decoder_by_default(tiny):
    data = compared(
        tiny, RoiSum(img=Frames(modules=[0])), Difference(x=From("roi.sum"), pairing="pooled", i0=XGM)
    )
    assert tiny.pump.any()
    lit, on = tiny.lit, tiny.pump & tiny.lit
    np.testing.assert_array_equal(data["difference.unlabelled"], (~lit).sum())
    y, x = data["roi.sum"].values[lit], tiny.energy[lit].astype("f8")
    check(data, pooled(y, x, on[lit]))
    given = {"x": From("roi.sum"), "pairing": "pooled", "i0": Key(XGM.source, XGM.key)}
    same = compared(tiny, RoiSum(img=Frames(modules=[0])), Difference(**given))
    np.testing.assert_array_equal(same["difference.error"], data["difference.error"])


def test_values_of_an_earlier_result_are_compared_without_reading_frames(tiny, tmp_path):
    roi, on = RoiSum(img=Frames(modules=[0])), labelled(tiny, np.arange(20) % 3 == 0)
    dxflow.reduce(tiny.path, roi, f"{tmp_path}/roi.zarr", cluster="here")
    given = {"on": on, "i0": XGM, "pairing": "pooled"}
    later = dxflow.reduce(
        tiny.path, Difference(x=Labels(f"{tmp_path}/roi.zarr", "roi.sum"), **given), cluster="here"
    )
    here = compared(tiny, roi, Difference(x=From("roi.sum"), **given))
    for name in RESULTS:
        np.testing.assert_array_equal(later.dataset[f"difference.{name}"], here[f"difference.{name}"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"on": np.ones(20, bool)},
            "label is True for all 20 frames or trains that are read: there is nothing",
        ),
        ({"on": np.arange(20) % 3}, "label is 0, 1, 2; expected booleans, 0 and 1"),
        ({"on": np.resize(["on", "late"], 20)}, "expected booleans, 0 and 1, or 'on' and 'off'"),
        ({"x": From("azint.intensity")}, "no algorithm before it makes that"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_the_plan(tiny, options, says):
    given = {"x": From("roi.sum"), "on": np.arange(20) % 2 == 0} | options
    given["on"] = labelled(tiny, given["on"])
    with pytest.raises(PlanError, match=says):
        dxflow.plan(tiny.path, [RoiSum(img=Frames(modules=[0])), Difference(**given)])


def test_images_are_compared_pixel_by_pixel(tiny):
    on = np.arange(20) % 3 == 0
    data = compared(
        tiny, Difference(x=Frames(modules=[2, 5]), on=labelled(tiny, on), by=labelled(tiny, on * 0))
    )
    y = oracle.frames(tiny.path, [tiny.sources[2], tiny.sources[5]])[1].astype("f8")
    assert data["difference.error"].dims == ("label", "module", "ss", "fs")
    check(data, paired(y, np.ones(20), on, tiny.frame_train_ids), 0)


def test_trains_that_are_pumped_in_turn_have_nothing_to_pair_and_that_is_said(tiny):
    on = labelled(tiny, tiny.frame_train_ids % 2 == 0)
    with pytest.warns(UserWarning, match="all is NaN.*give pairing='neighbour'; 5 have one kind only"):
        data = compared(tiny, RoiSum(img=Frames(modules=[0])), Difference(x=From("roi.sum"), on=on))
    assert data["difference.unpaired"] == 5
    assert np.isnan(data["difference.difference"])


def test_flags_of_another_run_are_refused(tiny, holey):
    on = labelled(holey, np.arange(77) % 2 == 0).assign_coords(
        train_id=("frame", holey.frame_train_ids + np.uint64(10**6))
    )
    with pytest.raises(PlanError, match="none of its values belongs to a frame or train that is read"):
        dxflow.plan(tiny.path, [RoiSum(img=Frames(modules=[0])), Difference(x=From("roi.sum"), on=on)])


@pytest.mark.parametrize(
    "options",
    [
        {"stretch": 0, "pairing": "neighbour"},
        {"stretch": 3},
        {"min_i0": np.nan, "i0": XGM},
        {"min_i0": 1.0},
        {"normalise": "each"},
    ],
)
def test_options_that_cannot_be_right_are_refused(options):
    with pytest.raises(ValueError, match="expected"):
        Difference(**options)
