"""One gate for all that is read of a run: links stay in its folders, nothing lies outside, sizes are bounded."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, MutableSet
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from . import heaps
from .faults import InputChanged, ReadFault

if TYPE_CHECKING:
    from types import TracebackType

    import h5py

LARGEST_CHUNK = 2**30
"""A chunk that claims to be larger is refused: a few bytes in a file must not fill the memory."""
MOST_ROWS = 2**31
MOST_CHUNKS = 2**25
"""Datasets that claim more rows, or more rows of chunks, are refused; a file of a run has far fewer."""
MOST_LINKS = 16


Link = tuple[str | None, str]
"""Where a link leads: a file, or None for the same, and a name."""


class Part(NamedTuple):
    """Rows ``start:stop`` of a virtual dataset, which are rows of another from `first` on."""

    start: int
    stop: int
    path: str
    name: str
    first: int


class wrapped:  # noqa: N801 - it is used as a function; a generator takes three times as long, thousands of times
    """Say of whatever a read raises, by a ReadFault, in which file and dataset it was."""

    def __init__(self, path: str, name: str, first: int = 0, count: int = 0) -> None:
        self._where = path, name, first, count

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A damaged file makes HDF5, h5py and numpy raise almost anything.
        if isinstance(error, Exception) and not isinstance(error, (ReadFault, InputChanged)):
            raise ReadFault(*self._where, f"{type(error).__name__}: {error}") from error


def regular(path: str) -> str:
    """Return why a path is no file that can be read without waiting for somebody, or ""."""
    mode = os.stat(path).st_mode
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFDIR: "a directory", stat.S_IFSOCK: "a socket"}
    return (
        "" if stat.S_ISREG(mode) else f"it is {kinds.get(stat.S_IFMT(mode), 'a device')} and no regular file"
    )


def follow(link: Callable[[str, str], Link | None], path: str, name: str) -> tuple[str, str]:
    """Return the file and name of an object behind all links that lead to it.

    A file of a run may be a symbolic link to anywhere: so runs are kept at the facility. A link inside a file may
    only lead to files in the folder of the run, or in that where the file which holds it really is.

    Parameters
    ----------
    link : callable
        Gives the `first_link` on the way to an object of a file.

    Raises
    ------
    ReadFault
        If a link leaves the run, or there are too many.
    KeyError
        If there is no such object.
    """
    for _ in range(MOST_LINKS):
        found = link(path, name)
        if found is None:
            return path, name
        target, leads = found
        if target is not None:
            path = permitted(target, path, name)
        name = leads
    raise ReadFault(path, name, 0, 0, f"more than {MOST_LINKS} links lead to it")


def first_link(file: h5py.File, name: str, groups: MutableSet[str]) -> Link | None:
    """Return what the first link on the way to an object leads to, or None; `groups` are those known to have none.

    Raises
    ------
    KeyError
        If there is no such object.
    """
    import h5py

    parts, before, links = [p for p in name.split("/") if p not in ("", ".")], "", file.id.links
    for depth, part in enumerate(parts, 1):
        before = f"{before}/{part}"
        if before in groups:
            continue
        try:
            kind = links.get_info(before.encode()).type
        except RuntimeError:
            raise KeyError(f"there is no {name}") from None
        if kind == h5py.h5l.TYPE_HARD:
            groups.add(before)
            continue
        link = file.get(before, getlink=True)
        rest = "/".join(parts[depth:])
        if kind == h5py.h5l.TYPE_SOFT:
            return None, str(PurePosixPath("/", *parts[: depth - 1], link.path, rest))
        return link.filename, str(PurePosixPath("/", link.path, rest))
    return None


def permitted(target: str, path: str, name: str) -> str:
    """Return the path of a file that a link in the file at `path` leads to, if it may lead there.

    Raises
    ------
    ReadFault
    """
    folders = [os.path.dirname(os.path.abspath(path)), os.path.dirname(os.path.realpath(path))]
    found = [f for f in (os.path.join(folder, target) for folder in folders) if os.path.lexists(f)]
    other = (found or [os.path.join(folders[0], target)])[0]
    real = os.path.realpath(other)
    if os.path.dirname(real) not in {os.path.realpath(folder) for folder in folders}:
        raise ReadFault(path, name, 0, 0, f"a link that leaves the run, to {real}, is refused")
    if not os.path.exists(real):
        raise ReadFault(path, name, 0, 0, f"it leads to {other}, which is not there")
    return other


def checked(dataset: Any, path: str, name: str) -> h5py.Dataset:
    """Return what was found under a name if it is a dataset whose values may be read.

    Raises
    ------
    ReadFault
    """
    import h5py

    from .opened import Opened

    if not isinstance(dataset, Opened):
        raise ReadFault(path, name, 0, 0, f"it is a {type(dataset).__name__.lower()}, not a dataset")
    if dataset.kind != h5py.h5d.VIRTUAL and dataset.plist.get_external_count():
        raise ReadFault(path, name, 0, 0, "external storage is refused")
    shape = dataset.shape
    if not shape:
        raise ReadFault(path, name, 0, 0, "it has no axis of entries")
    if shape[0] > MOST_ROWS:
        raise ReadFault(path, name, 0, 0, f"it claims {shape[0]} rows, which is refused")
    if dataset.kind == h5py.h5d.CHUNKED:
        _check_chunks(dataset, path, name)
    heaps.checked(dataset, path, name)
    return dataset


def _check_chunks(dataset: h5py.Dataset, path: str, name: str) -> None:
    """Refuse chunks that would fill the memory."""
    rows, chunk = dataset.shape[0], dataset.chunks
    size = math.prod(chunk) * dataset.dtype.itemsize
    if size > LARGEST_CHUNK:
        raise ReadFault(path, name, 0, 0, f"chunks of {size} bytes are refused")
    if -(-rows // chunk[0]) > MOST_CHUNKS:
        raise ReadFault(path, name, 0, 0, f"it claims {rows} rows in chunks of {chunk[0]}: refused")


def parts(dataset: h5py.Dataset, path: str) -> tuple[Part, ...]:
    """Return what a virtual dataset is made of, in the order of its rows.

    Raises
    ------
    ReadFault
        If it is not made of whole rows, or of files outside of the run.
    """
    found = sorted(_part(dataset, path, source) for source in dataset.virtual_sources())
    if any(a.stop > b.start for a, b in zip(found[:-1], found[1:], strict=True)):
        raise ReadFault(path, dataset.name, 0, 0, "a virtual dataset with rows of two sources is refused")
    return tuple(found)


def _part(dataset: h5py.Dataset, path: str, source: Any) -> Part:
    """Return one source of a virtual dataset."""
    rows, first = _box(source.vspace, dataset.shape), _box(source.src_space, None)
    if rows is None or first is None:
        raise ReadFault(
            path, dataset.name, 0, 0, "a virtual dataset that is not made of whole rows is refused"
        )
    other = path if source.file_name == "." else source.file_name
    if other != path:
        other = _there(other, path, dataset.name)
    return Part(rows[0], rows[1], other, source.dset_name, first[0])


def _there(target: str, path: str, name: str) -> str:
    """Return where the file of a source is, or would be: that it is missing is said where it is read."""
    try:
        return permitted(target, path, name)
    except ReadFault as e:
        if "not there" in e.detail:
            return os.path.join(os.path.dirname(os.path.abspath(path)), target)
        raise


def _box(space: Any, shape: tuple[int, ...] | None) -> tuple[int, int] | None:
    """Return (first, last + 1) of the rows that a selection takes whole; None if it is another kind of selection."""
    import h5py

    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return 0, 0 if shape is None else shape[0]
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        return None
    low, high = space.get_select_bounds()
    extent = shape if shape is not None else space.shape
    whole = all(a == 0 and b == n - 1 for a, b, n in zip(low[1:], high[1:], extent[1:], strict=True))
    points = math.prod(int(b) - int(a) + 1 for a, b in zip(low, high, strict=True))
    return (int(low[0]), int(high[0]) + 1) if whole and points == space.get_select_npoints() else None
