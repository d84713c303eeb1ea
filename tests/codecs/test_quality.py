"""Measures against formulas that are written out, window by window and pixel by pixel."""

import numpy as np
import pytest

from dxflow.codecs import quality

RNG = np.random.default_rng(3)
FRAME = (RNG.poisson(3.0, (20, 24)) * 5 + RNG.normal(0, 1, (20, 24))).astype("f4")
MADE = (np.round(FRAME / 2) * 2).astype("f4")


def test_psnr_is_that_of_its_formula_and_infinite_without_change():
    expected = 10 * np.log10(50.0**2 / np.mean((MADE.astype("f8") - FRAME) ** 2))
    assert quality.psnr(FRAME, MADE, 50.0) == pytest.approx(expected)
    assert quality.psnr(FRAME, FRAME, 50.0) == np.inf


def test_ssim_is_that_of_wang_window_by_window():
    span, found = 50.0, []
    for a in range(20 - 6):
        for b in range(24 - 6):
            x, y = (f[a : a + 7, b : b + 7].astype("f8").ravel() for f in (FRAME, MADE))
            vx, vy, vxy = np.var(x, ddof=1), np.var(y, ddof=1), np.cov(x, y)[0, 1]
            c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
            mx, my = x.mean(), y.mean()
            found.append((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    assert quality.ssim(FRAME, MADE, span) == pytest.approx(np.mean(found), rel=1e-9)
    assert quality.ssim(FRAME, FRAME, span) == pytest.approx(1.0)


def test_the_range_leaves_out_a_hot_pixel():
    frames = np.zeros((4, 50, 50), "f4")
    frames += RNG.uniform(0, 10, frames.shape)
    frames[0, 0, 0], frames[1, 1, 1] = 21519, np.nan
    assert 9.8 < quality.span_of(frames) < 10
    assert quality.span_of(np.full((2, 3), np.nan, "f4")) == 0


def test_errors_of_sums_are_those_of_each_frame():
    frames, made = np.ones((3, 4, 4), "f4"), np.ones((3, 4, 4), "f4")
    made[1, 0, 0] = 1.8
    frames[2, 1, 1] = made[2, 1, 1] = np.nan
    assert quality.sum_error(frames, made) == pytest.approx(0.8 / 16)


def test_the_brightest_peaks_are_compared():
    frame = np.zeros((30, 30), "f4")
    frame[5, 5], frame[20, 8], frame[5, 6] = 100, 50, 10
    made = frame.copy()
    made[20, 9] = 5.0
    assert quality.peak_error(frame, made) == pytest.approx(0.1)
    assert quality.peak_error(frame, frame) == 0


def test_what_is_brightest_in_noise_is_no_peak_and_noise_has_no_rings():
    y, x = np.mgrid[-64:64, -60:60] * 1e-3
    rings = quality.Rings(np.stack([x, y, np.ones_like(x)], axis=-1)[None])
    for seed in range(10):
        dark = np.random.default_rng(seed).normal(0, 0.3, (2, 1, 128, 120)).astype("f4")
        made = np.rint(dark)
        assert np.isnan(quality.peak_error(dark[0, 0], made[0, 0]))
        assert np.isnan(rings.error(dark, made))
        lit = dark.copy()
        lit[0, 0, 60:63, 70:73] += 5
        assert quality.peak_error(lit[0, 0], np.rint(lit)[0, 0]) < 0.1
    assert quality.noise_of(dark[0, 0]) == pytest.approx(0.3, rel=0.05)


def test_rings_are_averages_of_pixels_that_are_there():
    y, x = np.mgrid[-10:10, -12:12] * 1e-3
    positions = np.stack([x, y, np.ones_like(x)], axis=-1)[None]
    rings = quality.Rings(positions, rings=8)
    frames = np.stack([FRAME, FRAME + 1])[:, None]
    frames[0, 0, 3, 3] = np.nan
    radius = np.hypot(x, y)
    number = np.minimum((radius / radius.max() * 8).astype(int), 7)
    expected = [np.nanmean(frames[:, 0][:, number == n]) for n in range(8)]
    np.testing.assert_allclose(rings.average(frames), expected, rtol=1e-6)
    made = frames.copy()
    made[:, 0][:, number == 2] *= 1.25
    assert rings.error(frames, made) == pytest.approx(0.25, rel=1e-5)
