"""Autocorrelation against sums over pairs of pixels, in float64."""

import numpy as np
import pytest
from readings import images
from runs import make_run

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms.autocorrelation import Autocorrelation, normalised, products, smoothed
from dxflow.algorithms.average import Average
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Flat
from dxflow.testing import check_algorithm

BAD = np.random.default_rng(4).random((8, 16, 40)) < 0.2


def made(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def direct(modules, most):
    """Return the correlation of images, (module, ss, fs), pair by pair; NaN is not valid."""
    out = np.full([2 * n + 1 for n in most], np.nan)
    _, ss, fs = modules.shape
    for a, b in np.ndindex(out.shape):
        i, j = a - most[0], b - most[1]
        first = modules[:, max(0, -i) : ss - max(0, i), max(0, -j) : fs - max(0, j)]
        other = modules[:, max(0, i) : ss - max(0, -i), max(0, j) : fs - max(0, -j)]
        both = np.isfinite(first) & np.isfinite(other)
        x, y = first[both].astype("f8"), other[both].astype("f8")
        if len(x) and x.sum() and y.sum():
            out[a, b] = (x * y).sum() * len(x) / (x.sum() * y.sum())
    return out


def test_frames_equal_sums_over_pairs_with_masks_and_regions(holey):
    regions = {"a": [(2, 4), (3, 12), (7, 30)], "b": [(6, 7), (0, 16), (20, 40)]}
    data = made(holey, Autocorrelation(rois=regions, mask=BAD, range=(3, 5), threshold=(0.2, 3.0)))
    frames = images(holey).astype("f8")
    frames[:, BAD] = np.nan
    x = np.where((frames < 0.2) | (frames > 3.0), 0, frames)
    for name, cut in (("a", x[:, 2:4, 3:12, 7:30]), ("b", x[:, 6:7, :, 20:])):
        expected = np.array([direct(frame, (3, 5)) for frame in cut[:12]])
        found = data["autocorrelation.acf"].sel(roi=name)
        np.testing.assert_allclose(found[:12], expected, rtol=1e-6, equal_nan=True)
        mean = np.nanmean(cut, axis=(1, 2, 3))
        np.testing.assert_allclose(data["autocorrelation.intensity"].sel(roi=name), mean)
    assert data["lag_ss"].values.tolist() == list(range(-3, 4))
    average = data["autocorrelation.acf"].mean("frame").transpose(*data["autocorrelation.average"].dims)
    np.testing.assert_allclose(data["autocorrelation.average"], average, rtol=1e-5)
    n = len(cut)
    spread = data["autocorrelation.acf"].astype("f8").std("frame", ddof=1).transpose(*average.dims) / np.sqrt(
        n
    )
    np.testing.assert_allclose(data["autocorrelation.error"], spread, rtol=1e-4, atol=1e-7)


def test_lags_do_not_reach_around_the_edge():
    image = np.zeros((8, 10))
    image[0, 0] = image[7, 9] = 1.0
    product, _, pairs = products(image, np.ones((8, 10), bool), (7, 9))
    assert round(product[14, 18], 12) == round(product[0, 0], 12) == 1
    assert abs(product[8, 10]) < 1e-12
    assert pairs[7, 9] == 80
    assert pairs[0, 0] == 1


def test_speckle_of_a_round_source_has_the_correlation_of_its_field():
    random, n = np.random.default_rng(7), 256
    ss, fs = np.indices((n, n)) - n // 2
    lens = (np.hypot(ss, fs) < n / 8).astype("f8")
    fields = np.abs(np.fft.ifft2(lens)) ** 2
    planted = (fields / fields[0, 0])[np.ix_(np.arange(-6, 7), np.arange(-6, 7))]
    found = []
    for _ in range(20):
        speckle = np.abs(np.fft.fft2(lens * np.exp(2j * np.pi * random.random((n, n))))) ** 2
        there = random.random((n, n)) < 0.8
        found.append(normalised(*products(speckle * there, there, (6, 6))))
    np.testing.assert_allclose(np.mean(found, axis=0) - 1, planted, atol=0.03)


def test_counts_are_correlated_with_themselves_alone(tmp_path):
    options = {"detector": "AGIPD500K", "module_shape": (32, 32), "trains": 4, "pulses": 8}
    truth = make_run(tmp_path / "run", signal=Flat(2.0), noise=0.0, energy_spread=0, lit="all", **options)
    data = made(truth, Autocorrelation(range=(4, 4), per="run"))
    assert "autocorrelation.acf" not in data
    found = data["autocorrelation.average"].values
    # In each frame 8 modules of 1024 pixels.
    error = np.sqrt(1 / (32 * 8 * 1024))
    assert abs(found[4, 4] - 1.5) < 10 * error
    assert np.abs(np.delete(found.ravel(), 40) - 1).max() < 5 * 0.5 * error


def test_illumination_is_divided_out(holey, tmp_path):
    before = dxflow.reduce(holey.path, Average(), cluster="here").dataset["average.mean"]
    options = {"modules": [3], "range": (2, 2)}
    data = made(holey, Autocorrelation(illumination=before, **options))
    frames, mean = images(holey)[:, 3:4].astype("f8"), before.values[3:4].copy()
    mean[~(mean > 0)] = np.nan
    relative = mean / np.nanmean(mean)
    expected = np.array([direct(frame, (2, 2)) for frame in frames / relative])
    np.testing.assert_allclose(data["autocorrelation.acf"], expected, rtol=1e-5, atol=1e-6)
    np.save(tmp_path / "mean.npy", before.values)
    data = made(holey, Autocorrelation(illumination=str(tmp_path / "mean.npy"), smooth=3, **options))
    box = smoothed(before.values[3:4].astype("f8"), 3)
    box[~(box > 0)] = np.nan
    expected = np.array([direct(frame, (2, 2)) for frame in frames / (box / np.nanmean(box))])
    np.testing.assert_allclose(data["autocorrelation.acf"], expected, rtol=1e-5, atol=1e-6)


def test_smoothing_is_the_mean_of_what_is_there():
    image = np.random.default_rng(1).random((2, 6, 7))
    image[0, 2, 3] = np.nan
    found = smoothed(image, 3)
    for m, r, c in np.ndindex(image.shape):
        part = image[m, max(0, r - 1) : r + 2, max(0, c - 1) : c + 2]
        assert found[m, r, c] == pytest.approx(np.nanmean(part))


def test_behind_a_dark_and_frames_that_a_module_lacks(raw, broken):
    options = {"modules": [3], "range": (2, 2)}
    data = made(raw, Subtract(dark=raw.pedestal), Autocorrelation(img=From("subtract.img"), **options))
    net = (images(raw).astype("f4") - raw.pedestal)[:, 3:4]
    expected = np.array([direct(frame, (2, 2)) for frame in net.astype("f8")])
    np.testing.assert_allclose(data["autocorrelation.acf"], expected, rtol=1e-5)
    data = made(broken, Autocorrelation(modules=[5], range=(2, 2)), on_fault="mask")
    lacking = images(broken)[:, [list(broken.module_numbers).index(5)]]
    expected = np.array([direct(frame, (2, 2)) for frame in lacking])
    np.testing.assert_allclose(data["autocorrelation.acf"], expected, rtol=1e-5, equal_nan=True)
    assert np.isnan(expected).all(axis=(1, 2)).any()


@pytest.mark.parametrize("per", ["frame", "run"])
def test_the_result_depends_neither_on_cuts_nor_on_company(tiny, per):
    check_algorithm(lambda: Autocorrelation(per=per, range=(2, 3)), tiny.path, on_fault="mask")


def test_what_cannot_be_meant_is_refused(holey):
    for options, says in (
        ({"range": (1.5, 2)}, "range=.1.5, 2.; expected pixels"),
        ({"range": (-1, 2)}, "range=.-1, 2."),
        ({"smooth": 3}, "give illumination="),
        ({"smooth": 4, "illumination": "x.npy"}, "an odd number"),
        ({"threshold": (3, 1)}, "two that rise"),
    ):
        with pytest.raises(ValueError, match=says):
            Autocorrelation(**options)
    for options, says in (
        ({"range": (16, 2)}, "smallest region has 16 x 40 pixels"),
        ({"mask": np.ones((16, 40), bool)}, "mask= leaves no pixel"),
        ({"mask": BAD | True, "ss": (0, 1)}, "mask= leaves no pixel"),
        ({"illumination": np.zeros((16, 40))}, "leave no pixel of the region"),
        ({"illumination": np.ones((3, 4))}, "illumination has .module, ss, fs."),
        ({"modules": [9]}, "modules .9. are not read"),
    ):
        with pytest.raises(PlanError, match=says):
            dxflow.plan(holey.path, Autocorrelation(**options))
