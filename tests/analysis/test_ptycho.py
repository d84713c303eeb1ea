"""Picked images as CXI: what programs for ptychography read of them, as their readers do."""

import os

import h5py
import numpy as np
import pytest
import xarray as xr
from runs import make_run

import dxflow
from dxflow.analysis import Picks, Table, random

HERE = {"cluster": "here", "quiet": True}
ENERGY, DISTANCE = 9.3, 2.5
EV = 1.602176634e-19
DETECTOR = "/entry_1/instrument_1/detector_1"


@pytest.fixture(scope="module")
def picks(tmp_path_factory):
    """Frames of a scan of the sample: x in mm per pulse, y in um per train."""
    path = tmp_path_factory.mktemp("ptycho") / "r0001"
    made = make_run(path, detector="AGIPD500K", trains=4, pulses=5, module_shape=(16, 24), bad_pixels=0.05)
    rows = np.random.default_rng(1)
    ids = np.repeat(10001 + np.arange(4, dtype="u8"), 5), np.tile(4 * np.arange(5, dtype="u8"), 4)
    data = {
        "x": ("pulse", rows.normal(0, 1, 20), {"units": "mm"}),
        "y": ("train", rows.normal(0, 1, 4), {"units": "µm"}),
        "tilt": ("pulse", rows.normal(0, 1, 20), {"units": "deg"}),
        "lost": ("pulse", np.where(np.arange(20) % 2, np.nan, 1), {"units": "m"}),
        "photon": ("train", np.full(4, 9300.0), {"units": "eV"}),
        "v": ("pulse", rows.random(20)),
    }
    coords = {"train_id": ("pulse", ids[0]), "pulse_id": ("pulse", ids[1]), "train": np.unique(ids[0])}
    ev = Table(xr.Dataset(data, coords, {"run": str(made.path), "rows": "frames"}))
    return ev.pick(4, by=np.arange(20) % 3, rule=random(3)).read(**HERE)


@pytest.fixture(scope="module")
def file(picks, tmp_path_factory):
    path = tmp_path_factory.mktemp("cxi") / "scan.cxi"
    return picks.save(path, positions=("x", "y"), energy="photon", distance=DISTANCE)


def by_ptypy(path):
    """Positions as (y, x), images, distance, pixel sizes: as loaders of PtyPy read CXI."""
    with h5py.File(path) as f:
        positions = np.fliplr(np.asarray(f["entry_1/data_1/translation"])[:, :2])
        sizes = [f[f"entry_1/instrument_1/detector_1/{axis}_pixel_size"][()] for axis in ("x", "y")]
        return (
            positions,
            f["entry_1/data_1/data"][()],
            f["entry_1/instrument_1/detector_1/distance"][()],
            sizes,
        )


def expected(picks):
    flat = picks.flat
    table, row = picks.table, flat["row"].values
    x, y = (table.column(name, at="pulse").values[row] for name in ("x", "y"))
    return np.stack([1e-3 * x, 1e-6 * y, 0 * x], axis=1)


def test_positions_are_in_metres_in_the_order_of_images(picks, file):
    positions, images, distance, sizes = by_ptypy(file)
    np.testing.assert_allclose(positions, expected(picks)[:, 1::-1], rtol=1e-14)
    assert images.shape == picks.images["assembled"].shape
    assert distance == DISTANCE
    step = np.diff(picks.images["x"].values)[0]
    np.testing.assert_allclose(sizes, step)
    with h5py.File(file) as f:
        assert f["entry_1/data_1/data"].attrs["axes"] == "translation:y:x"
        np.testing.assert_allclose(f["entry_1/sample_1/geometry_1/translation"], expected(picks))
        np.testing.assert_allclose(f[f"{DETECTOR}/translation"], expected(picks))
        np.testing.assert_allclose(f["entry_1/instrument_1/source_1/energy"][()], 9300 * EV, rtol=1e-9)
        wavelength = f["entry_1/instrument_1/beam_1/incident_wavelength"][()]
        np.testing.assert_allclose(wavelength, 6.62607015e-34 * 299792458 / (9300 * EV), rtol=1e-9)
        assert f["cxi_version"][()] == 160
        assert f["entry_1/definition"][()] == b"NXcxi_ptycho"
        for name, label in (("trainId", "train_id"), ("pulseId", "pulse_id")):
            np.testing.assert_array_equal(f[f"entry_1/{name}"], picks.flat[label])
        first = f["entry_1/experiment_identifier"][0].decode()
        assert first == f"{picks.flat['train_id'].values[0]}:{picks.flat['pulse_id'].values[0]}"


