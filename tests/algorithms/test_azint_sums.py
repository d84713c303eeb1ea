"""Images in q and chi, errors, and sums per frame, pulse and run, against pyFAI and plain loops of numpy."""

import numpy as np
import pytest
from readings import images
from test_azint import integrated, pyfai, tilted

from dxflow import Frames, geometry
from dxflow.algorithms._azint_sums import ratio
from dxflow.algorithms.azint import AzimuthalIntegration

NQ, NCHI = 20, 12
CENTRED = {"poni1": 0.008, "poni2": 0.04, "rot1": 0.05, "rot2": -0.02}
"""The beam goes through the module, so that chi goes all around."""
UNITS = {"q": "q_A^-1", "2theta": "2th_deg", "r": "r_mm"}


def far_from_edges(values, edges):
    """Return which values are in a bin whatever the last digits are."""
    place = np.interp(values, edges, np.arange(len(edges)), left=-0.5, right=len(edges) - 0.5)
    return np.abs(place - np.rint(place)) > 1e-4


def whole_circle(points, low):
    """Return chi in degrees, from `low` on."""
    return (np.degrees(np.arctan2(points[..., 1], points[..., 0])) - low) % 360 + low


class Peer:
    """pyFAI on one module of a run, with random darks, flats and masks."""

    def __init__(self, truth, unit="q", chirange=(-180, 180), **options):
        self.points, self.unit, self.chirange = tilted(images(truth).shape[2:], **CENTRED), unit, chirange
        random = np.random.default_rng(3)
        shape = self.points.shape[:3]
        self.dark, self.flat = random.random(shape), 0.5 + random.random(shape)
        self.options = {"geometry": self.points, "wavelength": 1.33, "nbins": NQ, "unit": unit} | options
        values = {
            "q": geometry.momentum_transfer(self.points, 1.33),
            "2theta": np.degrees(geometry.scattering_angle(self.points)),
            "r": 1e3 * np.hypot(self.points[..., 0], self.points[..., 1]),
        }[unit]
        self.first = np.linspace(values.min(), values.max(), NQ + 1)
        self.good = far_from_edges(values, self.first)
        self.chi = np.linspace(*chirange, NCHI + 1)
        self.good &= far_from_edges(whole_circle(self.points, chirange[0]), self.chi)
        self.frames = np.where(self.good, images(truth)[:, :1], np.nan)[:, 0]

    def ours(self, truth, **options):
        img = Frames(modules=[0], mask=["auto", ~self.good])
        return integrated(truth, AzimuthalIntegration(img=img, **self.options | options))

    def theirs(self, frame, two=True, method="histogram", **options):
        peer = pyfai(self.points, **CENTRED)
        if self.chirange[1] > 180:
            peer.setChiDiscAtZero()
        integrate = peer.integrate2d_ng if two else peer.integrate1d_ng
        return integrate(
            np.nan_to_num(frame).astype("f4"),
            *((NQ, NCHI) if two else (NQ,)),
            mask=np.isnan(frame),
            unit=UNITS[self.unit],
            # Its compiled histogram has pixels of almost a bin before the first edge in the first bin.
            method=("no", method, "python" if two else "cython"),
            radial_range=(self.first[0], self.first[-1]),
            azimuth_range=tuple(self.chirange),
            dummy=np.nan,
            **options,
        )


def agree(found, expected, rtol=1e-6):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize(
    ("unit", "chirange"), [("q", (-180, 180)), ("q", (150, 210)), ("2theta", (-20, 50)), ("r", (0, 360))]
)
def test_images_in_q_and_chi_equal_pyfai_with_dark_flat_and_errors(holey, unit, chirange):
    peer = Peer(holey, unit, chirange)
    data = peer.ours(
        holey,
        nchi=NCHI,
        chirange=chirange,
        dark=peer.dark,
        flat=peer.flat,
        polarization=0.9,
        errors="poisson",
    )
    assert data["azint.intensity"].dims[1:] == (unit, "chi")
    agree(data["chi"], (peer.chi[1:] + peer.chi[:-1]) / 2)
    for row, frame in enumerate(peer.frames[:5]):
        given = {"dark": peer.dark[0].astype("f4"), "flat": peer.flat[0].astype("f4")}
        one = peer.theirs(frame, polarization_factor=0.9, variance=np.nan_to_num(frame), **given)
        np.testing.assert_array_equal(data["azint.pixels"].values[row], one.count.T)
        empty = one.count.T == 0
        agree(data["azint.intensity"].values[row], np.where(empty, np.nan, one.intensity.T))
        variance = np.where(one.sum_variance.T > 0, one.sum_variance.T, np.nan)
        expected = ratio(np.sqrt(variance), one.sum_normalization.T)
        agree(data["azint.intensity_error"].values[row], expected)
    assert np.isnan(data["azint.intensity"].values).any()
    assert np.isfinite(data["azint.intensity"].values).any()


def test_azimuthal_errors_equal_pyfai_but_for_the_number_of_pixels(holey):
    peer = Peer(holey)
    # Where pixels have other weights, pyFAI's sum in one pass is only near to the squared deviations.
    data = peer.ours(holey, errors="azimuthal", solid_angle=False)
    for row, frame in enumerate(peer.frames[:5]):
        one = peer.theirs(frame, two=False, method="csr", error_model="azimuthal", correctSolidAngle=False)
        n = data["azint.pixels"].values[row]
        np.testing.assert_array_equal(n, one.count)
        agree(data["azint.intensity"].values[row], np.where(n, one.intensity, np.nan))
        factor = np.sqrt(n[n > 1] / (n[n > 1] - 1))
        agree(data["azint.intensity_error"].values[row][n > 1], factor * one.sem[n > 1], 1e-5)
        assert np.isnan(data["azint.intensity_error"].values[row][n < 2]).all()
