"""Rows of a table: which train each is of."""

import numpy as np
import pytest
from smalltables import dataset

from dxflow.analysis import Table
from dxflow.analysis.rows import Rows, in_order


def test_each_row_knows_the_position_of_its_train_in_any_order_of_trains():
    trains = np.array([7, 3, 9], np.uint64)
    rows = Rows(np.array([3, 3, 5, 7, 9, 11], np.uint64), np.zeros(6, int), trains)
    assert rows.of_train.tolist() == [1, 1, -1, 0, 2, -1]
    assert Rows(trains, trains, trains[:0]).of_train.tolist() == [-1, -1, -1]


def test_rows_without_ids_are_no_table():
    with pytest.raises(ValueError, match="no table: its dimension 'pulse' has no coordinate 'train_id'"):
        Rows.of(dataset().drop_vars("train_id"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.isel(pulse=slice(None, None, -1)), "in order of train_id and pulse_id"),
        (lambda d: d.isel(pulse=[0, 1, 1, 2]), "in order of train_id and pulse_id"),
        (lambda d: d.isel(train=slice(None, None, -1)), "in order of train, each once"),
    ],
)
def test_nothing_is_joined_by_ids_to_rows_in_another_order(change, why):
    # It would be at other rows without a word.
    data = dataset()
    ev, one = Table(change(data)), Table(data)
    for use in (
        lambda: ev.add("y", data.xgm),
        lambda: ev.mask(data.xgm > 800),
        lambda: ev.nearest("xgm", on="lit", off="~lit"),
    ):
        with pytest.raises(ValueError, match=why):
            use()
    some = Table(data.isel(pulse=[2, 5, 9], train=[1, 4]))
    np.testing.assert_array_equal(some.mask(data.xgm > 800), one.mask("xgm > 800")[[2, 5, 9]])


def test_rows_are_in_order_if_each_is_later_than_the_one_before():
    for pairs, expected in (
        ([(1, 0), (1, 4), (2, 0)], True),
        ([(1, 0), (1, 0), (2, 0)], False),
        ([(1, 4), (1, 0)], False),
        ([(2, 0), (1, 4)], False),
        ([(2**63, 3), (2**63 + 1, 0)], True),
        ([(1, 1)], True),
    ):
        ids = np.array(pairs, np.uint64).T
        assert in_order(ids) == expected, pairs
    assert in_order((np.zeros(0), np.zeros(0)))
