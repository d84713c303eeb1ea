"""Whatever dxflow has written is opened by one function, as what it is."""

import numpy as np
import pytest
import xarray as xr
from smalltables import dataset

import dxflow
from dxflow.analysis import Table, saved, smalldata_out


def test_a_table_is_opened_as_one(tmp_path):
    saved.write(dataset(), tmp_path / "t.zarr", "table", {"by": "a test"})
    ev = dxflow.open(tmp_path / "t.zarr")
    assert isinstance(ev, Table)
    xr.testing.assert_identical(ev.data.load(), dataset())
    assert ev.path == tmp_path / "t.zarr"
    assert ev.about == {"by": "a test"}


def test_there_is_one_function_of_two_names():
    assert dxflow.open is dxflow.analysis.open


def test_addresses_of_no_feedback_are_refused():
    with pytest.raises(ValueError, match="s3:// is not known; expected the path of a result"):
        dxflow.open("s3://localhost/events")
    with pytest.raises(ValueError, match="expected the number of a database"):
        dxflow.open("redis://localhost/events")


def test_a_name_like_this_is_said(tmp_path):
    saved.write(dataset(), tmp_path / "r0034.zarr", "table", {})
    with pytest.raises(FileNotFoundError, match=r"no such result. Did you mean 'r0034\.zarr'"):
        dxflow.open(tmp_path / "r0035.zarr")


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """The same rows from Zarr, from an LCLS file, and from files of both kinds of two runs."""
    folder, whole = tmp_path_factory.mktemp("origins"), dataset(trains=40)
    first = whole.train_id.values < whole.train.values[17]
    halves = [
        whole.isel(pulse=first, train=slice(0, 17)).assign_attrs(run=1),
        whole.isel(pulse=~first, train=slice(17, None)).assign_attrs(run=2),
    ]
    for name, data in {"whole": whole, "part_r1": halves[0], "part_r2": halves[1]}.items():
        saved.write(data, folder / f"{name}.zarr", "table", {})
        smalldata_out.write(data, folder / f"{name}.h5", {})
    files = ("whole.zarr", "whole.h5", "part_r?.zarr", "part_r?.h5")
    return {name: dxflow.open(str(folder / name)) for name in files}


OTHERS = ["whole.h5", "part_r?.zarr", "part_r?.h5"]


@pytest.mark.parametrize("other", OTHERS)
def test_selections_and_added_variables_are_the_same_from_files_of_all_kinds(origins, other):
    tables = origins["whole.zarr"], origins[other]
    for ev in tables:
        ev.select("good", "xgm > 700 & lit & delay > 0")
        ev.add("ratio", "signal / xgm * energy", replace="ratio" in ev.added)
        ev.add("wide", "roi * delay", replace="wide" in ev.added)
    one, two = tables
    np.testing.assert_array_equal(one.mask("good"), two.mask("good"))
    assert 0 < one.mask("good").sum() < len(one.rows)
    for name in (
        "xgm",
        "signal",
        "photons",
        "lit",
        "roi",
        "delay",
        "laser",
        "state",
        "ratio",
        "wide",
        "energy",
    ):
        a, b = (ev.column(name, at="pulse") for ev in tables)
        np.testing.assert_array_equal(a.there, b.there, name)
        np.testing.assert_array_equal(a.values[a.there], b.values[b.there], name)
    np.testing.assert_array_equal(one.cutflow("good").values, two.cutflow("good").values)


@pytest.mark.parametrize("other", OTHERS)
def test_cubes_and_picks_are_the_same_from_files_of_all_kinds(origins, other):
    made, picked = [], []
    for name in ("whole.zarr", other):
        ev = origins[name]
        bins = {"delay": [-1, 0.5, 2, 5], "xgm": 4}
        made.append(ev.cube(bins, of=["signal", "roi", "photons"], where="lit", normalise="xgm").data.load())
        picked.append(ev.pick(3, of="signal", where="lit").data.load())
    for name in made[0].data_vars:
        np.testing.assert_array_equal(made[0][name], made[1][name], str(name))
    assert int(made[0].signal_count.sum()) > 50
    for name in ("train_id", "pulse_id", "row", "value"):
        np.testing.assert_array_equal(picked[0][name], picked[1][name], name)
