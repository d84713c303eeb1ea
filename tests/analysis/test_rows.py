"""Rows of a table: which train each is of."""

import numpy as np
import pytest
from smalltables import dataset

from dxflow.analysis.rows import Rows


def test_each_row_knows_the_position_of_its_train_in_any_order_of_trains():
    trains = np.array([7, 3, 9], np.uint64)
    rows = Rows(np.array([3, 3, 5, 7, 9, 11], np.uint64), np.zeros(6, int), trains)
    assert rows.of_train.tolist() == [1, 1, -1, 0, 2, -1]
    assert Rows(trains, trains, trains[:0]).of_train.tolist() == [-1, -1, -1]


def test_rows_without_ids_are_no_table():
    with pytest.raises(ValueError, match="no table: its dimension 'pulse' has no coordinate 'train_id'"):
        Rows.of(dataset().drop_vars("train_id"))
