"""What is replaced is never gone: whoever is killed, and wherever, where names cannot be exchanged either."""

import multiprocessing
import os

import numpy as np
import pytest
import xarray as xr
from smalltables import dataset

import dxflow
from dxflow.analysis import rooms, saved
from dxflow.disk import replace as module


@pytest.fixture
def apart(monkeypatch):
    """A file system that cannot exchange two names."""
    monkeypatch.setattr(module, "exchange", lambda one, other: False)


def killed(work, path):
    """Work in a process that is killed before what it made takes the place of what is at a path."""

    def doomed():
        rename = os.replace
        module.os.replace = lambda a, b: os._exit(9) if str(b) == str(path) else rename(a, b)
        work()

    child = multiprocessing.get_context("fork").Process(target=doomed)
    child.start()
    child.join()
    assert child.exitcode == 9
    assert not path.exists()


def long_ago(path):
    for left in rooms.begun(path):
        os.utime(left, (0, 0))


def added(path, name):
    ev = dxflow.open(path)
    ev.add(name, np.arange(len(ev.rows)))
    ev.save()


@pytest.fixture
def table(tmp_path, apart):
    path = saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    added(path, "hand")
    return path


def test_what_was_added_is_there_again_when_the_table_is_opened(table, tmp_path):
    kept = tmp_path / "t.added.zarr"
    killed(lambda: added(table, "z"), kept)
    ev = dxflow.open(table)
    assert list(ev.added) == ["hand"]
    np.testing.assert_array_equal(ev.hand.values, np.arange(len(ev.rows)))
    long_ago(kept)
    added(table, "z")
    assert list(dxflow.open(table).added) == ["hand", "z"]
    assert sorted(os.listdir(tmp_path)) == ["t.added.zarr", "t.zarr"]


@pytest.mark.parametrize("change", ["save", "drop"])
def test_who_opened_the_table_before_loses_nothing_either(table, tmp_path, change):
    added(table, "other")
    early = dxflow.open(table)
    killed(lambda: added(table, "z"), tmp_path / "t.added.zarr")
    if change == "save":
        early.add("w", "xgm * 2")
        early.save()
    else:
        early.drop("other")
    assert list(dxflow.open(table).added) == (["hand", "other", "w"] if change == "save" else ["hand"])


def test_one_that_seems_to_live_elsewhere_holds_nothing_back(table, tmp_path, monkeypatch):
    """A process of another machine is taken for dead a while after it died; who changes what is kept is alone."""
    killed(lambda: added(table, "z"), tmp_path / "t.added.zarr")
    monkeypatch.setattr(rooms, "holder", lambda folder: "process 12 on node7")
    ev = dxflow.open(table)
    ev.add("w", "xgm * 2")
    ev.save()
    monkeypatch.undo()
    assert list(dxflow.open(table).added) == ["hand", "w"]


@pytest.mark.parametrize("name", ["c.zarr", "c.nc"])
def test_an_older_product_is_there_again(tmp_path, apart, name):
    path, data = tmp_path / name, dataset()[["xgm", "delay"]].drop_encoding()

    def again():
        saved.write(data * 2, path, "cube", {}, overwrite=True)

    saved.write(data, path, "cube", {})
    killed(again, path)
    with pytest.raises(FileExistsError, match="exists: choose another name, or overwrite=True"):
        saved.check(path)
    xr.testing.assert_equal(saved.read(path).load(), data)
    killed(again, path)
    rooms.recover(path)
    long_ago(path)
    again()
    xr.testing.assert_equal(saved.read(path).load(), data * 2)
    assert os.listdir(tmp_path) == [name]


def test_what_cannot_have_its_name_again_is_told_of_and_stays(table, tmp_path, monkeypatch):
    def refused(made, path):
        raise PermissionError(13, "Permission denied", str(path))

    def again():
        saved.write(dataset(), table, "table", {}, overwrite=True)

    killed(again, table)
    (left,) = rooms.begun(table)
    with monkeypatch.context() as patch:
        patch.setattr(rooms, "appear", refused)
        with pytest.raises(FileNotFoundError, match=rf"it is {left}/replaced, since a process was killed"):
            dxflow.open(table)
        long_ago(table)
        with pytest.raises(PermissionError):
            again()
    assert list(dxflow.open(table).added) == ["hand"]


def test_a_new_one_that_cannot_have_the_name_leaves_it_to_the_old(table, tmp_path, monkeypatch):
    rename = os.replace

    def fails(a, b):
        if str(b) == str(table):
            raise OSError(5, "Input/output error")
        rename(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "replace", fails)
        with pytest.raises(OSError, match="Input/output error"):
            saved.write(dataset(seed=1), table, "table", {}, overwrite=True)
    xr.testing.assert_identical(saved.read(table).load(), dataset())
    assert sorted(os.listdir(tmp_path)) == ["t.added.zarr", "t.zarr"]


def test_what_was_removed_after_it_was_replaced_does_not_come_back(table, tmp_path):
    """Between the renames there are both, the old and the new one: of one that is left alone it has been replaced."""
    left = tmp_path / ".t.zarr.0123abcd.part"
    left.mkdir()
    os.rename(table, left / rooms.REPLACED)
    with pytest.raises(FileNotFoundError, match="it was not finished"):
        dxflow.open(table)
