"""RoiSum against numpy."""

import numpy as np
import pytest
from readings import Whole, images, near, pixels, same

import dxflow
from dxflow import Frames, From, PlanError
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract


def summed(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def check(data, region, name="roi"):
    """Compare with the same region cut out by numpy, (frame, module, ss, fs)."""
    axes = (1, 2, 3)
    count = np.isfinite(region).sum(axis=axes)
    total = np.where(count, np.nansum(region, axis=axes), np.nan)
    np.testing.assert_array_equal(data[f"{name}.pixels"], count)
    near(data[f"{name}.sum"], total)
    near(data[f"{name}.mean"], total / np.where(count, count, 1))


def test_all_pixels_are_the_default(holey):
    check(summed(holey, RoiSum()), images(holey))


@pytest.mark.parametrize(
    ("ss", "fs"), [((2, 3), (0, 40)), ((1, 10), (7, 9)), ((3, 4), (5, 9)), ((15, 16), (39, 40))]
)
def test_a_rectangle_equals_numpy_and_skips_nan(holey, ss, fs):
    check(summed(holey, RoiSum(ss=ss, fs=fs)), images(holey)[:, :, slice(*ss), slice(*fs)])


def test_a_region_without_valid_pixels_is_nan(holey):
    data = summed(holey, RoiSum(ss=(3, 4), fs=(5, 9)))
    assert (data["roi.pixels"] == 0).all()
    assert np.isnan(data["roi.sum"]).all()
    assert np.isnan(data["roi.mean"]).all()


def test_several_regions_of_chosen_modules_in_one_pass(holey):
    regions = RoiSum(name="a", modules=3, ss=(0, 8)), RoiSum(name="b", modules=[0, 7], fs=(8, 40))
    data, frames = summed(holey, *regions), images(holey)
    check(data, frames[:, 3:4, :8], "a")
    check(data, frames[:, [0, 7], :, 8:], "b")


@pytest.mark.parametrize("kind", [list, np.array])
def test_each_module_may_have_a_region_of_its_own(holey, kind):
    regions = [(3, 0, 8, 2, 9), (0, 5, 16, 0, 40), (7, 1, 2, 3, 4)]
    data, frames = summed(holey, RoiSum(regions=kind(regions))), images(holey)
    cut = np.full_like(frames, np.nan)
    for module, *bounds in regions:
        ss, fs = slice(*bounds[:2]), slice(*bounds[2:])
        cut[:, module, ss, fs] = frames[:, module, ss, fs]
    check(data, cut)


@pytest.mark.parametrize(
    ("regions", "says"),
    [
        ([(3, 0, 8)], "expected .module, ss, stop, fs, stop. for each module"),
        ([], "expected .module"),
        ([(3, 0, 8, 2.5, 9)], "whole numbers"),
        ([(3, 0, 8, 9, 2)], "fs=.9, 2.; expected first"),
        ([(3, 0, 8, 2, 9), (3, 8, 9, 2, 9)], "expected different module numbers"),
    ],
)
def test_regions_that_are_none_are_refused(regions, says):
    with pytest.raises(ValueError, match=says):
        RoiSum(regions=regions)
    with pytest.raises(ValueError, match="leave out modules="):
        RoiSum(regions=[(3, 0, 8, 2, 9)], modules=3)


def test_regions_that_do_not_fit_the_run_are_refused(holey):
    with pytest.raises(PlanError, match="ss=.0, 999. ends outside"):
        dxflow.plan(holey.path, RoiSum(regions=[(3, 0, 999, 2, 9)]))
    with pytest.raises(PlanError, match="modules .5. are not read"):
        dxflow.plan(holey.path, RoiSum(regions=[(5, 0, 8, 2, 9)], img=Frames(modules=(3, 4))))


def test_regions_on_the_command_line(holey, tmp_path):
    from dxflow.commands.main import main

    line = "roi --region 3 0 8 2 9 --region 0 5 16 0 40 --cluster here --to"
    assert main(["reduce", str(holey.path), *line.split(), str(tmp_path / "x.zarr")]) == 0
    asked = RoiSum(regions=[(3, 0, 8, 2, 9), (0, 5, 16, 0, 40)])
    np.testing.assert_array_equal(
        dxflow.open(tmp_path / "x.zarr").dataset["roi.sum"], summed(holey, asked)["roi.sum"]
    )


def test_raw_data_and_subtracted_ones(raw):
    data = summed(
        raw, RoiSum(ss=(2, 9)), Subtract(dark=raw.pedestal), RoiSum(name="net", img=From("subtract.img"))
    )
    frames = images(raw)
    check(data, frames[:, :, 2:9])
    check(data, (frames.astype("f4") - raw.pedestal).astype("f8"), "net")


def test_chunks_and_whole_trains_do_not_change_a_bit(holey):
    region = RoiSum(ss=(1, 14), fs=(3, 33))
    whole = summed(holey, region)
    same(summed(holey, region, chunk="9 kB", block="6 kB"), whole)
    same(summed(holey, Whole(), region)[list(whole)].drop_vars("train_used"), whole[list(whole)])


def test_modules_that_lack_a_frame_do_not_count(broken):
    data = summed(broken, RoiSum(modules=[2, 5]), on_fault="mask")
    lacking = images(broken)[:, list(broken.module_numbers).index(5)][:, None]
    check(data, lacking)
    assert 0 < np.isnan(data["roi.mean"]).sum() < len(lacking)


def test_a_camera_has_one_module(camera):
    key, frames = pixels(camera)
    check(summed(camera, RoiSum(img=key, ss=(10, 30), fs=(5, 60))), frames[:, None, 10:30, 5:60].astype("f8"))


def test_what_is_outside_the_frames_is_refused(run):
    with pytest.raises(PlanError, match="ends outside"):
        dxflow.plan(run.path, RoiSum(ss=(0, 512)))
    with pytest.raises(PlanError, match=r"modules \[16\] are not read"):
        dxflow.plan(run.path, RoiSum(modules=[3, 16]))
    with pytest.raises(PlanError, match=r"modules \[3\] are not read"):
        dxflow.plan(run.path, RoiSum(img=Frames(modules=[1]), modules=[3]))
    with pytest.raises(ValueError, match="fs="):
        RoiSum(fs=(4, 4))
