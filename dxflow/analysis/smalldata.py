"""Small-data files of LCLS read as tables: event by event, in order of time, with what is missing said."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..disk.marks import GROUP
from ..disk.openhdf5 import open_hdf5
from ..errors.near import listed
from ..stores.lazy import lazy, variable
from .columns import VALID
from .h5rows import Ragged, Rows, missing_of, text
from .rows import PULSE, RUN, in_order

if TYPE_CHECKING:
    import xarray as xr

IDS = {"lcls1": ("event_time", "fiducials"), "lcls2": ("timestamp",)}
"""By layout, the datasets that say of which event a row is."""
OF_RUN = ("UserDataCfg", "Sums", "epicsOnce", "epics_archiver")
"""Groups whose arrays are of the whole run, whatever their lengths."""
FLAGS = ("lightStatus/",)
"""How paths of integers begin that say yes or no."""
KINDS = "biufSO"
"""Of values that are taken in: numbers, booleans, texts, arrays of different lengths."""
VAR, RAGGED, UNALIGNED, LEN = "var_", "ragged_", "unaligned_", "_len"
EPOCH = {"lcls1": 0, "lcls2": 631152000}
"""Seconds from 1970 to what times are counted from."""
WORDS = ("units", "long_name", "source", "algorithms", "modules")
_RUN = re.compile(r"(?:[Rr]un|_r)[-_]?0*(\d+)")


def read(path: str | Path) -> xr.Dataset:
    """Return a small-data file of LCLS as the dataset of a table; values are read when they are used.

    Parameters
    ----------
    path : path
        Of a file of smalldata_tools, or of ``psana``'s ``smalldata``, of either LCLS.

    Returns
    -------
    xarray.Dataset
        A row per event, in order of time: ``train_id`` is the timestamp (seconds << 32 | nanoseconds), ``pulse_id`` the
        fiducials, or 0. Names are paths with dots, ``ipm2.sum``. Integers that are -99999 are missing, as
        ``<name>_valid`` says; ``lightStatus`` are booleans. Values of ``var_`` and ``ragged_`` are one after the other:
        those of a row are ``<name>_offset`` to ``<name>_offset + <name>_len``.

    Raises
    ------
    ValueError
        If it is no such file.
    OSError
        If it is damaged, or parts of it are not there.
    """
    import xarray as xr

    path = Path(path)
    file = _File(path)
    return xr.Dataset(dict(file.variables()), file.coordinates(), file.attributes())


@dataclass(frozen=True)
class _Found:
    """A dataset of a file; `name` is what it is called in a table."""

    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    attrs: Mapping[str, Any]
    dims: tuple[str, ...]
    """Names of its axes, "" where they have none."""

    @property
    def top(self) -> str:
        return self.path.partition("/")[0]

    @property
    def several(self) -> str:
        """The path of what has several values per event that it belongs to, "" if it does not."""
        parts = self.path.split("/")
        at = next((n for n, part in enumerate(parts) if part.startswith(VAR)), None)
        return "" if at is None else "/".join(parts[: at + 1])


@dataclass
class _File:
    """A small-data file: what it holds, and in which order."""

    path: Path
    found: dict[str, _Found] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        try:
            with open_hdf5(self.path) as file:
                self.ours, self.run = GROUP in file.attrs, text(file.attrs.get(RUN, ""))
                file.visititems(self._add)
                self.layout = self._layout(file)
                self.ids = self._read_ids(file)
                self._check_parts(file)
        except (OSError, RuntimeError, KeyError) as e:
            if isinstance(e, FileNotFoundError):
                raise
            raise OSError(
                f"{self.path} cannot be read: it is no HDF5 file, unfinished or damaged ({e})"
            ) from e

    def _add(self, path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not path.split("/")[-1].startswith("_"):
            attrs = {k: text(item.attrs[k]) for k in ("name", "dtype", *WORDS) if k in item.attrs}
            # Others may use labels for what they like.
            labels = tuple(item.dims[n].label if self.ours else "" for n in range(item.ndim))
            name = str(attrs.get("name") or path.replace("/", "."))
            while name in self.names:
                name += "_"
            self.names.add(name)
            self.found[path] = _Found(path, name, item.shape or (), item.dtype, attrs, labels)

    def _layout(self, file: h5py.File) -> str:
        """Return which layout it has.

        Raises
        ------
        ValueError
            If none.
        """
        for layout, names in IDS.items():
            if all(name in self.found and len(self.found[name].shape) == 1 for name in names):
                return layout
        runs = " It is a file of a EuXFEL run: open its folder with extra_data.RunDirectory." * (
            "INDEX/trainId" in self.found
        )
        raise ValueError(
            f"{self.path} is no small-data file: it has neither event_time and fiducials, nor timestamp.{runs} "
            f"It holds {listed(file, 10)}"
        )

    def _read_ids(self, file: h5py.File) -> tuple[NDArray, NDArray]:
        """Return ids as they are in the file."""
        own = ("train_id", "pulse_id")
        names = own if all(n in self.found for n in own) else IDS[self.layout]
        read = [file[name][()].astype(np.uint64) for name in (*names, IDS[self.layout][0])]
        if len({len(one) for one in read}) > 1:
            lengths = ", ".join(f"{n} {len(one)}" for n, one in zip(names, read, strict=False))
            raise OSError(f"rows of different number: {lengths}")
        self.stamps = read.pop()
        return read[0], read[1] if len(read) > 1 else np.zeros(len(read[0]), np.uint64)

    def _check_parts(self, file: h5py.File) -> None:
        """Refuse a file whose values are in others that are not there: HDF5 would give zeros without a word."""
        parts = {s.file_name for p in self.found if file[p].is_virtual for s in file[p].virtual_sources()}
        if gone := sorted(p for p in parts if p != "." and not (self.path.parent / p).exists()):
            raise FileNotFoundError(
                f"{self.path}: {listed(gone)}, which have its values, are not beside it: copy all parts"
            )

    @cached_property
    def order(self) -> NDArray | None:
        """The rows in order of time, each event once; None if they are so."""
        first, second = self.ids
        if in_order(self.ids):
            return None
        order = np.lexsort((second, first))
        again = (np.diff(first[order]) == 0) & (np.diff(second[order]) == 0)
        if again.any():
            warnings.warn(
                f"{self.path}: {int(again.sum())} rows have the time of another one; the first of each is used",
                stacklevel=2,
            )
            order = order[np.concatenate([[True], ~again])]
        return order

    def coordinates(self) -> dict[str, Any]:
        """Return ids and time of all rows."""
        read = (*self.ids, self.stamps)
        train, pulse, stamps = read if self.order is None else (one[self.order] for one in read)
        seconds = (stamps >> np.uint64(32)).astype("i8") + EPOCH[self.layout]
        times = seconds * 10**9 + (stamps & np.uint64(0xFFFFFFFF)).astype("i8")
        words = {"long_name": "time of the event, UTC"}
        return {
            "train_id": variable([PULSE], train),
            "pulse_id": variable([PULSE], pulse),
            "time": variable([PULSE], times.view("M8[ns]"), words),
        }

    def attributes(self) -> dict[str, Any]:
        """Return what is to be said of all of it."""
        found = _RUN.search(self.path.stem)
        run = {RUN: self.run} if self.run else {RUN: int(found[1])} if found else {}
        left = sorted(path for path, one in self.found.items() if one.dtype.kind not in KINDS)
        odd = {"left_out": ", ".join(left)} if left else {}
        title = f"small data of {self.path.name}"
        return {"title": title, "rows": "events", "layout": self.layout, **run, **odd}

    # Variables ------------------------------------------------------------------------------------

    def variables(self) -> Iterator[tuple[str, xr.Variable]]:
        """Yield all variables by name."""
        ids = {*IDS[self.layout], *(("train_id", "pulse_id") if "train_id" in self.found else ())}
        for path, one in self.found.items():
            if path in ids:
                continue
            if one.several and not path.endswith(LEN) and one.several + LEN in self.found:
                yield from self._several(one)
            elif h5py.check_vlen_dtype(one.dtype) not in (None, str, bytes):
                yield from self._ragged(one)
            elif one.dtype.kind in KINDS:
                yield from self._plain(one)

    def _plain(self, one: _Found) -> Iterator[tuple[str, xr.Variable]]:
        """Yield a variable of which each row, or the run, has one value, and where it has one."""
        rows = self._has_rows(one)
        array = Rows(self.path, one.path, one.shape, one.dtype, self.order if rows else None)
        flag = one.path.startswith(FLAGS) or one.attrs.get("dtype") == "bool"
        array.flag = rows and flag and one.dtype.kind in "iu"
        attrs = {**_said(one), "source": one.path, "rate": PULSE if rows else RUN}
        dims = self._dims(one, [PULSE] if rows else [])
        yield one.name, lazy(array, dims, attrs, kept=True)
        if rows and missing_of(one.dtype) is not None:
            there = Rows(self.path, one.path, one.shape, one.dtype, array.order)
            there.valid = True
            words = {"long_name": f"where {one.name} has a value"}
            yield one.name + VALID, lazy(there, dims, words, kept=True)

    def _has_rows(self, one: _Found) -> bool:
        own = one.top in OF_RUN or one.path.split("/")[-1].startswith(UNALIGNED)
        return not own and one.shape[:1] == (len(self.ids[0]),)

    def _dims(self, one: _Found, first: list[str]) -> list[str]:
        """Return names of axes: those that they have in the file, else ``<name>_dim0`` and so on."""
        rest = enumerate(one.dims[len(first) :])
        return [*first, *(label or f"{one.name}_dim{n}" for n, label in rest)]

    def _several(self, one: _Found) -> Iterator[tuple[str, xr.Variable]]:
        """Yield values that are one after the other, as many of each row as another dataset says."""
        of = self.found[one.several + LEN]
        base = one.several.replace("/", ".")
        with open_hdf5(self.path) as file:
            lengths = np.maximum(file[of.path][()].astype(np.int64), 0)
        if lengths.sum() != one.shape[0]:
            raise OSError(
                f"{self.path}: {one.path} has {one.shape[0]} values, {of.path} says {lengths.sum()}: it is damaged"
            )
        array = Rows(self.path, one.path, one.shape, one.dtype)
        yield (
            one.name,
            lazy(array, self._dims(one, [f"{base}_event"]), {**_said(one), "source": one.path}, kept=True),
        )
        yield self._offset(base, lengths)

    def _ragged(self, one: _Found) -> Iterator[tuple[str, xr.Variable]]:
        """Yield arrays of different lengths as values that are one after the other."""
        array = Ragged(self.path, one.path, one.dtype)
        yield one.name, lazy(array, [f"{one.name}_event"], {**_said(one), "source": one.path}, kept=True)
        lengths = np.diff(array.starts)
        own = lengths if self.order is None else lengths[self.order]
        yield one.name + LEN, variable([PULSE], own, {"long_name": f"values of {one.name}", "rate": PULSE})
        yield self._offset(one.name, lengths)

    def _offset(self, name: str, lengths: NDArray) -> tuple[str, xr.Variable]:
        """Return where the values of each row begin."""
        starts = np.cumsum(lengths) - lengths
        own = starts if self.order is None else starts[self.order]
        words = {"long_name": f"first value of each row in {name}", "rate": PULSE}
        return f"{name}_offset", variable([PULSE], own, words)


def _said(one: _Found) -> dict[str, Any]:
    return {k: one.attrs[k] for k in WORDS if k in one.attrs}
