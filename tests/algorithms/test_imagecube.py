"""Cubes of images against numpy in float64: means, standard errors and counts of each bin, with I0 and weights."""

import numpy as np
import pytest
import xarray as xr
from readings import images, near

import dxflow
from dxflow import From, Labels, PlanError
from dxflow.algorithms.imagecube import ImageCube
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.testing import check_algorithm


def per_frame(truth, values):
    """Return values as labels of the frames of a run."""
    ids = {"train_id": ("frame", truth.frame_train_ids), "pulse_id": ("frame", truth.pulse_ids)}
    return Labels(xr.DataArray(values, dims="frame", coords=ids))


def expected(frames, bins, count, w=None, i0=None):
    """Return mean, standard error and count of each bin, pixel by pixel, by the formula of the docs."""
    w, i0 = (np.ones(len(frames)) if x is None else x for x in (w, i0))
    shape = (count, *frames.shape[1:])
    mean, sem, n = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, int)
    used = np.isfinite(w * i0) & (w > 0) & (i0 > 0)
    for k, *pixel in np.ndindex(shape):
        own = used & (bins == k) & np.isfinite(x := frames[(slice(None), *pixel)])
        at, x, z, v = (k, *pixel), x[own], i0[own], w[own]
        n[at] = own.sum()
        if n[at]:
            mean[at] = (v * x).sum() / (v * z).sum()
        if n[at] > 1:
            spread = (v * (x - mean[at] * z) ** 2).sum() * (v**2).sum()
            sem[at] = np.sqrt(spread / (v.sum() * (v.sum() ** 2 - (v**2).sum()))) / ((v * z).sum() / v.sum())
    return mean, sem, n


def close(data, frames, bins, count, **options):
    """Compare two modules of a cube with what is expected, to float32."""
    data, frames = data.isel(module=slice(2)), frames[:, :2]
    mean, sem, n = expected(frames, bins, count, **options)
    found = {name: data[f"imagecube.{name}"].values.reshape(mean.shape) for name in ("mean", "sem", "count")}
    assert found["mean"].dtype == found["sem"].dtype == np.float32
    np.testing.assert_array_equal(found["count"], n)
    near(found["mean"], mean, 3e-7, 1e-7)
    near(found["sem"], sem, 3e-7, 1e-7)


def cube(truth, bins, *before, **options):
    made = ImageCube(by=per_frame(truth, bins), **options)
    return dxflow.reduce(truth.path, [*before, made], cluster="here").dataset


@pytest.fixture(scope="module")
def bins(holey):
    """The bin of each frame, 0 to 5, and -1; none has 4."""
    found = np.random.default_rng(3).integers(-1, 6, len(holey.pulse_ids))
    found[found == 4] = 2
    return found


@pytest.fixture(scope="module")
def numbers(holey):
    """I0 and weights of each frame, some of which are missing."""
    random = np.random.default_rng(4)
    i0, w = random.gamma(9, 100, len(holey.pulse_ids)), random.random(len(holey.pulse_ids))
    i0[::9], w[1::9] = np.nan, 0
    return i0, w


def test_it_equals_numpy_in_bins_of_two_axes(holey, bins):
    data = cube(holey, bins, axes={"delay": 2, "energy": 3})
    assert data["imagecube.mean"].dims == ("delay", "energy", "module", "ss", "fs")
    assert (data["imagecube.count"][1, 1] == 0).all()
    close(data, images(holey), bins, 6)


def test_values_of_a_label_are_bins_where_there_are_no_axes(holey, bins):
    data = cube(holey, bins, groups=[0, 3])
    assert data["imagecube.mean"].dims[0] == "group"
    frames = images(holey)
    close(data, frames, np.select([bins == 0, bins == 3], [0, 1], -1), 2)


@pytest.mark.parametrize("given", ["i0", "weights", "both"])
def test_ratios_of_sums_and_weighted_means_have_their_error(holey, bins, numbers, given):
    i0, w = numbers
    named = {"i0": i0, "weights": w} if given == "both" else {given: i0 if given == "i0" else w}
    data = cube(holey, bins, axes={"bin": 6}, **{k: per_frame(holey, v) for k, v in named.items()})
    close(data, images(holey), bins, 6, i0=named.get("i0"), w=named.get("weights"))
    total, each = data["imagecube.weight"], (np.prod([*named.values()], axis=0))[bins == 0]
    assert float(total[0].max()) <= np.nansum(each) * (1 + 1e-6)
    assert ("imagecube.effective" in data) == ("weights" in named)
    if "weights" in named:
        assert (
            (data["imagecube.effective"] <= data["imagecube.count"] * (1 + 1e-6)).where(total > 0, True).all()
        )


