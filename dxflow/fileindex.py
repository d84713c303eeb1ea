"""The index of one file, checked: which rows of a dataset belong to which train, as far as it can be true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .locate import Faults

CAUSE = "index lies"


class FileIndex:
    """Train ids, first rows and counts of one source in one file; what cannot be true is a fault and left out.

    EXtra-data's own lists drop train ids that are 0 but keep their rows, which hands every later train its
    neighbour's data; so the ids are read here, row by row.

    Attributes
    ----------
    train_ids, first, count : ndarray, (train,)
        Trains without faults.
    """

    def __init__(self, access: Any, kd: Any, like: Any, faults: Faults) -> None:
        self._access, self._kd, self._faults = access, kd, faults
        self.train_ids, self.first, self.count = (np.zeros(0, np.uint64) for _ in range(3))
        if self._fits(like) and self._read():
            for check in (self._inside, self._apart, self._own):
                check()

    def _fault(self, detail: str, trains: NDArray) -> None:
        self._faults.add(CAUSE, self._access.filename, self._kd.source, detail, trains)

    def _fits(self, like: Any) -> bool:
        """Return whether the dataset is there and holds what the others hold."""
        path = self._kd.hdf5_data_path
        dataset = self._access.file.get(path)
        if dataset is not None and (dataset.dtype, dataset.shape[1:]) == (
            like.dtype,
            tuple(like.entry_shape),
        ):
            return True
        detail = f"there is no {path}"
        if dataset is not None:
            detail = f"{path} has {dataset.dtype} {dataset.shape[1:]}, elsewhere it is {like.dtype} {like.entry_shape}"
        self._faults.add(
            "unlike other files", self._access.filename, self._kd.source, detail, self._access.train_ids
        )
        return False

    def _read(self) -> bool:
        """Read the index; return whether there is one."""
        all_ids = self._access.file["INDEX/trainId"][:]
        known = self._access.train_ids
        try:
            first, count = self._access.get_index(self._kd.source, self._kd.index_group)
        except KeyError:
            self._fault(f"there is no INDEX/{self._kd.source}/{self._kd.index_group}", known)
            return False
        there = np.flatnonzero(all_ids)
        if len(there) and len(there) <= there[-1]:
            self._fault("INDEX/trainId is 0 between two trains", known[:1])
        elif len(there) and len(first) <= there[-1]:
            self._fault(
                f"the index has {len(first)} rows for {there[-1] + 1} trains",
                all_ids[there[there >= len(first)]],
            )
        valid = self._valid(there)
        there = there[valid & (there < len(first))]
        self.train_ids, self.first, self.count = all_ids[there], first[there], count[there]
        return True

    def _valid(self, there: NDArray) -> NDArray:
        """Return which trains are not suspect, or all if suspect ones are wanted."""
        if self._kd.inc_suspect_trains:
            return np.ones(len(there), bool)
        return np.asarray(self._access.validity_flag, bool)[: len(there)]

    def _drop(self, bad: NDArray, detail: str) -> None:
        """Leave out trains and note the fault."""
        if bad.any():
            self._fault(detail, self.train_ids[bad])
            self.train_ids, self.first, self.count = self.train_ids[~bad], self.first[~bad], self.count[~bad]

    def _inside(self) -> None:
        """Leave out trains whose rows do not exist."""
        length = self._access.file[self._kd.hdf5_data_path].shape[0]
        # As float: an index may hold 2**64 - 1, and the sum must not wrap to a row that exists.
        beyond = (self.first.astype(float) + self.count > length) & (self.count > 0)
        self._drop(beyond, f"the index points beyond the {length} rows of {self._kd.hdf5_data_path}")
        self.first, self.count = self.first.astype(np.int64), self.count.astype(np.int64)

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
        path = f"{self._kd.hdf5_data_path.rsplit('/' + self._kd.key.replace('.', '/'), 1)[0]}/{self._group()}trainId"
        dataset = self._access.file.get(path)
        length = self._access.file[self._kd.hdf5_data_path].shape[0]
        if dataset is None or dataset.size < length or not self.count.sum():
            return
        said = dataset[:length].reshape(length, -1)[:, 0].astype(np.uint64)
        start = np.cumsum(self.count) - self.count
        rows = np.arange(self.count.sum()) + np.repeat(self.first - start, self.count)
        train = np.repeat(np.arange(len(self.train_ids)), self.count)
        other = (said[rows] != 0) & (said[rows] != self.train_ids[train])
        bad = np.bincount(train[other], minlength=len(self.train_ids)) > 0
        self._drop(bad, f"{path} says that rows belong to other trains than the index does")

    def _group(self) -> str:
        return f"{self._kd.index_group}/" if self._kd.index_group else ""
