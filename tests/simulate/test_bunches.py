"""Bits of the bunch pattern."""

import numpy as np
import pytest

from dxflow.simulate.bunches import bunch_table, other_slots, sase
from dxflow.simulate.schedule import Beam


def beam(lit, pump=False, slots=(0, 4, 8)):
    lit = np.array([lit], dtype=bool)
    return Beam(lit, np.broadcast_to(pump, lit.shape), lit.astype("f4"), np.array(slots))


def test_dark_slots_are_zero_and_lit_ones_carry_charge():
    table = bunch_table(beam([1, 0, 1]), "SPB", 0)
    assert table.shape == (1, 2700)
    assert table.dtype == np.uint32
    assert np.flatnonzero(table[0]).tolist() == [0, 8]
    assert (table[0, [0, 8]] & 0xF != 0).all()


@pytest.mark.parametrize(
    ("instrument", "number", "bits"),
    [("SPB", 1, 4 << 18), ("HED", 2, 2 << 18), ("SQS", 3, (4 << 18) | (1 << 27))],
)
def test_destination_is_that_of_the_undulator(instrument, number, bits):
    assert sase(instrument) == number
    mask = (0xF << 18) | (1 << 27)
    assert bunch_table(beam([1, 1, 1]), instrument, 0)[0, 4] & mask == bits


def test_neighbours_come_after_our_last_slot_and_never_pass_the_end():
    assert other_slots(beam([1, 1, 1]), 3).tolist() == [9, 10, 11]
    assert other_slots(beam([1, 1, 1], slots=(0, 1, 2697)), 9).tolist() == [2698, 2699]


def test_laser_fires_without_x_rays_too():
    table = bunch_table(beam([0, 0, 0], pump=True), "SPB", 0)
    assert np.flatnonzero(table[0]).tolist() == [0, 4, 8]
    assert not (table >> 18).any()
