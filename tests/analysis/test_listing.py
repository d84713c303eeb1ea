"""What there is in a table is listed without reading it, as text and for notebooks."""

import re
import warnings

import lclsfiles
import pytest
from smalltables import dataset, table

import dxflow
from dxflow.analysis import Table, saved


def row(ev, name):
    """The cells of a variable in the text of a table."""
    (line,) = [one for one in repr(ev).splitlines() if one.split("  ")[0] == name]
    return re.split(r" {2,}", line)


@pytest.fixture
def opened(tmp_path):
    return dxflow.open(
        saved.write(dataset(), tmp_path / "r0001.zarr", "table", {"notes": ["3 rows <b>lost</b>"]})
    )


def test_each_variable_is_said_with_shape_unit_rate_and_where_it_is(opened):
    rows = len(opened.rows)
    assert (
        repr(opened).splitlines()[0] == f"<dxflow.Table {opened.path}: {rows} pulses, 20 trains of run r0001>"
    )
    assert row(opened, "xgm") == ["xgm", f"pulse {rows}", "uJ", "pulse", "energy of the pulse", "on disk"]
    assert row(opened, "roi")[1] == f"pulse {rows} x 3"
    assert row(opened, "delay")[1:4] == ["train 20", "ps", "train"]
    assert row(opened, "energy") == ["energy", "one", "keV", "run", "on disk"]
    assert not any("lit_valid" in line for line in repr(opened).splitlines())


def test_listing_reads_nothing_and_what_was_read_is_in_memory(opened):
    repr(opened)
    opened._repr_html_()
    assert not opened.data.xgm.variable._in_memory
    opened.column("xgm")
    assert row(opened, "xgm")[-1] == "in memory"
    assert row(opened, "signal")[-1] == "on disk"


def test_values_of_lcls_files_are_in_memory_once_they_are_read(tmp_path):
    lclsfiles.write(tmp_path / "x_Run0003.h5")
    ev = dxflow.open(tmp_path / "x_Run0003.h5")
    assert row(ev, "ipm2.sum")[-2:] == ["ipm2/sum", "on disk"]
    ev.data["ipm2.sum"].values
    assert row(ev, "ipm2.sum")[-1] == "in memory"
    assert "60 events of run 3" in repr(ev)


def test_selections_additions_and_notes_are_said(opened):
    opened.select("good", "xgm > 800")
    opened.add("ratio", "signal / xgm", unit="1/uJ")
    opened.save()
    assert row(opened, "ratio")[2:] == ["1/uJ", "pulse", "= signal / xgm", "in memory"]
    assert "selections: good" in repr(opened)
    assert repr(opened).splitlines()[-1] == "3 rows <b>lost</b>"
    saved.write(dataset().assign(signal=dataset().signal + 1), opened.path, "table", {}, overwrite=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = dxflow.open(opened.path)
    assert "ratio = signal / xgm [1/uJ] (out of date: signal has other values now)" in repr(again)


def test_notebooks_get_a_table_in_which_all_is_escaped(opened):
    data = dataset()
    data["<script>alert(1)</script>"] = data.xgm.assign_attrs(units="<i>", source="a & b")
    ev = Table(data.assign_attrs(run="<r>"), None, {"notes": ["<u>"]})
    shown = ev._repr_html_()
    for bad in ("<script>alert", "<i>", "<r>", "<u>"):
        assert bad not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert shown.count("<thead>") == 1
    assert "a &amp; b" in shown
    assert "xgm" in opened._repr_html_()


def test_many_variables_are_cut():
    data = dataset().assign({f"v{n}": ((), n) for n in range(300)})
    lines = repr(Table(data)).splitlines()
    assert len(lines) == 203
    assert lines[-1] == "... and 110 more: ev.names"


def test_tables_without_rows_and_of_several_runs_say_so():
    assert "no rows" in repr(Table(dataset().drop_dims(["pulse", "train"])))
    parts = [
        Table(dataset().isel(pulse=slice(n, None, 2), train=slice(n, None, 2)).assign_attrs(run=n))
        for n in (0, 1)
    ]
    assert "pulses, 20 trains of 2 runs>" in repr(dxflow.analysis.runs.join(parts))
    assert "20 trains" in repr(table())
