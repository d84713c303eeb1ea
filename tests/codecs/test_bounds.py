"""Bounds as users write them, and as they are refused."""

import math

import pytest

from dxflow import PlanError
from dxflow.codecs.bounds import Bound


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        (None, None),
        ("abs=0.5", Bound(0.5)),
        ("rel=1e-3", Bound(relative=1e-3)),
        ("abs=0.5,rel=1e-3", Bound(0.5, 1e-3)),
        ({"absolute": 2}, Bound(2.0)),
        (Bound(0.1), Bound(0.1)),
    ],
)
def test_one_meaning_in_all_forms(given, bound):
    assert Bound.of(given) == bound
    assert bound is None or Bound.of(str(bound)) == bound


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0.5", "expected 'abs=0.5'"),
        ("abs", "expected 'abs=0.5'"),
        ("abs=much", "expected 'abs=0.5'"),
        ("max=1", "expected 'abs=0.5'"),
        ("", "expected 'abs=0.5'"),
        ({}, "expected 'abs=0.5'"),
        (0.5, "expected 'abs=0.5'"),
        ("abs=0", "above 0"),
        ("abs=-1", "above 0"),
        ("abs=nan", "above 0"),
        ("abs=inf", "above 0"),
        ("rel=0.7", "at most 0.5"),
    ],
)
def test_what_is_no_bound_is_refused(given, says):
    with pytest.raises(PlanError, match=says):
        Bound.of(given)


@pytest.mark.parametrize("absolute", [0.5, 0.1, 0.3, 1e-6, 7.0, 1e20])
def test_a_grid_has_four_bits_and_is_within_the_bound(absolute):
    grid = Bound(absolute).grid
    assert 8 / 9 * 2 * absolute < grid <= 2 * absolute
    assert math.frexp(grid)[0] * 16 % 1 == 0
