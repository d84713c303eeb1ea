"""When a run is complete: its files are closed, all writers end together, and nothing changes any more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

APART = 20
"""Trains by which writers of a run may end apart: 2 s."""


@dataclass
class Watched:
    """A run that is not complete yet, as it was when it was last looked at; times are those of a monotonic clock."""

    since: float
    """When its files were first seen as they are."""
    files: list[Any] = field(default_factory=list)
    why: str = "not looked at yet"
    """Why it is not complete; of one that is, what is odd about it."""
    ends: Mapping[str, int] | None = None
    """The last train of each writer, once it is asked for."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What its files say, asked for at the same time."""

    def judge(
        self,
        seen: Mapping[str, Any],
        now: float,
        quiet: float,
        patience: float,
        asked: float | None = None,
    ) -> bool:
        """Return whether the run is complete, by its files as they are now; `why` says what is waited for.

        Parameters
        ----------
        quiet : float
            Seconds for which nothing may have changed.
        patience : float
            Seconds without change after which a run is taken for complete whose files are not closed, or do not fit
            together: their writers have died.
        asked : float, optional
            When it was asked for what is seen, if that came late: files may have changed since then.
        """
        if seen["files"] != self.files:
            self.files, self.since, self.ends = seen["files"], now, None
        if not self.files:
            self.why = "it has no files yet"
            return False
        still = max(0.0, (now if asked is None else asked) - self.since)
        odd = [*seen["unclosed"], *seen["gaps"]]
        if still < quiet:
            self.why = odd[0] if odd else "its files have just changed"
            return False
        odd += uneven(self.ends or {})
        self.why = listed(odd)
        return not odd or still >= patience

    def still(self, now: float, quiet: float) -> bool:
        """Return whether it is time to ask for the ends of its writers."""
        return bool(self.files) and self.ends is None and max(0.0, now - self.since) >= quiet


def uneven(ends: Mapping[str, int]) -> list[str]:
    """Return the writers whose last train is long before that of the others."""
    last = max(ends.values(), default=0)
    return [
        f"{who} ends with train {end}, others with {last}" for who, end in ends.items() if end < last - APART
    ]


def listed(odd: list[str]) -> str:
    """Return what is odd, the first of it in words."""
    return f"{odd[0]}{f', and {len(odd) - 1} more' if len(odd) > 1 else ''}" if odd else ""
