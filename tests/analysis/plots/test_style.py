"""Labels have units as they are written in papers; limits and scales follow what values mean."""

import numpy as np
import pytest

from dxflow.analysis.plots import style


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        ("1/angstrom", "q (Å⁻¹)"),
        ("photons/uJ", "q (photons/µJ)"),
        ("adu", "q (adu)"),
        ("degC", "q (degC)"),
        ("", "q"),
        (None, "q"),
    ],
)
def test_labels(unit, written):
    assert style.label("q", unit) == written


def test_values_over_decades_are_logarithmic_unless_some_are_below_0():
    wide = np.geomspace(1, 1e4, 100)
    assert style.is_log(wide)
    assert not style.is_log(np.linspace(1, 2, 100))
    assert not style.is_log(np.where(np.arange(100) % 3, wide, -wide))
    assert not style.is_log(np.array([np.nan, np.inf, 0.0]))
    assert not style.is_log(np.zeros(0))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], (0, 1)),
        ([np.nan], (0, 1)),
        ([5.0], (4.5, 5.5)),
        ([-1.0, -1.0, 0.9, 0.9], (-1, 1)),
        # A little noise below 0 is no difference.
        ([-0.1, -0.1, 9.0, 9.0], (-0.1, 9)),
    ],
)
def test_limits_of_colours(values, expected):
    assert style.limits(np.array(values)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([320, 320], (319, 321)), ([1, 1], (0, 1)), ([0], (0, 1)), ([0, 1, 2, 7], (0, 7)), ([-3, 4], (-4, 4))],
)
def test_limits_of_whole_numbers_are_whole(values, expected):
    assert style.limits(np.array(values), whole=True) == expected


def test_a_few_outliers_do_not_stretch_colours():
    values = np.concatenate([np.linspace(0, 1, 10_000), [1e6]])
    assert style.limits(values)[1] <= 1


def test_borders_lie_halfway():
    assert style.edges(np.array([1.0, 2.0, 4.0])).tolist() == [0.5, 1.5, 3.0, 5.0]
    assert style.edges(np.array([3.0])).tolist() == [2.5, 3.5]
    assert style.edges(np.array([])).tolist() == []


def test_nothing_is_changed_outside_of_the_context():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style.styled():
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert dict(mpl.rcParams) == before
