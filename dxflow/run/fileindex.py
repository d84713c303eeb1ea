"""The index of one file, checked: which rows of a dataset belong to which train, as far as it can be true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..reader import gate
from ..reader.extents import array
from ..reader.faults import ReadFault
from .findings import MISFIT

if TYPE_CHECKING:
    from .file import RunFile
    from .findings import Faults


@dataclass(frozen=True)
class Stored:
    """A key of a source in one file: the dataset, and what an entry of it is.

    `path` is that of the dataset, `group` its index group ("" for control sources), `others` the files that it leads
    to, `there` whether there is such a dataset.
    """

    access: RunFile
    source: str
    key: str
    path: str
    group: str
    rows: int
    entry: tuple[int, ...]
    dtype: np.dtype
    unit: str
    others: tuple[str, ...]
    there: bool = True

    @property
    def file(self) -> str:
        """Path of the file."""
        return self.access.filename


def stored_in(access: RunFile, source: str, key: str, faults: Faults) -> Stored | None:
    """Return a key of a source in a file; None, and a fault, where it cannot be read."""
    section = _section(access, source)
    control = section == "CONTROL"
    path = f"/{section}/{source}/{key.replace('.', '/')}"
    group = "" if control else key.partition(".")[0]
    try:
        if control and not access.has_dataset(path):
            path += "/value"
        if not access.has_dataset(path):
            absent = Stored(access, source, key, path, group, 0, (), np.dtype("u1"), "", (), there=False)
            return absent if len(access.train_ids) else None
        said = access.files.recall(access.filename, "form", path, lambda: _form(access, path))
        return Stored(access, source, key, path, group, *said)
    except ReadFault as e:
        faults.add("unreadable data", access.filename, source, f"{e.dataset}: {e.detail}", access.train_ids)
        return None


def _form(access: RunFile, path: str) -> tuple[int, tuple[int, ...], np.dtype, str, tuple[str, ...]]:
    """Return rows, shape and type of an entry, unit and other files of a dataset."""
    others = tuple(access.files.others(access.filename, path))
    dataset = access.files.dataset(access.filename, path)
    with gate.wrapped(access.filename, path):
        dtype = dataset.dtype.newbyteorder("=")
        return dataset.shape[0], dataset.shape[1:], dtype, unit_of(dataset), others


def _section(access: RunFile, source: str) -> str:
    """Return in which part of a file a source is."""
    if source in access.control_sources:
        return "CONTROL"
    if source in access.instrument_sources:
        return "INSTRUMENT"
    return "REDUCTION" if source in access.reduction_sources else "ERRATA"


def unit_of(dataset: Any) -> str:
    """Return the unit of values, as EXtra-data puts it together; "" where there is none."""
    # Karabo says it of a control key at the group around value and timestamp.
    control = dataset.name.startswith("/CONTROL/") and dataset.name.endswith("/value")
    attrs = dataset.parent.attrs if control else dataset.attrs
    # Asking for one that is not there takes HDF5 ten times as long.
    found = [_text(attrs[n]) if n in attrs else "" for n in ("unitSymbol", "metricPrefixSymbol")]
    unit, prefix = found
    return ("μ" if prefix == "u" else prefix) + unit if unit else ""


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class FileIndex:
    """Train ids, first rows and counts of one source in one file; what cannot be true is a fault and left out.

    EXtra-data's own lists drop train ids that are 0 but keep their rows, which hands every later train its
    neighbour's data; so the ids are read here, row by row.

    Attributes
    ----------
    train_ids, first, count : ndarray, (train,)
        Trains without faults.
    """

    def __init__(self, stored: Stored, like: Stored, faults: Faults) -> None:
        self._stored, self._access, self._faults = stored, stored.access, faults
        self.train_ids, self.first, self.count = (np.zeros(0, np.uint64) for _ in range(3))
        if self._fits(like) and self._read():
            for check in (self._once, self._inside, self._apart, self._own):
                check()

    def _fault(self, detail: str, trains: NDArray) -> None:
        self._faults.add(MISFIT, self._access.filename, self._stored.source, detail, trains)

    def _fits(self, like: Stored) -> bool:
        """Return whether the dataset holds what the others hold."""
        one = self._stored
        if (one.dtype, one.entry) == (like.dtype, like.entry):
            return True
        detail = f"{one.path} has {one.dtype} {one.entry}, elsewhere it is {like.dtype} {like.entry}"
        self._faults.add("unlike other files", one.file, one.source, detail, self._access.train_ids)
        return False

    def _read(self) -> bool:
        """Read the index; return whether there is one."""
        all_ids, known = self._access.all_train_ids, self._access.train_ids
        try:
            first, count = first_and_count(self._stored)
        except ReadFault as e:
            there_is = "cannot be read" if "there is no" not in e.detail else "there is no"
            self._fault(f"{there_is} {e.dataset}: {e.detail}", known)
            return False
        there = np.flatnonzero(all_ids)
        if len(there) and len(there) <= there[-1]:
            self._fault("INDEX/trainId is 0 between two trains", known[:1])
        elif len(there) and len(first) <= there[-1]:
            self._fault(
                f"the index has {len(first)} rows for {there[-1] + 1} trains",
                all_ids[there[there >= len(first)]],
            )
        if len(first) > len(all_ids) and count[len(all_ids) :].any():
            self._fault(f"the index has {len(first)} rows for {len(all_ids)} trains", known)
        valid = self._valid(there)
        there = there[valid & (there < len(first))]
        self.train_ids, self.first, self.count = all_ids[there].astype(np.uint64), first[there], count[there]
        return True

    def _valid(self, there: NDArray) -> NDArray:
        """Return which trains are to be used: those that are not suspect, or all if suspect ones are wanted."""
        flags = self._access.validity_flag[: len(there)]
        flags = np.concatenate([flags, np.ones(len(there) - len(flags), bool)])
        if not flags.all():
            self._note_suspect(self._access.all_train_ids[there[~flags]])
        return np.ones(len(there), bool) if self._faults.suspect else flags

    def _note_suspect(self, trains: NDArray) -> None:
        """Note trains that the file flags."""
        wanted = self._faults.trains
        trains = trains if wanted is None else np.intersect1d(trains, wanted)
        if len(trains):
            detail = "used; suspect='skip' leaves them out" if self._faults.suspect else "left out"
            detail = f"the file flags these trains as suspect: {detail}"
            self._faults.note("suspect trains", self._stored.file, detail, trains, self._stored.source)

    def _once(self) -> None:
        """Leave out trains that the file has several times: nobody knows which is right."""
        _, number, times = np.unique(self.train_ids, return_inverse=True, return_counts=True)
        self._drop(times[number] > 1, "the file has the same train several times")

    def _drop(self, bad: NDArray, detail: str) -> None:
        """Leave out trains and note the fault."""
        if bad.any():
            self._fault(detail, self.train_ids[bad])
            self.train_ids, self.first, self.count = self.train_ids[~bad], self.first[~bad], self.count[~bad]

    def _inside(self) -> None:
        """Leave out trains whose rows do not exist."""
        length = self._stored.rows
        # As float: an index may hold 2**64 - 1, and the sum must not wrap to a row that exists.
        beyond = (self.first + self.count > length) & (self.count > 0)
        beyond |= (self.count < 0) | (self.first < 0) | ~np.isfinite(self.first + self.count)
        self._drop(beyond, f"the index points beyond the {length} rows of {self._stored.path}")
        self.first = np.where(self.count > 0, self.first, 0).astype(np.int64)
        self.count = self.count.astype(np.int64)

    def _apart(self) -> None:
        """Leave out trains that share rows: nobody knows whose they are."""
        order = np.argsort(self.first, kind="stable")
        order = order[self.count[order] > 0]
        first, end = self.first[order], self.first[order] + self.count[order]
        shared = np.zeros(len(self.train_ids), bool)
        overlap = first[1:] < np.maximum.accumulate(end)[:-1]
        shared[order[1:][overlap]] = shared[order[:-1][overlap]] = True
        self._drop(shared, "the index gives the same rows to several trains")

    def _own(self) -> None:
        """Leave out trains whose entries say that they are of another train (0 says nothing)."""
        one = self._stored
        path = path_of_trains(one)
        if not one.group or not self.count.sum():
            return
        try:
            if not self._access.has_dataset(path):
                return
            said = array(self._access.files, one.file, path, filled=True)
            said = said.reshape(len(said), -1)[:, 0].astype(np.uint64)
        except (ReadFault, IndexError) as e:
            self._drop(self.count > 0, str(e))
            return
        if len(said) < one.rows:
            return
        rows, train = self._rows()
        other = (said[rows] != 0) & (said[rows] != self.train_ids[train])
        bad = np.bincount(train[other], minlength=len(self.train_ids)) > 0
        self._drop(bad, f"{path} says that rows belong to other trains than the index does")
        free = np.ones(one.rows, bool)
        free[self._rows()[0]] = False
        left = (self.count > 0) & np.isin(self.train_ids, said[: one.rows][free])
        self._drop(left, f"{path} says that more rows belong to these trains than the index does")

    def _rows(self) -> tuple[NDArray, NDArray]:
        """Return all rows of the trains, and the position of the train of each, (row,)."""
        start = np.cumsum(self.count) - self.count
        rows = np.arange(self.count.sum()) + np.repeat(self.first - start, self.count)
        return rows, np.repeat(np.arange(len(self.train_ids)), self.count)


def _whole(numbers: NDArray) -> NDArray:
    """Return numbers of an index as float64: exact as far as rows go."""
    return np.asarray(numbers, np.float64)


def path_of_trains(one: Stored) -> str:
    """Return where the train of each entry is said."""
    return f"/INSTRUMENT/{one.source}/{one.group}/trainId"


def first_and_count(one: Stored) -> tuple[NDArray, NDArray]:
    """Return what the index says; a number that is none of a row points beyond all of them."""
    access, at = one.access, f"INDEX/{one.source}/{one.group}".rstrip("/")
    first = _whole(access.index(f"{at}/first"))
    if access.has_dataset(f"{at}/count"):
        count = _whole(access.index(f"{at}/count"))
    else:
        last, status = (access.index(f"{at}/{name}").astype(float) for name in ("last", "status"))
        count = (last - first + 1) * status
    n = min(len(first), len(count))
    return first[:n], count[:n]
