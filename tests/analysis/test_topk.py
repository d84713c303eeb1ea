"""The best rows of bins against sorting all of them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.analysis.topk import best, sortable

DTYPES = ("f4", "f8", "i8", "u8", "i2", "?")


@st.composite
def rows(draw):
    """Return bins, values with many that are equal, and k."""
    n, dtype = draw(st.integers(0, 60)), draw(st.sampled_from(DTYPES))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = random.integers(-4, 5, n)
    special = (
        [-0.0, np.inf, -np.inf, 5e-324, 1e300]
        if dtype == "f8"
        else [np.iinfo(dtype).max]
        if dtype[0] in "iu"
        else []
    )
    values = np.abs(values).astype(dtype) if dtype == "u8" else values.astype(dtype)
    if special:
        at = random.random(n) < 0.3
        values[at] = random.choice(special, at.sum())
    return random.integers(-1, 4, n), values, draw(st.integers(1, 9))


@settings(max_examples=150, deadline=None)
@given(rows(), st.booleans())
def test_the_best_of_each_bin_are_the_first_of_all_in_order(made, largest):
    bins, values, k = made
    keys = ~sortable(values) if largest else sortable(values)
    found, count = best(bins, keys, k, 4)
    # Positions in the order of values: numpy's own, so that equal ones keep the order of rows.
    place = np.unique(values, return_inverse=True)[1]
    order = np.lexsort((np.arange(len(values)), -place if largest else place, bins))
    for b in range(4):
        expected = order[bins[order] == b]
        assert count[b] == len(expected)
        np.testing.assert_array_equal(found[b], [*expected[:k], *[-1] * (k - len(expected))])


def test_many_of_a_bin_are_in_order_too():
    values = np.random.default_rng(3).integers(0, 300, 20_000)
    found, _ = best(np.zeros(len(values), np.int64), sortable(values), 5000, 1)
    np.testing.assert_array_equal(found[0], np.argsort(values, kind="stable")[:5000])
