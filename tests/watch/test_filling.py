"""Numbers of columns that were chosen, or defined anew, after tasks were done."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from dxflow.watch import filling
from dxflow.watch.columns import Column
from dxflow.watch.orders import Orders, Task
from dxflow.watch.sight import SightError, SilentError
from dxflow.watch.state import DONE, FAILED, Row

ORDERS = Orders(
    Path("what.yaml"),
    Path("."),
    {"table": Task("table", ("table", "{path}"), "{name}", "raw")},
    {"n": Column("n", "table", "x", "n"), "mean": Column("mean", "table", "x")},
)


class Asked:
    """Stands for the process that reads; what it answers is said by the test."""

    answer = None

    def __init__(self, deadline, module):
        assert deadline == 0
        self.closed = False

    def ask(self, what, defined, results):
        Asked.results = results
        if isinstance(Asked.answer, Exception):
            raise Asked.answer
        return Asked.answer

    def close(self):
        Asked.answer = None


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(filling, "Sight", Asked)
    made = [
        Row("r1", "table", "", state=DONE, result="a", numbers={"n": 3, "mean": 1.5}),
        Row("r2", "table", "", state=DONE, result="b", numbers={"n": 4}, reason="odd"),
        Row("r3", "table", "", state=FAILED),
        Row("r4", "other", "", state=DONE, result="c"),
    ]
    return {(row.run, row.task): row for row in made}


def made(rows, orders=ORDERS):
    units = {}
    put = lambda *given: rows.update({(row.run, row.task): row for row in given})  # noqa: E731
    return filling.Filling(orders, rows, put, units.update), units


def test_what_is_missing_is_asked_for_and_noted_when_it_comes(rows):
    one, units = made(rows)
    Asked.answer = SilentError()
    one.go_on()
    one.go_on()
    assert (Asked.results, len(one.left())) == ([("table", "b")], 1)
    Asked.answer = [{"numbers": {"n": 9, "mean": 2.5}, "units": {"mean": "uJ"}, "wrong": ["n: x", "mean: y"]}]
    one.go_on()
    # What was known stays, and nothing is said of it.
    assert rows["r2", "table"].numbers == {"n": 4, "mean": 2.5}
    assert rows["r2", "table"].reason == "odd; mean: y"
    assert (units, one.left()) == ({"mean": "uJ"}, [])


def test_what_cannot_be_read_is_not_read_again(rows):
    one, _ = made(rows)
    Asked.answer = [{"numbers": {}, "units": {}, "wrong": ["mean: no"]}]
    one.go_on()
    assert (rows["r2", "table"].numbers, one.left()) == ({"n": 4, "mean": None}, [])


def test_only_the_result_that_ends_the_process_is_given_up_and_says_so(rows):
    for run in ("r5", "r6"):
        rows[run, "table"] = Row(run, "table", "", state=DONE, result=run)
    one, _ = made(rows)
    # All at once, then each by itself.
    for expected, answer in (
        (["b", "r5", "r6"], SightError("it was ended")),
        (["b"], [{"numbers": {"mean": 2.5}, "units": {}, "wrong": []}]),
        (["r5"], SightError("it was ended")),
        (["r6"], [{"numbers": {"n": 1, "mean": 0.5}, "units": {}, "wrong": []}]),
    ):
        Asked.answer = answer
        one.go_on()
        assert [path for _, path in Asked.results] == expected
    assert one.left() == []
    assert rows["r2", "table"].numbers == {"n": 4, "mean": 2.5}
    assert rows["r5", "table"].reason == "its numbers cannot be read: it was ended"
    assert (rows["r6", "table"].numbers, rows["r6", "table"].reason) == ({"n": 1, "mean": 0.5}, "")
    # Nor by the next watcher, and what comes later is asked for at once again.
    assert made(rows)[0].left() == []
    for run in ("r7", "r8"):
        rows[run, "table"] = Row(run, "table", "", state=DONE, result=run)
    Asked.answer = SilentError()
    one.go_on()
    assert len(Asked.results) == 2


def test_an_answer_on_what_was_done_again_meanwhile_is_dropped(rows):
    one, _ = made(rows)
    Asked.answer = SilentError()
    one.go_on()
    rows["r2", "table"] = replace(rows["r2", "table"], tries=2)
    Asked.answer = [{"numbers": {"mean": 2.5}, "units": {}, "wrong": []}]
    one.go_on()
    assert rows["r2", "table"].numbers == {"n": 4}
    assert len(one.left()) == 1


def test_numbers_of_a_column_that_was_taken_out_and_comes_back_otherwise_are_forgotten(rows):
    without = replace(ORDERS, columns={"mean": ORDERS.columns["mean"]})
    other = replace(ORDERS, columns={**ORDERS.columns, "n": Column("n", "table", "z", "max")})
    said = ""
    for orders in (ORDERS, without, other):
        one, _ = made(rows, orders)
        said = one.begin(said)
    assert [row.run for row in one.left()] == ["r1", "r2"]
    assert rows["r1", "table"].numbers == {"mean": 1.5}
    assert json.loads(said) == other.defined


def test_numbers_of_columns_that_are_defined_otherwise_are_forgotten(rows):
    one, units = made(rows)
    before = {**ORDERS.defined, "n": ["table", "y", "n"], "gone": ["table", "y", "n"]}
    # One that was taken out keeps its definition, with which the next one is compared.
    assert json.loads(one.begin(json.dumps(before))) == {**ORDERS.defined, "gone": before["gone"]}
    assert rows["r1", "table"].numbers == {"mean": 1.5}
    # Nor has it the unit that it had.
    assert units == {"n": ""}
    assert len(one.left()) == 2
    assert json.loads(made(rows)[0].begin("")) == ORDERS.defined


def test_the_process_that_reads_prints_nothing_but_answers(tmp_path):
    from dxflow.watch.sight import Sight

    sight = Sight(60, "dxflow.watch.reading")
    try:
        (found,) = sight.ask("numbers", ORDERS.defined, [["table", str(tmp_path / "none.zarr")]])
        assert [text.partition(":")[0] for text in found["wrong"]] == ["n", "mean"]
        os.kill(sight._process.pid, signal.SIGKILL)
        with pytest.raises(SightError, match="was ended by SIGKILL"):
            sight.ask("numbers", {}, [])
    finally:
        sight.close()
