"""On and off: which rows are of which kind, and their difference with its error."""

import numpy as np
import pytest
from smalltables import dataset, table


def test_off_is_what_is_known_not_to_be_on():
    ev, data = table(), dataset()
    made = ev.cube({"delay": [-1, 5]}, "signal", on="lit").data
    known, delay = data.lit_valid.values, ev.column("delay", at="pulse").there
    lit = data.lit.values & known
    assert made.n.sel(pump="on").item() == (lit & delay).sum()
    assert made.n.sel(pump="off").item() == (known & ~lit & delay).sum()
    assert "neither on nor off" in made.attrs["notes"]


def test_a_difference_is_that_of_the_means_and_errors_add_in_squares():
    made = table().cube({"delay": "-1:5:2"}, ["signal", "roi"], on="laser", off="~laser", normalise="xgm")
    for name in ("signal", "roi"):
        a, b = made.on, made.off
        np.testing.assert_array_equal(made.data[f"{name}_difference"], a[f"{name}_mean"] - b[f"{name}_mean"])
        error = np.sqrt(a[f"{name}_sem"] ** 2 + b[f"{name}_sem"] ** 2)
        np.testing.assert_allclose(made.data[f"{name}_difference_sem"], error, 1e-13)
        assert "pump" not in made.data[f"{name}_relative"].dims
    assert made.data.signal_difference.attrs["units"] == "photons/uJ"
    assert made.data.signal_relative.attrs["units"] == ""


def test_one_kind_alone_is_said():
    with pytest.warns(UserWarning, match="none of the 141 selected rows is off"):
        made = table().cube({"xgm": 2}, "signal", on="signal > -99")
    assert np.isnan(made.difference.signal).all()


def test_a_planted_effect_is_found_within_its_error():
    ev = table(trains=200, pulses=8, seed=4)
    rng = np.random.default_rng(1)
    pumped = rng.random(len(ev.rows)) < 0.5
    ev.data["signal"] = ("pulse", rng.normal(100, 5, len(pumped)) * np.where(pumped, 1.01, 1))
    made = ev.cube({"xgm": [0, 1e6]}, "signal", on=pumped).data
    found, error = float(made.signal_relative[0]), float(made.signal_relative_sem[0])
    assert error == pytest.approx(0.05 * np.sqrt(4 / int(made.n.sum())), rel=0.1)
    assert abs(found - 0.01) < 3 * error


def test_rows_that_are_both_are_refused_and_off_alone_as_well():
    with pytest.raises(ValueError, match="both true of .* rows; expected no row in both"):
        table().cube({"delay": 2}, "signal", on="laser", off="xgm > 0")
    with pytest.raises(ValueError, match="off= is given, and on= is not"):
        table().cube({"delay": 2}, "signal", off="laser")
    with pytest.raises(ValueError, match="does not tell on from off"):
        _ = table().cube({"delay": 2}, "signal").on
