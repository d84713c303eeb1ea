"""Picks: their values, and what is kept of them."""

import numpy as np
import pytest
from runs import make_run
from smalltables import table

from dxflow import analysis
from dxflow.analysis import Picks, Table, random
from dxflow.analysis.show import show


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """Picks with images, of a run of 12 frames in 8 modules."""
    path = tmp_path_factory.mktemp("picked") / "r0001"
    make_run(path, detector="AGIPD500K", trains=4, pulses=3, module_shape=(16, 16))
    data = table(4, 3, seed=1).data
    return (
        Table(data.assign_attrs(run=str(path)))
        .pick(2, by=np.arange(data.sizes["pulse"]) % 3, rule=random(1))
        .read(cluster="here", quiet=True)
    )


def test_any_variable_has_its_values_at_the_rows_that_were_picked():
    ev = table()
    picks = ev.pick(60, by=np.arange(len(ev.rows)) % 3, of="xgm")
    row, there = picks.data["row"].values, picks.data["picked"].values
    assert not there.all()
    for name in ("signal", "photons", "lit", "roi", "delay", "energy"):
        column = ev.column(name, at="pulse")
        expected = np.where(column.there, column.values, np.nan)[row]
        expected[~there] = np.nan
        np.testing.assert_array_equal(picks[name], expected)
    assert picks["roi"].dims == ("bin", "rank", "region")
    assert picks["state"].values[~there].tolist() == [""] * (~there).sum()
    np.testing.assert_array_equal(picks["signal / photons"], picks[ev.signal / ev.photons])
    np.testing.assert_array_equal(picks["roi[1]"], picks["roi"][..., 1])
    with pytest.raises(KeyError, match="Did you mean 'xgm'"):
        picks["xmg"]


def test_one_after_the_other_they_keep_their_bins_and_ranks():
    ev = table()
    picks = ev.pick(60, by=np.arange(len(ev.rows)) % 3, of="xgm")
    flat = picks.flat
    assert flat.sizes["pick"] == len(picks) == picks.data["picked"].sum()
    for n in (0, 50, 120):
        at = {"bin": flat["bin"].values[n], "rank": flat["rank"].values[n]}
        for name in ("train_id", "pulse_id", "value", "row"):
            assert flat[name].values[n] == picks.data[name].sel(at)


def test_what_is_kept_is_what_there_was(read, tmp_path):
    path = read.save(tmp_path / "picks.zarr")
    again = analysis.open(path)
    assert isinstance(again, Picks)
    for name, values in read.data.variables.items():
        np.testing.assert_array_equal(again.data[name], values)
    assert set(again.images.variables) == set(read.images.variables)
    for name, values in read.images.variables.items():
        np.testing.assert_array_equal(again.images[name], values)
        assert again.images[name].dims == values.dims
    assert again.images.attrs["lacking"] == read.images.attrs["lacking"]
    assert {n: again.data.attrs[n] for n in ("rule", "run")} == {
        n: read.data.attrs[n] for n in ("rule", "run")
    }
    assert again.flat.equals(read.flat)
    with pytest.raises(ValueError, match="opened without their table"):
        again["xgm"]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        read.save(path)
    assert again.save(tmp_path / "copy.zarr").exists()


def test_images_of_picks_are_shown(read, tmp_path):
    path = read.save(tmp_path / "picks.zarr")
    assert "assembled" in show(path)
    assert "corrected" in show(read, "corrected").splitlines()[-1]


def test_picks_without_images_are_kept_as_well(tmp_path):
    picks = table().pick(2, of="xgm", where="lit")
    again = analysis.open(picks.save(tmp_path / "picks.zarr"))
    assert again.images is None
    assert again.data.attrs["where"] == "lit"
    assert again.flat.equals(picks.flat)
    assert "2 of" in repr(again)
    with pytest.raises(TypeError, match="positions: of .cxi and .nxs only"):
        picks.save(tmp_path / "x.zarr", positions=("x", "y"))
