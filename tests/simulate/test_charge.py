"""Charge that spreads: all of it is somewhere, and how often it is shared follows from geometry."""

import numpy as np
from runs import make_run

import dxflow
from dxflow.algorithms.droplets import Droplets
from dxflow.algorithms.photons import Photonise
from dxflow.simulate import Flat
from dxflow.simulate.charge import spread


def test_charge_is_shared_as_often_as_the_geometry_says_and_none_is_lost_inside():
    random = np.random.default_rng(4)
    photons = np.zeros((400, 400), np.int64)
    photons[2:-2:4, 2:-2:4] = 1
    out = spread(photons, 0.5, random)
    np.testing.assert_allclose(out.sum(), photons.sum())
    pixels = (out > 0).reshape(100, 4, 100, 4).sum(axis=(1, 3)).ravel()
    # Along each axis half of the photons reach over an edge.
    shares = np.bincount(pixels, minlength=5)[[1, 2, 4]] / len(pixels)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)
    np.testing.assert_array_equal(spread(photons, 0.0, random), photons)


def test_photons_in_four_pixels_are_found_by_droplets_alone(tmp_path):
    size = {"detector": "AGIPD500K", "trains": 4, "pulses": 8, "module_shape": (32, 32)}
    planted, known = Flat(0.01), {"noise": 0.05, "energy_spread": 0, "bad_pixels": 0}
    truth = make_run(tmp_path / "r0001", signal=planted, charge=0.5, **size, **known)
    chain = [Photonise(images=False), Photonise(name="both", method="share", images=False)]
    data = dxflow.reduce(truth.path, [*chain, Droplets(threshold=0.2, gain=1.0)], cluster="here").dataset
    expected = 0.01 * 32 * 8 * 32 * 32
    found = {
        "droplets": int(data["droplets.n_photons"].sum()),
        "both": int(data["both.total"].sum()),
        "alone": int(data["photons.total"].sum()),
    }
    assert abs(found["droplets"] - expected) < 4 * expected**0.5
    # Those in four pixels are lost without a droplet.
    assert found["alone"] < 0.95 * found["droplets"]
    assert found["both"] < 0.95 * found["droplets"]
