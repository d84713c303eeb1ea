"""AngularCorrelation against direct sums in float64, and planted harmonics behind gaps."""

import numpy as np
import pytest
from campaign import speckle
from readings import near
from runs import make_run
from test_azint import integrated, of

import dxflow
from dxflow import PlanError
from dxflow.algorithms import xcca
from dxflow.algorithms.xcca import AngularCorrelation
from dxflow.simulate import Flat
from dxflow.testing import check_algorithm

NQ, NCHI = 4, 18


def xcca_of(truth, **options):
    given = {"geometry": f"{truth.path}/geometry.npy", "distance": truth.distance}
    return AngularCorrelation(**given | {"energy": truth.photon_energy, "nbins": NQ, "nchi": NCHI} | options)


def direct(a, b, q, q2):
    """Return C of two images in q and chi, NaN where there is nothing, angle by angle."""
    out = []
    for delta in range(NCHI):
        products = a[q] * np.roll(b[q2], -delta)
        good = np.isfinite(products)
        out.append(products[good].mean() if good.any() else np.nan)
    return np.array(out) / (np.nanmean(a[q]) * np.nanmean(b[q2])) - 1


@pytest.mark.parametrize("pairs", [False, True])
def test_it_equals_direct_sums_over_images_in_q_and_chi(holey, pairs):
    # A ring of nothing but noise has a mean of any sign, which leaves the average: here there is always light.
    light = {"dark": np.full((8, 16, 40), -2.0)}
    data = integrated(holey, xcca_of(holey, pairs=pairs, **light))
    image = integrated(holey, of(holey, nbins=NQ, nchi=NCHI, **light))["azint.intensity"]
    frames, trains = image.values.astype("f8"), image.train_id.values
    next_ones = [i for i in range(len(frames) - 1) if trains[i] == trains[i + 1]]
    for q in range(NQ):
        for q2 in range(NQ) if pairs else [q]:
            at = (q, q2) if pairs else q
            own = [direct(f, f, q, q2) for f in frames]
            cross = [direct(frames[i], frames[i + 1], q, q2) for i in next_ones]
            for name, wanted in (("correlation", own), ("cross", cross)):
                near(data[f"xcca.{name}"].values[at], np.nanmean(wanted, axis=0), 1e-6, 1e-6)
                np.testing.assert_array_equal(
                    data[f"xcca.{name}_frames"].values[at], np.isfinite(wanted).sum(axis=0)
                )
            rest = np.nanmean(own, axis=0) - np.nanmean(cross, axis=0)
            angles = np.radians(data["delta"].values)
            cosines = [(rest * np.cos(n * angles)).mean() for n in data["n"].values]
            near(data["xcca.coefficients"].values[at], cosines, 1e-5, 1e-6)


def test_planted_harmonics_are_found_behind_gaps_and_a_wrong_flat():
    """Gaps and a flat that is not right have harmonics of their own, which neighbouring frames share."""
    random, chi = np.random.default_rng(2), 2 * np.pi * np.arange(NCHI * 4) / (NCHI * 4)
    phases = random.random((3000, 2)) * 2 * np.pi
    images = np.stack(
        [1 + 0.5 * np.cos(4 * chi - phases[:, :1]), 1 + 0.2 * np.cos(6 * chi - phases[:, 1:])], axis=1
    )
    images *= 1 + 0.3 * np.cos(2 * chi)
    weights = np.ones(images.shape)
    weights[..., 10:14] = weights[..., 45:47] = 0
    into = empty((2, NCHI * 4))
    xcca.add(into, images * weights, weights, np.repeat(np.arange(30), 100), False)
    assert (into["correlation_frames"] == 3000).all()
    assert (into["cross_frames"] == 2970).all()
    correlation, cross = into["correlation"] / 3000, into["cross"] / 2970
    with_flat, found = (xcca.coefficients(c) for c in (correlation, correlation - cross))
    assert with_flat[:, 2].min() > 0.02
    np.testing.assert_allclose(found[:, 2], 0, atol=0.003)
    np.testing.assert_allclose([found[0, 4], found[1, 6]], [0.5**2 / 4, 0.2**2 / 4], rtol=0.15)


