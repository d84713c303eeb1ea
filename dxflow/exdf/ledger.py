"""What was given to a writer so far: trains, entries, control values, values of the run; checked as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..hdf5.errors import ExdfError
from .declare import Declared
from .groups import IndexGroup
from .series import Series, Steps, checked


class Given(NamedTuple):
    """Checked data: the entries of consecutive trains, the first of them at `position`."""

    declared: Declared
    position: int
    counts: list[int]
    values: NDArray


class Ledger:
    """The data of all datasets.

    Parameters
    ----------
    datasets : mapping of str to Declared
    direct : bool
        Keys of an index group are given together.
    """

    def __init__(self, datasets: Mapping[str, Declared], *, direct: bool) -> None:
        self.datasets, self._direct = datasets, direct
        self.trains: list[int] = []
        self.timestamps: list[int] = []
        kinds = list(datasets.values())
        self.series = {d.name: Series(d) for d in kinds if d.instrument}
        self.steps = {d.name: Steps(d) for d in kinds if not d.instrument and not d.ds.run}
        self.runs: dict[str, tuple[Declared, Any]] = {}
        self.groups: dict[tuple[str, str], IndexGroup] = {}
        for series in self.series.values():
            key = series.declared.source, series.declared.group
            self.groups.setdefault(key, IndexGroup(*key)).members.append(series)
        self.settled = 0
        """Trains whose control values can no longer change."""

    @property
    def unused(self) -> list[Declared]:
        """The datasets nothing was given for."""
        used = {n for n, s in self._kept() if s.used} | set(self.runs)
        return [d for name, d in self.datasets.items() if name not in used]

    def _kept(self) -> Iterator[tuple[str, Series | Steps]]:
        yield from self.series.items()
        yield from self.steps.items()

    def complete(self, group: IndexGroup) -> int:
        """Return how many trains of a group can be written."""
        if self._direct:
            return min((len(s.counts) for s in group.used), default=0)
        return group.complete

    def end(self) -> None:
        """Refuse control keys without a first value, and trains that only some keys have; fill up with counts of 0."""
        for steps in self.steps.values():
            if steps.used and steps.first:
                raise steps.declared.error(
                    f"has no value before train {self.trains[steps.first]}; give one with the first train, it holds "
                    "until the next",
                    self.trains[0],
                )
        for group in self.groups.values():
            if group.used:
                group.end(self.trains)

    # Taking data --------------------------------------------------------------------------------

    def add_trains(self, train_ids: Sequence[int], timestamps: Sequence[int] | None) -> None:
        """Take trains."""
        times = [0] * len(train_ids) if timestamps is None else list(timestamps)
        if len(times) != len(train_ids):
            raise ExdfError(f"{len(train_ids)} trains, but {len(times)} timestamps")
        last = self.trains[-1] if self.trains else 0
        for train in train_ids:
            if train <= last:
                raise ExdfError(
                    f"comes after train {last}; trains are added in increasing order", train=train
                )
            last = int(train)
        self.trains += [int(t) for t in train_ids]
        self.timestamps += [int(t) for t in times]

    def add(self, ready: Sequence[Given]) -> None:
        """Take checked data."""
        for given in ready:
            if given.declared.instrument:
                series = self.series[given.declared.name]
                series.skip(given.position)
                series.add(given.counts, given.values)
            else:
                self.steps[given.declared.name].add(given.position, given.values)

    def add_run(self, values: Mapping[str, Any]) -> None:
        """Take values of the whole run."""
        for name, value in values.items():
            declared = self.declared(name)
            if not declared.ds.run:
                raise declared.error("has a value per train; only datasets with run=True have one per run")
            if self.settled:
                raise declared.error(
                    "given after the first sequence file was finished; give it before the trains"
                )
            text = declared.dtype.kind == "U"
            fixed = str(value) if text else _shaped(declared, checked(declared, value, None), None)
            self.runs[name] = (declared, fixed)

    # Checking data ------------------------------------------------------------------------------

    def declared(self, name: str) -> Declared:
        """Return the dataset of a name."""
        if name not in self.datasets:
            raise ExdfError(f"no dataset {name!r} is declared; declared: {sorted(self.datasets)}")
        return self.datasets[name]

    def of_train(self, values: Mapping[str, ArrayLike]) -> list[Given]:
        """Check data of the last train."""
        ready = [self._of_train(self.declared(name), v) for name, v in values.items()]
        self._refuse_apart(set(values))
        return ready

    def of_trains(self, counts: Sequence[int], values: Mapping[str, ArrayLike]) -> list[Given]:
        """Check data of the next trains of each dataset."""
        whole = [int(n) for n in counts]
        ready = [self._of_trains(self.declared(name), v, whole) for name, v in values.items()]
        self._refuse_apart(set(values))
        return ready

    def _of_train(self, d: Declared, values: ArrayLike) -> Given:
        start, position = self._next(d), max(len(self.trains) - 1, 0)
        train = self.trains[position] if self.trains else None
        if train is None and d.instrument:
            raise d.error("no train was added yet that the data could belong to; call add_train first")
        array = checked(d, values, train)
        if not d.instrument or array.ndim == len(d.shape):
            array = _shaped(d, array, train)[np.newaxis]
        _check_entries(d, array, len(array), train)
        if start > position:
            raise d.error("already has data of this train", train)
        return self._placed(d, position, [len(array)], array)

    def _of_trains(self, d: Declared, values: ArrayLike, counts: list[int]) -> Given:
        start = self._next(d)
        if start + len(counts) > len(self.trains):
            raise d.error(
                f"data of {start + len(counts)} trains, but {len(self.trains)} were added; add the trains first",
                self.trains[-1] if self.trains else None,
            )
        train = self.trains[start] if counts else None
        if any(n < 0 or (n != 1 and not d.instrument) for n in counts):
            expected = "0 or more" if d.instrument else "1, as a control source has one value per train"
            raise d.error(f"counts must be {expected}", train)
        array = checked(d, values, train)
        _check_entries(d, array, sum(counts), train)
        return self._placed(d, start, counts, array)

    def _next(self, d: Declared) -> int:
        """Return the position of the first train a dataset has no data of."""
        if d.ds.run:
            raise d.error("is of the whole run: give it with add_run_data")
        return len(self.series[d.name].counts) if d.instrument else self.steps[d.name].next

    def _placed(self, d: Declared, position: int, counts: list[int], array: NDArray) -> Given:
        """Return data with their place, unless that is in a file which is finished."""
        if position < self.settled and not d.instrument:
            raise d.error(
                "the sequence file of this train is finished; give control values before the instrument data",
                self.trains[position],
            )
        return Given(d, position, counts, array)

    def _refuse_apart(self, given: set[str]) -> None:
        """In direct mode, refuse a call with only some of the keys in use of an index group."""
        for group in self.groups.values():
            now = {s.declared.name for s in group.members} & given
            used = {s.declared.name for s in group.used} or now
            if self._direct and now and now != used:
                raise self.datasets[min(used ^ now)].error(
                    f"direct=True: the datasets {sorted(used)} of the index group {group.name!r} began together and "
                    f"are given together, got {sorted(now)}",
                    self.trains[min(group.written, len(self.trains) - 1)],
                )


def _check_entries(d: Declared, array: NDArray, count: int, train: int | None) -> None:
    if array.shape != (count, *d.shape):
        raise d.error(f"expected {count} entries of shape {d.shape}, got an array of {array.shape}", train)


def _shaped(d: Declared, array: NDArray, train: int | None) -> NDArray:
    if array.shape != d.shape:
        raise d.error(f"expected shape {d.shape}, got {array.shape}", train)
    return array
