"""Selections of rows by name, against numpy."""

import json

import numpy as np
import pytest
from smalltables import dataset, table

from dxflow.analysis.tables import Table

DATA = dataset()
XGM = DATA.xgm.values
DELAY = DATA.delay.sel(train=DATA.train_id).values
LIT = DATA.lit.values & DATA.lit_valid.values


@pytest.fixture
def ev():
    return table()


def test_all_cuts_of_a_selection_must_hold(ev):
    good = ev.select("good", ev.xgm > 800, ev.delay.between(-1, 3), "lit")
    expected = (XGM > 800) & (DELAY >= -1) & (DELAY < 3) & LIT
    for where in ("good", good, ev.good, ev["good"], ["xgm > 800", good], ev.selections["good"].cuts):
        np.testing.assert_array_equal(ev.mask(where), expected)
    np.testing.assert_array_equal(ev.mask(~good & (ev.signal > 3)), ev.mask("~good & signal > 3"))


def test_a_selection_in_others_is_linked(ev):
    ev.select("good", "xgm > 800")
    both = ev.select("both", "good", "lit")
    np.testing.assert_array_equal(both.mask, (XGM > 800) & LIT)
    ev.select("good", "xgm > 900")
    np.testing.assert_array_equal(both.mask, (XGM > 900) & LIT)
    with pytest.raises(ValueError, match="'good' would be made of itself: good -> both -> good"):
        ev.select("good", "both | lit")
    np.testing.assert_array_equal(both.mask, (XGM > 900) & LIT)
    with pytest.raises(ValueError, match="'good' is used by both"):
        del ev.selections["good"]


def test_selections_come_back_from_json_and_from_the_attributes_of_a_dataset(ev):
    ev.select("good", ev.xgm > 800, np.arange(len(ev.rows)) % 2 == 0)
    ev.select("dark", ~(ev.good | ev.lit))
    kept = json.dumps(ev.selections.to_dict())
    other = table()
    other.selections.load(json.loads(kept))
    third = Table(dataset().assign_attrs(ev.selections.as_attrs()))
    for one in (other, third):
        assert [*one.selections] == ["good", "dark"]
        for name in one.selections:
            np.testing.assert_array_equal(one.mask(name), ev.mask(name))
        assert json.dumps(one.selections.to_dict()) == kept
