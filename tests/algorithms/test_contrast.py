"""Contrast against histograms of numpy, the exact negative binomial distribution, and planted speckle."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import images
from runs import make_run
from scipy.optimize import brentq
from scipy.stats import nbinom

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms._contrast_kernels import score
from dxflow.algorithms._likelihood import POINTS, Likelihood
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.contrast import Contrast, terms
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Speckle
from dxflow.testing import check_algorithm


def reduced(truth, algorithm, **options):
    return dxflow.reduce(truth.path, algorithm, cluster="here", on_fault="mask", **options).dataset


def labels_of(truth):
    return np.random.default_rng(1).integers(0, 3, (8, *truth.positions.shape[1:3]))


def negative_binomial(k, modes, last=400):
    """Return P(0), P(1), ... of k photons per pixel on average."""
    n = np.arange(last)
    gammas = np.array([math.lgamma(x + modes) - math.lgamma(modes) - math.lgamma(x + 1) for x in n])
    return np.exp(gammas - n * np.log1p(modes / k) - modes * np.log1p(k / modes))


def by_photons(histogram, k, last):
    """Return the contrast that makes histograms most likely, (row,)."""
    likelihood, rises = Likelihood(last), np.zeros((len(histogram), POINTS))
    score(np.asarray(histogram), np.asarray(k, float), likelihood.betas, rises)
    return likelihood.best(rises)[0]


def by_scipy(histogram, k, last):
    """Return the same of one histogram: where the likelihood, by scipy's distribution, does not rise any more."""

    def rise(beta, step=1e-4):
        low, high = (of(beta * (1 + x)) for x in (-step, step))
        return (high - low) / (2 * step * beta)

    def of(beta):
        size, p = 1 / beta, 1 / (1 + k * beta)
        more = histogram[last] * nbinom.logsf(last - 1, size, p) if histogram[last] else 0.0
        return histogram[:last] @ nbinom.logpmf(np.arange(last), size, p) + more + np.log1p(k * beta) / 2

    return brentq(rise, 0.01, 1.9, xtol=1e-12)


@pytest.mark.parametrize("k", [0.001, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("modes", [1.0, 4.0, 7.5])
def test_both_ways_give_the_contrast_of_the_exact_negative_binomial(k, modes):
    p, photons, n = negative_binomial(k, modes), np.arange(400), 1e12
    total, squares = n * (p * photons).sum(), n * (p * photons**2).sum()
    above, below = terms(*(np.array([[x]]) for x in (n, total, squares)))
    np.testing.assert_allclose(above / below, 1 / modes, rtol=1e-6)
    for last in (4, 7, 20):
        histogram = n * np.append(p[:last], p[last:].sum())
        # The term for k that is not known is of a single pixel.
        np.testing.assert_allclose(by_photons([histogram], [k], last), 1 / modes, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 7, 20]), st.floats(0.3, 2.5), st.floats(0.15, 1.0))
def test_by_photons_is_the_largest_likelihood_of_the_histogram(seed, last, k, beta):
    random = np.random.default_rng(seed)
    n = random.poisson(k * random.gamma(1 / beta, beta, 20_000))
    histogram = np.bincount(np.minimum(n, last), minlength=last + 1)
    found = by_photons([histogram], [n.mean()], last)[0]
    assert found == pytest.approx(by_scipy(histogram, n.mean(), last), rel=1e-6)


def test_what_no_contrast_explains_is_nan():
    rows = [[900, 100, 0, 0], [0, 0, 0, 0], [998, 0, 0, 2], [0, 0, 0, 50], [500, 300, 120, 80]]
    found = by_photons(rows, [0.1, 0.0, 0.02, 9.0, 0.8], 3)
    # Thinner than counts can be; nothing; a hot pixel; all in the last bin.
    assert np.isnan(found[:4]).all()
    assert 0 < found[4] < 1


def test_counts_and_contrasts_of_frames_are_those_of_numpy(holey):
    labels, photon = labels_of(holey), 0.8
    data = reduced(holey, Contrast(labels=labels, photon=photon))
    frames = images(holey)
    k, compared = np.maximum(np.floor(frames / photon + 0.5), 0), 0
    for q in (1, 2):
        for f in range(len(frames)):
            own = k[f][(labels == q) & np.isfinite(k[f])]
            counts = np.bincount(np.minimum(own, 7).astype(int), minlength=8)
            np.testing.assert_array_equal(data["contrast.histogram"].values[f, q - 1], counts)
            mean = own.mean()
            assert data["contrast.mean"].values[f, q - 1] == pytest.approx(mean, rel=1e-12)
            plain = own.var() / mean**2 - 1 / mean
            # Counts that are used twice are taken out: as many as one pixel in all.
            near = 3 * (1 + 1 / mean**2) / len(own)
            by_variance, found = data["contrast.beta"].values[f, :, q - 1]
            assert by_variance == pytest.approx(plain, rel=0.01, abs=near)
            if 0.01 < found < 1.9:
                compared += 1
                assert found == pytest.approx(by_scipy(counts, mean, 7), rel=1e-6)
    assert compared > 30
    np.testing.assert_array_equal(data["contrast.total"], data["contrast.histogram"].values.sum(axis=0))