def test_each_frame_over_its_own_i0(holey, bins, numbers):
    i0 = numbers[0]
    data = cube(holey, bins, axes={"bin": 6}, i0=per_frame(holey, i0), normalise="each")
    frames = images(holey) / i0[:, None, None, None]
    close(data, frames, np.where(np.isfinite(i0), bins, -1), 6)


def test_raw_integers_are_exact(raw):
    bins = np.arange(len(raw.pulse_ids)) % 3
    data = cube(raw, bins, axes={"bin": 3})
    close(data, images(raw), bins, 3)


def test_a_chain_ends_in_a_cube(holey, bins):
    frames = images(holey)
    dark = np.nan_to_num(frames.mean(axis=0), nan=1.0).astype("f4")
    data = cube(holey, bins, Subtract(dark=dark), axes={"bin": 6}, img=From("subtract.img"))
    close(data, (frames.astype("f4") - dark).astype("f8"), bins, 6)


@pytest.mark.parametrize("pairs", [False, True])
def test_it_is_the_same_however_it_is_cut(tiny, pairs):
    lit = dxflow.reduce(tiny.path, LitFrames(), cluster="here", on_fault="mask")
    given = {"i0": Labels(lit, "litframes.intensity")} if pairs else {}
    check_algorithm(
        lambda: ImageCube(by=Labels(lit, "litframes.lit"), axes={"a": 1, "b": 2}, **given),
        tiny.path,
        on_fault="mask",
    )


def test_large_means_lose_no_digits():
    from dxflow.algorithms import _imagecube_kernels as kernels
    from dxflow.algorithms._average_kernels import Sorted
    from dxflow.algorithms.imagecube import of_pairs

    random = np.random.default_rng(1)
    x, z = random.normal(1e8, 1, (41, 300)), random.normal(1, 1e-9, 41)
    counts, halves, none = [], [], (np.empty(0), np.empty(0))
    for part in (slice(0, 20), slice(20, 41)):
        counts.append(np.zeros(300, "i4"))
        halves.append(tuple(np.zeros(300) for _ in range(5)))
        one = np.ones(len(x[part]))
        into = Sorted.by(np.zeros(len(one), int), 0)
        kernels.add_pairs(x[part], into, (one, z[part], one), counts[-1], none, halves[-1])
    kernels.merge_pairs(*((n, *half) for n, half in zip(counts, halves, strict=True)))
    n = np.full(300, 41.0)
    r, sem, *_ = of_pairs(n, n, n, *halves[0])
    exact = x.astype(np.longdouble).sum(axis=0) / z.astype(np.longdouble).sum()
    spread = ((x - exact * z[:, None].astype(np.longdouble)) ** 2).sum(axis=0)
    np.testing.assert_allclose(r, exact.astype("f8"), rtol=1e-15)
    np.testing.assert_allclose(sem, np.sqrt(spread * 41 / 40).astype("f8") / np.abs(z.sum()), rtol=1e-7)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "in which bin"),
        ({"axes": {"a": 0}}, "numbers of bins"),
        ({"axes": ["a"]}, "numbers of bins"),
        ({"axes": {"a": 2}, "groups": [1]}, "expected one of them"),
        ({"axes": {"a": 2}, "normalise": "each"}, "expected i0="),
    ],
)
def test_what_makes_no_sense_is_refused(options, said):
    by = {"by": Labels([0], train_ids=[1])} if options else {}
    with pytest.raises(ValueError, match=said):
        ImageCube(**options, **by)


@pytest.mark.parametrize("number", [7, -1])
def test_a_bin_that_no_frame_has_is_refused(tiny, number):
    with pytest.raises(PlanError, match="no frame is in one of the 4 bins"):
        cube(tiny, np.full(len(tiny.pulse_ids), number), axes={"bin": 4})
