"""Moments of rows in groups, added bit by bit, against numpy on all of them."""

import numpy as np

from dxflow.algorithms._moments import add, add_rows, finish


def test_rows_of_groups_that_come_in_parts_are_those_of_numpy():
    random = np.random.default_rng(2)
    values = 1e6 + random.normal(size=(40, 3))
    values[random.random(values.shape) < 0.2] = np.nan
    slots = random.integers(-1, 3, 40)
    slots[slots == 1] = 0
    halves = []
    for part in (slice(0, 7), slice(7, 40)):
        halves.append((np.zeros((3, 3), int), np.zeros((3, 3)), np.zeros((3, 3))))
        add_rows(slots[part], values[part], *halves[-1])
    add(*halves[0], *halves[1])
    count, mean, squares = halves[0]
    error = finish(count, mean, squares)
    for slot in (0, 2):
        own = values[slots == slot]
        n = np.isfinite(own).sum(axis=0)
        np.testing.assert_array_equal(count[slot], n)
        np.testing.assert_allclose(mean[slot], np.nanmean(own, axis=0), rtol=1e-14)
        np.testing.assert_allclose(squares[slot], np.nanvar(own, axis=0, ddof=1), rtol=1e-9)
        np.testing.assert_allclose(error[slot], np.nanstd(own, axis=0, ddof=1) / np.sqrt(n), rtol=1e-9)
    assert not count[1].any()
    assert np.isnan([mean[1], squares[1], error[1]]).all()
