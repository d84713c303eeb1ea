"""What is exported, read back by pandas, pyarrow, NumPy and SciPy, and compared with the table."""

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.io
import smalltables
import xarray as xr
from pyarrow import parquet

from dxflow.analysis import saved
from dxflow.analysis.tables import Table
from dxflow.handover import export, exporting

LARGE = 2**53 + 1
"""No float is this number."""


@pytest.fixture(scope="module")
def data():
    """The dataset of a table with numbers that floats cannot hold, and texts that mean something to others."""
    data = smalltables.dataset()
    n = data.sizes["pulse"]
    data["large"] = "pulse", np.uint64(LARGE) + np.arange(n, dtype="u8")
    data["f4"] = "pulse", np.linspace(0, 1, n).astype("f4")
    data["note"] = (
        "train",
        np.resize(["=cmd|' /C calc'!A0", 'two\nlines, "quoted"', "-5", ""], data.sizes["train"]),
    )
    data["wave"] = "pulse", np.exp(1j * np.arange(n))
    return data


@pytest.fixture(scope="module")
def table(data):
    return Table(data)


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for suffix in ("csv", "parquet", "npz", "mat"):
        export(table, folder / f"y.{suffix}")
    return folder


def test_rows_of_each_rate_have_a_file_of_their_own(folder):
    assert {p.name for p in folder.glob("y*.csv")} == {"y.pulse.csv", "y.train.csv", "y.run.csv"}
    assert {p.name for p in folder.glob("y*.parquet")} == {
        "y.pulse.parquet",
        "y.train.parquet",
        "y.run.parquet",
    }
    assert not list(folder.glob(".*"))


def test_csv_has_units_in_its_header_and_nothing_where_there_is_no_value(folder, data):
    read = pd.read_csv(folder / "y.pulse.csv")
    assert list(read.columns[:2]) == ["train_id", "pulse_id"]
    np.testing.assert_array_equal(read["train_id"], data["train_id"])
    np.testing.assert_array_equal(read["xgm (uJ)"], data["xgm"])
    assert read["xgm (uJ)"].isna().sum() == np.isnan(data["xgm"]).sum() > 0
    there = data["lit_valid"].values
    np.testing.assert_array_equal(read["lit"].isna(), ~there)
    np.testing.assert_array_equal(read["lit"][there].astype(bool), data["lit"][there])
    for k in range(3):
        np.testing.assert_array_equal(read[f"roi[{k}] (adu)"].astype("f4"), data["roi"][:, k])
    np.testing.assert_array_equal(read["wave.real"] + 1j * read["wave.imag"], data["wave"])


