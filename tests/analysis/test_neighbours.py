"""Neighbours of each row with pump, against a loop over all rows."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from smalltables import dataset, table

from dxflow.analysis.tables import Table


def by_hand(when, run, values, on, off, n):
    """Return the n nearest values of each row, in order of time, the earlier ones of those as far away."""
    out = np.full((len(when), n), np.nan)
    for row in np.flatnonzero(on):
        others = [i for i in np.flatnonzero(off) if run[i] == run[row] and not np.isnan(values[i])]
        chosen = sorted(others, key=lambda i: (abs(when[i] - when[row]), when[i]))[:n]
        if len(chosen) == n:
            out[row] = values[sorted(chosen)]
    return out


ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 4),
        st.integers(0, 6),
        st.sampled_from(["on", "off", "neither", "missing"]),
    ),
    unique_by=lambda row: row[:3],
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 4))
@pytest.mark.filterwarnings("ignore:.*holds for none")
def test_neighbours_are_those_of_a_loop_and_never_of_another_run(rows, n):
    rows = sorted(rows)
    run, train, pulse = (np.array([row[i] for row in rows], np.uint64) for i in range(3))
    state = np.array([row[3] for row in rows], "U7")
    values = np.where(state == "missing", np.nan, np.arange(len(rows)) ** 2.0)
    coords = {"train_id": train + 100 * run, "pulse_id": pulse, "run": run}
    data = xr.Dataset({"signal": ("pulse", values)}, {k: ("pulse", v) for k, v in coords.items()})
    ev = Table(data)
    on, off = state == "on", np.isin(state, ["off", "missing"])
    when = coords["train_id"].astype(int) * 451_389 + pulse.astype(int)
    expected = by_hand(when, run, values, on, off, n)
    np.testing.assert_array_equal(ev.nearest("signal", on, off, n, "all"), expected)
    np.testing.assert_allclose(ev.nearest(ev.signal, on, off, n), expected.mean(1), rtol=1e-14)


def test_events_are_as_far_away_as_their_timestamps_say():
    seconds = 1_700_000_000 + np.array([0, 0, 1, 1], np.uint64)
    nanoseconds = np.array([0, 999_999_990, 0, 20], np.uint64)
    coords = {
        "train_id": ("pulse", seconds << np.uint64(32) | nanoseconds),
        "pulse_id": ("pulse", [9, 5, 7, 8]),
    }
    ev = Table(xr.Dataset({"signal": ("pulse", [1.0, 2, 3, 4])}, coords))
    on = np.array([False, False, True, False])
    assert ev.nearest("signal", on, ~on, 1)[2] == 2


def test_vectors_keep_their_names_and_can_be_added_up():
    ev, data = table(), dataset()
    found = ev.nearest("roi", "laser", "~laser", n=2)
    assert found.dims == ("pulse", "region")
    assert found.attrs["units"] == "adu"
    assert "roi" in found.attrs["long_name"]
    every = ev.nearest("roi", "laser", "~laser", n=2, reduce="all")
    np.testing.assert_allclose(found, every.mean("neighbour"), rtol=1e-6)
    assert np.isnan(found.values[~ev.mask("laser")]).all()
    np.testing.assert_array_equal(found.train_id, data.train_id)


def test_what_makes_no_sense_is_refused():
    ev = table()
    with pytest.raises(ValueError, match="rows are on and off: on='lit' and off='laser' share them"):
        ev.nearest("signal", "lit", "laser")
    for wrong in ({"n": 0}, {"n": 1.5}, {"n": True}, {"reduce": "median"}, {"of": "state"}):
        with pytest.raises(ValueError, match="expected"):
            ev.nearest(**{"of": "signal", "on": "lit", "off": "~lit"} | wrong)
    with pytest.raises(KeyError, match="no variable or selection 'on'"):
        ev.nearest("signal")
