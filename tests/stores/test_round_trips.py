"""Every kind of output of every simulated detector, in every format, is read back by the programs it is for."""

from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import tifffile
import xarray as xr
from extra_data import RunDirectory, components
from nexusformat.nexus import nxload

import dxflow
from dxflow.algorithms.average import Average
from dxflow.simulate import make_run
from dxflow.testing.store import Every, values_of

KINDS = ("run", "train", "pixel", "entry", "image", "event")


@pytest.fixture(scope="module", params=["AGIPD1M", "AGIPD500K", "DSSC1M", "LPD1M", "JUNGFRAU"])
def detector(request, tmp_path_factory):
    """A run of a detector, its frames as EXtra-data reads them, and what the outputs should be."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    modules = {"modules": 2} if kind == "JUNGFRAU" else {}
    truth = make_run(folder / "run", trains=4, pulses=3, detector=kind, module_shape=(8, 8), **modules)
    if kind == "JUNGFRAU":
        # It has memory cells and no pulses.
        truth = replace(truth, pulse_ids=truth.cell_ids)
    seen = getattr(components, kind)(RunDirectory(str(truth.path)))
    data, mask = ("data.adc", "data.mask") if kind == "JUNGFRAU" else ("image.data", "image.mask")
    stored, bad = seen[data].ndarray(), seen[mask].ndarray() != 0
    frames = stored.reshape(stored.shape[0], -1, *stored.shape[-2:])
    good = np.where(bad.reshape(frames.shape), np.nan, frames.astype("f8"))
    wanted = {f"every.{name}": values for name, values in values_of(truth).items()}
    wanted["average.mean"] = np.nanmean(good, axis=1)
    wanted["average.count"] = (~np.isnan(good)).sum(axis=1)
    return SimpleNamespace(truth=truth, frames=frames, wanted=wanted, folder=folder)


def stored(detector, name):
    return dxflow.reduce(
        detector.truth.path, [Every(), Average()], f"{detector.folder}/{name}", cluster="here"
    ).path


def same(detector, found):
    """Compare all outputs: exactly, but for the rounding of means."""
    assert {f"every.{kind}" for kind in KINDS} < found.keys()
    for name, values in detector.wanted.items():
        np.testing.assert_allclose(
            found[name], values, rtol=1e-12 if name == "average.mean" else 0, err_msg=name
        )


def of_dataset(data):
    return {name: data[name].values for name in data.data_vars}


def test_xarray_reads_zarr(detector):
    with xr.open_zarr(stored(detector, "r.zarr")) as data:
        same(detector, of_dataset(data))
        np.testing.assert_array_equal(data["every.entry"].train_id, detector.truth.frame_train_ids)


def test_xarray_reads_netcdf(detector):
    with xr.open_dataset(stored(detector, "r.nc"), engine="h5netcdf") as data:
        same(detector, of_dataset(data))
        np.testing.assert_array_equal(data["every.entry"].train_id, detector.truth.frame_train_ids)


def test_nexusformat_reads_nexus(detector):
    entry = nxload(str(stored(detector, "r.nxs")))["entry"]
    same(detector, {name: entry[name].nxsignal.nxvalue for name in detector.wanted})
    np.testing.assert_array_equal(entry["every.entry/train_id"].nxvalue, detector.truth.frame_train_ids)


def test_extra_data_reads_exdf_beside_the_run(detector):
    path = stored(detector, "exdf/")
    made = RunDirectory(str(path)).with_aliases(path / "aliases.json")
    whole = {f"{a}.{key}": made.alias[a].run_value(key) for a, key in WHOLE}
    rows = {
        f"every.{key}": made.alias[f"every.{key}"].ndarray() for key in ("train", "entry", "image", "event")
    }
    same(detector, whole | rows)
    assert RunDirectory(str(detector.truth.path)).union(made).train_ids == made.train_ids


WHOLE = [("every", "run"), ("every", "pixel"), ("average", "mean"), ("average", "count")]


def test_h5py_reads_cxi_with_the_images_of_the_run(detector):
    with h5py.File(stored(detector, "r.cxi")) as file:
        same(detector, {name: item[()] for name, item in file["dxflow/results"].items()})
        np.testing.assert_array_equal(file["entry_1/data_1/data"], detector.frames.swapaxes(0, 1))


def test_tifffile_reads_the_images_beside_a_zarr_store(detector):
    path = stored(detector, "r.tiff")
    with xr.open_zarr(path) as data:
        same(detector, of_dataset(data))
    image = tifffile.imread(path / "images" / "average.mean.tif")
    mean = detector.wanted["average.mean"]
    np.testing.assert_allclose(image, mean.reshape(-1, mean.shape[-1]), rtol=1e-6)