def test_programs_read_positions_in_other_ways_as_well(picks, file, tmp_path):
    with h5py.File(file) as f:
        # The general loader of PtyPy takes an array for each axis.
        for n, axis in enumerate("xy"):
            np.testing.assert_allclose(f[f"entry_1/data_1/{axis}"], expected(picks)[:, n])
            assert f[f"entry_1/sample_1/transformations/{axis}"].attrs["units"] == "m"
        assert f["entry_1/data_1"].attrs["axes"].tolist() == ["x", ".", "."]
    path = picks.save(tmp_path / "pynx.cxi", **PTYCHO, coordinate_first=True)
    with h5py.File(path) as f:
        x, y = f["/entry_1/sample_1/geometry_1/translation"][0:2]
    np.testing.assert_allclose(np.stack([x, y], axis=1), expected(picks)[:, :2])
    assert dxflow.open(path).images["translation"].dims == ("coordinate", "pick")


def test_each_pixel_is_where_corner_and_basis_vectors_say(picks, file):
    image = picks.images["assembled"]
    with h5py.File(file) as f:
        data, mask = f[f"{DETECTOR}/data"][()], f[f"{DETECTOR}/mask"][()]
        corner, (down, right) = f[f"{DETECTOR}/corner_position"][()], f[f"{DETECTOR}/basis_vectors"][()]
    # As without basis vectors: rows go down, columns to the right of one who looks along the beam, where x falls.
    np.testing.assert_allclose(down, [0, -np.diff(image.y)[0], 0])
    np.testing.assert_allclose(right, [-np.diff(image.x)[0], 0, 0])
    for row, column in ((0, 0), (3, 40), (20, 11)):
        place = corner + (row + 0.5) * down + (column + 0.5) * right
        found = image.sel(x=place[0], y=place[1], method="nearest")
        np.testing.assert_allclose([found.x, found.y], place[:2])
        np.testing.assert_array_equal(np.where(mask[row, column], np.nan, data[:, row, column]), found)
    assert corner[2] == DISTANCE


def test_pixels_without_values_are_masked(picks, file):
    nothing = np.isnan(picks.images["assembled"].values)[:, ::-1, ::-1]
    with h5py.File(file) as f:
        data, mask = f[f"{DETECTOR}/data"][()], f[f"{DETECTOR}/mask"][()]
    np.testing.assert_array_equal(mask & 1, nothing.any(axis=0))
    np.testing.assert_array_equal(mask & 0x200, np.where(nothing.all(axis=0), 0x200, 0))
    assert not np.isnan(data).any()
    assert not data[nothing].any()


def test_what_only_some_images_lack_is_masked_in_all_and_said(picks, tmp_path):
    images = picks.images.load()
    assembled = images["assembled"].copy()
    row, column = (int(n) for n in np.argwhere(~np.isnan(assembled.values).any(axis=0))[0])
    assembled[2, row, column] = np.nan
    again = Picks(picks.data, table=picks.table, images=images.assign(assembled=assembled))
    with pytest.warns(UserWarning, match="1 pixels have no value in some of the images"):
        again.save(tmp_path / "x.cxi")
    with h5py.File(tmp_path / "x.cxi") as f:
        assert f[f"{DETECTOR}/mask"][()][::-1, ::-1][row, column] == 1
        assert "definition" not in f["entry_1"]


