"""LitFrames against numpy and the planted pattern."""

import numpy as np
import pytest
from readings import Whole, images, near, pixels, same

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms import _frame_kernels as kernels
from dxflow.algorithms.litframes import LitFrames, bounds
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Flat, PowderRings, make_run


def found(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms or (LitFrames(),)), cluster="here", **options).dataset


def check(data, frames, threshold, name="litframes"):
    axes = (1, 2, 3)
    np.testing.assert_array_equal(data[f"{name}.lit_pixels"], (frames > threshold).sum(axis=axes))
    np.testing.assert_array_equal(data[f"{name}.dim_pixels"], (frames < -threshold).sum(axis=axes))
    np.testing.assert_array_equal(data[f"{name}.valid_pixels"], np.isfinite(frames).sum(axis=axes))
    near(data[f"{name}.intensity"], np.nansum(frames, axis=axes))


def test_counts_and_intensity_equal_numpy_and_skip_nan(holey):
    check(found(holey), images(holey), 0.7)


def test_the_planted_lit_frames_are_recovered(holey):
    assert 0 < holey.lit.sum() < len(holey.lit)
    np.testing.assert_array_equal(found(holey)["litframes.lit"], holey.lit)


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_noise_alone_makes_no_frame_lit(tmp_path, noise):
    dark = make_run(
        tmp_path, detector="JUNGFRAU1", trains=6, pulses=8, module_shape=(32, 32), signal=Flat(0), noise=noise
    )
    assert not found(dark)["litframes.lit"].any()


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_random_pattern_of_weak_pulses_is_recovered(tmp_path, noise):
    lit = np.random.default_rng(4).random((5, 6)) < 0.5
    options = {"detector": "AGIPD500K", "trains": 5, "pulses": 6, "module_shape": (16, 16), "lit": lit}
    truth = make_run(tmp_path, signal=PowderRings(background=0.2), noise=noise, **options)
    np.testing.assert_array_equal(found(truth)["litframes.lit"], lit.ravel())


def test_the_next_reduction_reads_only_lit_frames(holey):
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    data = found(holey, LitFrames(name="again"), frames=lit)
    assert data["again.lit"].all()
    assert len(data["again.lit"]) == holey.lit.sum()


def test_chunks_and_whole_trains_do_not_change_a_bit(holey):
    whole = found(holey)
    same(found(holey, chunk="9 kB", block="6 kB"), whole)
    same(found(holey, Whole(), LitFrames())[list(whole)].drop_vars("train_used"), whole[list(whole)])


def test_a_number_of_pixels_may_decide(holey):
    data = found(holey, LitFrames(threshold=3, pixels=500))
    many = (images(holey) > 3).sum(axis=(1, 2, 3)) >= 500
    assert 0 < many.sum() < len(many)
    np.testing.assert_array_equal(data["litframes.lit"], many)


def test_raw_data_need_a_threshold_or_a_dark(raw):
    with pytest.raises(PlanError, match="give threshold="):
        dxflow.plan(raw.path, LitFrames())
    frames = images(raw)
    data = found(
        raw,
        LitFrames(threshold=4100.5, name="plain"),
        Subtract(dark=raw.pedestal),
        LitFrames(img=From("subtract.img"), threshold=30),
    )
    check(data, frames, 4100.5, "plain")
    check(data, (frames - raw.pedestal).astype("f4").astype("f8"), 30)


def test_frames_of_modules_that_are_missing_count_with_the_others(broken):
    data, frames = found(broken, on_fault="mask"), images(broken)
    check(data, frames, 0.7)
    np.testing.assert_array_equal(data["litframes.lit"], broken.lit)


def test_a_camera_may_be_lit(camera):
    key, frames = pixels(camera)
    check(found(camera, LitFrames(img=key, threshold=200)), frames[:, None].astype("f8"), 200)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "u2", "i2", "i4"])
@pytest.mark.parametrize("threshold", [-1.5, 0.0, 0.1, 0.7, 3.0, 99.99, 1e6])
def test_thresholds_compare_as_real_numbers(dtype, threshold):
    values = np.array([-100, -99.99, -4, -3, -1, 0, 0.7, 1, 1.5, 3, 99.99, 100, 250])
    near_by = np.nextafter(np.float32(threshold), np.array([-np.inf, np.inf], "f4"))
    signed = np.concatenate([values, near_by, [threshold, -threshold], -near_by])
    x = np.clip(signed, 0 if dtype[0] == "u" else None, 100).astype(dtype)
    # More than one visit of the kernel, and a rest.
    x = np.resize(x, 2 * kernels.ROWS * kernels.TILE + 77)
    lit, dim, valid, total = (np.zeros(1, t) for t in ("i4", "i4", "i4", "f8"))
    kernels.count_lit(x[None], *bounds(threshold, x.dtype), lit, dim, valid, total)
    assert lit[0] == (x.astype("f8") > threshold).sum()
    assert dim[0] == (x.astype("f8") < -threshold).sum()
    assert valid[0] == len(x)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="fraction=2"):
        LitFrames(fraction=2)
    with pytest.raises(ValueError, match="pixels=0"):
        LitFrames(pixels=0)


@pytest.mark.parametrize("threshold", [-1.0, np.nan, np.inf])
def test_thresholds_below_which_everything_is_bright_are_refused(threshold):
    with pytest.raises(ValueError, match="expected a number from 0"):
        LitFrames(threshold=threshold)


def test_a_camera_of_integers_is_told_how_to_choose(camera):
    with pytest.raises(
        PlanError, match=r"whether it counts photons is not known: give threshold= .* pixels="
    ):
        dxflow.plan(camera.path, LitFrames(img=pixels(camera)[0]))
