"""Whatever dxflow has written is opened by one function, as what it is."""

import pytest
import xarray as xr
from smalltables import dataset

import dxflow
from dxflow.analysis import Table, saved


def test_a_table_is_opened_as_one(tmp_path):
    saved.write(dataset(), tmp_path / "t.zarr", "table", {"by": "a test"})
    ev = dxflow.open(tmp_path / "t.zarr")
    assert isinstance(ev, Table)
    xr.testing.assert_identical(ev.data.load(), dataset())
    assert ev.path == tmp_path / "t.zarr"
    assert ev.about == {"by": "a test"}


def test_there_is_one_function_of_two_names():
    assert dxflow.open is dxflow.analysis.open


def test_addresses_are_refused():
    with pytest.raises(ValueError, match="redis:// is not known; expected the path of a result"):
        dxflow.open("redis://localhost/events")


def test_a_name_like_this_is_said(tmp_path):
    saved.write(dataset(), tmp_path / "r0034.zarr", "table", {})
    with pytest.raises(FileNotFoundError, match=r"no such result. Did you mean 'r0034\.zarr'"):
        dxflow.open(tmp_path / "r0035.zarr")