def test_it_is_opened_again_and_notices_damage(picks, file, tmp_path):
    again = dxflow.open(file)
    assert isinstance(again, Picks)
    for name in ("train_id", "pulse_id", "rank", "bin"):
        np.testing.assert_array_equal(again.images[name], picks.images[name])
    assert set(picks.data.data_vars) <= set(again.data.data_vars)
    for name, values in picks.data.data_vars.items():
        np.testing.assert_array_equal(again.data[name], values)
    assert again.images["data"].shape == picks.images["assembled"].shape
    assert dxflow.verify(file) == []
    with pytest.raises(FileExistsError, match="overwrite=True"):
        picks.save(file)
    before = os.listdir(file.parent)
    picks.save(file, overwrite=True, positions=(("x", "nm"), "y", "y"), energy=ENERGY, distance=DISTANCE)
    assert os.listdir(file.parent) == before
    with h5py.File(file) as f:
        z = f["entry_1/sample_1/geometry_1/translation"][:, 2]
        np.testing.assert_allclose(z, expected(picks)[:, 1])
        np.testing.assert_allclose(
            f["entry_1/sample_1/geometry_1/translation"][:, 0], expected(picks)[:, 0] * 1e-6
        )
    other = tmp_path / "mine.cxi"
    other.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        picks.save(other, overwrite=True)
    assert other.read_bytes() == b"mine"


def test_images_of_modules_are_nexus_as_well(picks, tmp_path):
    path = picks.save(tmp_path / "x.nxs", images="corrected")
    with h5py.File(path) as f:
        assert f[f"{DETECTOR}/data"].attrs["axes"] == "experiment_identifier:module_identifier:y:x"
        found, mask = f[f"{DETECTOR}/data"][()], f[f"{DETECTOR}/mask"][()]
        assert [one.decode() for one in f[f"{DETECTOR}/module_identifier"]] == [str(n) for n in range(8)]
        assert f["entry_1"].attrs["NX_class"] == "NXentry"
        assert f["entry_1"][f["entry_1"].attrs["default"]].attrs["signal"] == "data"
    np.testing.assert_array_equal(found, np.nan_to_num(picks.images["corrected"].values))
    np.testing.assert_array_equal(mask & 1, np.isnan(picks.images["corrected"].values).any(axis=0))


PTYCHO = {"positions": ("x", "y"), "energy": ENERGY, "distance": DISTANCE}


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"positions": ("tilt", "y")}, ValueError, r"x, 'tilt', is in 'deg'; expected a length"),
        (
            {"positions": ("v", "y")},
            ValueError,
            r"x, 'v', is in ''; expected a length: give the unit, \('v', 'um'\)",
        ),
        ({"positions": ("x",)}, ValueError, "expected variables with x and y"),
        ({"positions": ("xx", "y")}, KeyError, "'xx'"),
        ({"positions": ("x", "lost")}, ValueError, "y, 'lost', has no value for [4-8] of 12 frames"),
        ({"energy": None}, ValueError, "which needs energy= as well"),
        ({"distance": None}, ValueError, "which needs distance= as well"),
        ({"energy": "x"}, ValueError, "'x' is in 'mm'; expected an energy"),
        ({"energy": 9300}, ValueError, "energy=9300 keV; expected the energy of photons in keV"),
        ({"distance": -1}, ValueError, "distance=-1; expected a number above 0"),
        ({"images": "raw"}, ValueError, r"images='raw': expected one of \['assembled', 'corrected'\]"),
        ({"pixel": 1.0}, ValueError, "the images have pixels of"),
    ],
)
def test_what_is_not_known_is_refused_and_nothing_is_left(picks, tmp_path, changed, error, words):
    with pytest.raises(error, match=words):
        picks.save(tmp_path / "x.cxi", **(PTYCHO | changed))
    assert os.listdir(tmp_path) == []


def test_picks_without_images_have_none_to_write(picks, tmp_path):
    with pytest.raises(ValueError, match="there are no images yet"):
        picks.table.pick(1, of="v").save(tmp_path / "x.cxi")


def test_modules_that_images_of_integers_lack_are_masked(picks, tmp_path):
    whole = picks.images["corrected"].fillna(7).astype("u2")
    there = xr.DataArray(np.ones(whole.shape[:2], bool), dims=whole.dims[:2])
    there[:, 1] = False
    there[0, 2] = False
    images = picks.images[[]].assign(raw=whole.where(there, 0).astype("u2"), raw_valid=there)
    made = Picks(picks.data, table=picks.table, images=images)
    with pytest.warns(UserWarning, match="no value in some of the images"):
        made.save(tmp_path / "x.cxi")
    with h5py.File(tmp_path / "x.cxi") as f:
        mask = f[f"{DETECTOR}/mask"][()]
    assert (mask[1] == 0x201).all()
    assert (mask[2] == 0x1).all()
    assert (np.delete(mask, [1, 2], axis=0) == 0).all()
