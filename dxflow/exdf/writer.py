"""FileWriter: EuXFEL files from declared datasets, filled train by train or many trains at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..fragments import sync_directory
from . import names
from .declare import DS, Declared, declared
from .errors import ExdfError
from .file import Head
from .groups import Group
from .sequence import SequenceFile
from .series import Series, Steps, checked
from .sink import Sink, check

log = logging.getLogger(__name__)

TRAINS_PER_FILE = 500
NOTABLE_BYTES = 2**30
"""Waiting data that are worth a warning."""


class FileWriter:
    """Writes EuXFEL HDF5 files of format 1.3 from declared datasets.

    Subclass it with `DS` objects as class attributes, and aliases of sources in ``class Meta``; or give both to this
    class. Data are given by the names of the datasets.

    Parameters
    ----------
    path : str or path
        ``{seq}`` or ``{seq:05d}`` in it is the number of the sequence file; without, there is one file. Run and
        sequence number in the metadata are those of a name like ``CORR-R0034-AZIM00-S{seq:05d}.h5``.
    datasets : mapping of str to DS, optional
        Beside, or in place of, those of the class.
    aliases : mapping of str to str, optional
        What ``"@alias"`` means as a source.
    trains_per_file : int, optional
        500 by default.
    direct : bool, optional
        False: keys of a source may be given apart and in any order, a train is written when all of them have it, and
        waits in memory until then. True: the keys of an index group are given together, nothing waits.
    overwrite : bool
        Replace the files of all sequences that are there.
    proposal : int, optional
        For the metadata.
    **parameters
        What the datasets need for shapes and names of sources.

    Raises
    ------
    ExdfError
        By any method, for data that do not fit; the message names source, key and train. It is a ValueError.
    WriteError
        By any method, where writing fails: disk full, read-only. It is an OSError.
    FileExistsError

    Notes
    -----
    What is not given when the files are closed:

    - A key that nothing was given for is left out of all files, as is a source without keys; a warning names it.
    - A train that no key of an index group has data of gets the count 0 there.
    - A train that some keys of an index group have data of and others (that have data of other trains) do not is an
      error, as are different numbers of entries.
    - The value of a control key holds until the next one is given, and must be there from the first train on.

    A file is written by a process of its own, under a temporary name. All files get their names at the end, the first
    sequence last: after an exception, a crash or a full disk there are none. A sequence file is finished as soon as
    all datasets were given for its trains; a dataset that never gets data keeps all of them, and so their
    processes, until the end.

    Examples
    --------
    >>> class Sums(FileWriter):
    ...     total = DS("@out", "data.total", (), float, unit="keV")
    ...     gain = DS("@set", "gain", (), int)
    ...     class Meta:
    ...         aliases = {"out": "{det}/CAL/SUM:output", "set": "{det}/CAL/SUM"}
    >>> with Sums("CORR-R0034-SUMS00-S{seq:05d}.h5", det="MID_DET_AGIPD1M-1") as writer:  # doctest: +SKIP
    ...     writer.add_trains([10001, 10002, 10003])
    ...     writer.add_data([1], gain=[4])                  # holds for all three trains
    ...     writer.add_data([2, 0, 1], total=[8.1, 8.2, 9.0])
    """

    Meta: ClassVar[type] = type("Meta", (), {})

    def __init__(
        self,
        path: str | Path,
        datasets: Mapping[str, DS] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        trains_per_file: int | None = None,
        direct: bool | None = None,
        overwrite: bool = False,
        proposal: int | None = None,
        **parameters: Any,
    ) -> None:
        of_class = {k: v for c in reversed(type(self).__mro__) for k, v in vars(c).items() if isinstance(v, DS)}
        meta = self.Meta
        known = {**getattr(meta, "aliases", {}), **(aliases or {})}
        self.datasets = declared({**of_class, **(datasets or {})}, known, parameters)
        self.direct = getattr(meta, "direct", False) if direct is None else direct
        self.proposal = getattr(meta, "proposal", 0) if proposal is None else proposal
        self.trains_per_file = _per_file(str(path), trains_per_file or getattr(meta, "trains_per_file", None))
        self._pattern, self._overwrite = str(path), overwrite
        self._trains: list[int] = []
        self._timestamps: list[int] = []
        self._prepare()
        self._refuse_existing()

    def _prepare(self) -> None:
        """Make what keeps the data of each dataset."""
        kinds = list(self.datasets.values())
        self._series = {d.name: Series(d) for d in kinds if d.instrument}
        self._steps = {d.name: Steps(d) for d in kinds if not d.instrument and not d.ds.run}
        self._runs: dict[str, tuple[Declared, Any]] = {}
        groups: dict[tuple[str, str], Group] = {}
        for series in self._series.values():
            key = series.declared.source, series.declared.group
            groups.setdefault(key, Group(*key)).members.append(series)
        self._groups = groups
        self._files: dict[int, SequenceFile] = {}
        self._finished: list[SequenceFile] = []
        self._closed = False

    def _refuse_existing(self) -> None:
        check(names.numbered(self._pattern, 0))
        if not self._overwrite and (there := names.existing(self._pattern)):
            raise FileExistsError(f"{there[0]} exists: choose another name, or overwrite=True to replace it")

    @property
    def keys(self) -> dict[str, tuple[str, str]]:
        """Source and key of each dataset by name, as ``with_aliases`` of EXtra-data takes them."""
        return {d.name: (d.source, d.key) for d in self.datasets.values()}

    # Giving data --------------------------------------------------------------------------------

    def add_train(self, train_id: int, timestamp: int = 0) -> None:
        """Add a train; `timestamp` in nanoseconds since 1970, 0 where it is not known."""
        self.add_trains([train_id], [timestamp])

    def add_trains(self, train_ids: Sequence[int], timestamps: Sequence[int] | None = None) -> None:
        """Add trains, (train,), with times in nanoseconds since 1970 if they are known."""
        self._refuse_closed()
        times = [0] * len(train_ids) if timestamps is None else list(timestamps)
        if len(times) != len(train_ids):
            raise ExdfError(f"{len(train_ids)} trains, but {len(times)} timestamps")
        last = self._trains[-1] if self._trains else 0
        for train in train_ids:
            if train <= last:
                raise ExdfError(f"comes after train {last}; trains are added in increasing order", train=train)
            last = int(train)
        self._trains += [int(t) for t in train_ids]
        self._timestamps += [int(t) for t in times]

    def add_train_data(self, **values: ArrayLike) -> None:
        """Give data of the train that was added last, by name of dataset.

        Parameters
        ----------
        **values : array
            Of an instrument dataset one entry, (*shape), or any number, (entry, *shape). Trains before this one that
            were not given have none. Of a control dataset its value from this train on.
        """
        self._refuse_closed()
        position = max(len(self._trains) - 1, 0)
        ready = [self._of_train(self._declared(name), v, position) for name, v in values.items()]
        self._add(ready, position)

    def add_data(self, counts: Sequence[int], **values: ArrayLike) -> None:
        """Give data of the next trains that a dataset has none of yet.

        Parameters
        ----------
        counts : sequence of int, (train,)
            Entries of each of these trains; 1 for control datasets.
        **values : array, (sum of counts, *shape)
            By name of dataset.
        """
        self._refuse_closed()
        ready = [self._of_trains(self._declared(name), v, list(counts)) for name, v in values.items()]
        self._add(ready, None)

    def add_run_data(self, **values: Any) -> None:
        """Give values of the whole run, of datasets that are declared with ``run=True``."""
        self._refuse_closed()
        for name, value in values.items():
            declared = self._declared(name)
            if not declared.ds.run:
                raise declared.error("has a value per train; only datasets with run=True have one per run")
            if self._finished:
                raise declared.error("given after the first sequence file was finished; give it before the trains")
            text = declared.dtype.kind == "U"
            fixed = str(value) if text else self._shaped(declared, checked(declared, value, None), None)
            self._runs[name] = (declared, fixed)

    def _declared(self, name: str) -> Declared:
        if name not in self.datasets:
            raise ExdfError(f"no dataset {name!r} is declared; declared: {sorted(self.datasets)}")
        return self.datasets[name]

    def _of_train(self, d: Declared, values: ArrayLike, position: int) -> tuple[Declared, list[int], NDArray]:
        """Check the data of one train."""
        self._refuse_run(d)
        train = self._trains[position] if self._trains else None
        if train is None and d.instrument:
            raise d.error("no train was added yet that the data could belong to; call add_train first")
        array = checked(d, values, train)
        if not d.instrument or array.ndim == len(d.shape):
            array = self._shaped(d, array, train)[np.newaxis]
        self._check_entries(d, array, len(array), train)
        place = len(self._series[d.name].counts) if d.instrument else self._steps[d.name].next
        if place > position:
            raise d.error("already has data of this train", train)
        return d, [len(array)], array

    def _of_trains(self, d: Declared, values: ArrayLike, counts: list[int]) -> tuple[Declared, list[int], NDArray]:
        """Check the data of several trains."""
        self._refuse_run(d)
        start = len(self._series[d.name].counts) if d.instrument else self._steps[d.name].next
        if start + len(counts) > len(self._trains):
            last = self._trains[-1] if self._trains else None
            raise d.error(
                f"data of {start + len(counts)} trains, but {len(self._trains)} were added; add the trains first", last
            )
        train = self._trains[start] if counts else None
        if any(n < 0 for n in counts) or not d.instrument and any(n != 1 for n in counts):
            expected = "0 or more" if d.instrument else "1, as a control source has one value per train"
            raise d.error(f"counts must be {expected}", train)
        array = checked(d, values, train)
        self._check_entries(d, array, sum(counts), train)
        return d, counts, array

    @staticmethod
    def _refuse_run(d: Declared) -> None:
        if d.ds.run:
            raise d.error("is of the whole run: give it with add_run_data")

    @staticmethod
    def _check_entries(d: Declared, array: NDArray, count: int, train: int | None) -> None:
        if array.shape != (count, *d.shape):
            raise d.error(f"expected {count} entries of shape {d.shape}, got an array of {array.shape}", train)

    @staticmethod
    def _shaped(d: Declared, array: NDArray, train: int | None) -> NDArray:
        if array.shape != d.shape:
            raise d.error(f"expected shape {d.shape}, got {array.shape}", train)
        return array

    def _add(self, ready: list[tuple[Declared, list[int], NDArray]], position: int | None) -> None:
        """Take checked data, of one train or of the next ones; write what is complete."""
        if self.direct:
            self._refuse_apart({d.name for d, _, _ in ready})
        for d, counts, array in ready:
            if d.instrument:
                if position is not None:
                    self._series[d.name].skip(position)
                self._series[d.name].add(counts, array)
            else:
                self._set(d, array, position)
        self._advance()

    def _set(self, d: Declared, array: NDArray, position: int | None) -> None:
        """Take values of a control key."""
        start = self._steps[d.name].next if position is None else position
        if start < len(self._finished) * self.trains_per_file:
            raise d.error(
                "the sequence file of this train is finished; give control values before the instrument data",
                self._trains[start],
            )
        self._steps[d.name].add(start, array)

    def _refuse_apart(self, given: set[str]) -> None:
        """In direct mode, refuse a call with only some of the keys in use of an index group."""
        for group in self._groups.values():
            mine = {s.declared.name for s in group.members}
            used = {s.declared.name for s in group.used} or mine & given
            if mine & given and mine & given != used:
                odd = self.datasets[min(used ^ (mine & given))]
                raise odd.error(
                    f"direct=True: the datasets {sorted(used)} of the index group {group.name!r} began together and are "
                    f"given together, got {sorted(mine & given)}",
                    self._trains[min(group.written, len(self._trains) - 1)],
                )

    # Writing ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Write the trains of which everything was given; finish the files that are full."""
        for group in self._groups.values():
            if group.used:
                self._write(group, min(len(s.counts) for s in group.used) if self.direct else group.complete)
        waiting = sum(s.keep() for s in self._series.values())
        if waiting > NOTABLE_BYTES:
            log.warning("%s: %.1f GB wait for the other keys of their source", self._pattern, waiting / 1e9)
        everything = [*self._steps.values(), *self._series.values()]
        if self._series and all(s.used for s in everything) and self._all_runs_given:
            full = min(g.written for g in self._groups.values()) // self.trains_per_file
            for number in range(len(self._finished), full):
                self._finish(number)

    @property
    def _all_runs_given(self) -> bool:
        return all(d.name in self._runs for d in self.datasets.values() if d.ds.run)

    def _write(self, group: Group, stop: int) -> None:
        """Write the trains of a group up to a position, each into its sequence file."""
        if stop <= group.written:
            return
        group.check(stop, self._trains)
        while group.written < stop:
            number = group.written // self.trains_per_file
            end = min(stop, (number + 1) * self.trains_per_file)
            file = self._file(number)
            for series in group.used:
                file.append(series.declared, series.take(sum(series.counts[group.written : end])))
            group.written = end

    def _file(self, number: int) -> SequenceFile:
        """Return a sequence file, begun on the first call."""
        if number not in self._files:
            path = names.numbered(self._pattern, number)
            self._files[number] = SequenceFile(Sink(path), number * self.trains_per_file)
        return self._files[number]

    def _finish(self, number: int) -> None:
        """Complete a sequence file."""
        file, stop = self._file(number), min((number + 1) * self.trains_per_file, len(self._trains))
        head = Head(
            train_ids=np.array(self._trains[file.start : stop], np.uint64),
            timestamps=np.array(self._timestamps[file.start : stop], np.uint64),
            flags=np.ones(stop - file.start, np.int32),
            name=names.parsed(file.sink.path),
            proposal=self.proposal,
        )
        groups = [g for g in self._groups.values() if g.used]
        file.finish(head, groups, [s for s in self._steps.values() if s.used], self._runs)
        self._finished.append(file)

    def close(self) -> None:
        """Write what is left, and give all files their names.

        Raises
        ------
        ExdfError
            If a train is not complete; no file is left then.
        """
        if self._closed:
            return
        try:
            self._complete()
        except BaseException:
            self.discard()
            raise
        self._closed = True
        self._publish()

    def _complete(self) -> None:
        """Write all trains to their end."""
        if not self._trains:
            raise ExdfError(f"{self._pattern}: no train was added, so there is nothing to write")
        self._check_controls()
        for group in self._groups.values():
            if group.used:
                group.end(self._trains)
                self._write(group, len(self._trains))
        self._warn_of_unused()
        for number in range(len(self._finished), -(-len(self._trains) // self.trains_per_file)):
            self._finish(number)

    def _check_controls(self) -> None:
        for steps in self._steps.values():
            if steps.used and steps.first:
                raise steps.declared.error(
                    f"has no value before train {self._trains[steps.first]}; give one with the first train, it holds "
                    "until the next",
                    self._trains[0],
                )

    def _warn_of_unused(self) -> None:
        """Say what is left out since nothing was given for it."""
        used = {n for n, s in {**self._series, **self._steps}.items() if s.used} | set(self._runs)
        for name in self.datasets.keys() - used:
            d = self.datasets[name]
            log.warning("%s: %s, key %s (%s) is left out: nothing was given", self._pattern, d.source, d.key, name)

    def _publish(self) -> None:
        """Rename the files, the first sequence last: where that is, all are."""
        mine = [f.sink.path for f in self._finished]
        for old in names.existing(self._pattern):
            if old not in mine:
                old.unlink()
        for file in reversed(self._finished):
            file.sink.publish()
        sync_directory(mine[0].absolute().parent)

    def discard(self) -> None:
        """Give up: leave no file."""
        self._closed = True
        for file in self._files.values():
            file.sink.discard()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ExdfError(f"{self._pattern}: the files are closed")

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard() if kind else self.close()


def _per_file(pattern: str, wanted: int | None) -> int:
    """Return the trains of a sequence file; without ``{seq}`` in the name there is only one."""
    if not names.SEQUENCE.search(pattern):
        # More trains than any run has.
        return 2**62
    if wanted is not None and wanted < 1:
        raise ValueError(f"trains_per_file={wanted}: expected 1 or more")
    return wanted or TRAINS_PER_FILE
