"""Feedback opened as a table: it is what the reduction of these trains gives, and changes when it is told to."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import dxflow

pytest_plugins = ["feedback"]


def agree(ev, result):
    """Compare a live table with that of a reduction."""
    table = result.table.data
    assert set(ev.data.variables) == set(table.variables)
    for name, one in table.variables.items():
        xr.testing.assert_identical(one, ev.data[name].variable)


def test_a_feed_is_the_table_of_the_same_trains_after_each_snapshot(server, live, results, tools):
    run = live(f"{server.url}?name=same")
    run.shown(0)
    ev = tools.opened(run.address)
    agree(ev, results[0])
    assert len(ev["litframes.intensity"].values) == 24
    run.shown(1)
    agree(ev, results[0])
    assert ev.refresh()
    agree(ev, results[1])
    run.shown(2)
    assert ev.refresh()
    assert not ev.refresh()
    agree(ev, results[2])
    assert ev.snapshot["chunk"] == "4 trains"


def test_selections_and_expressions_hold_for_new_rows(server, live, results, tools):
    run = live(f"{server.url}?name=selected")
    run.shown(0)
    ev = tools.opened(run.address)
    ratio = ev["litframes.intensity"] / ev["litframes.valid_pixels"]
    ev.add("ratio", ratio)
    ev.select("high", ev["ratio"] > ev["ratio"].values.min())
    assert ev.mask("high").sum() == 23
    ev.add("given", np.arange(24))
    run.shown(1)
    with pytest.warns(UserWarning, match="'given'.*gone: it was given as data"):
        ev.refresh()
    wanted = results[1].table
    expected = wanted["litframes.intensity"].values / wanted["litframes.valid_pixels"].values
    np.testing.assert_array_equal(ev["ratio"].values, expected)
    np.testing.assert_array_equal(ratio.values, expected)
    assert ev.mask("high").sum() == 47


def test_follow_yields_each_snapshot_and_ends_with_the_run(server, live, tools):
    run = live(f"{server.url}?name=followed")
    run.shown(0)
    seen = []
    for ev in tools.opened(run.address).follow():
        seen.append(len(ev.rows))
        if len(seen) == 1:
            run.show(1)
        elif len(seen) == 2:
            run.show(2, final=True)
            run.publisher.close()
    assert seen == [24, 48, 72]
    assert ev.finished
    assert ev.snapshot["final"]


def test_a_late_module_changes_rows_that_were_there(server, live, results, tools):
    """The same trains with other values: each row is there once, as it is now."""
    run = live(f"{server.url}?name=late")
    run.shown(1)
    ev = tools.opened(run.address)
    before = ev["litframes.lit_pixels"].values
    run.shown(3)
    ev.refresh()
    agree(ev, results[3])
    assert (ev["litframes.lit_pixels"].values[:48] != before).any()


def test_rows_that_the_server_let_go_of_stay_with_those_who_have_read_them(server, live, results, tools):
    run = live(f"{server.url}?name=short&trains=3")
    run.shown(0)
    ev = tools.opened(run.address)
    assert sorted(set(ev.rows.train_ids)) == list(results[0].dataset["train"].values[-3:])
    run.shown(1)
    ev.refresh()
    others = tools.opened(run.address)
    assert len(set(others.rows.train_ids)) == 3
    # Of four new trains the server has kept three.
    assert len(set(ev.rows.train_ids)) == 6
    assert ev["average.mean"].values.shape == (8, 16, 16)


def test_another_version_of_parameters_is_not_mixed_with_the_one_before(server, live, results, tools):
    run = live(f"{server.url}?name=versions")
    run.shown(1)
    ev = tools.opened(run.address)
    run.shown(results[3], version=2)
    ev.refresh()
    agree(ev, results[3])
    assert ev.snapshot["version"] == 2


def test_what_is_not_there_is_said_in_words(server, own_server, live, tools):
    own_server.stop()
    with pytest.raises(ConnectionError, match="no Redis server answers"):
        dxflow.open(own_server.url)
    run = live(f"{server.url}?name=only")
    run.shown(0)
    with pytest.raises(FileNotFoundError, match="no live run has published.*only"):
        dxflow.open(f"{server.url}?name=another")
    with pytest.raises(ValueError, match="'nam' is no option of feedback"):
        dxflow.open(f"{server.url}?nam=only")
    with pytest.raises(ValueError, match="ftp:// is not known"):
        dxflow.open("ftp://host/x")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("snapshot", {"session": "s", "sent": 2}, "no feedback of dxflow"),
        ("snapshot", {"session": "s", "sent": 2, "version": 1, "streams": 5}, "no feedback of dxflow"),
        ("about", {"format": "dxflow feedback 99"}, "read it with the dxflow that wrote it"),
        ("about", {"format": "dxflow feedback 1"}, "no feedback of dxflow"),
    ],
)
def test_what_somebody_else_wrote_there_is_refused_in_words(server, live, tools, key, value, said):
    run = live(f"{server.url}?name=forged")
    run.shown(0)
    server.client().set(f"dxflow:forged:{key}", json.dumps(value))
    with pytest.raises(ValueError, match=said):
        tools.opened(run.address)


def test_no_object_is_made_of_what_is_read(server, live, tools):
    """As in a pickle, which may run anything."""
    run = live(f"{server.url}?name=pickled")
    run.shown(0)
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    server.client().hset("dxflow:pickled:totals", "data:average.mean", file.getvalue())
    with pytest.raises(ValueError, match="allow_pickle=False"):
        tools.opened(run.address)


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(2,)", "(-1, -96)"])
def test_arrays_that_say_that_they_are_larger_than_they_are_take_no_memory(server, live, tools, shape):
    run = live(f"{server.url}?name=larger")
    run.shown(0)
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    file = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(4 * 96)
    server.client().hset("dxflow:larger:totals", "data:average.mean", file)
    with pytest.raises(ValueError, match=r"array|shape|dimensions"):
        tools.opened(run.address)


def test_json_without_end_is_no_feedback(server, live, tools):
    run = live(f"{server.url}?name=deep")
    run.shown(0)
    server.client().set("dxflow:deep:about", b"[" * 100_000)
    with pytest.raises(FileNotFoundError, match="no live run has published"):
        tools.opened(run.address)
    run.show(1)
    tools.until(lambda: "is not of dxflow" in run.publisher.trouble)


def test_a_run_that_has_just_begun_is_an_empty_table(server, live, tools):
    run = live(f"{server.url}?name=begun", source="r0001")
    tools.until(lambda: len(tools.opened(run.address).rows) == 0)
    ev = tools.opened(run.address)
    assert ev.about["what"] == {"source": "r0001"}
    assert not ev.finished
    run.shown(0)
    assert ev.refresh()
    assert len(ev.rows) == 24


def test_feedback_is_read_as_printed(server, live, tools, capsys):
    page = (Path(__file__).parents[2] / "docs/feedback.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    run = live(f"{server.url}?name=r0034")
    run.shown(0, final=True)
    run.publisher.status(tools.Status("finished"))
    tools.until(lambda: tools.opened(run.address).finished)
    exec(first.replace("redis://exflonc12:6379", server.url), {})
    assert capsys.readouterr().out.startswith("4 0.0 ")
    second = second.replace('"exflonc12"', f"port={server.port}").replace('"$"', '"0"')
    exec(second.replace("while True", "for _ in range(2)").replace("block=5000", "block=1"), {})
    assert capsys.readouterr().out.startswith("10004 ")
