"""FileWriter: EuXFEL files from declared datasets, filled train by train or many trains at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from ..disk import ours
from ..disk.fragments import persist
from ..errors.redact import logger
from ..hdf5.errors import ExdfError
from ..hdf5.process import Writer
from ..hdf5.sink import Sink, check, replace_all
from ..sizes import show
from . import names
from .declare import DS, declared
from .file import Head
from .groups import IndexGroup
from .ledger import Ledger
from .sequence import SequenceFile

log = logger(__name__)

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
        meta = self.Meta
        known = {**getattr(meta, "aliases", {}), **(aliases or {})}
        self.datasets = declared({**_of_class(type(self)), **(datasets or {})}, known, parameters)
        self.proposal = getattr(meta, "proposal", 0) if proposal is None else proposal
        self.trains_per_file = _per_file(
            str(path),
            trains_per_file if trains_per_file is not None else getattr(meta, "trains_per_file", None),
        )
        self._pattern, self._overwrite = str(path), overwrite
        self._ledger = Ledger(
            self.datasets, direct=getattr(meta, "direct", False) if direct is None else direct
        )
        self._files: dict[int, SequenceFile] = {}
        self._finished: list[SequenceFile] = []
        self._idle: list[Writer] = []
        self._closed = False
        self._refuse_existing()

    def _refuse_existing(self) -> None:
        check(names.numbered(self._pattern, 0))
        there = names.existing(self._pattern)
        for path in there:
            if why := ours.obstacle(path, [ours.FILE]):
                raise FileExistsError(why)
        if there and not self._overwrite:
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
        self._ledger.add_trains(train_ids, timestamps)

    def add_train_data(self, **values: ArrayLike) -> None:
        """Give data of the train that was added last, by name of dataset.

        Parameters
        ----------
        **values : array
            Of an instrument dataset one entry, (*shape), or any number, (entry, *shape). Trains before this one that
            were not given have none. Of a control dataset its value from this train on.
        """
        self._refuse_closed()
        self._ledger.add(self._ledger.of_train(values))
        self._advance()

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
        self._ledger.add(self._ledger.of_trains(counts, values))
        self._advance()

    def add_run_data(self, **values: Any) -> None:
        """Give values of the whole run, of datasets that are declared with ``run=True``."""
        self._refuse_closed()
        self._ledger.add_run(values)

    # Writing ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Write the trains of which everything was given; finish the files that are full."""
        ledger = self._ledger
        for group in ledger.groups.values():
            if group.used:
                self._write(group, ledger.complete(group))
        waiting = sum(s.keep() for s in ledger.series.values())
        if waiting > NOTABLE_BYTES:
            log.warning("%s: %s wait for the other keys of their source", self._pattern, show(waiting))
        if ledger.groups and not ledger.unused:
            full = min(g.written for g in ledger.groups.values()) // self.trains_per_file
            for number in range(len(self._finished), full):
                self._finish(number)

    def _write(self, group: IndexGroup, stop: int) -> None:
        """Write the trains of a group up to a position, each into its sequence file."""
        if stop <= group.written:
            return
        group.check(stop, self._ledger.trains)
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
            self._files[number] = SequenceFile(Sink(path, self._idle), number * self.trains_per_file)
        return self._files[number]

    def _finish(self, number: int) -> None:
        """Complete a sequence file."""
        ledger, file = self._ledger, self._file(number)
        trains = slice(file.start, file.start + self.trains_per_file)
        ids = np.array(ledger.trains[trains], np.uint64)
        head = Head(
            train_ids=ids,
            timestamps=np.array(ledger.timestamps[trains], np.uint64),
            flags=np.ones(len(ids), np.int32),
            name=names.parsed(file.sink.path),
            proposal=self.proposal,
        )
        groups = [g for g in ledger.groups.values() if g.used]
        file.finish(head, groups, [s for s in ledger.steps.values() if s.used], ledger.runs)
        self._finished.append(file)
        ledger.settled = file.start + len(ids)

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
        self._end_idle()
        self._publish()

    def _complete(self) -> None:
        """Write all trains to their end."""
        ledger = self._ledger
        if not ledger.trains:
            raise ExdfError(f"{self._pattern}: no train was added, so there is nothing to write")
        ledger.end()
        for group in ledger.groups.values():
            if group.used:
                self._write(group, len(ledger.trains))
        for d in ledger.unused:
            log.warning(
                "%s: %s, key %s (%s) is left out: nothing was given", self._pattern, d.source, d.key, d.name
            )
        for number in range(len(self._finished), -(-len(ledger.trains) // self.trains_per_file)):
            self._finish(number)

    def _publish(self) -> None:
        """Rename the files, the first sequence last: where that is, all are; only then remove what they replace."""
        made = {file.sink.path: file.sink for file in reversed(self._finished)}
        try:
            self._refuse_existing()
            old = replace_all(made, [p for p in names.existing(self._pattern) if p not in made])
        except BaseException:
            self.discard()
            raise
        persist(self._finished[0].sink.path.absolute().parent)
        for path in old:
            path.unlink()

    def discard(self) -> None:
        """Give up: leave no file."""
        self._closed = True
        for file in self._files.values():
            file.sink.discard()
        self._end_idle()

    def _end_idle(self) -> None:
        """End the processes that have nothing more to write."""
        while self._idle:
            self._idle.pop().close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ExdfError(f"{self._pattern}: the files are closed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.discard() if kind else self.close()


def _of_class(cls: type) -> dict[str, DS]:
    """Return the datasets that a class and its bases declare.

    Raises
    ------
    TypeError
        If one has the name of something that writers have.
    """
    out = {k: v for c in reversed(cls.__mro__) for k, v in vars(c).items() if isinstance(v, DS)}
    if taken := sorted(name for name in out if hasattr(FileWriter, name)):
        raise TypeError(f"{cls.__name__}: datasets cannot be named {taken}, a FileWriter has these already")
    return out


def _per_file(pattern: str, wanted: int | None) -> int:
    """Return the trains of a sequence file; without ``{seq}`` in the name there is only one."""
    if not names.SEQUENCE.search(pattern):
        # More trains than any run has.
        return 2**62
    if wanted is not None and wanted < 1:
        raise ValueError(f"trains_per_file={wanted}: expected 1 or more")
    return wanted or TRAINS_PER_FILE
