"""Pictures with fewer values: means of what is there, and no peak is lost."""

import numpy as np
import xarray as xr

from dxflow.analysis.plots import kinds
from dxflow.pages.thinned import POINTS, means, thinned


def test_means_are_those_of_loops():
    values = np.random.default_rng(0).normal(size=(11, 7))
    values[2:5, 1:4], values[0, 0] = np.nan, np.inf
    found = means(values, 3, 2)
    assert found.shape == (4, 4)
    for i in range(4):
        for j in range(4):
            block = values[3 * i : 3 * i + 3, 2 * j : 2 * j + 2]
            good = block[np.isfinite(block)]
            assert np.allclose(found[i, j], good.mean() if len(good) else np.nan, equal_nan=True)


def test_an_image_keeps_its_pixels_where_they_are():
    values = np.zeros((100, 130))
    values[40:44, 80:84] = 1
    data = xr.Dataset({"m": (("y", "x"), values)}, {"x": np.arange(130) * 1e-3, "y": np.arange(100) * 1e-3})
    data["x"].attrs["units"] = data["y"].attrs["units"] = "m"
    full = kinds.picture(data, "m")
    fewer, said = thinned(full, 33)
    assert said == "means of 4 x 4 pixels"
    image, (left, right, bottom, top) = fewer.data["image"].values, fewer.data.attrs["extent"]
    row, column = np.unravel_index(np.nanargmax(image), image.shape)
    assert image[row, column] == 1
    # The centre of the spot in mm, by the rows and columns of the smaller image.
    assert np.isclose(left + (column + 0.5) * (right - left) / image.shape[1], 81.5)
    assert np.isclose(bottom + (row + 0.5) * (top - bottom) / image.shape[0], 41.5)
    assert thinned(full, 130) == (full, "")


def test_a_map_keeps_its_borders_and_names():
    data = xr.Dataset(
        {"m": (("name", "q"), np.arange(2000.0).reshape(2, 1000))}, {"q": np.arange(1000), "name": ["a", "b"]}
    )
    fewer, said = thinned(kinds.picture(data, "m", kind="map"), 300)
    assert said == "means of 1 x 4 values"
    assert fewer.values.shape == (2, 250)
    assert (fewer.x.borders[0], fewer.x.borders[-1], len(fewer.x.borders)) == (-0.5, 999.5, 251)
    assert list(fewer.y.words) == ["a", "b"]
    assert np.allclose(fewer.values[0, :2], [1.5, 5.5])
    odd = xr.Dataset({"m": (("y_", "q"), np.ones((5, 1001)))}, {"q": np.arange(1001)})
    borders = thinned(kinds.picture(odd, "m"), 300)[0].x.borders
    assert (borders[-1], len(borders)) == (1000.5, 252)


def test_a_line_keeps_its_peaks():
    y = np.sin(np.arange(100_000) / 1e4)
    y[[31_234, 77_777]] = 50, -50
    y[50_000:50_600] = np.nan
    fewer, said = thinned(kinds.picture(xr.Dataset({"y": ("t", y)}), "y"), 300)
    assert said == f"drawn with {POINTS} of 100000 points"
    assert fewer.data.sizes["x"] <= POINTS
    assert {31_234, 77_777} <= set(fewer.data["x"].values.tolist())
    assert (np.diff(fewer.data["x"].values) > 0).all()