def test_any_cut_gives_the_same(holey):
    check_algorithm(lambda: Contrast(labels=labels_of(holey)), holey.path)


@pytest.fixture(scope="module")
def speckle(tmp_path_factory):
    """The truth of photons of three modes, in pulses of other energies."""
    how = {
        "detector": "AGIPD500K",
        "module_shape": (40, 32),
        "noise": 0.0,
        "devices": (),
        "energy_spread": 0.3,
    }
    signal = Speckle(modes=3, photons=0.4, decorrelation=3.0)
    return make_run(tmp_path_factory.mktemp("contrast") / "r", trains=16, pulses=6, signal=signal, **how)


def test_planted_contrast_is_found_within_three_standard_errors(speckle):
    data = reduced(speckle, Contrast(labels=labels_of(speckle)))
    error = data["contrast.error"].values
    assert data["way"].values.tolist() == ["variance", "photons"]
    assert (np.abs(data["contrast.contrast"].values - 1 / 3) < 3 * error).all()
    assert (error < 0.03).all()
    assert (error > 0.003).all()
    assert data["contrast.trains"].values.tolist() == [16, 16]


def test_errors_are_as_wide_as_the_spread_of_runs():
    random, runs, trains, pixels, q = np.random.default_rng(2), 200, 12, 600, 1
    pulls, made = [], Contrast(labels=np.ones(1, int))
    made._likelihood = Likelihood(7)
    for _ in range(runs):
        k = random.gamma(2, 1 / 2, (trains, 1, pixels))
        # Frames of a train see the same speckle.
        k = random.poisson(0.5 * k * random.gamma(9, 1 / 9, (trains, 4, 1))).reshape(-1, pixels)
        out = SimpleNamespace(
            histogram=np.stack([(np.minimum(k, 7) == n).sum(axis=-1) for n in range(8)], axis=-1)[:, None],
            pixels=np.full((len(k), q), pixels),
            sums=k.sum(axis=1, keepdims=True),
            squares=(k**2).sum(axis=1, keepdims=True),
            of_train=np.repeat(np.arange(trains), 4),
            beta=np.zeros((len(k), 2, q)),
            moments=np.zeros((5, q)),
            rises=np.zeros((2, q, POINTS)),
            trains=np.zeros(q, int),
        )
        made.finalize_chunk_processing(out)
        made.finalize(out)
        pulls.append((out.contrast[:, 0] - 0.5) / out.error[:, 0])
    # 200 pulls have a width that is known to 5 %; of 12 trains it is Student's, 10 % wider.
    assert (np.abs(np.std(pulls, axis=0) / math.sqrt(11 / 9) - 1) < 0.1).all()
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.3


def test_without_photons_or_pixels_there_is_no_contrast(tmp_path):
    how = {"detector": "AGIPD500K", "module_shape": (8, 8), "noise": 0.0, "bad_pixels": 0.05}
    run = make_run(tmp_path / "r", trains=2, pulses=3, lit="none", **how)
    labels = np.ones(run.positions.shape[:3], int)
    labels[run.bad_pixels] = 2
    data = reduced(run, Contrast(labels=labels))
    for name in ("beta", "contrast", "error"):
        assert np.isnan(data[f"contrast.{name}"].values).all()
    assert data["contrast.trains"].values.tolist() == [0, 0]
    assert np.isnan(data["contrast.mean"].values[:, 1]).all()
    assert (data["contrast.mean"].values[:, 0] == 0).all()
    assert not data["contrast.histogram"].values[:, 1].any()


def test_frames_of_missing_modules_count_the_pixels_that_are_there(broken):
    data = reduced(broken, Contrast(labels=labels_of(broken)))
    assert np.isfinite(data["contrast.contrast"].values).all()
    assert data["contrast.trains"].values.tolist() == [7, 7]


def test_raw_data_need_a_photon(raw):
    labels = np.ones(raw.positions.shape[:3], int)
    with pytest.raises(PlanError, match="is raw: subtract a dark first, and give photon="):
        dxflow.plan(raw.path, Contrast(labels=labels))
    dark = np.zeros(raw.positions.shape[:3], "f4")
    keV = Calibrate(constants={"offset": dark, "gain": np.ones_like(dark)}, unit="keV", stage="high")
    with pytest.raises(PlanError, match="is in keV: give photon="):
        dxflow.plan(raw.path, [keV, Contrast(labels=labels, img=From("calibrate.img"))])
    chain = [Subtract(dark=dark), Contrast(labels=labels, photon=50.0, img=From("subtract.img"))]
    assert np.isfinite(reduced(raw, chain)["contrast.contrast"].values[0]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photon": 0.0}, "photon=0.0; expected the value of one photon"),
        ({"photons": 2}, "photons=2; expected at least 3"),
        ({"labels": None}, "expected one of labels="),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Contrast(**{"labels": np.ones((1, 2, 2), int), **options})
