"""Rows with pump and without, by a flag and by patterns of ids."""

import numpy as np
import pytest
from smalltables import dataset, table

DATA = dataset()
VALID = DATA.lit_valid.values
LIT = DATA.lit.values & VALID


@pytest.fixture
def ev():
    return table()


def test_a_flag_makes_on_and_off_and_what_is_not_known_is_neither(ev):
    on, off = ev.on_off("lit", where="photons > 3")
    few = DATA.photons.values > 3
    np.testing.assert_array_equal(on.mask, LIT & few)
    np.testing.assert_array_equal(off.mask, ~LIT & VALID & few)
    assert [*ev.selections] == ["on", "off"]


def test_cuts_that_mean_nothing_without_pump_are_said_and_are_not_guessed(ev):
    laser = DATA.laser.sel(train=DATA.train_id).values
    on, off = ev.on_off(ev.laser, where="lit", only_on="delay > 2", names=("pumped", "dark"))
    np.testing.assert_array_equal(on.mask, laser & LIT & (DATA.delay.sel(train=DATA.train_id).values > 2))
    np.testing.assert_array_equal(off.mask, ~laser & LIT)


def test_a_pattern_goes_by_ids_so_that_a_missing_pulse_moves_none(ev):
    on, off = ev.on_off(pattern=["on", "off", None])
    turn = DATA.pulse_id.values // 4 % 3
    np.testing.assert_array_equal(on.mask, turn == 0)
    np.testing.assert_array_equal(off.mask, turn == 1)
    on, off = ev.on_off(pattern=[False, True], per="train")
    np.testing.assert_array_equal(on.mask, (DATA.train_id.values - 10001) % 2 == 1)
    on, off = ev.on_off(pattern=[True, False], first=4, step=8)
    np.testing.assert_array_equal(on.mask, (DATA.pulse_id.values.astype(int) - 4) // 8 % 2 == 0)


def test_what_is_no_pattern_is_refused(ev):
    for options in ({}, {"flag": "lit", "pattern": [True, False]}):
        with pytest.raises(ValueError, match="expected one of flag="):
            ev.on_off(**options)
    for wrong in (["on", "of"], "on", [True, True], [1, 0], [None]):
        with pytest.raises(ValueError, match="pattern="):
            ev.on_off(pattern=wrong)
    for options in ({"first": -1}, {"step": 0}, {"step": 1.5}):
        with pytest.raises(ValueError, match="expected a whole number from"):
            ev.on_off(pattern=[True, False], **options)
    with pytest.raises(ValueError, match="per='run': expected 'pulse' or 'train'"):
        ev.on_off(pattern=[True, False], per="run")
    later = type(ev)(DATA.assign_coords(train_id=DATA.train_id << 40))
    with pytest.raises(ValueError, match="these are times of events: give flag="):
        later.on_off(pattern=[True, False])
