"""RoiSum against numpy, and against the formulas of smalldata_tools where these are right."""

import numpy as np
import pytest
from readings import Whole, images, near, pixels, same
from runs import make_run

import dxflow
from dxflow import Frames, From, Key, PlanError
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract
from dxflow.testing import check_algorithm


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
        ([(3, 0, 8, 9, 2)], "fs=.9, 2.; expected the first"),
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


def test_an_empty_file_is_no_mask_and_no_edges(holey, tmp_path):
    path = tmp_path / "empty.npy"
    path.touch()
    with pytest.raises(PlanError, match=r"roi: mask=.*empty\.npy"):
        dxflow.plan(holey.path, RoiSum(mask=path))
    with pytest.raises(ValueError, match=r"edges=.*empty\.npy"):
        Histogram(edges=path)


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


def formulas(cut, low, high):
    """Return what smalldata_tools makes of a region, (frame, module, ss, fs): masked values are NaN, not 0 in means."""
    x = np.where((cut < low) | (cut > high), 0, cut)
    axes = (1, 2, 3)
    at = np.indices(cut.shape)[2:]
    total = np.nansum(x, axis=axes)
    com = [np.nansum(x * axis, axis=axes) / np.where(total == 0, np.nan, total) for axis in at]
    return {
        "sum": total,
        "mean": total / np.isfinite(x).sum(axis=axes),
        "max": np.nanmax(x, axis=axes),
        "com": np.stack(com, axis=-1),
        "saturated": (cut >= 2.5).sum(axis=axes),
    }


BAD = np.random.default_rng(3).random((8, 16, 40)) < 0.2
NAMED = {"a": [(2, 5), (3, 12), (7, 30)], "b": [(0, 16), (20, 40)], "c": [(1, 2)]}


@pytest.mark.parametrize(("threshold", "window"), [(0.4, (0.4, np.inf)), ((0.3, 2.0), (0.3, 2.0))])
def test_several_regions_by_name_with_mask_and_threshold(holey, threshold, window):
    roi = RoiSum(rois=NAMED, mask=BAD, threshold=threshold, saturation=2.5, area=True)
    data, frames = summed(holey, roi), images(holey).astype("f8")
    assert data["roi"].values.tolist() == ["a", "b", "c"]
    frames[:, BAD] = np.nan
    cuts = {"a": (slice(2, 5), slice(3, 12), slice(7, 30)), "b": np.s_[:, :, 20:], "c": np.s_[:, :, 1:2]}
    for name, where in cuts.items():
        cut = frames[(slice(None), *where)]
        expected = formulas(cut, *window)
        expected["com"] += [where[1].start or 0, where[2].start]
        for key, values in expected.items():
            near(data[f"roi.{key}"].sel(roi=name), values, rtol=1e-10, atol=1e-10)
        np.testing.assert_array_equal(data[f"roi.area_{name}"], cut)
    assert data["area_a_module"].values.tolist() == [2, 3, 4]
    assert data["area_a_ss"].values.tolist() == list(range(3, 12))


def test_one_region_has_no_axis_of_regions_and_its_area_none_of_one_module(holey):
    data = summed(holey, RoiSum(modules=3, ss=(4, 9), fs=(2, 30), area=True))
    cut = images(holey)[:, 3:4, 4:9, 2:30].astype("f8")
    check(data, cut)
    near(data["roi.max"], np.nanmax(cut, axis=(1, 2, 3)))
    assert data["roi.com"].sizes == {"frame": len(cut), "pixel_axis": 2}
    np.testing.assert_array_equal(data["roi.area"], cut[:, 0])


def test_regions_go_into_netcdf(holey, tmp_path):
    made = dxflow.reduce(holey.path, RoiSum(ss=(0, 4)), tmp_path / "r.nc", cluster="here").dataset
    near(made["roi.com"], summed(holey, RoiSum(ss=(0, 4)))["roi.com"])


def test_regions_on_modules_that_lack_frames_have_nan_there(broken):
    roi = RoiSum(modules=[4, 5], ss=(0, 3), area=True)
    data = summed(broken, roi, on_fault="mask")
    cut = images(broken)[:, [list(broken.module_numbers).index(m) for m in (4, 5)], :3]
    np.testing.assert_array_equal(data["roi.area"], cut)
    check(data, cut)
    near(data["roi.max"], np.nanmax(cut, axis=(1, 2, 3)))


