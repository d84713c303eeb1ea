"""netCDF: xarray opens it without dxflow, and gets what the Zarr store has."""

import pytest
import xarray as xr
from samples import Bright, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.stores.formats.netcdf import NetCdf
from dxflow.stores.opening import verify
from dxflow.testing import check_store

pytest.importorskip("h5netcdf")


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("netcdf") / "r.nc"
    algorithms = [RoiSum(), Stats(), TrainSums(), Bright(), Average(per="cell")]
    return dxflow.reduce(run.path, algorithms, to, cluster="here")


def test_the_store_passes_the_conformance_check():
    check_store(NetCdf, "r.nc")


def test_xarray_alone_reads_the_same_as_from_zarr(result, run, tmp_path):
    algorithms = [RoiSum(), Stats(), TrainSums(), Bright(), Average(per="cell")]
    zarr = dxflow.reduce(run.path, algorithms, tmp_path / "r.zarr", cluster="here")
    with xr.open_dataset(result.path, engine="h5netcdf") as data:
        wanted = xr.open_zarr(zarr.path)
        xr.testing.assert_equal(data.load(), wanted.load())
        assert set(data.coords) == set(wanted.coords)
        for name in wanted.variables:
            assert data[name].dtype == wanted[name].dtype, name
            for key in ("units", "long_name"):
                assert data[name].attrs.get(key) == wanted[name].attrs.get(key), (name, key)


def test_it_says_what_it_is_without_dxflow(result, run):
    with xr.open_dataset(result.path, engine="h5netcdf") as data:
        assert data.attrs["run"] == run.path if isinstance(run.path, str) else str(run.path)
        assert data["time"].dtype == "M8[ns]"
        assert data["roisum.intensity"].attrs["units"] == "adu"


def test_results_select_frames_for_another_reduction(result, run):
    bright = dxflow.open(result.path)
    assert bright.selection().dtype == bool
    again = dxflow.reduce(run.path, RoiSum(), frames=bright, cluster="here")
    assert len(again.dataset["roisum.intensity"]) == int(bright.selection().sum())


@pytest.mark.parametrize("dtype", ["c8", "f2", "S4"])
def test_a_dtype_that_netcdf_cannot_hold_is_refused_before_the_run(run, tmp_path, dtype):
    class Odd(Algorithm):
        ALG_ID = "odd"
        inputs = {"img": Frames()}

        def outputs(self, info):
            return {"x": Output(per="run", dtype=dtype)}

        def process_train_data(self, train, out):
            pass

    with pytest.raises(PlanError, match=r"odd\.x is .* which a \.nc file cannot hold"):
        dxflow.plan(run.path, Odd(), tmp_path / "r.nc")


def test_worker_processes_write_the_same_file_as_this_one(result, run, tmp_path, client):
    algorithms = [RoiSum(), Stats(), TrainSums(), Bright(), Average(per="cell")]
    made = dxflow.reduce(run.path, algorithms, tmp_path / "r.nc", cluster=client)
    assert verify(made.path) == []
    xr.testing.assert_identical(made.dataset.load(), result.dataset.load())
