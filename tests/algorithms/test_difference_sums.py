"""Sums of `difference`: however trains are cut into partials and these merged, they give the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow import Partial
from dxflow.algorithms._difference_sums import Paired, Pooled, Rows

SHAPE = (2, 3)


def partial(how):
    made = how.state(SHAPE)
    return Partial({name: np.zeros(o.shape, o.dtype) for name, o in made.items()}, {})


def rows(random, n):
    y = random.normal(10, 1, (n, 3))
    y[random.random(y.shape) < 0.2] = np.nan
    kind, slot = random.integers(0, 2, n), random.integers(0, 2, n)
    return Rows(y, random.uniform(1, 2, (n, 1)), kind, slot)


def merged(how, trains, cuts):
    """Return what trains give that are added in stretches, which are merged in pairs of neighbours."""
    parts = []
    for some in np.split(np.arange(len(trains)), cuts):
        parts.append(partial(how))
        for k in some:
            how.add(parts[-1], *trains[k])
    while len(parts) > 1:
        for k in range(len(parts) // 2):
            how.merge(parts[k], parts.pop(k + 1))
    return how.finish(parts[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.lists(st.integers(0, 12), max_size=6))
@pytest.mark.parametrize("how", [Paired(1), Paired(2), Paired(5), Pooled()], ids=str)
def test_trains_cut_anywhere_give_the_same(how, seed, n, cuts):
    random = np.random.default_rng(seed)
    ids = np.sort(random.choice(30, n, replace=False))
    trains = [(int(one), rows(random, int(random.integers(0, 6)))) for one in ids]
    whole, cut = (merged(how, trains, places) for places in ([], sorted(min(c, n) for c in cuts)))
    for name, values in whole.items():
        np.testing.assert_allclose(cut[name], values, rtol=1e-9, atol=1e-12, equal_nan=True, err_msg=name)
