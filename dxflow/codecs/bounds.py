"""Bound: by how much a value may be changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import PlanError

NAMES = {"abs": "absolute", "absolute": "absolute", "rel": "relative", "relative": "relative"}


@dataclass(frozen=True)
class Bound:
    """By how much a value may be changed; with both, by the larger of the two.

    Parameters
    ----------
    absolute : float, optional
        In the unit of the data.
    relative : float, optional
        As a share of the value, at most 0.5.
    """

    absolute: float | None = None
    relative: float | None = None

    def __post_init__(self) -> None:
        from .rounding import steps

        try:
            steps(self.absolute, self.relative, "f4")
        except (ValueError, TypeError) as e:
            raise PlanError(f"round={self}: {e}") from e

    @classmethod
    def of(cls, given: Any) -> Bound | None:
        """Return what a user means by a bound: one, ``"abs=0.5"``, ``"abs=0.5,rel=1e-3"`` or a mapping; None is none.

        Raises
        ------
        PlanError
            If it is none of these, or no bound.
        """
        if given is None or isinstance(given, cls):
            return given
        words = f"round={given!r}: expected 'abs=0.5', 'rel=1e-3', both with a comma between, or {{'absolute': 0.5}}"
        if isinstance(given, str):
            given = dict(part.partition("=")[::2] for part in given.split(","))
        if not isinstance(given, Mapping) or not given or not {*given} <= {*NAMES}:
            raise PlanError(words)
        try:
            return cls(**{NAMES[name]: float(value) for name, value in given.items()})
        except (ValueError, TypeError) as e:
            if isinstance(e, PlanError):
                raise
            raise PlanError(words) from e

    def __str__(self) -> str:
        parts = (("abs", self.absolute), ("rel", self.relative))
        return ",".join(f"{name}={value!r}" for name, value in parts if value is not None)

    @property
    def words(self) -> str:
        """Say it."""
        parts = [f"{self.absolute:g}"] if self.absolute is not None else []
        parts += [f"{self.relative:g} of the value"] if self.relative is not None else []
        return " or ".join(parts)

    @property
    def largest(self) -> tuple[float, float]:
        """Absolute and relative bound, 0 where there is none."""
        return self.absolute or 0.0, self.relative or 0.0

    @property
    def grid(self) -> float:
        """Twice the absolute bound, cut to four bits: multiples of it are floats that end with many zeros."""
        mantissa, power = math.frexp(2 * (self.absolute or math.nan))
        return math.ldexp(math.floor(mantissa * 16), power - 4)
