"""AngularCorrelation against direct sums in float64, and planted harmonics behind gaps."""

from types import SimpleNamespace

import numpy as np
import pytest
from readings import near
from test_azint import integrated, of

import dxflow
from dxflow import PlanError
from dxflow.algorithms import xcca
from dxflow.algorithms.xcca import AngularCorrelation
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
    shape = 2, NCHI * 4
    into = SimpleNamespace(
        correlation=np.zeros(shape), cross=np.zeros(shape), correlation_frames=np.zeros(shape, int)
    )
    into.cross_frames = np.zeros(shape, int)
    xcca.add(into, images * weights, weights, np.repeat(np.arange(30), 100), False)
    assert (into.correlation_frames == 3000).all()
    assert (into.cross_frames == 2970).all()
    correlation, cross = into.correlation / 3000, into.cross / 2970
    with_flat, found = (xcca.coefficients(c) for c in (correlation, correlation - cross))
    assert with_flat[:, 2].min() > 0.02
    np.testing.assert_allclose(found[:, 2], 0, atol=0.003)
    np.testing.assert_allclose([found[0, 4], found[1, 6]], [0.5**2 / 4, 0.2**2 / 4], rtol=0.15)


def test_it_keeps_what_is_asked_of_algorithms(holey):
    check_algorithm(lambda: xcca_of(holey), holey.path, atol=1e-9)


def test_what_makes_no_sense_is_refused(holey):
    with pytest.raises(ValueError, match=r"xcca: energy=9300; expected 0\.1 to 200 keV"):
        xcca_of(holey, energy=9300)
    with pytest.raises(ValueError, match="nchi=1; expected 2 or more"):
        xcca_of(holey, nchi=1)
    with pytest.raises(PlanError, match=r"xcca: qrange=\(50, 60\) 1/angstrom holds no pixel"):
        dxflow.plan(holey.path, xcca_of(holey, qrange=(50, 60)))
