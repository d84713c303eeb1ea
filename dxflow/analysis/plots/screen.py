"""A terminal to draw on: how large it is, what signs and colours it has, and an area with axes made of cells."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 10
"""Cells for the numbers of the vertical axis."""
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bits of the eight dots of a braille sign, (row, column)."""
BLOCKS = " ▁▂▃▄▅▆▇█"
SHADES, PLAIN_SHADES = " ░▒▓█", " .:-=+*#%@"
ABOVE, UNDER = " +*#@", " .:-="
"""Signs of values above and below 0."""
RAMP = (17, 54, 60, 61, 67, 66, 72, 71, 77, 113, 149, 185, 227)
"""Colours of 256 that rise as those of viridis do."""
TWO_WAYS = (25, 32, 74, 110, 153, 255, 223, 216, 209, 167, 124)
"""Blue below 0, white, red above."""
LINE, OTHER, FAINT = 32, 166, 245
"""Colours of 256: the first series, the second, what lies behind."""


@dataclass(frozen=True)
class Screen:
    """What a terminal can show: cells, whether beyond ASCII, whether in 256 colours."""

    width: int = 80
    height: int = 24
    unicode: bool = True
    colour: bool = False

    @classmethod
    def of(cls, stream: Any) -> Screen:
        """Return what a stream can show: colours on terminals only, and not with ``NO_COLOR`` in the environment."""
        size = shutil.get_terminal_size((80, 24))
        tty = bool(getattr(stream, "isatty", lambda: False)())
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"
        return cls(max(size.columns, 30), max(size.lines, 12), _writes(stream, "⣿▀░█"), tty and not plain)

    def paint(self, text: str, colour: int, behind: int = -1) -> str:
        """Return text in a colour, where there are colours."""
        if not self.colour or (colour < 0 and behind < 0):
            return text
        codes = [f"38;5;{colour}"] * (colour >= 0) + [f"48;5;{behind}"] * (behind >= 0)
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m"


def _writes(stream: Any, signs: str) -> bool:
    """Return whether a stream takes these signs."""
    try:
        signs.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@dataclass(frozen=True)
class Span:
    """An axis: its first and last value, whether it is logarithmic, and how its ends are written."""

    low: float
    high: float
    log: bool = False
    name: str = ""
    words: Sequence[str] = ()

    @classmethod
    def ends(cls, low: Any, high: Any, name: str = "") -> Span:
        """Return the axis between two numbers or times, which are written as such."""
        if np.asarray(low).dtype.kind == "M":
            return cls(0.0, 1.0, False, name, [str(np.datetime_as_string(t, "s")) for t in (low, high)])
        if np.asarray(low).dtype.kind == "m":
            return cls(0.0, 1.0, False, name, [str(t) for t in (low, high)])
        return cls(float(low), float(high), name=name)

    @classmethod
    def along(cls, borders: NDArray, name: str = "") -> Span:
        """Return the axis of bins that are all drawn as wide: in the middle stands the value that is there."""
        made, n = cls.ends(borders[0], borders[-1], name), (len(borders) - 1) / 2
        if made.words:
            return made
        middle = float(borders[int(n)] / 2 + borders[int(n + 0.5)] / 2)
        over = abs(made.high - made.low)
        return replace(made, words=[made.at(0.0), short(middle, over), made.at(1.0)])

    @classmethod
    def over(cls, *values: Any, log: bool = False, name: str = "", words: Sequence[str] = ()) -> Span:
        """Return the axis over all finite values, those above 0 if it is logarithmic."""
        every = np.concatenate([np.ravel(np.asarray(v, float)) for v in values])
        some = every[np.isfinite(every) & ((every > 0) | (not log))]
        if not len(some):
            return cls(0.0, 1.0, False, name, words)
        low, high = float(some.min()), float(some.max())
        if low == high:
            low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
        return cls(low, high, log, name, words)

    def part(self, values: Any) -> NDArray:
        """Return where values lie, 0 at the first and 1 at the last; NaN of what has no place."""
        values = np.asarray(values, float)
        if not self.log:
            return (values - self.low) / (self.high - self.low)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(values / self.low) / np.log(self.high / self.low)
        return np.where(values > 0, ratio, np.nan)

    def at(self, part: float) -> str:
        """Return the value at a part of the axis, as it is written."""
        if self.words:
            number = part * (len(self.words) - 1)
            return self.words[round(number)] if abs(number - round(number)) < 0.25 else ""
        if self.log:
            return short(self.low * (self.high / self.low) ** part)
        value = self.low + part * (self.high - self.low)
        return short(value, abs(self.high - self.low))


def short(value: float, over: float = 0.0) -> str:
    """Return a number in few signs, with as many digits as tell values within a range apart."""
    if not np.isfinite(value):
        return "-"
    if over and abs(value) < 1e-9 * over:
        value = 0.0
    digits = 4 if not over or not value else int(np.clip(np.ceil(np.log10(abs(value) / over)) + 3, 3, 9))
    return f"{value:.{digits}g}"


