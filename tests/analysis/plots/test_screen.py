"""Pictures of signs: each is what follows by hand from the few values that it is made of."""

import io

import numpy as np
import pytest

from dxflow.analysis.plots.screen import RAMP, Area, Screen, Span, along, resampled, shaded, short

PLAIN = Screen(30, 12, unicode=False)
WIDE = Screen(30, 12)


def cells(area):
    return ["".join(row) for row in area.cells]


def test_columns_are_as_high_as_values_in_eighths_of_a_sign():
    area = Area(WIDE, Span(0, 4), Span(0, 4), 1, 4)
    area.columns_up(np.array([0, 1, 2, 4]))
    assert cells(area) == [" ▂▄█"]
    area = Area(PLAIN, Span(0, 4), Span(0, 4), 2, 4)
    area.columns_up(np.array([0, 1, 3, 4]))
    # A quarter of two rows is half a sign of the lower one; three quarters are one and a half.
    assert cells(area) == ["  ##", " ###"]


def test_the_smallest_value_is_seen():
    for screen, sign in ((WIDE, "▁"), (PLAIN, "#")):
        area = Area(screen, Span(0, 1), Span(0, 1e6), 2, 2)
        area.columns_up(np.array([0, 1]))
        assert cells(area) == ["  ", f" {sign}"]


def test_a_line_is_made_of_dots_from_one_corner_to_the_other():
    area = Area(WIDE, Span(0, 1), Span(0, 1), 1, 2)
    area.line([0, 1], [0, 1])
    # Dots (column, row) of 4 x 4: (0, 3), (1, 2) are 0x40 + 0x20, (2, 1), (3, 0) are 0x02 + 0x08.
    assert cells(area) == ["\u2860\u280a"]
    area = Area(PLAIN, Span(0, 2), Span(0, 2), 3, 3)
    area.line([0, 1, 2], [0, 2, 0])
    assert cells(area) == [" * ", " **", "* *"]


def test_a_line_is_interrupted_where_a_value_is_missing():
    area = Area(PLAIN, Span(0, 4), Span(0, 1), 1, 5)
    area.line(range(5), [0, 0, np.nan, 0, 0])
    assert cells(area) == ["** **"]


def test_a_band_is_behind_the_line_and_between_its_bounds():
    area = Area(PLAIN, Span(0, 2), Span(0, 2), 3, 3)
    area.band([0, 1, 2], [0, 1, 1], [2, 1, 2])
    area.line([0, 1, 2], [1, 1, 1])
    assert cells(area) == [": :", "***", ":  "]


def test_points_have_bars_as_long_as_their_errors_and_those_without_a_value_are_not_there():
    area = Area(PLAIN, Span(0, 2), Span(0, 4), 5, 3)
    area.points([0, 1, 2], np.array([2.0, np.nan, 4.0]), np.array([1.0, 1.0, np.nan]), "o")
    assert cells(area) == ["  o", "|  ", "o  ", "|  ", "   "]


def test_axes_say_where_they_begin_and_end():
    area = Area(Screen(22, 12, unicode=False), Span(0, 10, name="q (1/A)"), Span(-1, 1, name="y"), 5)
    assert area.lines() == [
        "  y",
        "         1+",
        "          |",
        "         0+",
        "          |",
        "        -1+",
        "          +----------",
        "           0   5   10",
        "            q (1/A)",
    ]


def test_logarithmic_axes_have_decades_of_one_length():
    axis = Span.over([1, 10, 100, 0, -5], log=True)
    np.testing.assert_allclose(axis.part([1, 10, 100]), [0, 0.5, 1])
    assert np.isnan(axis.part([0.0])).all()
    assert axis.at(0.5) == "10"


@pytest.mark.parametrize(
    ("values", "ends"), [([], (0, 1)), ([np.nan], (0, 1)), ([3.0, 3.0], (2.5, 3.5)), ([1, np.inf, 2], (1, 2))]
)
def test_axes_of_no_values_one_value_and_infinite_ones(values, ends):
    axis = Span.over(values)
    assert (axis.low, axis.high) == ends


def test_numbers_have_as_many_digits_as_tell_them_apart():
    assert short(10052.0, 101) == "10052"
    assert short(1234567.0) == "1.235e+06"
    assert short(1e-18, 1.0) == "0"
    assert short(np.nan) == "-"


def test_images_are_shades_and_missing_values_stay_empty():
    image = np.array([[0.0, 1 / 3, 2 / 3, 1.0, np.nan]])
    assert shaded(image, 0, 1, WIDE) == ["░▒▓█"]
    assert shaded(np.array([[0.0, np.nan, 1.0]]), 0, 1, PLAIN) == [". @"]


def test_values_below_0_have_signs_of_their_own():
    assert shaded(np.array([[-1.0, 0.0, 1.0]]), -1, 1, PLAIN, both_ways=True) == ["= @"]


def test_two_rows_are_one_line_in_colours_and_none_is_painted_without():
    image = np.array([[0.0, np.nan], [1.0, 1.0]])
    colours = Screen(30, 12, True, True)
    low, high = f"38;5;{RAMP[0]}", RAMP[-1]
    assert shaded(image, 0, 1, colours) == [
        f"\x1b[{low};48;5;{high}m▀\x1b[0m\x1b[38;5;{high}m▄\x1b[0m",
    ]
    assert "\x1b" not in "".join(shaded(image, 0, 1, WIDE))


def test_images_become_smaller_by_means_of_what_is_there_and_larger_by_repeating():
    image = np.array([[0.0, 1.0, 2.0, np.nan], [2.0, 3.0, 4.0, np.nan]])
    assert resampled(image, (1, 2)).tolist() == [[1.5, 3.0]]
    assert resampled(image[:, :2], (2, 4)).tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]
    assert np.isnan(resampled(image[:, 3:], (1, 1))).all()
    assert along(np.arange(5), 0, 2).tolist() == [1, 9]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen.of(Terminal()).colour
    monkeypatch.setenv("NO_COLOR", "1")
    assert not Screen.of(Terminal()).colour
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not Screen.of(Terminal()).colour
    assert not Screen.of(io.StringIO()).colour


def test_signs_beyond_ascii_are_for_streams_that_take_them(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("LINES", "40")
    stream = Terminal()
    assert Screen.of(stream).unicode
    assert (Screen.of(stream).width, Screen.of(stream).height) == (120, 40)
    for encoding in ("ascii", "latin-1", None, "no such"):
        stream.encoding = encoding
        assert not Screen.of(stream).unicode