def test_where_the_sun_is_dark_there_is_no_centre_of_mass(holey):
    data = summed(holey, RoiSum(ss=(3, 4), fs=(5, 9)))
    for name in ("sum", "mean", "max", "com"):
        assert np.isnan(data[f"roi.{name}"]).all(), name
    data = summed(holey, RoiSum(threshold=1e9))
    assert (data["roi.sum"] == 0).all()
    assert (data["roi.max"] == 0).all()
    assert np.isnan(data["roi.com"]).all()


def test_raw_counts_saturate_before_the_threshold(raw):
    level = int(images(raw).max())
    data = summed(raw, RoiSum(saturation=level, threshold=(0, level - 1)))
    np.testing.assert_array_equal(data["roi.saturated"], (images(raw) >= level).sum(axis=(1, 2, 3)))
    assert data["roi.saturated"].sum() >= 1
    assert data["roi.max"].max() <= level - 1


def test_rows_of_numbers_are_one_row_of_pixels(tmp_path):
    truth = make_run(tmp_path / "run", detector=None, devices=("xgm",), trains=4)
    xgm = Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")
    data = summed(truth, RoiSum(img=xgm, rois={"first": [(0, 5)], "rest": [(5, 9)]}, area=True))
    assert data["roi.area_first"].shape == (4, 5)
    near(data["roi.sum"].sel(roi="first"), data["roi.area_first"].astype("f8").sum(axis=1))


def test_a_spot_is_where_it_was_planted(camera):
    key, frames = pixels(camera)
    data = summed(camera, RoiSum(img=key, threshold=float(frames.max()) / 10))
    assert np.abs(data["roi.com"] - camera.camera_centres).max() < 0.3


def test_the_result_depends_neither_on_cuts_nor_on_company(tiny):
    options = {
        "rois": {"a": [(0, 2), (3, 12), (7, 30)], "b": [None, (20, 40)]},
        "mask": BAD,
        "threshold": (0.3, 2.0),
        "saturation": 2.5,
        "area": True,
    }
    check_algorithm(lambda: RoiSum(**options), tiny.path, on_fault="mask")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rois": {"a": [(0, 1, 2)]}}, "rois: 'a' is .*expected .first, stop., or None"),
        ({"rois": {"a": [(0.5, 2)]}}, "rois: 'a' is"),
        ({"rois": {"a": [(3, 3), (0, 4)]}}, "a: ss=.3, 3.; expected the first"),
        ({"rois": {}}, "expected a name of its own"),
        ({"rois": [["a", 0, 1], ["a", 0, 2]]}, "expected a name of its own"),
        ({"rois": {"a": [(0, 4)]}, "ss": (0, 3)}, "leave out modules=, ss= and fs="),
        ({"threshold": (3, 1)}, "threshold=.3, 1.; expected a number, or two that rise"),
        ({"threshold": "x"}, "threshold='x'; expected a number"),
        ({"saturation": np.nan}, "saturation=nan; expected a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        RoiSum(**options)


def test_what_does_not_fit_the_run_is_refused_in_the_plan(holey):
    for options, says in (
        ({"rois": {"a": [(0, 99)]}}, "fs=.0, 99. ends outside"),
        ({"rois": {"a": [(7, 9), None, None]}}, "modules .8. are not read"),
        ({"mask": np.zeros((3, 4), bool)}, "mask has .module, ss, fs."),
        ({"mask": np.zeros((8, 16, 40))}, "mask is float64"),
        ({"mask": np.ones((8, 16, 40), int)}, "mask is int64 .*1 where used: == 0"),
        ({"mask": "nowhere.npy"}, "nowhere.npy"),
        ({"regions": [(3, 0, 8, 2, 9), (0, 0, 9, 0, 4)], "area": True}, "same pixels of each module"),
    ):
        with pytest.raises(PlanError, match=says):
            dxflow.plan(holey.path, RoiSum(**options))


def test_named_regions_on_the_command_line(holey, tmp_path):
    from dxflow.commands.main import main

    np.save(tmp_path / "bad.npy", BAD)
    line = "roi --roi a 2 5 3 12 7 30 --roi b 0 16 20 40 --threshold 0.3 2 --cluster here --to"
    more = [str(tmp_path / "x.zarr"), "--roi-mask", str(tmp_path / "bad.npy")]
    assert main(["reduce", str(holey.path), *line.split(), *more]) == 0
    named = {name: NAMED[name] for name in "ab"}
    same(
        dxflow.open(tmp_path / "x.zarr").dataset[["roi.sum", "roi.com"]].load(),
        summed(holey, RoiSum(rois=named, mask=BAD, threshold=(0.3, 2)))[["roi.sum", "roi.com"]],
    )
