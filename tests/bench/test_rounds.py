"""Cases in turn, ratios, lines of the table."""

import pytest

from dxflow.bench.rounds import Cannot, Group, Ratio, Sample, measure
from dxflow.bench.table import rows, text


def group(*ratios, **seconds):
    return Group("g", {k: lambda v=v: Sample(v, 100) for k, v in seconds.items()}, ratios)


@pytest.mark.parametrize(
    ("ratio", "value", "reached"),
    [
        (Ratio("w", "a", ("b",), 2.0), 2.0, True),
        (Ratio("w", "a", ("b",), 2.1), 2.0, False),
        (Ratio("w", "a", ("b",), 0.5, False, "seconds"), 0.5, True),
        (Ratio("w", "c", ("a", "b"), 1.0, False, "seconds"), 2.0, False),
        (Ratio("w", "c", ("a", "b"), 3.0, False, "longest"), 3.0, True),
        (Ratio("w", "c", ("a",), 1.3, False, "seconds", allowance=5.0), 1.0, True),
        (Ratio("w", "a", ("b",)), 2.0, None),
    ],
)
def test_a_ratio_and_its_target(ratio, value, reached):
    (row,) = rows([measure(group(ratio, a=1.0, b=2.0, c=6.0), 2)])
    assert row.ratio == row.low == row.high == value
    assert row.reached is reached


def test_cases_take_turns_and_what_cannot_is_tried_once():
    order = []

    def case(name):
        def do():
            order.append(name)
            if name == "b":
                raise Cannot("no such library")
            return Sample(1.0, 1)

        return do

    made = Group("g", {n: case(n) for n in "abc"}, (Ratio("w", "a", ("b",)), Ratio("w", "a", ("c",))))
    measured = measure(made, 2, warm_up=False)
    assert "".join(order) == "abcac"
    assert "cannot: b: no such library" in text(rows([measured]))


def test_no_round_begins_after_the_time_is_up():
    assert len(measure(group(a=1.0), 5, until=0.0).rounds) == 1
