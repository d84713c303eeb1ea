"""Grids: an image has the values of pixels and no others, each where it is by extra_geom and a search of neighbours."""

import extra_geom
import numpy as np
import pytest
from scipy.spatial import cKDTree

from dxflow.analysis.plots.grids import Grid
from dxflow.analysis.plots.images import assemble

GEOMETRIES = {
    "AGIPD": extra_geom.AGIPD_500K2GGeometry,
    "LPD": extra_geom.LPD_1MGeometry,
    "JUNGFRAU": extra_geom.JUNGFRAUGeometry,
    "DSSC": extra_geom.DSSC_1MGeometry,
}


def centres(grid):
    """Return row and column, and x and y in mm, of the points of a grid."""
    left, right, bottom, top = grid.extent
    row, column = (a.reshape(-1) for a in np.indices(grid.pixel.shape))
    side = (right - left) / grid.pixel.shape[1]
    assert np.isclose(side, (top - bottom) / grid.pixel.shape[0])
    return np.stack([left + (column + 0.5) * side, bottom + (row + 0.5) * side], axis=-1), side


def turned(positions, degrees):
    a = np.radians(degrees)
    x, y, z = np.moveaxis(positions, -1, 0)
    return np.stack([x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a), z], axis=-1)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_pixel_is_where_extra_geom_has_it(name):
    geometry = GEOMETRIES[name].example()
    positions = geometry.get_pixel_positions()
    number = np.arange(positions[..., 0].size, dtype=float).reshape(positions.shape[:3])
    image, _ = assemble(number, positions)
    found = image[np.isfinite(image)].astype(int)
    assert np.array_equal(np.unique(found), number.reshape(-1))
    if name == "DSSC":
        # Hexagons: rows are nearer to each other than pixels in them.
        return
    assert len(found) == number.size
    theirs, _ = geometry.position_modules(number)
    places = []
    for one in (image, theirs):
        at = np.empty((number.size, 2), int)
        at[one[np.isfinite(one)].astype(int)] = np.argwhere(np.isfinite(one))
        places.append(at)
    apart = places[0] - places[1]
    assert np.ptp(apart, axis=0).max() <= 2


@pytest.mark.parametrize("degrees", [0.0, 0.03, 0.7, 3.0])
def test_turned_modules_have_no_holes_and_hardly_a_pixel_is_hidden(degrees):
    positions = turned(extra_geom.AGIPD_500K2GGeometry.example().get_pixel_positions()[:3], degrees)
    grid, flat = Grid.of(positions), positions[..., :2].reshape(-1, 2) * 1e3
    at, side = centres(grid)
    pixel = grid.pixel.reshape(-1)
    there = pixel >= 0
    away = np.linalg.norm(at[there] - flat[pixel[there]], axis=1) / side
    assert away.max() < 1.1
    assert np.mean(away < 0.75) > 0.999
    nearest, _ = cKDTree(flat).query(at)
    assert np.sum((nearest < 0.45 * side) & ~there) == 0
    assert len(flat) - len(np.unique(pixel[there])) == grid.hidden <= 0.003 * len(flat)


@pytest.mark.parametrize("noise", [0.0, 1e-8])
def test_modules_between_two_points_keep_their_shape(noise):
    y, x = np.mgrid[0:32, 0:20] * 1e-3
    module = np.stack([x, y, np.ones_like(x)], axis=-1)
    positions = np.stack([module, module + [25.5e-3, 0.5e-3, 0]])
    positions += np.random.default_rng(0).normal(0, noise, positions.shape)
    values = np.arange(1280.0).reshape(2, 32, 20)
    image, _ = assemble(values, positions)
    assert np.isfinite(image).sum() == values.size
    for module in values:
        (row, *_), (column, *_) = np.nonzero(image == module[0, 0])
        assert np.array_equal(image[row : row + 32, column : column + 20], module)


def test_what_has_no_place_is_not_seen_and_gaps_stay_empty():
    y, x = np.mgrid[0:4, 0:9] * 1e-3
    positions = np.stack([x, y, np.ones_like(x)], axis=-1)[None]
    positions[..., 4, :] = np.nan
    values = np.arange(36).reshape(1, 4, 9)
    image, extent = assemble(values, positions)
    assert np.isnan(image[:, 4]).all()
    assert np.array_equal(np.delete(image, 4, 1), np.delete(values[0], 4, 1))
    assert np.allclose(extent, (-0.5, 8.5, -0.5, 3.5))
    assert np.isnan(assemble(values, np.full_like(positions, np.nan))[0]).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 1), (1, 1, 6), (1, 6, 1)])
def test_modules_of_a_row_or_a_pixel(shape):
    positions = np.zeros((*shape, 3))
    positions[..., 0] = np.arange(positions[..., 0].size).reshape(shape) * 2e-3
    image, _ = assemble(np.arange(positions[..., 0].size).reshape(shape), positions)
    assert np.array_equal(np.unique(image[np.isfinite(image)]), np.arange(positions[..., 0].size))


def test_pixels_that_are_far_from_all_others_are_no_image():
    positions = np.zeros((1, 8, 8, 3))
    positions[..., 0], positions[..., 1] = np.arange(8) * 1e-6, np.arange(8)[:, None] * 1e-6
    positions[0, 0, 0] = 5.0
    with pytest.raises(ValueError, match="far from others"):
        Grid.of(positions)
