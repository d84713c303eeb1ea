"""Assemble against extra_geom's snapped images, and against sums of pixels by numpy."""

import numpy as np
import pytest
from extra_geom import AGIPD_1MGeometry
from readings import images, near
from runs import make_run

import dxflow
from dxflow import Algorithm, Frames, From, Labels, Output, PlanError
from dxflow.algorithms.assemble import Assemble
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.testing import check_algorithm


def made(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def placed(truth, values, side=None):
    """Return the mean of values, (..., module, ss, fs), in each cell of a grid, by numpy."""
    x, y, _ = np.moveaxis(truth.positions, -1, 0)
    side = side or np.nanmedian(np.linalg.norm(np.diff(truth.positions, axis=2), axis=-1))
    column, row = (np.floor(a / side + 1e-6).astype(int) for a in (x, y))
    column, row = column - column.min(), row - row.min()
    shape = row.max() + 1, column.max() + 1
    at = (row * shape[1] + column).ravel()
    out = []
    for image in values.reshape(-1, at.size):
        good = np.isfinite(image)
        n = np.bincount(at[good], minlength=shape[0] * shape[1])
        total = np.bincount(at[good], image[good], minlength=n.size)
        out.append(np.where(n > 0, total / np.maximum(n, 1), np.nan).reshape(shape))
    return np.array(out)


def test_images_are_the_snapped_ones_of_extra_geom(tmp_path):
    truth = make_run(tmp_path / "run", trains=1, pulses=1, module_shape=(512, 128))
    # Tiles along the axes, at any parts of a pixel.
    quads = [(-525.3, 625.7), (-549.4, -10.2), (520.1, -160.9), (542.4, 475.6)]
    geometry = AGIPD_1MGeometry.from_quad_positions(quads)
    found = made(truth, Assemble(per="frame", geometry=geometry))["assemble.image"]
    expected, centre = geometry.position_modules(images(truth))
    side = geometry.pixel_size
    first = [round(float(found[axis][0]) / side - 0.5) + int(c) for axis, c in zip("yx", centre, strict=True)]
    assert first == [0, 0]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("per", ["frame", "train", "run"])
def test_frames_trains_and_the_run_equal_sums_of_pixels(holey, per):
    data, frames = made(holey, Assemble(per=per)), images(holey).astype("f8")
    found = data["assemble.image"]
    x = {"frame": frames, "train": frames.reshape(7, 11, *frames.shape[1:]), "run": frames}[per]
    if per == "frame":
        near(found, placed(holey, x), rtol=1e-6)
        return
    means = [np.nansum(some, axis=0) for some in (x if per == "train" else [x])]
    counts = [np.isfinite(some).sum(axis=0) for some in (x if per == "train" else [x])]
    total, n = (placed(holey, np.array(a, "f8")) for a in (means, counts))
    # Where pixels share one of the image both are means of as many.
    expected = total / np.where(n > 0, n, np.nan)
    near(found, expected.reshape(found.shape), rtol=1e-6, atol=1e-7)
    if per == "run":
        assert data["assemble.count"].sum() == np.isfinite(frames).sum()


def test_larger_pixels_are_means_and_an_extent_cuts(holey):
    side = 5 * float(np.nanmedian(np.linalg.norm(np.diff(holey.positions, axis=2), axis=-1)))
    data = made(holey, Assemble(per="frame", pixel=side))
    near(data["assemble.image"], placed(holey, images(holey).astype("f8"), side), rtol=1e-12, atol=1e-12)
    x, y = data["x"].values, data["y"].values
    limits = (x[2] - side / 2, x[4] + side / 2, y[1] - side / 2, y[2] + side / 2)
    cut = made(holey, Assemble(per="frame", pixel=side, extent=limits))
    np.testing.assert_array_equal(cut["assemble.image"], data["assemble.image"][:, 1:3, 2:5])
    np.testing.assert_allclose(cut["x"], x[2:5])


def test_rings_are_where_and_as_bright_as_planted(holey):
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    data = made(holey, Assemble(by=Labels(lit, "litframes.lit")))
    flags = holey.lit
    planted = placed(holey, holey.intensity[flags].mean() * holey.expected)[0]
    n = data["assemble.count"].sel(lit=True)
    away = (data["assemble.image"].sel(lit=True) - planted) / np.sqrt(
        (planted + holey.noise**2) / n.where(n > 0)
    )
    assert np.nanmax(np.abs(away)) < 6
    np.testing.assert_array_equal(np.isnan(planted) | (n == 0), np.isnan(away))


class Brightest(Algorithm):
    """Reads images that are assembled."""

    ALG_ID = "brightest"
    inputs = {"img": From("assemble.image")}

    def outputs(self, info):
        return {"max": Output(per="img")}

    def process_train_data(self, train, out):
        out.max = np.nanmax(np.asarray(train["img"]).reshape(len(train["img"]), -1), axis=1)


def test_images_are_handed_on_and_made_behind_a_dark(raw):
    chain = [
        Subtract(dark=raw.pedestal),
        Assemble(per="frame", img=From("subtract.img"), store=False),
        Brightest(),
    ]
    data = made(raw, *chain)
    assert "assemble.image" not in data
    net = (images(raw).astype("f4") - raw.pedestal).astype("f8")
    near(data["brightest.max"], np.nanmax(placed(raw, net), axis=(1, 2)), rtol=1e-6)


def test_modules_that_lack_a_frame_are_gaps(broken):
    data = made(broken, Assemble(per="frame"), on_fault="mask")
    near(data["assemble.image"], placed(broken, images(broken).astype("f8")), rtol=1e-6)


@pytest.mark.parametrize("per", ["frame", "train", "run"])
def test_the_result_depends_neither_on_cuts_nor_on_company(tiny, per):
    check_algorithm(lambda: Assemble(per=per, img=Frames(modules=(0, 1, 2))), tiny.path, on_fault="mask")


def test_what_cannot_be_meant_is_refused(holey, tmp_path):
    for options, says in (
        ({"pixel": 0}, "pixel=0; expected the side"),
        ({"extent": (1, 0, 0, 1)}, "extent=.1, 0, 0, 1.; expected x0 < x1"),
        ({"per": "frame", "by": "x.zarr"}, "leave out per="),
        ({"store": False}, "store=False is for images of frames"),
    ):
        with pytest.raises(ValueError, match=says):
            Assemble(**options)
    for options, says in (
        ({"pixel": 1e-9}, "give a larger pixel="),
        ({"extent": (5, 6, 5, 6)}, "holds no pixel"),
        ({"geometry": "nowhere.geom"}, "there is no file"),
        ({"geometry": np.ones((3, 16, 40, 3))}, "geometry has .module, ss, fs."),
    ):
        with pytest.raises(PlanError, match=says):
            dxflow.plan(holey.path, Assemble(**options))
