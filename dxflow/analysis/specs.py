"""Specs of bins: how values are cut, as a user says it in Python, in a configuration or on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors.kinds import NUMBER, WHOLE, Kind, expect, maybe, shown

EXPECTED = (
    "a number of bins (50), a range and a number (-1:5:50), edges (-1,0,5), unique, unique(tolerance) or "
    "quantiles(number); of circular variables with the period behind it (36%360)"
)
MOST = 100_000
"""Bins that one axis may have."""
ROUNDING = 1e-9
"""Part of the largest value by which equal positions may differ."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PERIOD = Kind("a number above 0", lambda x: NUMBER.fits(x) and 0 < x < np.inf)
_COUNT = Kind(f"a whole number from 1 to {MOST}", lambda n: WHOLE.fits(n) and 1 <= n <= MOST)
_EDGES = Kind("edges of bins: at least two finite numbers that increase", lambda edges: increase(edges))


def increase(edges: Any) -> bool:
    """Return whether these are edges of bins: at least two, finite, each above the one before."""
    return len(edges) > 1 and bool(np.all(np.isfinite(edges)) and np.all(np.diff(edges) > 0))


@dataclass(frozen=True)
class Bins:
    """How values are cut: made by `Bins.of`, or one of the other class methods.

    As a text it is what `Bins.of` and the command line take.

    Parameters
    ----------
    kind : {"edges", "equal", "unique", "quantiles"}
    numbers : tuple of float
        Edges; the lowest and highest one, or nothing for those of the values; the tolerance; nothing.
    count : int
        Of bins, for "equal" and "quantiles".
    period : float, optional
        Of a circular variable, such as 360 of an angle: values that differ by it are the same.
    """

    kind: str
    numbers: tuple[float, ...] = ()
    count: int = 0
    period: float | None = None

    def __post_init__(self) -> None:
        expect(maybe(_PERIOD), self.period, "bins: period=", ValueError)
        if self.kind in ("equal", "quantiles"):
            expect(_COUNT, self.count, "bins: ", ValueError)
        if self.kind == "edges" or self.numbers and self.kind == "equal":
            expect(_EDGES, self.numbers, "bins: ", ValueError)
            if self.period and self.numbers[-1] - self.numbers[0] > self.period * (1 + ROUNDING):
                raise ValueError(f"bins: {self} is more than one period")
        if self.kind == "unique" and not 0 <= self.numbers[0] < np.inf:
            raise ValueError(f"bins: {self}: expected a tolerance from 0")

    @classmethod
    def of(cls, given: Any) -> Bins:
        """Return bins as a user gives them: `Bins`, a number of them, a text, or edges.

        Raises
        ------
        TypeError, ValueError
            If it is none of them.
        """
        if isinstance(given, Bins):
            return given
        if isinstance(given, str):
            return _read(given)
        if WHOLE.fits(given):
            return cls.equal(given)
        edges = np.asarray(given)
        if edges.dtype.kind not in "iuf" or edges.ndim != 1:
            raise TypeError(f"bins: {shown(given)}: expected {EXPECTED}")
        return cls.edges(edges)

    @classmethod
    def edges(cls, edges: Any, period: float | None = None) -> Bins:
        """Return bins with these edges: each holds its lower one, the last also its upper."""
        return cls("edges", tuple(float(edge) for edge in edges), period=period)

    @classmethod
    def equal(
        cls, count: int, low: float | None = None, high: float | None = None, period: float | None = None
    ) -> Bins:
        """Return so many equally wide bins, from `low` to `high`, or over the values that are selected.

        Those of a circular variable are over its whole period, from 0, if there is no range.
        """
        given = [end for end in (low, high) if end is not None]
        if len(given) == 1:
            raise ValueError("bins: expected both low= and high=, or neither")
        return cls("equal", tuple(map(float, given)), count, period)

    @classmethod
    def unique(cls, tolerance: float = 0, period: float | None = None) -> Bins:
        """Return one bin for each position of a discrete scan: values within `tolerance` of the lowest in it."""
        return cls("unique", (float(tolerance),), period=period)

    @classmethod
    def quantiles(cls, count: int, period: float | None = None) -> Bins:
        """Return so many bins that hold equally many of the values that are selected."""
        return cls("quantiles", (), count, period)

    def __str__(self) -> str:
        numbers = [f"{x:.17g}" if float(f"{x:.15g}") != x else f"{x:.15g}" for x in self.numbers]
        text = {
            "edges": ",".join(numbers),
            "equal": ":".join([*numbers, str(self.count)]),
            "unique": f"unique({numbers[0]})" if self.numbers and self.numbers[0] else "unique",
            "quantiles": f"quantiles({self.count})",
        }[self.kind]
        return f"{text}%{self.period:.17g}" if self.period else text


def parse(text: str) -> tuple[str, Bins]:
    """Return the variable and the bins of a text such as ``delay=-1:5:50``.

    Raises
    ------
    ValueError
        If it is no such text.
    """
    name, equals, what = text.rpartition("=")
    if not equals or not name.strip():
        raise ValueError(f"bins: {text!r}: expected a name, =, and {EXPECTED}")
    return name.strip(), _read(what)


def by_name(bins: Any) -> Mapping[str, Any]:
    """Return bins by variable, also of texts such as ``["delay=-1:5:50", "energy=unique"]``.

    Raises
    ------
    TypeError, ValueError
        If there is none, or one is no text of bins.
    """
    if not isinstance(bins, Mapping):
        texts = [bins] if isinstance(bins, str) else bins
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"bins: {shown(bins)}: expected a dict of variables and their bins")
        bins = dict(parse(text) for text in texts)
    if not bins:
        raise ValueError("bins: there is none; expected a variable and its bins, such as {'delay': 50}")
    return bins


def _read(text: str) -> Bins:
    """Return bins of a text."""
    what, percent, period = text.strip().strip("[]").partition("%")
    circle = float(period) if percent and re.fullmatch(_NUMBER, period.strip()) else None
    found = re.fullmatch(r"(unique|quantiles)(?:\((.*)\))?", what := re.sub(r"\s", "", what))
    numbers = (found[2] or "").split(",") if found else re.split("[:,]", what)
    numbers = [n for n in numbers if n]
    if bool(percent) != (circle is not None) or not all(re.fullmatch(_NUMBER, n) for n in numbers):
        raise ValueError(f"bins: {text!r}: expected {EXPECTED}")
    values = [float(n) for n in numbers]
    if found and found[1] == "unique" and len(values) <= 1:
        return Bins.unique(values[0] if values else 0, circle)
    if found and len(values) == 1:
        return Bins.quantiles(_whole(values[0], text), circle)
    if not found and "," not in what and len(values) in (1, 3):
        low, high = values[:2] if values[1:] else (None, None)
        return Bins.equal(_whole(values[-1], text), low, high, circle)
    if not found and ":" not in what and len(values) > 1:
        return Bins.edges(values, circle)
    raise ValueError(f"bins: {text!r}: expected {EXPECTED}")


def _whole(number: float, text: str) -> int:
    if number != int(number):
        raise ValueError(f"bins: {text!r}: {number:g} is no number of bins; expected {EXPECTED}")
    return int(number)
