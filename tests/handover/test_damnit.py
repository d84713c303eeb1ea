"""Variables of DAMNIT, run by DAMNIT's own context runner and read by its own API."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import damnit
import h5py
import numpy as np
import pytest
import smalltables
import xarray as xr
from damnit.backend.combine import combine
from damnit.backend.db import DamnitDB
from damnit.backend.extract_data import add_to_db, load_reduced_data
from damnit.context import Pipeline
from damnit_ctx import Skip
from runs import make_run

import dxflow
from dxflow.analysis import saved
from dxflow.analysis.tables import Table
from dxflow.handover import cells
from dxflow.handover.damnit import filled, run_of, variables
from dxflow.handover.parts import Source

PROPOSAL = 900123
CONTEXT = """
from dxflow.handover import cells
from dxflow.handover.damnit import variables
globals().update(variables("{path}"{more}))
"""
RUNNER = Path(damnit.__file__).parent / "ctxsupport/ctxrunner.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A proposal with a run, and results of two runs."""
    place = tmp_path_factory.mktemp("damnit")
    proposal = place / f"SPB/202601/p{PROPOSAL}"
    (proposal / "raw").mkdir(parents=True)
    make_run(proposal / "raw/r0001", detector=None, trains=4, pulses=4, devices=("xgm", "timeserver"))
    (place / "results").mkdir()
    data = smalltables.dataset()
    data["gone"] = "pulse", np.full(data.sizes["pulse"], np.nan)
    data["wave"] = "pulse", np.ones(data.sizes["pulse"], complex)
    data["profile"] = ("train", "q"), np.arange(20 * 5.0).reshape(20, 5)
    data["images"] = ("train", "ss", "fs"), np.ones((20, 4, 6), "f4")
    data["a/b"] = "pulse", np.arange(data.sizes["pulse"])
    data["class"] = (), 3
    saved.write(data, place / "results/r0001.zarr", "table", {})
    other = smalltables.dataset(seed=1).assign_attrs(run="r0002")
    saved.write(other, place / "results/r0002.zarr", "table", {})
    os.utime(place / "results/r0001.zarr", (2**31, 2**31))
    return place