def empty(shape):
    """Return what correlations are added to, (q, delta)."""
    sizes = {"correlation": shape, "cross": shape, "coefficients": (shape[0], shape[1] // 2 + 1)}
    sums = {f"{name}_moments": np.zeros((5, *size)) for name, size in sizes.items()}
    for name in ("correlation", "cross"):
        sums |= {name: np.zeros(shape), f"{name}_frames": np.zeros(shape, int)}
    return sums


@pytest.mark.parametrize("pairs", [False, True])
def test_errors_are_those_of_sums_over_trains(holey, pairs):
    light = {"dark": np.full((8, 16, 40), -2.0)}
    data = integrated(holey, xcca_of(holey, pairs=pairs, **light))
    image = integrated(holey, of(holey, nbins=NQ, nchi=NCHI, **light))["azint.intensity"]
    frames, trains = image.values.astype("f8"), image.train_id.values
    for q, q2 in [(0, 1), (3, 3)] if pairs else [(1, 1), (2, 2)]:
        at = (q, q2) if pairs else q
        each = [frames[trains == t] for t in np.unique(trains)]
        own = [np.array([direct(f, f, q, q2) for f in some]) for some in each]
        cross = [np.array([direct(a, b, q, q2) for a, b in zip(f, f[1:], strict=False)]) for f in each]
        for name, wanted in (("correlation", own), ("cross", cross)):
            y, n = (
                np.array(x)
                for x in zip(*((np.nansum(c, 0), np.isfinite(c).sum(0)) for c in wanted), strict=True)
            )
            near(data[f"xcca.{name}_error"].values[at], jackknifed(y, n), 0.1)
            near(data[f"xcca.{name}_error"].values[at], spread(y, n), 1e-5)
        differences = [np.nanmean(a, 0) - np.nanmean(b, 0) for a, b in zip(own, cross, strict=True)]
        angles = np.radians(data["delta"].values)
        n = np.array([np.isfinite(c).sum(0).max() for c in own])[:, None]
        y = n * [[(d * np.cos(m * angles)).mean() for m in data["n"].values] for d in differences]
        known = np.isfinite(y).all(axis=1)
        near(data["xcca.coefficients"].values[at], y[known].sum(0) / n[known].sum(), 0.02, 1e-4)
        near(data["xcca.coefficients_error"].values[at], spread(y[known], n[known]), 0.05, 1e-6)


def spread(y, n):
    """Return the standard error of sum y / sum n of independent trains."""
    trains = (n > 0).sum(axis=0)
    rest = y - y.sum(axis=0) / n.sum(axis=0) * n
    return np.sqrt(trains / (trains - 1) * (rest**2).sum(axis=0)) / n.sum(axis=0)


def jackknifed(y, n):
    """Return the same from what it is without each train."""
    without = (y.sum(axis=0) - y) / (n.sum(axis=0) - n)
    trains = len(y)
    return np.sqrt((trains - 1) / trains * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def test_errors_of_coefficients_are_as_wide_as_the_spread_of_runs():
    off = np.concatenate([speckle.of_rings(seed) for seed in range(100)])
    # 100 pulls have a width that is known to 7 %.
    assert 0.85 < off.std() < 1.15
    assert abs(off.mean()) < 0.3


def test_a_single_train_and_trains_of_one_frame_have_no_error(tmp_path):
    size = {"detector": "AGIPD500K", "module_shape": (24, 24), "noise": 0.0, "devices": ()}
    for trains, pulses in ((1, 4), (4, 1)):
        run = make_run(tmp_path / f"r{trains}", trains=trains, pulses=pulses, signal=Flat(20.0), **size)
        data = integrated(run, xcca_of(run))
        several = np.isfinite(data["xcca.correlation_error"].values).any()
        assert several == (trains > 1)
        for name in ("cross_error", "coefficients_error"):
            assert np.isnan(data[f"xcca.{name}"].values).all()


def test_it_keeps_what_is_asked_of_algorithms(holey):
    check_algorithm(lambda: xcca_of(holey), holey.path, atol=1e-9)


def test_what_makes_no_sense_is_refused(holey):
    with pytest.raises(ValueError, match=r"xcca: energy=9300; expected 0\.1 to 200 keV"):
        xcca_of(holey, energy=9300)
    with pytest.raises(ValueError, match="nchi=1; expected 2 or more"):
        xcca_of(holey, nchi=1)
    with pytest.raises(PlanError, match=r"xcca: qrange=\(50, 60\) 1/angstrom holds no pixel"):
        dxflow.plan(holey.path, xcca_of(holey, qrange=(50, 60)))
