"""Spectrum against numpy in float64, pixel by pixel."""

import numpy as np
import pytest
from readings import images, near, pixels, same
from xarray import DataArray

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.spectrum import Spectrum
from dxflow.testing import check_algorithm


def made(truth, *, name="spectrum", cluster="here", **options):
    return dxflow.reduce(truth.path, Spectrum(name=name, **options), cluster=cluster).dataset


def projected(frames, bins, n):
    """Return sums and valid pixels of bins, (frame, bin); `bins` is (module, ss, fs), -1 for no bin."""
    sums, counts = np.zeros((len(frames), n)), np.zeros((len(frames), n), int)
    for f, frame in enumerate(frames):
        for m, s, c in np.argwhere(bins >= 0):
            if np.isfinite(frame[m, s, c]):
                sums[f, bins[m, s, c]] += frame[m, s, c]
                counts[f, bins[m, s, c]] += 1
    return sums, counts


def columns(shape, ss, fs, along=1):
    """Return the number of the column (or row) of each pixel of a region, from its first."""
    bins = np.full(shape, -1)
    number = np.arange(fs[0], fs[1]) - fs[0] if along else (np.arange(ss[0], ss[1]) - ss[0])[:, None]
    bins[:, slice(*ss), slice(*fs)] = number
    return bins


def check(data, sums, counts, name="spectrum"):
    spectrum = np.where(counts > 0, sums, np.nan)
    near(data[f"{name}.spectrum"], spectrum)
    np.testing.assert_array_equal(data[f"{name}.pixels"], counts)
    near(data[f"{name}.sum"], np.where((counts > 0).any(axis=1), np.nansum(spectrum, axis=1), np.nan))
    n = np.isfinite(spectrum).sum(axis=0)
    near(data[f"{name}.mean"], np.nanmean(spectrum, axis=0))
    near(data[f"{name}.error"], np.nanstd(spectrum, axis=0, ddof=1) / np.sqrt(n), rtol=1e-9)
    np.testing.assert_array_equal(data[f"{name}.frames"], n)


def test_without_options_columns_of_all_modules_are_added_up(holey):
    frames = images(holey)
    check(made(holey), *projected(frames, columns(frames.shape[1:], (0, 16), (0, 40)), 40))


def test_a_region_of_a_module_is_projected_on_either_axis(holey):
    frames, ss, fs = images(holey)[:, 3:4], (2, 9), (4, 21)
    for axis, along, n in (("fs", 1, 17), ("ss", 0, 7)):
        data = made(holey, ss=ss, fs=fs, axis=axis, img=Frames(modules=[3]))
        check(data, *projected(frames, columns(frames.shape[1:], ss, fs, along), n))
        np.testing.assert_array_equal(data["pixel"], np.arange(n) + (fs if along else ss)[0])


def test_rotation_and_curvature_make_a_bent_line_straight(holey):
    frames, n = images(holey)[:, :2], 30
    turn, bent = np.deg2rad(4.0), (0.3, 0.05, -0.02)
    bins = np.full(frames.shape[1:], -1)
    for s in range(1, 15):
        for f in range(40):
            a, b = f - 19.5, s - 7.5
            u, v = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
            at = u + 19.5 - sum(c * v**k for k, c in enumerate(bent))
            if 5 <= at <= 35:
                bins[:, s, f] = min(int((at - 5) * n / 30), n - 1)
    data = made(
        holey, ss=(1, 15), rotation=4.0, curvature=bent, bins=n, range=(5, 35), img=Frames(modules=[0, 1])
    )
    check(data, *projected(frames, bins, n))


def test_coefficients_and_a_table_give_energies(holey):
    u = np.arange(40.0)
    frames, energies = images(holey)[:, :1], np.broadcast_to(8000 + 0.5 * u + 0.01 * u**2, (16, 40))
    number = np.minimum((energies - 8005) * 20 / 10, 19)
    bins = np.where((energies >= 8005) & (energies <= 8015), number, -1).astype(int)[None]
    sums = projected(frames, bins, 20)
    img = Frames(modules=[0])
    by_table = made(holey, energy=energies, bins=20, range=(8005, 8015), img=img)
    check(by_table, *sums)
    same(by_table, made(holey, energy=[8000, 0.5, 0.01], bins=20, range=(8005, 8015), img=img))
    assert by_table["energy"].attrs["units"] == "eV"
    near(by_table["energy"], 8005 + (np.arange(20) + 0.5) / 2)


def test_energies_of_labelled_modules_are_found_in_any_order(holey):
    random = np.random.default_rng(8)
    table, order = 8000 + 10 * random.random((8, 16, 40)), random.permutation(8)
    labelled = DataArray(table[order], {"module": order}, ("module", "ss", "fs"))
    given = {"bins": 20, "range": (8000, 8010), "img": Frames(modules=[5, 2])}
    same(made(holey, energy=labelled, **given), made(holey, energy=table, **given))


