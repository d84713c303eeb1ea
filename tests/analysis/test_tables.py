"""Table: the small data of a run."""

import numpy as np
from smalltables import dataset, table


def test_a_condition_over_values_per_pulse_and_per_train_says_which_rows_pass():
    data = dataset()
    delay = data.delay.sel(train=data.train_id).values
    expected = (data.xgm.values > 800) & data.lit.values & data.lit_valid.values & (delay < 3)
    np.testing.assert_array_equal(table().mask("xgm > 800 & lit & delay < 3"), expected)
    assert table().mask().all()
