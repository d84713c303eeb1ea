"""Signals against formulas and statistics computed another way."""

import json
import math

import numpy as np
import pytest
from extra_data import RunDirectory

from dxflow.simulate import Flat, PowderRings, Speckle, SphereFormFactor, make_run
from dxflow.simulate.geometry import Geometry
from dxflow.simulate.signals import Shots


def plane(pixels=16, width=0.2, distance=0.2):
    line = (np.arange(pixels) - (pixels - 1) / 2) * width / pixels
    y, x = np.meshgrid(line, line, indexing="ij")
    positions = np.stack([x, y, np.zeros_like(x)], axis=-1)[np.newaxis]
    return Geometry(positions, distance, 9.3)


def shots(train, times):
    n = len(times)
    return Shots(0, 0, train, np.arange(n), np.asarray(times, float), np.ones(n, bool))


def test_rings_have_their_height_at_their_place():
    rings = PowderRings(q=(1.0, 2.0), photons=(5.0, 3.0), width=0.05, background=0.0)
    assert rings.profile(np.array([1.0, 2.0, 1.5])) == pytest.approx([5.0, 3.0, 0.0], abs=1e-9)
    assert rings.profile(np.array([1.05])) == pytest.approx(5 * math.exp(-0.5))


def test_background_of_rings_falls_exponentially():
    rings = PowderRings(q=(), photons=(), background=2.0, decay=0.5)
    assert rings.profile(np.array([0.0, 0.5])) == pytest.approx([2.0, 2 / math.e])


def test_rings_without_a_height_each_are_refused():
    with pytest.raises(ValueError, match="zip"):
        PowderRings(q=(1.0,), photons=()).profile(np.ones(1))


def test_sphere_is_brightest_in_the_middle_and_dark_at_its_first_zero():
    sphere = SphereFormFactor(radius=10, photons=7, background=0)
    # tan x = x has its first root at 4.4934094579 (Abramowitz & Stegun, table 4.19).
    assert sphere.profile(np.array([0.0, 0.44934094579])) == pytest.approx([7, 0], abs=1e-12)


def test_sphere_follows_guinier_at_small_angles():
    q = np.array([0.0005, 0.002, 0.005])
    guinier = np.exp(-((q * 10) ** 2) / 5)
    assert SphereFormFactor(radius=10, photons=1, background=0).profile(q) == pytest.approx(guinier, rel=1e-6)


def test_misses_show_the_background_only(tmp_path):
    signal = SphereFormFactor(radius=2, photons=200, hit_rate=0.4, background=0.5)
    truth = make_run(tmp_path, module_shape=(8, 8), modules=1, trains=8, pulses=8, signal=signal, pool=2)
    assert 0.2 < truth.hits.mean() < 0.6
    assert (truth.expected_miss == 0.5).all()
    frames = (
        RunDirectory(tmp_path)[truth.sources[0], "image.data"].ndarray()[:, ~truth.bad_pixels[0]].mean(axis=1)
    )
    assert frames[~truth.hits] == pytest.approx(0.5 * truth.intensity[~truth.hits], abs=0.4)
    assert frames[truth.hits].min() > 5


def test_flat_is_flat():
    assert (Flat(3).expected(plane()) == 3).all()
    assert not Flat(0).expected(plane()).any()


@pytest.mark.parametrize(("contrast", "power"), [(1.0, 0.0), (0.3, 0.0), (0.5, 2.0)])
def test_speckle_has_the_planted_contrast_and_decorrelation(contrast, power):
    geometry = plane(32)
    signal = Speckle(contrast=contrast, decorrelation=4.0, power=power, q0=1.0, photons=2.0)
    mean = signal.expected(geometry)
    times = np.array([0.0, 1.0, 3.0])
    trains = [
        np.array(list(signal.images(geometry, 0, mean[0], mean[0], shots(train, times))))
        for train in range(200)
    ]
    images = np.array(trains) / mean[0]
    assert images.min() >= 0
    assert images.mean() == pytest.approx(1, abs=0.01)
    ring = np.abs(geometry.q(0) - 1.0) < (0.15 if power else 9.0)
    for lag, second in ((0.0, 0), (1.0, 1), (3.0, 2)):
        g2 = (images[:, 0, ring] * images[:, second, ring]).mean()
        assert g2 - 1 == pytest.approx(contrast * math.exp(-2 * lag / 4.0), abs=0.06)


@pytest.mark.parametrize("modes", [1, 3])
def test_photons_of_speckle_with_modes_are_negative_binomial(modes):
    geometry = plane(32)
    signal = Speckle(modes=modes, photons=0.8, decorrelation=5.0)
    assert signal.contrast == pytest.approx(1 / modes)
    mean = signal.expected(geometry)
    random = np.random.default_rng(1)
    pairs = [
        list(signal.images(geometry, 0, mean[0], mean[0], shots(train, [0.0, 2.0]))) for train in range(100)
    ]
    images = np.array(pairs)
    assert (images[:, 0] * images[:, 1]).mean() / 0.8**2 - 1 == pytest.approx(
        math.exp(-0.8) / modes, abs=0.02
    )
    photons = random.poisson(images)
    for n in range(4):
        # Goodman (1985), equation 9.2-24, with gamma functions of whole numbers.
        expected = math.comb(n + modes - 1, n) * (1 + modes / 0.8) ** -n * (1 + 0.8 / modes) ** -modes
        assert (photons == n).mean() == pytest.approx(expected, abs=0.006)


def test_speckle_of_no_modes_is_refused():
    with pytest.raises(ValueError, match="modes must be a positive number"):
        Speckle(modes=0)


def test_speckle_of_diffusion_is_slower_at_small_q():
    tau = Speckle(decorrelation=6.0, power=2.0, q0=0.5).tau(np.array([0.25, 0.5, 1.0]))
    assert tau == pytest.approx([24.0, 6.0, 1.5])


def test_speckle_of_impossible_contrast_is_refused():
    with pytest.raises(ValueError, match="contrast must be 0 to 1"):
        Speckle(contrast=1.5)


@pytest.mark.parametrize("signal", [Flat(), PowderRings(), SphereFormFactor(), Speckle()])
def test_parameters_are_plain_json(signal):
    text = json.dumps(signal.describe(), allow_nan=False)
    assert json.loads(text)["signal"] == type(signal).__name__
