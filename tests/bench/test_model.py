"""The model of scaling: its limits are those that follow from its costs."""

from dataclasses import replace

import pytest
from benchkit.model import Costs, predict, predictions, text

COSTS = Costs(chunk=10.0, handing=0.001, merge=0.5, finish=2.0, start=3.0, join=0.01, chunk_bytes=10**9)


def test_twice_the_workers_take_half_the_time_until_there_are_too_few_chunks():
    seconds = {n: predict(COSTS, 64, n).chunks for n in (1, 2, 4, 64, 128)}
    assert seconds == pytest.approx({1: 640, 2: 320, 4: 160, 64: 10, 128: 10}, abs=0.1)
    assert predict(COSTS, 64, 4).bound == "the workers"
    assert predict(COSTS, 64, 64).bound == "too few chunks"


def test_the_scheduler_and_the_file_system_bound_it_where_they_are_slower():
    short = predict(replace(COSTS, chunk=0.01, merge=0.0), 10_000, 64)
    # Its time is not hidden: 157 chunks of 10 ms each, and 10,000 x 1 ms.
    assert (short.bound, short.chunks) == ("the scheduler", pytest.approx(11.57, 0.01))
    limited = predict(replace(COSTS, filesystem=2e9), 1000, 64)
    assert (limited.bound, limited.chunks) == ("the file system", pytest.approx(501, 0.001))
    nodes = predict(replace(COSTS, node=1e9), 1000, 64, 2)
    assert (nodes.bound, nodes.chunks) == ("reading of nodes", pytest.approx(501, 0.001))


def test_the_merge_tree_has_as_many_levels_as_it_takes_eight_at_once():
    # 100 -> 13 -> 2 -> 1 on one worker: 16 merges; on many a merge per level.
    assert predict(COSTS, 100, 1).merge == 8.0
    assert predict(COSTS, 100, 50).merge == 1.5
    assert predict(COSTS, 1, 1).merge == 0


def test_a_row_per_number_of_nodes_counts_from_one_node():
    rows = predictions(COSTS, 1000, 4, nodes=(1, 2))
    assert [(r["nodes"], r["workers"]) for r in rows] == [(1, 4), (2, 8)]
    assert rows[0]["speed-up"] == 1
    assert rows[1]["efficiency"] == pytest.approx(rows[0]["total"] / rows[1]["total"] / 2)
    assert len(text(rows).splitlines()) == 3
