"""Which datasets of a file have a row per entry or per train, and which rows of them remain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from .objects import Damaged
from .tasks import FileTask

SECTIONS = ("CONTROL", "INSTRUMENT", "REDUCTION", "ERRATA")
LISTS = ("METADATA", "METADATA/dataSources")


@dataclass(frozen=True, eq=False)
class IndexGroup:
    """An index group after the cut: rows of its datasets that remain, and how many of each train."""

    rows: NDArray
    counts: NDArray


class Changes:
    """What changes in a file: by HDF5 path, the rows that remain, new values, and what is left out.

    Attributes
    ----------
    rows : dict of str to ndarray
        Datasets of which some rows are kept.
    values : dict of str to ndarray
        Datasets that are computed anew.
    gone : set of str
        Groups that are left out.
    """

    def __init__(self, file: h5py.File, task: FileTask) -> None:
        self.file, self.task = file, task
        self.rows: dict[str, NDArray] = {}
        self.values: dict[str, NDArray] = {}
        self.gone = self._gone()
        self._lists()
        if task.trains is not None:
            self._trains(np.flatnonzero(task.trains))
        for name, first, count in self._groups():
            self._group(name, first, count)

    def _gone(self) -> set[str]:
        """Return the groups of sources that are left out."""
        return {f"{s}/{name}" for s in ("INDEX", "RUN", *SECTIONS) for name in self.task.dropped}

    def _lists(self) -> None:
        """Leave dropped sources out of the lists of METADATA; what refers to places in the lists follows."""
        if not self.task.dropped:
            return
        for group in LISTS:
            if isinstance(self.file.get(f"{group}/dataSourceId"), h5py.Dataset):
                keep = self._listed(f"{group}/dataSourceId")
                for key in ("root", "deviceId", "dataSourceId"):
                    self.rows[f"{group}/{key}"] = keep
                self._renumber(keep)
        for section in self.file.get("METADATA/auxiliarySources", ()):
            path = f"METADATA/auxiliarySources/{section}"
            self.rows[path] = self._listed(path)

    def _listed(self, path: str) -> NDArray:
        """Return the rows of a list that remain."""
        names = [n.decode() for n in self.file[path][:]]
        return np.array([k for k, n in enumerate(names) if not self._dropped(n)], np.int64)

    def _dropped(self, listed: str) -> bool:
        """Return whether an entry of a list, ``SECTION/source`` or ``SECTION/source/group``, is of a dropped source."""
        name = listed.partition("/")[2]
        return name in self.task.dropped or name.rpartition("/")[0] in self.task.dropped

    def _renumber(self, keep: NDArray) -> None:
        """Let origins (and flags of version 1.1) be places in the new list; past its end where the source is gone."""
        version = self.file.get("METADATA/dataFormatVersion")
        names = ["INDEX/origin", *(["INDEX/flag"] if version is not None and version[0] == b"1.1" else [])]
        for name in names:
            if name in self.file:
                old = self.file[name][:]
                place = np.searchsorted(keep, old)
                there = (place < len(keep)) & (keep[np.minimum(place, len(keep) - 1)] == old)
                self.values[name] = np.where(old < 0, old, np.where(there, place, len(keep))).astype(
                    old.dtype
                )

    def _trains(self, keep: NDArray) -> None:
        """Note the remaining trains of the datasets directly in INDEX."""
        for name, item in self.file["INDEX"].items():
            if isinstance(item, h5py.Dataset):
                path = f"INDEX/{name}"
                if path in self.values:
                    self.values[path] = self.values[path][keep]
                self.rows[path] = keep[keep < len(item)]

    def _groups(self) -> Iterator[tuple[str, NDArray, NDArray]]:
        """Yield the name, first rows and counts of each index group that changes."""
        if self.task.trains is None:
            names = [n for n in self.task.cuts if f"INDEX/{n}" in self.file]
        else:
            names = [n for n in _with_index(self.file["INDEX"]) if f"INDEX/{n}" not in self.gone]
        for name in names:
            yield name, *index_of(self.file, name)

    def _group(self, name: str, first: NDArray, count: NDArray) -> None:
        """Note the remaining rows of the datasets of an index group, and its new index."""
        kept = self._kept(name, first, count)
        self._index(name, first, kept.counts)
        for section in SECTIONS:
            group = self.file.get(f"{section}/{name}")
            if not isinstance(group, h5py.Group):
                continue
            _refuse_links(group)
            for path in _datasets(group):
                dataset = self.file[path]
                if not dataset.shape or len(kept.rows) and kept.rows.max() >= len(dataset):
                    raise Damaged(
                        f"{path} has shape {dataset.shape}, but INDEX/{name} refers to row {int(kept.rows.max())}"
                    )
                self.rows[path] = kept.rows

    def _kept(self, name: str, first: NDArray, count: NDArray) -> IndexGroup:
        """Return the rows of an index group that remain."""
        cut, trains = self.task.cuts.get(name), self.task.trains
        if cut is not None:
            counts, entries = cut.counts[: len(first)], cut.entries
        else:
            assert trains is not None
            counts = np.where(trains[: len(count)], count, 0)
            entries = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return IndexGroup(np.repeat(first, counts) + entries, counts)

    def _index(self, name: str, first: NDArray, counts: NDArray) -> None:
        """Note the new index of a group, without gaps."""
        if self.task.trains is not None:
            counts = counts[self.task.trains[: len(counts)]]
        new = {"first": np.cumsum(counts) - counts, "count": counts}
        # Version 0.1 has the last row, and whether there is one, in place of the count.
        new |= {"last": new["first"] + np.maximum(counts, 1) - 1, "status": counts > 0}
        for key, values in new.items():
            path = f"INDEX/{name}/{key}"
            if path in self.file:
                self.values[path] = self._padded(path, values.astype(self.file[path].dtype))

    def _padded(self, path: str, values: NDArray) -> NDArray:
        """Return values as long as the dataset, unless trains are dropped."""
        old = self.file[path][:]
        return values if self.task.trains is not None else np.concatenate([values, old[len(values) :]])

    def changed(self, path: str) -> bool:
        """Return whether a dataset is not copied as it is."""
        return path in self.rows or path in self.values


def index_of(file: h5py.File, name: str) -> tuple[NDArray, NDArray]:
    """Return first rows and counts of an index group, one per row of ``INDEX/trainId``."""
    group, rows = file[f"INDEX/{name}"], len(file["INDEX/trainId"])
    first = group["first"][:rows].astype(np.int64)
    if "count" in group:
        return first, group["count"][:rows].astype(np.int64)
    return first, (group["last"][:rows].astype(np.int64) - first + 1) * (group["status"][:rows] != 0)


def _with_index(index: h5py.Group) -> list[str]:
    """Return the names of all index groups; those that are links to others are not followed."""
    found: list[str] = []
    index.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Group) and "first" in item else None
    )
    return found


def _datasets(group: h5py.Group) -> list[str]:
    """Return the paths of all datasets in a group."""
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(f"{group.name[1:]}/{name}")

    group.visititems(note)
    return found


def _refuse_links(group: h5py.Group) -> None:
    """Raise if a dataset of a group that is cut is elsewhere: there it keeps all of its rows."""
    found: list[str] = []

    def note(name: str, link: object) -> None:
        outside = isinstance(link, h5py.SoftLink) and not link.path.startswith(f"{group.name}/")
        if outside or isinstance(link, h5py.ExternalLink):
            found.append(name)

    group.visititems_links(note)
    if found:
        raise Damaged(
            f"{group.name}: {sorted(found)} are links to elsewhere, which cannot be cut with the others"
        )
