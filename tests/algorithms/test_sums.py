"""ImageSums against numpy."""

import numpy as np
import pytest
from readings import images, near, pixels

import dxflow
from dxflow import Algorithm, Frames, From, Labels, Output, PlanError
from dxflow.algorithms.assemble import Assemble
from dxflow.algorithms.autocorrelation import Autocorrelation
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.sparsify import Sparsify, dense
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.sums import ImageSums
from dxflow.testing import check_algorithm


def made(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def check(data, frames, low=None, high=np.inf, name="sums", **where):
    """Compare with numpy on frames, (frame, module, ss, fs), float64."""
    count = np.isfinite(frames).sum(axis=0)
    none = count == 0
    with np.errstate(invalid="ignore"):
        inside = (frames >= (0 if low is None else low)) & (frames <= high)
    highest = np.where(np.isnan(frames), -np.inf, frames).max(axis=0, initial=-np.inf)
    expected = {
        "sum": np.nansum(frames, axis=0),
        "square": np.nansum(frames**2, axis=0),
        "max": highest,
        "thresholded": np.where(inside, frames, 0).sum(axis=0),
    }
    found = {key: data[f"{name}.{key}"].sel(where) for key in expected if f"{name}.{key}" in data}
    assert len(found) == (3 if low is None else 4)
    for key, values in found.items():
        near(values, np.where(none, np.nan, expected[key]), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(data[f"{name}.count"].sel(where), count)
    if low is not None:
        np.testing.assert_array_equal(data[f"{name}.hits"].sel(where), inside.sum(axis=0))


@pytest.mark.parametrize(("threshold", "window"), [(None, ()), (0.5, (0.5,)), ((0.25, 1.5), (0.25, 1.5))])
def test_sums_of_all_frames_equal_numpy_and_skip_nan(holey, threshold, window):
    data = made(holey, ImageSums(threshold=threshold))
    check(data, images(holey).astype("f8"), *window)
    assert np.isnan(data["sums.sum"][:, 3, 5:9]).all()


def test_of_raw_counts_sums_are_exact(raw):
    data, frames = made(raw, ImageSums(threshold=100)), images(raw)
    whole = frames.astype(np.int64)
    for key, expected in (
        ("sum", whole.sum(axis=0)),
        ("square", (whole**2).sum(axis=0)),
        ("max", whole.max(axis=0)),
    ):
        np.testing.assert_array_equal(data[f"sums.{key}"], expected)


def test_frames_with_and_without_beam_have_sums_of_their_own(holey):
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    flags = lit.dataset["litframes.lit"].values
    np.testing.assert_array_equal(flags, holey.lit)
    by = Labels(lit, "litframes.lit")
    data = made(holey, ImageSums(threshold=0.5, by=by), ImageSums(name="dark", by=by, groups=[False]))
    for flag in (False, True):
        check(data, images(holey)[flags == flag].astype("f8"), 0.5, lit=flag)
    assert len(data["dark.sum"]) == 1
    np.testing.assert_array_equal(data["dark.ungrouped"], flags)
    # What was planted, within five standard errors of the mean of each pixel and of their mean.
    mean = (data["sums.sum"] / data["sums.count"]).values
    planted = holey.intensity[flags].mean() * holey.expected
    away = (mean[1] - planted) / np.sqrt((planted + holey.noise**2) / flags.sum())
    assert np.nanmax(np.abs(away)) < 6
    assert abs(np.nanmean(mean[0])) < 5 * holey.noise / np.sqrt((~flags).sum() * planted.size)


def test_a_group_without_frames_is_nan(holey):
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    three = lit.dataset["litframes.lit"].astype(int)
    data = made(holey, ImageSums(by=Labels(three), groups=[0, 1, 7]))
    assert (data["sums.count"][2] == 0).all()
    assert np.isnan(data["sums.max"][2]).all()


def test_behind_a_dark_of_a_camera_and_of_modules_that_lack_frames(raw, broken, camera):
    data = made(raw, Subtract(dark=raw.pedestal), ImageSums(img=From("subtract.img")))
    check(data, (images(raw).astype("f4") - raw.pedestal).astype("f8"))
    data = made(broken, ImageSums(), on_fault="mask")
    assert (data["sums.count"].sel(module=2) == 0).all()
    check(data.sel(module=list(broken.module_numbers)), images(broken).astype("f8"))
    key, frames = pixels(camera)
    check(made(camera, ImageSums(img=key)), frames[:, None].astype("f8"))


class Keep(Algorithm):
    """Stores calibrated images: what the others read."""

    ALG_ID = "keep"
    inputs = {"img": From("calibrate.img")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4")}

    def process_module_data(self, block, out):
        out.img = block["img"]


def test_functions_of_frames_share_a_pass_behind_calibrate(raw):
    img = From("calibrate.img")
    calibrate = Calibrate(constants={"offset": raw.pedestal[None]}, stage="high", img=Frames(data="raw"))
    functions = [
        ImageSums(img=img),
        RoiSum(img=img),
        Projection(img=img, axis="ss"),
        Sparsify(img=img, threshold=30),
    ]
    functions += [
        Histogram(img=img, range=(-50, 1000)),
        Assemble(img=img),
        Autocorrelation(img=img, range=(1, 1)),
    ]
    data = made(raw, calibrate, Keep(), *functions, on_fault="mask")
    frames = data["keep.img"].values.astype("f8")
    check(data, frames)
    total = np.nansum(frames, axis=(1, 2, 3))
    near(data["roi.sum"], total, rtol=1e-9)
    near(data["projection.ss"].sum(axis=1), total, rtol=1e-9)
    near((data["assemble.image"] * data["assemble.count"]).sum(), total.sum(), rtol=1e-9)
    np.testing.assert_array_equal(dense(data), np.where(frames > 30, frames, 0))
    inside = ((frames >= -50) & (frames <= 1000)).sum(axis=(1, 2, 3))
    np.testing.assert_array_equal(data["histogram.counts"].sum(axis=1), inside)
    near(data["autocorrelation.intensity"], np.nanmean(frames, axis=(1, 2, 3)), rtol=1e-9)


def test_the_result_depends_neither_on_cuts_nor_on_company(tiny):
    check_algorithm(lambda: ImageSums(threshold=0.5), tiny.path, on_fault="mask")
    lit = dxflow.reduce(tiny.path, LitFrames(), cluster="here", on_fault="mask")
    check_algorithm(lambda: ImageSums(by=Labels(lit, "litframes.lit")), tiny.path, on_fault="mask")


def test_what_cannot_be_meant_is_refused(holey):
    with pytest.raises(ValueError, match="threshold=.2, 1.; expected a number"):
        ImageSums(threshold=(2, 1))
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    with pytest.raises(PlanError, match="groups"):
        dxflow.plan(holey.path, ImageSums(by=Labels(lit, "litframes.lit"), groups=["odd"]))