def execute(place, run):
    """Let DAMNIT's runner do its work in a process of its own, as its backend does; return the fragment it wrote."""
    folder = place / f"amore{run}"
    folder.mkdir(exist_ok=True)
    text = CONTEXT.format(path=place / "results/r{run:04}.zarr", more="")
    (folder / "context.py").write_text(text)
    words = [sys.executable, str(RUNNER), "exec", str(PROPOSAL), str(run), "raw", "--record-output", "out"]
    environment = os.environ | {"EXTRA_DATA_DATA_ROOT": str(place), "PYTHONPATH": str(RUNNER.parent)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path((folder / "out").read_text().strip()), done.stderr


@pytest.fixture(scope="module")
def first(place):
    return execute(place, 1)


def test_damnits_runner_makes_cells_of_all_kinds(first, place):
    data = xr.open_zarr(place / "results/r0001.zarr", chunks=None)
    with h5py.File(first[0]) as file:
        made, errors = file[".reduced"], file[".errors"]
        assert made["xgm"][()] == pytest.approx(np.nanmean(data["xgm"]))
        assert made["xgm"].attrs["units"] == "uJ"
        assert made["energy"][()] == 9.3
        assert made["x_class"][()] == 3
        assert made["lit"][()] == pytest.approx(data["lit"].values[data["lit_valid"]].mean())
        assert made["state"][()] == b"MOVING, ON"
        assert bytes(made["image"][:8]) == b"\x89PNG\r\n\x1a\n"
        assert made["profile"].shape[0] == 2
        assert file[".preview/profile"].shape == (5,)
        assert file[".preview/images"].shape == (4, 6)
        assert "has no value in this run" in errors["gone"][()].decode()
        assert "is complex" in errors["wave"][()].decode()
        assert {errors[name].attrs["type"] for name in errors} == {"Skip"}


def test_damnits_api_reads_data_with_their_labels(first, place):
    folder = place / "amore1"
    whole = folder / "extracted_data" / f"p{PROPOSAL}_r1.h5"
    # What is combined is removed.
    combine(Path(shutil.copy(first[0], folder / "fragment.h5")), whole)
    db = DamnitDB.from_dir(folder, create=True)
    db.metameta["proposal"] = PROPOSAL
    db.update_computed_variables(Pipeline.from_context_file(folder / "context.py").vars_to_dict())
    reduced = load_reduced_data(first[0])
    add_to_db(reduced, db, PROPOSAL, 1, "context.py")
    assert reduced["energy"].value == 9.3
    db.close()
    cells = damnit.RunVariables(folder, 1)
    table = dxflow.open(place / "results/r0001.zarr")
    for name, own in (("xgm", "xgm"), ("a/b", "a_b"), ("roi", "roi"), ("image", "image"), ("delay", "delay")):
        read = cells[own].read()
        np.testing.assert_array_equal(read, table.data[name])
    np.testing.assert_array_equal(cells["xgm"].read()["train_id"], table.data["train_id"])
    assert cells["energy"].read() == 9.3
    assert cells["xgm"].units == "uJ"


def results_of(place, run, more=""):
    """Run a context file in this process, by the same runner."""
    text = CONTEXT.format(path=place / "results/r{run:04}.zarr", more=more)
    return Pipeline.from_str(text).with_context(proposal=PROPOSAL, run_number=run).execute(data=object())


def test_a_run_without_a_result_and_one_without_a_variable_are_skipped_with_the_reason(place):
    none = results_of(place, 3)
    assert set(none.cells) == {"start_time"}
    assert {type(one).__name__ for one in none.errors.values()} == {"Skip"}
    assert "r0003.zarr: there is no result of this run yet" in str(none.errors["xgm"])
    some = results_of(place, 2, ', "xgm", "profile"')
    assert set(some.cells) == {"start_time", "xgm"}
    assert "no variable 'profile' in this run" in str(some.errors["profile"])


def test_what_is_too_large_is_not_read(place, monkeypatch):
    monkeypatch.setattr(cells, "MOST", 1000)
    some = results_of(place, 1, ', "xgm", "energy"')
    assert set(some.cells) == {"start_time", "energy"}
    assert "kB, too much for a cell" in str(some.errors["xgm"])
    monkeypatch.undo()
    monkeypatch.setattr(cells, "LARGEST", 1000)
    mean = results_of(place, 1, ', "images"').cells["images"].data
    assert mean.dims == ("ss", "fs")
    np.testing.assert_array_equal(mean, np.ones((4, 6)))


def test_a_damaged_result_is_an_error_of_its_run_alone(place, tmp_path):
    for run in (1, 2):
        shutil.copytree(place / f"results/r000{run}.zarr", tmp_path / f"results/r000{run}.zarr")
    for shard in (tmp_path / "results/r0002.zarr").rglob("*"):
        if shard.is_file() and shard.suffix != ".json":
            shard.write_bytes(b"")
    assert "xgm" in results_of(tmp_path, 1, ', "xgm"').cells
    damaged = results_of(tmp_path, 2, ', "xgm"').errors["xgm"]
    assert type(damaged).__name__ != "Skip"
    assert "r0002.zarr" in str(damaged)


def test_a_context_file_can_be_handed_from_its_runner_to_the_rest_of_damnit(place):
    context = Pipeline.from_str(CONTEXT.format(path=place / "results/r{run:04}.zarr", more="")).context
    for one in context.vars.values():
        # So does the runner: functions are not handed on.
        one.func = None
    assert pickle.loads(pickle.dumps(context)).vars["xgm"].title == "xgm"


def test_before_there_is_any_result_variables_that_are_named_are_there(tmp_path):
    made = variables(
        tmp_path / "r{run:04}.zarr", "litframes.lit", "xgm*", prefix="saxs", data="proc", tags="x"
    )
    assert {name: (one.title, one.data.value, one.tags) for name, one in made.items()} == {
        "saxs_litframes_lit": ("saxs.litframes.lit", "proc", ("x",))
    }
    assert variables(tmp_path / "r{run:04}.zarr") == {}


def test_names_of_one_result_are_checked_when_the_context_file_is(place):
    path = place / "results/r0001.zarr"
    assert variables(path)["xgm"].units == "uJ"
    assert variables(path)["xgm"].description == "energy of the pulse"
    assert [*variables(path, "x*", "energy")] == ["xgm", "energy"]
    with pytest.raises(KeyError, match="no variable 'xgn'. Did you mean 'xgm'"):
        variables(path, "xgn")


def test_images_of_modules_are_put_together_where_their_geometry_is(tmp_path):
    run = make_run(tmp_path / "r0001", detector="AGIPD500K", module_shape=(64, 32), trains=1, pulses=1)
    images = np.random.default_rng(0).random((8, 64, 32), np.float32)
    data = xr.Dataset({"mean": (("module", "ss", "fs"), images)}, attrs={"run": str(run.path)})
    saved.write(data, tmp_path / "x.zarr", "table", {})
    cell = variables(tmp_path / "x.zarr")["mean"].func(None, 1, 2)
    with pytest.raises(Skip, match="is of run 1, not of run 3: write {run}"):
        variables(tmp_path / "x.zarr")["mean"].func(None, 3, 2)
    assert type(cell.preview).__name__ == "Figure"
    assert cell.get_summary().data.startswith(b"\x89PNG")
    np.testing.assert_array_equal(cell.data, images)
    shutil.rmtree(tmp_path / "r0001")
    assert variables(tmp_path / "x.zarr")["mean"].func(None, 1, 2).preview.shape == (8 * 64, 32)


@pytest.mark.parametrize(
    ("run", "number"),
    [
        ("/gpfs/raw/r0034", 34),
        ("r0100", 100),
        ("/a/r0034/", 34),
        ("r0001, r0002", None),
        ("", None),
        ("/a/dark", None),
    ],
)
def test_the_run_of_a_result_is_known_where_it_says_one(run, number):
    table = Table(smalltables.dataset().assign_attrs(run=run))
    assert run_of(Source.of(table)) == number


def test_numbers_of_runs_are_filled_in_as_in_python():
    assert filled("/a/p{proposal:06}/r{run:04}_{run}.zarr", 34, 1234) == "/a/p001234/r0034_34.zarr"
    assert filled("/a/{name}/r{run}.zarr", None, None) == "/a/{name}/r*.zarr"


def test_lists_without_an_entry_have_no_value_in_this_run(tmp_path):
    data = smalltables.dataset(trains=3)
    empty = {"peaks": np.zeros((0, 2)), "stamps": np.zeros(0, "M8[ns]"), "words": np.zeros(0, "U3")}
    for name, values in empty.items():
        data[name] = ("peak_event", "xy")[: values.ndim], values
    data["nothing"] = ("pulse", "none"), np.zeros((data.sizes["pulse"], 0))
    names = [*empty, "nothing"]
    saved.write(data, tmp_path / "r0001.zarr", "table", {})
    for name in names:
        with pytest.raises(Skip, match=f"{name} has no value in this run"):
            variables(tmp_path / "r0001.zarr", name)[name].func(None, 1, PROPOSAL)


def test_the_first_time_that_there_is_stands_for_times(tmp_path):
    data = smalltables.dataset(trains=2)
    data["stamp"] = "train", np.array(["NaT", "2026-11-22T10:00:01"], "M8[ns]")
    saved.write(data, tmp_path / "r0001.zarr", "table", {})
    cell = variables(tmp_path / "r0001.zarr", "stamp")["stamp"].func(None, 1, PROPOSAL)
    assert str(cell.get_summary()).startswith("2026-11-22T10:00:01")


def test_of_long_lists_the_mean_is_shown_and_nothing_kept(place, tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "LARGEST", 100)
    made = results_of(place, 1, ', "xgm", "roi"')
    data = xr.open_zarr(place / "results/r0001.zarr", chunks=None)
    cell = made.cells["xgm"]
    assert cell.data is None
    assert cell.get_summary() == pytest.approx(np.nanmean(data["xgm"]))
    with h5py.File(made.save(tmp_path, PROPOSAL, 1)) as file:
        assert file[".reduced/xgm"][()] == pytest.approx(np.nanmean(data["xgm"]))
        assert dict(file[".reduced/xgm"].attrs)["units"] == "uJ"
        assert "xgm" not in file
        assert file["roi"]["roi"].shape == (3,)


def test_one_result_that_does_not_open_does_not_keep_a_context_file_from_the_rest(place, tmp_path, caplog):
    shutil.copytree(place / "results/r0001.zarr", tmp_path / "x.zarr")
    (tmp_path / "x.zarr/dxflow.json").write_text("{")
    for file in (tmp_path / "x.zarr").rglob("zarr.json"):
        file.write_text("{")
    for file in (tmp_path / "x.zarr").rglob(".z*"):
        file.write_text("{")
    made = variables(tmp_path / "x.zarr", "xgm", "ro*")
    assert [*made] == ["xgm"]
    assert "x.zarr cannot be opened" in caplog.text
    with pytest.raises((OSError, ValueError, TypeError, KeyError)):
        made["xgm"].func(None, 1, PROPOSAL)
