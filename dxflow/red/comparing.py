"""Whether what remains of a file is what was to remain: values are those of the original, or within their bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..codecs.bounds import Bound
from ..codecs.table import make_known
from ..copying.record import NONE
from ..copying.sections import index_of
from ..disk.openhdf5 import open_hdf5
from ..sizes import count

AT_ONCE = 2**26
"""Bytes that are compared at once."""
SECTIONS = ("CONTROL", "INSTRUMENT")
"""With a row for each train or entry."""
WITHIN = 1e-6
"""Share of a bound by which numbers of another type may be beyond it."""
MOST = 5
"""Differences of a file that are named."""


class UnlikeError(Exception):
    """What was kept is not what was to be kept."""


def compare(kept: Path, original: Path, options: Mapping[str, Any], done: Callable[[int], Any]) -> list[str]:
    """Return where a file that was cut is not what it was cut from.

    Rows of a train belong together by the indices of both files; which entries of a train were kept is said by the
    section REDUCTION, or by the ids of frames where a file has none.

    Parameters
    ----------
    options : mapping
        Of the copy, as they were written: `round` is the bound of pixels.
    done : callable
        Told how many bytes were compared.
    """
    try:
        with open_hdf5(kept) as made, open_hdf5(original) as was:
            wrong = list(_Compared(made, was, Bound.of(options.get("round")), done).problems())
    # What HDF5 raises of damage has many classes.
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError) as e:
        return [f"cannot be compared with {original}: {type(e).__name__}: {e}"]
    more = [f"and {count(len(wrong) - MOST, 'more difference')}"] if len(wrong) > MOST else []
    return [f"is not what was to remain of {original}: {one}" for one in [*wrong[:MOST], *more]]


class _Compared:
    """A file and its original, dataset by dataset."""

    def __init__(
        self, made: h5py.File, was: h5py.File, bound: Bound | None, done: Callable[[int], Any]
    ) -> None:
        self.made, self.was, self.bound, self._done = made, was, bound, done
        self._rows: dict[str, NDArray] = {}
        ids, own = was["INDEX/trainId"][:], made["INDEX/trainId"][:]
        order = np.argsort(ids, kind="stable")
        at = np.searchsorted(ids[order], own)
        there = (at < len(ids)) & (ids[order][np.minimum(at, len(ids) - 1)] == own)
        self._trains = np.where(there, order[np.minimum(at, len(ids) - 1)], -1)

    def problems(self) -> Iterator[str]:
        """Yield what is not as it was."""
        if (self._trains < 0).any():
            yield f"{int((self._trains < 0).sum())} trains are not in it"
            return
        for path in _datasets(self.made):
            section, _, rest = path.partition("/")
            if section not in (*SECTIONS, "RUN") or (
                section == "RUN" and "_REDUCTION/" in rest and path not in self.was
            ):
                continue
            if path not in self.was:
                yield f"{path} is not in it"
                continue
            try:
                self._dataset(section, path)
            except UnlikeError as e:
                yield f"{path}: {e}"

    def _dataset(self, section: str, path: str) -> None:
        """Compare a dataset, as many rows at a time as fit into memory."""
        made, was = self.made[path], self.was[path]
        if made.dtype != was.dtype or made.shape[1:] != was.shape[1:]:
            raise UnlikeError(f"{made.dtype} {made.shape[1:]}, it was {was.dtype} {was.shape[1:]}")
        for one in (made, was):
            make_known(one)
        if section == "RUN" or not made.shape:
            self._equal(made[()], was[()], Allowed())
            return
        rows = self._rows_of(section, path)
        if len(rows) > len(made):
            raise UnlikeError(f"{count(len(made), 'row')}, expected {len(rows)}")
        allowed = Allowed.of(made, self.bound)
        step = max(1, AT_ONCE // max(1, made.dtype.itemsize * int(np.prod(made.shape[1:]))))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            values = made[first : first + len(part)]
            self._equal(values, _taken(was, part), allowed)
            self._done(values.nbytes)
        allowed.finish()

    def _rows_of(self, section: str, path: str) -> NDArray:
        """Return which rows of the original remain, of the index group that a dataset belongs to."""
        name = path.removeprefix(f"{section}/")
        while f"INDEX/{name}/first" not in self.made and "/" in name:
            name = name.rpartition("/")[0]
        if name not in self._rows:
            self._rows[name] = self._matched(name)
        return self._rows[name]

    def _matched(self, name: str) -> NDArray:
        """Return rows of the original for the rows of an index group, in their order."""
        first, counts = index_of(self.was, name)
        own, kept = index_of(self.made, name)
        first, counts = first[self._trains], counts[self._trains]
        if not np.array_equal(own, np.cumsum(kept) - kept):
            # Files that were not cut may have gaps.
            if not np.array_equal(kept, counts) or not np.array_equal(own, first):
                raise UnlikeError(f"INDEX/{name} is neither that of the original nor without gaps")
            return np.arange(int((own + kept).max(initial=0)))
        if np.array_equal(kept, counts):
            entries = _counted(kept)
        else:
            recorded = self._recorded(name, kept)
            if recorded is None:
                raise UnlikeError("it does not say which entries of each train were kept")
            entries = recorded
        if (entries >= np.repeat(counts, kept)).any():
            raise UnlikeError(f"entries of {name} were kept that there never were")
        return np.repeat(first, kept) + entries

    def _recorded(self, name: str, kept: NDArray) -> NDArray | None:
        """Return which entries of each train were kept, as the file says, or by the ids of its frames."""
        source, _, group = name.rpartition("/")
        for prefix in sorted(n for n in self.made.get("REDUCTION", ()) if n.startswith("FRAME_REDUCTION")):
            below = self.made.get(f"REDUCTION/{prefix}/{source}/{group}")
            if below is not None and f"REDUCTION/{prefix}/{source}" not in self.was:
                said = below[f"{next(iter(below))}/indicesBeforeReduction"][:]
                found = said[said != NONE].astype(np.int64)
                return found if np.array_equal((said != NONE).sum(axis=1), kept) else None
        return self._by_ids(name, kept)

    def _by_ids(self, name: str, kept: NDArray) -> NDArray | None:
        """Return which entries of each train were kept, by ids that no two frames of a train have."""
        for key in ("pulseId", "cellId"):
            path = f"INSTRUMENT/{name}/{key}"
            if path not in self.made:
                continue
            now, before = self.made[path][:].ravel(), self.was[path][:].ravel()
            first, counts = index_of(self.was, name)
            out, at = [], 0
            for train, n in zip(self._trains, kept, strict=True):
                ids = before[first[train] : first[train] + counts[train]]
                mine = now[at : at + n]
                place = {int(one): k for k, one in enumerate(ids)}
                if len(place) < len(ids) or any(int(one) not in place for one in mine):
                    break
                out += [place[int(one)] for one in mine]
                at += n
            else:
                return np.array(out, np.int64)
        return None

    def _equal(self, made: Any, was: Any, allowed: Allowed) -> None:
        """Raise if values are not what they were, or may be."""
        if made.dtype.kind not in "fiub":
            same = np.array_equal(made, was)
            if not same:
                raise UnlikeError("values differ")
            return
        unlike = (made != was) & ~((made != made) & (was != was))
        if unlike.any():
            allowed.check(made, was, unlike)


class Allowed:
    """Which changes of pixels were asked for: within a bound, and all to one value outside of a region."""

    def __init__(
        self,
        bound: Bound | None = None,
        fill: float | None = None,
        outside: int = 0,
        inside: NDArray | None = None,
    ) -> None:
        self.bound, self.fill, self.outside, self.inside = bound, fill, outside, inside
        self._changed: NDArray | None = None

    @classmethod
    def of(cls, made: h5py.Dataset, bound: Bound | None) -> Allowed:
        """Return what a dataset says beside its values; a bound holds where it is said there, too."""
        said = made.attrs
        rounded = bound if any(name.startswith("bound.") for name in said) else None
        if "outside" not in said:
            return cls(rounded)
        outside = int(np.prod(made.shape[-2:])) - int(said["pixels_inside"])
        return cls(rounded, float(said["outside"]), outside, _inside(made))

    def check(self, made: NDArray, was: NDArray, unlike: NDArray) -> None:
        """Raise if other changes were made."""
        if self.bound is not None:
            absolute, relative = self.bound.largest
            before = was.astype(np.float64)
            limit = np.maximum(absolute, relative * np.abs(before)) * (1 + WITHIN)
            with np.errstate(invalid="ignore"):
                unlike &= ~(np.abs(made.astype(np.float64) - before) <= limit)
        if self.fill is not None:
            filled = np.isnan(made) if np.isnan(self.fill) else made == made.dtype.type(self.fill)
            places = (unlike & filled).reshape(-1, *made.shape[-2:]).any(axis=0)
            self._changed = places if self._changed is None else self._changed | places
            unlike &= ~filled if self.inside is None else ~filled | self.inside
        if unlike.any():
            why = f", which are more than {self.bound} apart" if self.bound else ""
            raise UnlikeError(f"{int(unlike.sum())} values differ{why}")

    def finish(self) -> None:
        """Raise if more pixels were replaced than are outside of the region."""
        if self._changed is not None and self._changed.sum() > self.outside:
            raise UnlikeError(f"{int(self._changed.sum())} pixels were replaced, {self.outside} are outside")


def _inside(made: h5py.Dataset) -> NDArray | None:
    """Return which pixels are inside of a region, None where the file does not say it."""
    source = "/".join(made.name.split("/")[2:-2])
    for name in sorted(n for n in made.file.get("RUN", ()) if n.startswith("REGION_REDUCTION")):
        said = made.file.get(f"RUN/{name}/{source}/inside/value")
        if said is not None and said.shape[1:] == made.shape[-2:]:
            return said[0].astype(bool)
    return None


def _counted(counts: NDArray) -> NDArray:
    """Return the number of each entry within its train."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _taken(dataset: h5py.Dataset, rows: NDArray) -> NDArray:
    """Return rows of a dataset: at once, if they are close together."""
    low, high = int(rows.min()), int(rows.max()) + 1
    if high - low <= 4 * len(rows):
        return dataset[low:high][rows - low]
    return np.concatenate([dataset[row : row + 1] for row in rows])


def _datasets(file: h5py.File) -> list[str]:
    """Return the paths of all datasets."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found