@dataclass(eq=False)
class Area:
    """Cells to draw in, with axes around them.

    Parameters
    ----------
    screen : Screen
    x, y : Span
    rows : int
        Cells from top to bottom, without the axis below.
    columns : int
        From left to right; all that fit by default.
    """

    screen: Screen
    x: Span
    y: Span
    rows: int
    columns: int = 0
    cells: NDArray = field(init=False)
    colours: NDArray = field(init=False)

    def __post_init__(self) -> None:
        self.columns = self.columns or self.screen.width - MARGIN - 2
        self.cells = np.full((self.rows, self.columns), " ", "U1")
        self.colours = np.full((self.rows, self.columns), -1)

    def band(self, x: Any, low: Any, high: Any) -> None:
        """Fill what lies between low and high values."""
        at = self._columns(x)
        bounds = (self._columned(at, self._rows(v)) for v in (low, high))
        row = np.arange(self.rows)[:, None]
        below, above = bounds
        inside = (row <= below) & (row >= above)
        self._put(inside, "░" if self.screen.unicode else ":", FAINT)

    def line(self, x: Any, y: Any, colour: int = LINE, sign: str = "*") -> None:
        """Draw a line through points; it is interrupted where a value is missing."""
        fine = (4, 2) if self.screen.unicode else (1, 1)
        dots = np.zeros((self.rows * fine[0], self.columns * fine[1]), bool)
        for xs, ys in _stretches(self.x.part(x), self.y.part(y)):
            column, row = _joined(xs, ys, dots.shape)
            dots[row, column] = True
        if not self.screen.unicode:
            self._put(dots, sign, colour)
            return
        bits = (dots.reshape(self.rows, 4, self.columns, 2) * DOTS[:, None, :]).sum(axis=(1, 3))
        signs = np.array([chr(0x2800 + n) for n in range(256)])[bits]
        self._put(bits > 0, signs, colour)

    def points(self, x: Any, y: Any, error: Any, sign: str, colour: int = LINE) -> None:
        """Draw points with bars of their errors."""
        column, row = self._columns(x), self._rows(y)
        low, high = self._rows(np.asarray(y) - error), self._rows(np.asarray(y) + error)
        for c, r, below, above in zip(column, row, low, high, strict=True):
            if c < 0 or np.isnan(r):
                continue
            if np.isfinite(below + above):
                inside = np.zeros(self.cells.shape, bool)
                inside[int(above) : int(below) + 1, c] = True
                self._put(inside, "│" if self.screen.unicode else "|", colour)
            self.cells[int(r), c] = sign
            self.colours[int(r), c] = colour

    def columns_up(self, heights: NDArray) -> None:
        """Draw a column of the height of each value, one for each column of cells."""
        part = np.nan_to_num(self.y.part(heights)).clip(0, 1)
        # What is there at all is seen.
        eighths = np.maximum(np.round(8 * self.rows * part), heights > 0)
        of_row = (eighths - 8 * np.arange(self.rows)[::-1, None]).clip(0, 8).astype(int)
        if self.screen.unicode:
            self._put(of_row > 0, np.array(list(BLOCKS))[of_row], LINE)
        else:
            self._put((of_row >= 4) | ((of_row > 0) & (eighths < 8)), "#", LINE)

    def lines(self) -> list[str]:
        """Return the lines of the area and its axes."""
        mark = ("┤", "│", "└", "─") if self.screen.unicode else ("+", "|", "+", "-")
        named = {0: self.y.at(1.0), self.rows - 1: self.y.at(0.0)}
        if self.rows > 4:
            named[(self.rows - 1) // 2] = self.y.at(1 - ((self.rows - 1) // 2) / (self.rows - 1))
        out = [f"  {self.y.name}"] if self.y.name else []
        for n in range(self.rows):
            left = f"{named.get(n, '')[:MARGIN]:>{MARGIN}}{mark[0] if n in named else mark[1]}"
            out.append((left + self._row(n)).rstrip())
        out.append(" " * MARGIN + mark[2] + mark[3] * self.columns)
        return [*out, *below(self.x, self.columns, MARGIN + 1)]

    def _row(self, n: int) -> str:
        """Return a row of cells, painted in stretches of one colour."""
        colours = self.colours[n]
        starts = [0, *(np.flatnonzero(np.diff(colours)) + 1), self.columns]
        return "".join(
            self.screen.paint("".join(self.cells[n, a:b]), int(colours[a]))
            for a, b in zip(starts[:-1], starts[1:], strict=True)
        )

    def _put(self, where: NDArray, signs: Any, colour: int) -> None:
        self.cells = np.where(where, signs, self.cells)
        self.colours = np.where(where, colour, self.colours)

    def _columns(self, x: Any) -> NDArray:
        """Return the column of each value, -1 of those beyond."""
        part = self.x.part(x)
        inside = (part >= 0) & (part <= 1)
        return np.where(inside, np.nan_to_num(part) * (self.columns - 1) + 0.5, -1).astype(int)

    def _rows(self, y: Any) -> NDArray:
        """Return the row of each value, those beyond at the border; NaN of none."""
        part = self.y.part(y)
        return np.floor((1 - part.clip(0, 1)) * (self.rows - 1) + 0.5)

    def _columned(self, at: NDArray, rows: NDArray) -> NDArray:
        """Return a row for each column: of the values there, or between those beside; NaN beyond."""
        good = (at >= 0) & np.isfinite(rows)
        if not good.any():
            return np.full(self.columns, np.nan)
        order = np.argsort(at[good], kind="stable")
        return np.interp(np.arange(self.columns), at[good][order], rows[good][order], np.nan, np.nan).round()


def below(x: Span, columns: int, margin: int) -> list[str]:
    """Return the numbers below an axis, and its name."""
    left, middle, right = x.at(0.0), x.at(0.5), x.at(1.0)
    room = columns - len(left) - len(right)
    line = f"{left}{middle if room > len(middle) + 2 else '':^{max(room, 1)}}{right}"
    out = [" " * margin + line]
    return [*out, " " * margin + f"{x.name:^{columns}}".rstrip()] if x.name else out


def _stretches(x: NDArray, y: NDArray) -> list[tuple[NDArray, NDArray]]:
    """Return the stretches of points without a missing value, within the axes."""
    good = np.isfinite(x) & np.isfinite(y) & (x >= 0) & (x <= 1)
    parts = np.split(np.arange(len(x)), np.flatnonzero(np.diff(good)) + 1)
    return [(x[one], y[one].clip(0, 1)) for one in parts if len(one) and good[one[0]]]


def _joined(x: NDArray, y: NDArray, shape: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Return column and row of all dots of a line through points, as near to each other as dots are."""
    column, row = x * (shape[1] - 1), (1 - y) * (shape[0] - 1)
    steps = np.ceil(np.maximum(np.abs(np.diff(column)), np.abs(np.diff(row)))).astype(int).clip(1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    fine = np.arange(at[-1] + 1)
    return tuple((np.interp(fine, at, v) + 0.5).astype(int) for v in (column, row))


def shaded(image: NDArray, low: float, high: float, screen: Screen, *, both_ways: bool = False) -> list[str]:
    """Return an image, (row, column), in colours or in shades; two rows in a line of text where there are colours.

    What is missing stays empty.
    """
    part = ((image - low) / (high - low)).clip(0, 1)
    if screen.colour and screen.unicode:
        return _halves(part, TWO_WAYS if both_ways else RAMP, screen)
    if both_ways:
        return _signed(2 * part - 1, screen)
    signs = np.array(list(SHADES if screen.unicode else PLAIN_SHADES))
    # The lowest shade is empty as well: values begin with the next one.
    level = 1 + np.nan_to_num(part * (len(signs) - 2)).round().astype(int)
    drawn = signs[np.where(np.isnan(part), 0, level)]
    return ["".join(row).rstrip() for row in drawn]


def _signed(part: NDArray, screen: Screen) -> list[str]:
    """Return values from -1 to 1 in signs: others below 0 than above."""
    above, under = (np.array(list(s)) for s in (SHADES if screen.unicode else ABOVE, UNDER))
    level = np.nan_to_num(np.abs(part) * (len(UNDER) - 1)).round().astype(int)
    return ["".join(row).rstrip() for row in np.where(part < 0, under[level], above[level])]


def _halves(part: NDArray, ramp: Sequence[int], screen: Screen) -> list[str]:
    """Return two rows of an image as one line: the upper half of a cell has the colour of the first."""
    colours = np.array([*ramp, -1])
    pairs = np.concatenate([part, np.full((len(part) % 2, part.shape[1]), np.nan)])
    level = colours[
        np.where(np.isnan(pairs), len(ramp), np.nan_to_num(pairs * (len(ramp) - 1)).round()).astype(int)
    ]
    return [
        "".join(_cell(int(up), int(down), screen) for up, down in zip(upper, lower, strict=True)).rstrip()
        for upper, lower in zip(level[::2], level[1::2], strict=True)
    ]


def _cell(up: int, down: int, screen: Screen) -> str:
    if up < 0:
        return screen.paint("▄", down) if down >= 0 else " "
    return screen.paint("▀", up, down)


def rows_of(screen: Screen, taken: int) -> int:
    """Return how many rows of cells are left for a picture beside so many lines."""
    return max(screen.height - taken, 6)


def resampled(image: NDArray, shape: tuple[int, int]) -> NDArray:
    """Return an image of another shape: means of the values that are there, or values repeated."""
    there = np.isfinite(image)
    total, count = np.where(there, image, 0.0).astype(float), there.astype(float)
    for axis, n in enumerate(shape):
        total, count = (along(one, axis, n) for one in (total, count))
    return np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)


def along(values: NDArray, axis: int, n: int) -> NDArray:
    """Return sums of neighbours along an axis of more than n values, else values repeated."""
    first = np.arange(n) * values.shape[axis] // n
    return np.add.reduceat(values, first, axis) if values.shape[axis] > n else values.take(first, axis)
