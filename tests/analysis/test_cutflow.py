"""Cutflows: each cut alone, in order, and all but one, counted by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from smalltables import table

from dxflow.analysis.cutflow import cutflow
from dxflow.declare.condition import Column


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(st.sampled_from([True, False, None]), min_size=n, max_size=n))
    )
)
def test_counts_are_those_of_a_loop_over_rows(rows):
    number = len(rows[0]) if rows else 3
    cuts = [np.array([row[i] for row in rows], object) for i in range(number)]
    columns = [
        Column(np.array([v is True for v in one], bool), np.array([v is not None for v in one], bool))
        for one in cuts
    ]
    found = cutflow([(str(n), column) for n, column in enumerate(columns)], len(rows))
    for n in range(number):
        alone = [row for row in rows if row[n] is True]
        in_order = [row for row in rows if all(v is True for v in row[: n + 1])]
        others = [row for row in rows if all(v is True for i, v in enumerate(row) if i != n)]
        missing = [row for row in rows if row[n] is None]
        assert found.loc[str(n)].tolist() == [len(alone), len(in_order), len(others), len(missing)]
    assert found.attrs == {"rows": len(rows), "passed": sum(all(v is True for v in row) for row in rows)}


def test_a_cutflow_says_of_what_it_is_as_text_and_in_the_notebook():
    ev = table()
    ev.select("good", "xgm > 800", "lit")
    found = ev.cutflow("good")
    assert [*found.index] == ["xgm > 800", "lit"]
    assert str(found).startswith(f"good: {len(ev.rows)} rows")
    assert "all_but_one" in found._repr_html_()
    assert [*ev.cutflow(["good", "photons > 4"]).index] == ["good", "photons > 4"]
