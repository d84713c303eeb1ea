"""Values: expressions over a table, against numpy on the same arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smalltables import dataset, table

from dxflow.analysis.tables import Table
from dxflow.analysis.values import parsed

EV = table()
DATA = dataset()
XGM, SIGNAL, ROI = (DATA[name].values.astype(float) for name in ("xgm", "signal", "roi"))
PHOTONS = DATA.photons.values
DELAY = DATA.delay.sel(train=DATA.train_id).values
"""Of each row: its train's."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (EV.xgm / EV.signal, XGM / SIGNAL),
        (EV.xgm * EV.delay - 3, XGM * DELAY - 3),
        (2 / EV.photons, np.divide(2, PHOTONS, where=PHOTONS > 0, out=np.full(len(XGM), np.nan))),
        (np.sqrt(EV.signal - 3), np.sqrt(np.where(SIGNAL >= 3, SIGNAL - 3, np.nan))),
        (EV.roi[2] ** 2, ROI[:, 2] ** 2),
        (EV.roi[1:].sum(), ROI[:, 1:].sum(1)),
        (EV.roi.max() - EV.roi.mean(), ROI.max(1) - ROI.mean(1)),
        (EV.roi / EV.xgm, ROI / XGM[:, None]),
        (np.minimum(EV.xgm, 800), np.minimum(XGM, 800)),
        (abs(-EV.photons) % 3, PHOTONS % 3),
        (EV.xgm.where(EV.photons > 4), np.where(PHOTONS > 4, XGM, np.nan)),
        (EV.xgm.where(EV.photons > 4, 0), np.where(PHOTONS > 4, XGM, 0)),
        (EV.energy * 2 + EV.signal, 9.3 * 2 + SIGNAL),
        (np.hypot(EV.xgm, 3).log(), np.log(np.hypot(XGM, 3))),
    ],
    ids=lambda one: "" if isinstance(one, np.ndarray) else str(one),
)
def test_values_are_those_of_numpy_and_their_texts_say_the_same(value, expected):
    for one in (value, parsed(str(value), EV)):
        np.testing.assert_allclose(one.values, expected, rtol=1e-6)
        np.testing.assert_array_equal(one.there, ~np.isnan(expected))
    assert str(parsed(str(value))) == str(value)


def test_rates_are_the_finest_of_the_variables():
    assert [one.rate for one in (EV.energy * 2, EV.delay * EV.energy, EV.delay + EV.xgm)] == [
        "run",
        "train",
        "pulse",
    ]
    assert (EV.delay * 2).values.shape == (20,)
    np.testing.assert_array_equal(EV.evaluate("delay * 2", at="pulse").values, DELAY * 2)
    assert float(EV.evaluate(EV.energy * 2).values) == 18.6
    with pytest.raises(ValueError, match="a value per pulse; expected one per train"):
        EV.evaluate("xgm", at="train")


def test_what_is_missing_passes_neither_a_comparison_nor_its_opposite_and_missing_is_known():
    lit, valid = DATA.lit.values, DATA.lit_valid.values
    assert np.isnan(XGM).any()
    np.testing.assert_array_equal(EV.mask(EV.xgm != 3), ~np.isnan(XGM))
    with pytest.warns(UserWarning, match="holds for none"):
        assert not EV.mask(~(EV.xgm != 3)).any()
    np.testing.assert_array_equal(EV.mask(~EV.lit), ~lit & valid)
    np.testing.assert_array_equal(EV.mask(EV.xgm.missing()), np.isnan(XGM))
    np.testing.assert_array_equal(EV.mask(~EV.lit.missing()), valid)
    np.testing.assert_array_equal(EV.mask(EV.xgm.missing() | EV.lit), np.isnan(XGM) | (lit & valid))


def test_rows_of_trains_that_are_not_there_have_no_value_and_are_not_those_of_another_train():
    data = DATA.isel(train=slice(3, None))
    ev = Table(data)
    gone = ~np.isin(data.train_id.values, data.train.values)
    assert gone.any()
    late = ev.select("late", "delay > -10")
    for where in ("delay > -10", "~(delay < -10)", late, "late & lit | late", "~missing(delay)"):
        assert not (ev.mask(where) & gone).any(), where
    assert ev.mask("missing(delay)")[gone].all()
    found = ev.evaluate("delay * 2 + 1", at="pulse")
    assert np.isnan(found.values[gone]).all()
    assert not found.there[gone].any()
    assert ev.cutflow("delay > -10")["missing"].iloc[0] == (gone | np.isnan(DELAY)).sum()


def leaf(name, values, there):
    """Return comparisons of a variable with a number, as a value and as what numpy says: true, and known."""
    return st.floats(0, 6).map(
        lambda x: (getattr(EV, name) > x * values.std(), (values > x * values.std()) & there, there)
    )


LEAVES = st.one_of(
    leaf("xgm", np.nan_to_num(XGM), ~np.isnan(XGM)),
    leaf("delay", np.nan_to_num(DELAY), ~np.isnan(DELAY)),
    leaf("photons", PHOTONS, np.ones(len(XGM), bool)),
    st.just((EV.lit, DATA.lit.values & DATA.lit_valid.values, DATA.lit_valid.values)),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda part: (
        part.map(lambda a: (~a[0], ~a[1] & a[2], a[2]))
        | st.builds(
            lambda a, b: (a[0] & b[0], a[1] & b[1], (a[2] & b[2]) | (a[2] & ~a[1]) | (b[2] & ~b[1])),
            part,
            part,
        )
        | st.builds(lambda a, b: (a[0] | b[0], a[1] | b[1], (a[2] & b[2]) | a[1] | b[1]), part, part)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(CONDITIONS)
@pytest.mark.filterwarnings("ignore:.*holds for none")
def test_conditions_made_by_operators_and_their_texts_hold_where_numpy_says(condition):
    value, true, known = condition
    np.testing.assert_array_equal(EV.mask(value), true)
    np.testing.assert_array_equal(EV.mask(str(value)), true)
    np.testing.assert_array_equal(EV.mask(~value), ~true & known)
