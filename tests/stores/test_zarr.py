"""Zarr: v3, sharded, checksummed, opened by xarray alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
import zarr
from samples import Bright, RoiSum, Stats, TrainSums

import dxflow
from dxflow.stores.zarr import Zarr
from dxflow.testing import check_store


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("zarr") / "r.zarr"
    return dxflow.reduce(run.path, [RoiSum(), Stats(), TrainSums(), Bright()], to, cluster="here")


def test_the_store_passes_the_conformance_check():
    check_store(Zarr, "r.zarr")


def test_xarray_opens_it_without_dxflow_and_gets_values_labels_and_units(result, run):
    code = f"""
import sys, xarray as xr
data = xr.open_zarr({str(result.path)!r})
assert not [m for m in sys.modules if m.startswith("dxflow")], "dxflow was imported"
x = data["roisum.intensity"]
print(x.attrs["units"], x.dims, sorted(map(str, x.coords)), float(x.astype("f8").sum()), data.attrs["run"])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    total = float(result.dataset["roisum.intensity"].astype("f8").sum())
    labels = ["cell_id", "modules_used", "pulse_id", "train_id"]
    assert out.strip() == f"adu ('frame',) {labels} {total} {run.path}"


def test_every_array_is_version_3_with_a_checksum_and_in_shards_where_it_has_axes(result):
    group = zarr.open_group(result.path, mode="r")
    assert group.metadata.zarr_format == 3
    for name, array in group.arrays():
        meta = json.dumps(array.metadata.to_dict(), default=str)
        assert "crc32c" in meta, name
        if name in result.dataset.data_vars and array.ndim:
            assert "sharding_indexed" in meta, name


def test_values_are_read_when_they_are_used(result):
    data = dxflow.Result(result.path).dataset
    assert not any(v._in_memory for v in (a.variable for a in data.data_vars.values()))
    assert data["tsum.pix"].values.any()


def test_a_small_result_is_few_files(result):
    files = [f for f in result.path.rglob("*") if f.is_file()]
    assert len(files) <= 2 + 2 * len(result.dataset.variables)


def test_consolidated_and_plain_metadata_agree(result):
    plain = xr.open_zarr(result.path, consolidated=False)
    xr.testing.assert_identical(plain.load(), result.dataset.load())


def test_overwriting_replaces_the_old_result_only_at_the_end(run, tmp_path):
    to = tmp_path / "r.zarr"
    first = dxflow.reduce(run.path, RoiSum(ss=(0, 2)), to, cluster="here").dataset.load()
    with pytest.raises(dxflow.PlanError, match="overwrite=True"):
        dxflow.plan(run.path, RoiSum(), to)

    class Fails(RoiSum):
        def process_module_data(self, block, out):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dxflow.reduce(run.path, Fails(), to, cluster="here", overwrite=True)
    xr.testing.assert_identical(dxflow.Result(to).dataset.load(), first)
    second = dxflow.reduce(run.path, RoiSum(), to, cluster="here", overwrite=True)
    assert (second.dataset["roisum.intensity"] > first["roisum.intensity"]).all()
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_a_link_is_not_followed_even_to_overwrite(run, tmp_path):
    (tmp_path / "r.zarr").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(dxflow.PlanError, match="exists"):
        dxflow.plan(run.path, RoiSum(), tmp_path / "r.zarr", overwrite=True)


@pytest.mark.parametrize("step", ["create", "keep", "write", "commit"])
def test_a_failure_while_storing_leaves_nothing_under_the_name_and_can_be_resumed(
    run, tmp_path, monkeypatch, step
):
    to = tmp_path / "r.zarr"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Zarr, step, full)
    with pytest.raises(OSError, match="No space left") as caught:
        dxflow.reduce(run.path, [Stats(), RoiSum()], to, cluster="here")
    assert "resume=True" in "".join(caught.value.__notes__)
    assert not to.exists()
    monkeypatch.undo()
    result = dxflow.reduce(run.path, [Stats(), RoiSum()], to, cluster="here", resume=True)
    assert result.manifest["chunks"]["computed"] == 0
    again = dxflow.reduce(run.path, Stats(), cluster="here").dataset
    np.testing.assert_array_equal(result.dataset["stats.mean"], again["stats.mean"])
