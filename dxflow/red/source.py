"""The files that a run is read from: how large they are, and what tells whether they are still the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from ..disk.manifest import MANIFEST
from ..disk.openhdf5 import open_hdf5
from ..errors import PlanError
from ..run.open import missing, places
from .facts import Facts


@dataclass(frozen=True)
class SourceFile:
    """A file of a run: its path, bytes, and when it was last changed, in ns."""

    path: str
    size: int
    changed: int

    @property
    def name(self) -> str:
        """Its name."""
        return os.path.basename(self.path)


@dataclass(frozen=True)
class Source:
    """The files of a run, by name."""

    files: tuple[SourceFile, ...]
    folders: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.size for file in self.files)


def source_of(run: Any) -> Source:
    """Return the files of a run; none is opened.

    Raises
    ------
    PlanError
        If there is no such run, or it has no files.
    """
    if why := missing(run):
        raise PlanError(why)
    found = places(run)
    try:
        paths = [path for place in found for path in _data(Path(place))]
        files = tuple(_looked_at(path) for path in paths)
    except OSError as e:
        raise PlanError(f"{e.filename}: {e.strerror}") from e
    if not files:
        raise PlanError(f"{', '.join(found)}: no files of data (.h5) are there")
    return Source(files, tuple(sorted({os.path.dirname(file.path) for file in files})))


def _data(place: Path) -> list[Path]:
    """Return the files of data in a folder; a file is one itself."""
    if place.is_dir():
        return sorted(path for path in place.iterdir() if path.suffix == ".h5" and path.is_file())
    return [place]


def _looked_at(path: Path) -> SourceFile:
    found = path.stat()
    return SourceFile(str(path), found.st_size, found.st_mtime_ns)


def contradictions(source: Source, facts: Facts) -> tuple[str, ...]:
    """Return what the first file of a run says otherwise than a file about all: its proposal, and when it began."""
    try:
        with open_hdf5(source.files[0].path) as file:
            about = file["METADATA"]
            proposal = int(about["proposalNumber"][0]) if "proposalNumber" in about else 0
            said = bytes(about["creationDate"][0]).decode() if "creationDate" in about else ""
    # What HDF5 raises of damage has many classes; whether it can be copied is found out otherwise.
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError):
        return ()
    found = []
    asked = facts.proposal.removeprefix("p").lstrip("0")
    if proposal and asked.isdigit() and proposal != int(asked):
        found.append(f"its files are of proposal {proposal}, not {facts.proposal}")
    first, _, last = facts.collected.partition("/")
    try:
        day = datetime.strptime(said[:8], "%Y%m%d").date()
    except ValueError:
        return tuple(found)
    # Files have UTC, people have the time of their watches.
    one = timedelta(days=1)
    if first and not date.fromisoformat(first) - one <= day <= date.fromisoformat(last or first) + one:
        found.append(f"its files were begun on {day}, not collected {facts.collected}")
    return tuple(found)


def fingerprint(source: Source, options: Mapping[str, Any], results: tuple[str, ...], keep: str) -> str:
    """Return what tells files and options from any others, without reading the files: names, sizes, times.

    Parameters
    ----------
    source : Source
    options : mapping
        Of the copy, as they are for this run: results that they name are told by what they are now.
    results : tuple of str
        Paths of results that are kept.
    keep : str
        What of the run remains.
    """
    files = [(file.name, file.size, file.changed) for file in source.files]
    paths = dict.fromkeys(path for path in [*_named(options), *results] if _there(path))
    said = [keep, files, options, [_of_path(path) for path in paths]]
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _named(value: Any) -> Iterator[str]:
    """Yield the texts of plain values, and what in them may be a path of a result or file.

    A result stands alone, before the name of one of its algorithms (``lit.zarr:litframes_2``), or as the value of an
    option of an algorithm (``dark=dark.zarr``).
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _named(one)
    if isinstance(value, str):
        for one in dict.fromkeys([value, *value.split(","), *value.partition("=")[2].split(",")]):
            yield one
            yield one.rpartition(":")[0]


def _there(text: str) -> bool:
    """Return whether a file, or a result in a folder, is there; any other folder may have the name of an option."""
    try:
        return bool(text) and (Path(text, MANIFEST).is_file() or Path(text).is_file())
    except (OSError, ValueError):
        return False


def _of_path(path: str) -> list[Any]:
    """Return what tells a result from another one of the same name: its manifest, else its size and time."""
    manifest = Path(path, MANIFEST)
    found = (manifest if manifest.is_file() else Path(path)).stat()
    return [path, found.st_size, found.st_mtime_ns]
