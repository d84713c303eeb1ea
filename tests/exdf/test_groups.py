"""Keys of an index group agree on how many entries each train has."""

import numpy as np
import pytest

from dxflow.exdf import DS, ExdfError
from dxflow.exdf.declare import declared
from dxflow.exdf.groups import IndexGroup
from dxflow.exdf.series import Series

TRAINS = [7, 8, 9]


def group(a, b):
    """Return a group of three keys; the third was given nothing."""
    made = declared({k: DS("D/E/F:o", f"g.{k}") for k in "abc"}, {}, {})
    members = [Series(made[k]) for k in "abc"]
    for series, counts in zip(members, (a, b), strict=False):
        if counts:
            series.add(counts, np.zeros(sum(counts)))
    return IndexGroup("D/E/F:o", "g", members)


def test_a_group_is_complete_as_far_as_its_shortest_key():
    assert group([1, 2], [1]).complete == 0
    assert [s.declared.key for s in group([1], [1]).used] == ["g.a", "g.b"]


def test_at_the_end_trains_without_data_have_none():
    one = group([1, 2], [1, 2])
    one.end(TRAINS)
    assert one.counts(0, 3).tolist() == [1, 2, 0]


def test_a_count_of_0_may_be_left_out_by_the_other_key():
    one = group([1, 0, 0], [1])
    one.end(TRAINS)
    one.check(3, TRAINS)


@pytest.mark.parametrize(("a", "b", "train"), [([1, 2], [1], 8), ([1], [1, 0, 3], 9)])
def test_a_train_that_only_one_key_has_is_named(a, b, train):
    with pytest.raises(ExdfError, match="has no data at the end") as caught:
        group(a, b).end(TRAINS)
    assert (caught.value.source, caught.value.train) == ("D/E/F:o", train)


def test_the_first_train_with_different_counts_is_named():
    with pytest.raises(
        ExdfError, match=r"D/E/F:o, key g\.b \(b\), train 8: 3 entries, but g\.a has 2 in this train"
    ):
        group([1, 2, 1], [1, 3, 1]).check(3, TRAINS)
