"""Contrast against histograms of numpy, the exact negative binomial distribution, and planted speckle."""

import math

import numpy as np
import pytest
from readings import images
from runs import make_run

import dxflow
from dxflow import From, PlanError
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


@pytest.mark.parametrize("k", [0.001, 0.05, 0.5, 3.0])
@pytest.mark.parametrize("modes", [1.0, 4.0, 7.5])
def test_both_ways_give_the_contrast_of_the_exact_negative_binomial(k, modes):
    p, photons, n = negative_binomial(k, modes), np.arange(400), 1e12
    total, squares = n * (p * photons).sum(), n * (p * photons**2).sum()
    one = [np.array([[x]]) for x in (n, total, squares)]
    above, below = terms(*one, n * p[None, None, :8])
    np.testing.assert_allclose(above / below, 1 / modes, rtol=1e-6)


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
            mean, r = own.mean(), counts[2] / max(counts[1], 1)
            assert data["contrast.mean"].values[f, q - 1] == pytest.approx(mean, rel=1e-12)
            if counts[1] < 30 or abs(1 - 2 * r) < 0.1:
                continue
            compared += 1
            plain = [own.var() / mean**2 - 1 / mean, (2 * r / mean - 1) / (1 - 2 * r)]
            # Counts that are used twice are taken out: as many as one pixel in all.
            near = 3 * (1 + 1 / mean**2) / len(own) / abs(1 - 2 * r)
            np.testing.assert_allclose(data["contrast.beta"].values[f, :, q - 1], plain, rtol=0.01, atol=near)
    assert compared > 50
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
    random, runs, trains, pixels = np.random.default_rng(2), 200, 12, 600
    pulls = []
    for _ in range(runs):
        k = random.gamma(2, 1 / 2, (trains, 4, pixels))
        # Frames of a train see the same speckle.
        k = random.poisson(0.5 * k[:, :1] * random.gamma(9, 1 / 9, (trains, 4, 1)))
        histogram = np.stack([(k == n).sum(axis=-1) for n in range(4)], axis=-1)[:, :, None]
        n, total, squares = (
            x[..., None].astype(float) for x in (np.full(k.shape[:2], pixels), k.sum(-1), (k**2).sum(-1))
        )
        above, below = (
            x.reshape(trains, 4, 2, 1).sum(axis=1)
            for x in terms(*(y.reshape(-1, 1) for y in (n, total, squares)), histogram.reshape(-1, 1, 4))
        )
        made = Contrast(labels=np.ones(1, int))
        totals = Totals(above, below, trains)
        made.finalize(totals)
        pulls.append((totals.contrast[:, 0] - 0.5) / totals.error[:, 0])
    # 200 pulls have a width that is known to 5 %; of 12 trains it is Student's, 10 % wider.
    assert 0.9 < np.std(pulls) / math.sqrt(11 / 9) < 1.1
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.3


class Totals:
    """What finalize sees of some trains."""

    def __init__(self, a, b, trains):
        self.moments = np.stack([x.sum(axis=0) for x in (a, b, a * a, a * b, b * b)])
        self.trains = np.array([trains])


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
