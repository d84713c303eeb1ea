"""Projection against numpy: the formulas of smalldata_tools, where these are right."""

import numpy as np
import pytest
from readings import images, near, pixels

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.subtract import Subtract
from dxflow.testing import check_algorithm

BAD = np.random.default_rng(4).random((8, 16, 40)) < 0.2
NOISE = np.random.default_rng(5).uniform(0.1, 1, (8, 16, 40))


def projected(truth, **options):
    return dxflow.reduce(truth.path, Projection(**options), cluster="here").dataset


def expected(x, axes, mean=False):
    """Return sum or mean, and count, of pixels over axes, NaN where there are none."""
    count = np.isfinite(x).sum(axis=axes)
    total = np.nansum(x, axis=axes) / (np.maximum(count, 1) if mean else 1)
    return np.where(count, total, np.nan), count


def check(data, name, x, axes, **options):
    total, count = expected(x, axes, **options)
    near(data[f"projection.{name}"], total, rtol=1e-10, atol=1e-10)
    np.testing.assert_array_equal(data[f"projection.{name}_pixels"], count)


@pytest.mark.parametrize("mean", [False, True])
def test_onto_both_axes_with_mask_and_threshold(holey, mean):
    options = {"ss": (2, 15), "fs": (3, 30), "modules": [1, 4], "mask": BAD, "threshold": (0.4, 2)}
    data = projected(holey, axis="both", mean=mean, **options)
    frames = images(holey).astype("f8")
    frames[:, BAD] = np.nan
    cut = frames[:, [1, 4], 2:15, 3:30]
    x = np.where((cut < 0.4) | (cut > 2), 0, cut)
    check(data, "fs", x, (1, 2), mean=mean)
    check(data, "ss", x, (1, 3), mean=mean)
    assert data["projected_ss"].values.tolist() == list(range(2, 15))


def test_thresholds_in_units_of_noise_and_single_photons(holey):
    data = projected(holey, threshold=2.0, noise=NOISE, single_photon=True)
    frames = images(holey).astype("f8")
    x = np.where(np.isnan(frames), np.nan, frames >= 2 * NOISE)
    check(data, "fs", x, (1, 2))
    assert data["projection.fs"].attrs["units"] == "pixels"


def test_a_line_without_a_valid_pixel_is_nan_and_not_zero(holey):
    data = projected(holey, ss=(3, 4), axis="fs")
    assert np.isnan(data["projection.fs"][:, 5:9]).all()
    check(data, "fs", images(holey)[:, :, 3:4].astype("f8"), (1, 2))


@pytest.mark.parametrize("shape", [(4, 10), (5, 7), (16, 1)])
def test_images_are_binned_and_lose_nothing(holey, shape):
    data = projected(holey, axis="none", rebin=shape)
    assert set(data.data_vars) >= {"projection.image", "projection.image_pixels"}
    x, (rows, columns) = (
        images(holey).astype("f8"),
        (np.arange(n) * k // n for n, k in zip((16, 40), shape, strict=True)),
    )
    for r, c in np.ndindex(shape):
        total, count = expected(x[:, :, rows == r][..., columns == c], (2, 3))
        near(data["projection.image"].values[:, :, r, c], total, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(data["projection.image_pixels"].values[:, :, r, c], count)


def test_bins_that_divide_the_region_are_those_of_smalldata_tools(camera):
    key, frames = pixels(camera)
    n, ss, fs = frames.shape
    data = projected(camera, img=key, rebin=(ss // 8, fs // 8))
    theirs = frames.astype("f8").reshape(n, ss // 8, 8, fs // 8, 8).sum(axis=(2, 4))
    np.testing.assert_array_equal(data["projection.image"], theirs)
    np.testing.assert_array_equal(data["projection.fs"], frames.sum(axis=1))


def test_the_spot_of_a_camera_is_where_it_was_planted(camera):
    key, frames = pixels(camera)
    data = projected(camera, img=key, axis="both", threshold=float(frames.max()) / 10)
    for axis, planted in zip(("ss", "fs"), camera.camera_centres.T, strict=True):
        x = data[f"projection.{axis}"]
        centre = (x * data[f"projected_{axis}"]).sum(axis=1) / x.sum(axis=1)
        assert np.abs(centre - planted).max() < 0.3


def test_raw_data_after_a_dark_and_modules_that_lack_frames(raw, broken):
    chain = [Subtract(dark=raw.pedestal), Projection(img=From("subtract.img"), axis="ss")]
    data = dxflow.reduce(raw.path, chain, cluster="here").dataset
    check(data, "ss", (images(raw).astype("f4") - raw.pedestal).astype("f8"), (1, 3))
    one = Projection(modules=5, rebin=(2, 2))
    data = dxflow.reduce(broken.path, one, cluster="here", on_fault="mask").dataset
    lacking = images(broken)[:, [list(broken.module_numbers).index(5)]].astype("f8")
    check(data, "fs", lacking, (1, 2))
    assert (
        np.isnan(data["projection.image"]).all(axis=(1, 2)) == np.isnan(lacking).all(axis=(1, 2, 3))
    ).all()


def test_the_result_depends_neither_on_cuts_nor_on_company(tiny):
    options = {"axis": "both", "mask": BAD, "threshold": 0.4, "noise": NOISE, "rebin": (4, 5)}
    check_algorithm(lambda: Projection(**options), tiny.path, on_fault="mask")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"noise": NOISE}, "noise= is the unit of a threshold"),
        ({"axis": "none"}, "axis='none' makes nothing"),
        ({"single_photon": True}, "counts pixels above a threshold"),
        ({"rebin": (0, 3)}, "rebin=.0, 3.; expected how many rows"),
        ({"rebin": (1.5, 3)}, "whole numbers"),
        ({"ss": (4, 4)}, "ss=.4, 4."),
    ],
)
def test_what_cannot_be_meant_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Projection(**options)


def test_what_does_not_fit_the_run_is_refused_in_the_plan(holey):
    for options, says in (
        ({"rebin": (17, 3)}, "region has 16 x 40 pixels"),
        ({"fs": (0, 41)}, "ends outside"),
        ({"noise": NOISE * 0, "threshold": 1}, "noise= is above 0 in no pixel"),
        ({"mask": np.ones((16, 40), bool)}, "mask= leaves no pixel"),
        ({"noise": NOISE[:3], "threshold": 1}, "noise has .module, ss, fs."),
    ):
        with pytest.raises(PlanError, match=says):
            dxflow.plan(holey.path, Projection(**options))
