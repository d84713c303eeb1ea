"""Arrays of booleans as conditions: as they are, or joined by the ids of rows and trains."""

import numpy as np
import pytest
import xarray as xr
from smalltables import dataset, table

from dxflow.analysis.masks import Mask, given
from dxflow.declare.condition import Column

DATA = dataset()
EVEN = np.arange(DATA.sizes["pulse"]) % 2 == 0


@pytest.fixture
def ev():
    return table()


def test_booleans_of_rows_and_of_trains_are_conditions(ev):
    np.testing.assert_array_equal(ev.mask(EVEN), EVEN)
    laser = DATA.laser.values
    np.testing.assert_array_equal(ev.mask(laser), np.repeat(laser, np.bincount(ev.rows.of_train)))
    ev.select("even", EVEN)
    ev.select("pumped", laser)
    np.testing.assert_array_equal(ev.mask("even & pumped"), EVEN & ev.mask("laser"))
    np.testing.assert_array_equal(ev.mask([EVEN, "lit"]), EVEN & ev.mask("lit"))


def test_arrays_with_ids_are_joined_and_know_nothing_of_other_rows(ev):
    some = xr.DataArray(
        EVEN, dims="frame", coords={n: ("frame", DATA[n].values) for n in ("train_id", "pulse_id")}
    )
    some = some[::-1][5:]
    ev.select("even", some)
    known = np.arange(len(EVEN)) < len(EVEN) - 5
    np.testing.assert_array_equal(ev.mask("even"), EVEN & known)
    np.testing.assert_array_equal(ev.mask("~even"), ~EVEN & known)
    trains = xr.DataArray([True, False], dims="train", coords={"train": DATA.train.values[[3, 7]]})
    np.testing.assert_array_equal(ev.mask(trains), DATA.train_id.values == DATA.train.values[3])
    with pytest.raises(ValueError, match="none of its values belongs to a frame or train"):
        ev.mask(trains.assign_coords(train=[1, 2]))


def test_masks_come_back_and_are_refused_for_other_rows(ev):
    known = np.arange(len(EVEN)) % 3 > 0
    mask = Mask.made(Column(EVEN, known), "pulse", ev.rows)
    again = Mask.from_dict(mask.to_dict())
    assert again.name == mask.name
    found = again.column(ev.rows)
    np.testing.assert_array_equal(found.values, EVEN & known)
    np.testing.assert_array_equal(found.there, known)
    with pytest.raises(ValueError, match="booleans for each pulse of another table"):
        again.column(table(seed=1).rows)


def test_what_is_no_mask_is_refused(ev):
    with pytest.raises(
        ValueError, match=r"what selects has 3 values; expected one for each of \d+ rows, or of 20 trains"
    ):
        given(np.ones(3, bool), ev.rows)
    with pytest.raises(TypeError, match="an array of int64 selects nothing"):
        given(np.arange(len(EVEN)), ev.rows)
    for shape in ((), (len(EVEN), 2)):
        with pytest.raises(TypeError, match="expected one for each row, or each train"):
            given(np.ones(shape, bool), ev.rows)
    with pytest.raises(ValueError, match="no mask of a selection"):
        Mask.from_dict({"rate": "pulse"})
    hidden = np.ma.array(EVEN, mask=~EVEN)
    assert not ev.mask(hidden).sum() - EVEN.sum()