def test_large_whole_numbers_and_short_floats_are_written_as_they_are(folder, data):
    with (folder / "y.pulse.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["large"]) for row in rows] == data["large"].values.tolist()
    assert max(len(row["f4"]) for row in rows) <= 13
    assert [np.float32(row["f4"]) for row in rows] == data["f4"].values.tolist()


def test_no_text_is_a_formula_and_lines_in_texts_are_kept(folder, data):
    read = pd.read_csv(folder / "y.train.csv", keep_default_na=False, dtype=str)
    assert set(read["note"]) == {"'=cmd|' /C calc'!A0", 'two\nlines, "quoted"', "-5", ""}
    assert (
        pd.to_datetime(read["time"]).dt.tz_convert(None).tolist()
        == pd.to_datetime(data["time"].values).tolist()
    )


def test_parquet_has_types_units_and_nulls(folder, data):
    read = parquet.read_table(folder / "y.pulse.parquet")
    assert read.field("xgm").metadata == {b"units": b"uJ", b"long_name": b"energy of the pulse"}
    assert read["large"].to_pylist() == data["large"].values.tolist()
    assert str(read.field("f4").type) == "float"
    assert read["lit"].null_count == (~data["lit_valid"].values).sum()
    assert read["xgm"].null_count == np.isnan(data["xgm"].values).sum()
    assert json.loads(read.schema.metadata[b"dxflow"])["rows"] == "pulse"
    frame = pd.read_parquet(folder / "y.train.parquet")
    assert frame["note"].tolist() == data["note"].values.tolist()
    assert frame["time"].dt.tz_convert(None).tolist() == pd.to_datetime(data["time"].values).tolist()


def test_npz_has_all_arrays_without_pickles_and_what_they_are(folder, data):
    with np.load(folder / "y.npz", allow_pickle=False) as read:
        about = json.loads(str(read["about_dxflow"]))
        for name in [*data.data_vars, *data.coords]:
            np.testing.assert_array_equal(read[name], data[name])
            assert about["arrays"][name]["dims"] == list(data[name].dims)
    assert about["arrays"]["xgm"]["units"] == "uJ"


def test_mat_has_all_arrays_with_whole_numbers_and_texts(folder, data):
    read = scipy.io.loadmat(folder / "y.mat")
    np.testing.assert_array_equal(read["large"][:, 0], data["large"])
    assert read["large"].dtype == np.uint64
    np.testing.assert_array_equal(read["image"], data["image"])
    np.testing.assert_array_equal(read["lit_valid"][:, 0].astype(bool), data["lit_valid"])
    assert [str(one[0]) if len(one) else "" for one in read["note"][:, 0]] == data["note"].values.tolist()
    np.testing.assert_array_equal(read["time"][:, 0], data["time"].values.astype("M8[ns]").astype("i8"))
    rows = {str(row[0][0]): [str(c[0]) if c.size else "" for c in row] for row in read["about_dxflow"]}
    assert rows["xgm"][1:4] == ["xgm", "uJ", "pulse"]


def test_names_that_matlab_does_not_take_are_made_others_and_told(tmp_path):
    long = "a" * 70
    names = ["end", "x.y", "x_y", "x/y", "1st", "_z", f"{long}1", f"{long}2", "é"]
    table = smalltables.rows(**{name: np.full(4, i) for i, name in enumerate(names)})
    export(table, tmp_path / "y.mat")
    read = scipy.io.loadmat(tmp_path / "y.mat")
    told = {str(row[1][0]): str(row[0][0]) for row in read["about_dxflow"][1:] if row[1].size}
    assert len({told[name] for name in names}) == len(names)
    for i, name in enumerate(names):
        assert read[told[name]][0, 0] == i
        assert told[name].isidentifier()
        assert told[name] != "end"
        assert len(told[name]) <= 63


@pytest.mark.parametrize("name", ["=1+1", "@a", "two\nlines", 'a "b", c', "\udcff", "a/../b", "file", "é μ"])
def test_names_of_any_kind_are_written(name, tmp_path):
    table, shown = (
        smalltables.rows(**{name: np.arange(12.0)}),
        name.encode("utf-8", "backslashreplace").decode(),
    )
    for suffix in ("csv", "parquet", "npz", "mat"):
        export(table, tmp_path / f"y.{suffix}", name)
    assert pd.read_csv(tmp_path / "y.csv").columns[-1] == (f"'{shown}" if name[0] in "=@" else shown)
    assert parquet.read_table(tmp_path / "y.parquet").column_names[-1] == shown
    with np.load(tmp_path / "y.npz") as read:
        np.testing.assert_array_equal(read[shown], np.arange(12.0))
    assert shown in {
        str(row[1][0]) for row in scipy.io.loadmat(tmp_path / "y.mat")["about_dxflow"] if row[1].size
    }


def test_values_of_trains_and_of_the_run_are_repeated_where_that_is_asked_for(table, data, tmp_path):
    made = export(table, tmp_path / "y.csv", "xgm", "delay", "state", "energy", at="pulse")
    assert list(made.files) == [str(tmp_path / "y.csv")]
    read = pd.read_csv(tmp_path / "y.csv")
    np.testing.assert_array_equal(read["delay (ps)"], table.column("delay", at="pulse").values)
    assert read["state"].tolist() == table.column("state", at="pulse").values.tolist()
    assert set(read["energy (keV)"]) == {9.3}
    with pytest.raises(ValueError, match="values per pulse, and at='train' asks for one per train"):
        export(table, tmp_path / "z.csv", "xgm", at="train")


def test_an_image_is_no_column_unless_each_value_may_have_a_line(table, data, tmp_path):
    made = export(table, tmp_path / "y.csv")
    assert "no list (ss 4, fs 6): write .npz or .mat" in made.left["image"]
    export(table, tmp_path / "image.csv", "image")
    read = pd.read_csv(tmp_path / "image.csv")
    np.testing.assert_array_equal(read["image"].astype("f4").to_numpy().reshape(4, 6), data["image"])
    np.testing.assert_array_equal(read["fs"][:7], [0, 1, 2, 3, 4, 5, 0])
    wide = Table(data.assign(wide=(("pulse", "k"), np.zeros((data.sizes["pulse"], 65)))))
    with pytest.raises(ValueError, match=r"'wide': 65 values in each row .*64 at most.*\.npz or \.mat"):
        export(wide, tmp_path / "w.csv", "wide")


def test_a_cube_has_a_line_for_each_bin(table, tmp_path):
    cube = table.cube({"delay": [-1, 1, 3, 5], "xgm": 2}, "signal")
    export(cube, tmp_path / "cube.csv", "signal_mean", "signal_count")
    read = pd.read_csv(tmp_path / "cube.csv")
    assert len(read) == 6
    wide = read.pivot_table("signal_mean (photons)", "delay (ps)", "xgm (uJ)")
    np.testing.assert_allclose(wide, cube.data["signal_mean"], rtol=1e-15)
    np.testing.assert_allclose(wide.index, cube.data["delay"])


def test_names_are_found_by_patterns_and_near_names_are_said(table, tmp_path):
    export(table, tmp_path / "y.csv", "x*", "sig*")
    assert list(pd.read_csv(tmp_path / "y.csv").columns) == [
        "train_id",
        "pulse_id",
        "xgm (uJ)",
        "signal (photons)",
    ]
    with pytest.raises(KeyError, match="no variable 'xgn'. Did you mean 'xgm'"):
        export(table, tmp_path / "z.csv", "xgn")


def test_what_is_large_is_refused_before_anything_is_read(table, tmp_path):
    with pytest.raises(ValueError, match=r"kB of values \(.*are more than the limit of 1 kB.*limit=None"):
        export(table, tmp_path / "y.npz", limit="1 kB")
    assert export(table, tmp_path / "y.npz", "delay", limit="1 kB").files
    asked = []
    export(table, tmp_path / "z.npz", limit="1 kB", agree=lambda words: asked.append(words) or True)
    assert "kB of values" in asked[0]


def test_files_are_replaced_only_if_that_is_asked_for(table, tmp_path):
    path = tmp_path / "y.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export(table, path, "xgm")
    assert path.read_text() == "mine"
    export(table, path, "xgm", overwrite=True)
    assert path.read_text().startswith("train_id,pulse_id,xgm (uJ)\n")
    (tmp_path / "l.csv").symlink_to(path)
    (tmp_path / "d.csv").mkdir()
    for name in ("l.csv", "d.csv"):
        with pytest.raises(FileExistsError, match="no file that can be replaced"):
            export(table, tmp_path / name, "xgm", overwrite=True)
    with pytest.raises(FileNotFoundError, match="make it first"):
        export(table, tmp_path / "none" / "y.csv")
    with pytest.raises(ValueError, match=r"ends with '?\.csv"):
        export(table, tmp_path / "y.xlsx")


def test_nothing_is_left_where_writing_fails(table, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise OSError("disk full")

    monkeypatch.setattr("csv.writer", fail)
    with pytest.raises(OSError, match="disk full"):
        export(table, tmp_path / "y.csv")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed_by_the_next_one(table, tmp_path):
    code = (
        "import csv, os, signal, sys; from dxflow.handover import export\n"
        "csv.writer = lambda *a, **o: os.kill(os.getpid(), signal.SIGKILL)\n"
        "export(sys.argv[1], sys.argv[2], 'xgm')"
    )
    saved.write(table.data, tmp_path / "t.zarr", "table", {})
    words = [sys.executable, "-c", code, str(tmp_path / "t.zarr"), str(tmp_path / "y.csv")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (left,) = tmp_path.glob(".y.csv.*")
    alive = tmp_path / left.name.replace(left.name.split("-")[-2], str(os.getpid()))
    alive.write_text("of a process that still writes")
    (tmp_path / ".y.csv.mine").write_text("mine")
    export(table, tmp_path / "y.csv", "xgm")
    assert {p.name for p in tmp_path.glob(".*")} == {alive.name, ".y.csv.mine"}


def test_stretches_of_time_are_nanoseconds_and_say_so(tmp_path):
    data = smalltables.dataset(trains=3)
    data["lasted"] = "train", np.array([1, 2, 3], "m8[s]")
    export(Table(data), tmp_path / "y.csv", "lasted")
    assert pd.read_csv(tmp_path / "y.csv")["lasted (ns)"].tolist() == [10**9, 2 * 10**9, 3 * 10**9]
    export(Table(data), tmp_path / "y.mat", "lasted")
    made = scipy.io.loadmat(tmp_path / "y.mat", simplify_cells=True)
    assert made["lasted"].tolist() == [10**9, 2 * 10**9, 3 * 10**9]
    (row,) = [row for row in made["about_dxflow"] if str(row[0]) == "lasted"]
    assert row[2] == "ns"


def test_of_several_files_that_are_new_all_or_none_are_there(table, tmp_path, monkeypatch):
    """As another process would that makes one of them in between."""
    wait = exporting._check
    monkeypatch.setattr(
        exporting, "_check", lambda *given: wait(*given) or (tmp_path / "y.run.csv").write_text("mine")
    )
    with pytest.raises(FileExistsError):
        export(table, tmp_path / "y.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["y.run.csv"]
    assert (tmp_path / "y.run.csv").read_text() == "mine"


def test_tables_of_several_runs_say_of_which_run_a_row_is(tmp_path):
    one, other = smalltables.dataset(), smalltables.dataset(seed=1)
    other = other.assign_coords(train=other.train + 100, train_id=("pulse", other.train_id.values + 100))
    for number, data in ((1, one), (2, other)):
        saved.write(data.assign_attrs(run=f"r{number:04}"), tmp_path / f"r{number:04}.zarr", "table", {})
    export([tmp_path / "r0001.zarr", tmp_path / "r0002.zarr"], tmp_path / "y.csv")
    pulses, trains = (pd.read_csv(tmp_path / f"y.{rate}.csv") for rate in ("pulse", "train"))
    assert pulses["run"].tolist() == [1] * one.sizes["pulse"] + [2] * other.sizes["pulse"]
    np.testing.assert_array_equal(pulses["xgm (uJ)"], np.concatenate([one["xgm"], other["xgm"]]))
    assert trains["train_run"].tolist() == [1] * 20 + [2] * 20


def test_a_table_without_rows_has_a_header(data, tmp_path):
    empty = Table(data.isel(pulse=slice(0), train=slice(0)))
    for suffix in ("csv", "parquet", "npz", "mat"):
        export(empty, tmp_path / f"y.{suffix}")
    assert (tmp_path / "y.pulse.csv").read_text().startswith("train_id,pulse_id,xgm (uJ)")
    assert len(pd.read_parquet(tmp_path / "y.pulse.parquet")) == 0


def test_picked_events_have_a_row_each(table, tmp_path):
    picks = table.pick(5, of="signal")
    export(picks, tmp_path / "y.csv")
    read = pd.read_csv(tmp_path / "y.csv")
    np.testing.assert_array_equal(read["train_id"], picks.flat["train_id"])
    assert len(read) == 5


def test_what_is_not_installed_is_said_with_how_to_get_it(table, tmp_path, monkeypatch):
    for module, name in (("pyarrow", "y.parquet"), ("scipy.io", "y.mat")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(
            ModuleNotFoundError, match=rf"\.{name[2:]} needs {module[:5]}.*pip install 'dxflow\[export\]'"
        ):
            export(table, tmp_path / name, "xgm")
    assert list(tmp_path.iterdir()) == []


def test_columns_that_would_have_one_name_have_two(tmp_path):
    data = xr.Dataset(
        {"a": (("pulse", "k"), np.array([[1, 2]])), "a[0]": ("pulse", [3])},
        {"train_id": ("pulse", np.array([1], "u8")), "pulse_id": ("pulse", np.array([0], "u8"))},
    )
    export(Table(data), tmp_path / "y.parquet")
    read = parquet.read_table(tmp_path / "y.parquet").to_pydict()
    assert read == {"train_id": [1], "pulse_id": [0], "a[0]": [1], "a[1]": [2], "a[0]_2": [3]}


@pytest.mark.parametrize(("axis", "at"), [("train", "train"), ("pulse", "train"), ("train", "pulse")])
def test_what_has_its_trains_or_pulses_behind_another_axis_is_refused_with_at(data, tmp_path, axis, at):
    values = np.arange(3.0 * data.sizes[axis]).reshape(3, -1)
    table = Table(data.assign(gain=(("module", axis), values)))
    with pytest.raises(
        ValueError, match=rf"'gain': its axis {axis} is not the first \(module 3, .*leave at= out"
    ):
        export(table, tmp_path / "y.csv", "gain", at=at)
    assert "gain" in export(table, tmp_path / "all.csv", at=at).left
    export(table, tmp_path / "z.csv", "gain")
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "z.csv")["gain"], values.ravel())