@pytest.mark.parametrize("by", ["bin", "all"])
def test_background_is_scaled_by_its_area_in_each_frame(holey, by):
    frames, ss, fs = images(holey)[:, 2:3], (5, 9), (4, 20)
    others = [(0, 2, 4, 20), (12, 16, 4, 20)] if by == "bin" else [(0, 3, 30, 36)]
    sums, counts = projected(frames, columns(frames.shape[1:], ss, fs), 16)
    empty, of = np.zeros_like(sums), np.zeros_like(counts)
    for a, b, c, d in others:
        some = projected(frames, columns(frames.shape[1:], (a, b), (c, d)), d - c)
        if by == "bin":
            empty, of = empty + some[0], of + some[1]
        else:
            empty, of = some[0].sum(axis=1, keepdims=True), some[1].sum(axis=1, keepdims=True)
    below = np.where(of > 0, counts * empty / np.maximum(of, 1), np.nan)
    data = made(holey, ss=ss, fs=fs, background=others, background_by=by, img=Frames(modules=[2]))
    near(data["spectrum.background"], below)
    spectrum = np.where(counts > 0, sums, np.nan) - below
    near(data["spectrum.spectrum"], spectrum)
    near(data["spectrum.mean"], np.nanmean(spectrum, axis=0), rtol=1e-9)


def test_photons_are_counted_and_values_outside_the_window_are_zero(holey):
    frames, bins = images(holey)[:, :1], columns((1, 16, 40), (0, 16), (0, 40))
    known = np.where(np.isfinite(frames), frames, 0)
    inside = np.where((known >= 0.5) & (known < 6), known, 0)
    keep = np.where(np.isfinite(frames), inside, np.nan)
    check(made(holey, window=(0.5, 6), img=Frames(modules=[0])), *projected(keep, bins, 40))
    photons = np.where(np.isfinite(frames), np.maximum(np.floor(inside / 0.8 + 0.5), 0), np.nan)
    data = made(holey, window=(0.5, 6), photon=0.8, img=Frames(modules=[0]))
    sums, counts = projected(photons, bins, 40)
    np.testing.assert_array_equal(data["spectrum.spectrum"], np.where(counts, sums, np.nan))


def test_frames_that_are_missing_are_nan_of_integers_too(broken, raw):
    data = made(broken, img=Frames(modules=[4, 5]))
    frames = images(broken)[
        :, [i for i, source in enumerate(broken.sources) if "/4CH0" in source or "/5CH0" in source]
    ]
    assert np.isnan(frames[:, 1]).all(axis=(1, 2)).any()
    check(data, *projected(frames, columns(frames.shape[1:], (0, 16), (0, 16)), 16))
    frames = images(raw)[:, :1]
    data = made(raw, img=Frames(data="raw", modules=[0]))
    check(data, *projected(frames, columns(frames.shape[1:], (0, 16), (0, 24)), 24))


def test_a_camera_is_a_spectrometer(camera):
    key, frames = pixels(camera)
    data = made(camera, img=key, axis="ss")
    near(data["spectrum.spectrum"], frames.sum(axis=2, dtype="f8"))


def test_it_follows_the_rules_of_algorithms(holey):
    check_algorithm(lambda: Spectrum(ss=(2, 9), background=[(10, 16, 0, 40)]), holey.path)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"ss": (3, 3)}, ValueError, "the first and the one after"),
        ({"range": (3, 2)}, ValueError, "two rising numbers"),
        ({"range": (0, np.inf)}, ValueError, "two rising numbers"),
        ({"photon": 0}, ValueError, "above 0"),
        ({"background": [(1, 2, 3)]}, ValueError, "expected .ss, stop, fs, stop."),
        ({"fs": (3, 41)}, PlanError, "ends outside the frames"),
        ({"range": (100, 200)}, PlanError, "no pixel of the region is in the range"),
        ({"background": [(0, 16, 0, 10)]}, PlanError, "no pixel in 30 of 40 bins.*background_by='all'"),
        ({"background": [(0, 16, 0, 40)]}, PlanError, "all pixels of the region are background in 40 of 40"),
        (
            {"fs": (3, 9), "background": [(0, 16, 0, 10)], "background_by": "all"},
            PlanError,
            "all pixels of the region are background in 6 of 6",
        ),
        (
            {"energy": np.zeros((3, 4))},
            PlanError,
            r"energy has \(module, ss, fs\) = \(8, 3, 4\); expected \(8, 16, 40\)",
        ),
        ({"energy": np.zeros((16, 40)), "rotation": 1}, PlanError, "leave these out"),
        ({"energy": "nowhere.npy"}, PlanError, "nowhere.npy"),
        ({"energy": [8000.0]}, PlanError, "same energy, 8000"),
    ],
)
def test_what_cannot_be_right_is_refused(holey, options, error, says):
    with pytest.raises(error, match=says):
        dxflow.plan(holey.path, Spectrum(**options))
