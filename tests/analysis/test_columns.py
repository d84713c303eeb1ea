"""Values of a table by name: read as they are, or for each pulse, with what is missing said."""

import numpy as np
import pandas as pd
import pytest
from smalltables import dataset, table


def test_values_per_train_are_those_of_each_pulse_of_the_train():
    ev, data = table(), dataset()
    own = pd.Series(data.delay.values, data.train.values)
    found = ev.column("delay", at="pulse")
    np.testing.assert_array_equal(found.values, own[data.train_id.values].values)
    np.testing.assert_array_equal(found.there, ~np.isnan(found.values))


def test_a_train_that_is_not_there_has_no_value_and_is_not_another_one():
    data = dataset().isel(train=slice(3, None))
    ev = type(table())(data)
    found = ev.column("delay", at="pulse")
    gone = np.isin(data.train_id.values, [10001, 10002, 10003])
    assert gone.any()
    assert not found.there[gone].any()
    assert ev.column("laser", at="pulse").there[~gone].all()


def test_integers_and_booleans_are_missing_where_they_say_so():
    ev, data = table(), dataset()
    np.testing.assert_array_equal(ev.column("lit").there, data.lit_valid.values)
    assert "lit_valid" not in ev.names
    assert ev.rate("lit") == "pulse"
    assert ev.column("roi").there.shape == (len(ev.rows), 3)


def test_values_of_the_run_are_those_of_each_row():
    assert (table().column("energy", at="pulse").values == 9.3).all()


def test_what_is_not_there_is_refused_with_near_names():
    with pytest.raises(KeyError, match="no variable 'xmg'. Did you mean 'xgm'"):
        table().column("xmg")
    with pytest.raises(ValueError, match="'xgm' has a value per pulse; expected one per train"):
        table().column("xgm", at="train")


def test_a_variable_may_be_named_as_an_axis_and_something_of_it():
    data = dataset().rename(region="roi", roi="sums").assign_coords(roi=["a", "b", "c"])
    data["roi.count"] = ("pulse", np.arange(data.sizes["pulse"]))
    ev = type(table())(data)
    assert ev.column("roi.count").there.all()
    made = ev.cube({"photons": 2}, of=["roi.count", "sums"]).data
    assert int(made["roi.count_sum"].sum()) == int(data["roi.count"].sum())
