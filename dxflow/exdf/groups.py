"""An index group of a writer: its keys must agree on how many entries each train has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..hdf5.errors import ExdfError
from .series import Series


@dataclass
class IndexGroup:
    """The keys of a source that share counts; `written` is how many trains are in files."""

    source: str
    name: str
    members: list[Series] = field(default_factory=list)
    written: int = 0

    @property
    def used(self) -> list[Series]:
        """The keys that anything was given for."""
        return [s for s in self.members if s.used]

    @property
    def complete(self) -> int:
        """How many trains all keys were given for."""
        return min(len(s.counts) for s in self.members)

    def counts(self, start: int, stop: int) -> NDArray:
        """Return the entries of each train, (train,)."""
        return np.array(self.used[0].counts[start:stop] if self.used else [0] * (stop - start), np.uint64)

    def check(self, stop: int, trains: Sequence[int]) -> None:
        """Refuse trains, up to a position, of which two keys have different numbers of entries.

        Raises
        ------
        ExdfError
        """
        first, *others = self.used
        expected = np.array(first.counts[self.written : stop])
        for other in others:
            differ = np.flatnonzero(np.array(other.counts[self.written : stop]) != expected)
            if len(differ):
                position = self.written + int(differ[0])
                raise other.declared.error(
                    f"{other.counts[position]} entries, but {first.declared.key} has {first.counts[position]} in this "
                    f"train; keys of the index group {self.name!r} have the same number",
                    trains[position],
                )

    def end(self, trains: Sequence[int]) -> None:
        """Give trains without data a count of 0; refuse those that only some keys have data of.

        Raises
        ------
        ExdfError
        """
        for short in self.used:
            for other in self.used:
                rest = other.counts[len(short.counts) :]
                lacking = next((n for n, count in enumerate(rest) if count), None)
                if lacking is not None:
                    train = trains[len(short.counts) + lacking]
                    raise self._unfinished(short, other, rest[lacking], train)
        for series in self.used:
            series.skip(len(trains))

    @staticmethod
    def _unfinished(short: Series, other: Series, count: int, train: int) -> ExdfError:
        return short.declared.error(
            f"has no data at the end, but {other.declared.key} has {count} entries in this train; give both, or a "
            "count of 0 for both",
            train,
        )
