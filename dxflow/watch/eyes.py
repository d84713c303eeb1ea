"""What is asked of file systems that may hang: a process of its own looks, and answers line by line."""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..live.closed import in_writing
from ..run import detectors
from ..run.naming import ORIGINS
from . import answers

NAMED = re.compile(r"\w+-R\d+-(?P<who>.+)-S(?P<number>\d+)\.h5")
"""Files of a run: who wrote them, and which in order of time they are."""
HIDDEN = re.compile(r"[-.]|.*[\x00-\x1f\x7f\ud800-\udfff]", re.DOTALL)
"""Names that no run has: they would be taken for options, break lines, or cannot be written down."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
GROUP = re.compile(r"(:[^/]*)/.*")
"""Files list what comes from a pipeline with the group of its index: ``source:output/image``."""
TEXTS = {"type": "runType", "sample": "sample", "version": "dataFormatVersion"}
NUMBERS = {"proposal": "proposalNumber", "run": "runNumber"}
NO_FILE = "is no file"
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)
"""What systems say of links that lead nowhere, or to where one may not look."""


class Eyes:
    """Answers questions, and remembers what it has seen."""

    def __init__(self) -> None:
        self._last = ""
        self._closed: set[tuple[str, int, int]] = set()

    def proposal(self, number: int) -> str:
        """Return the folder of a proposal."""
        from extra_data.read_machinery import find_proposal

        return find_proposal(number)

    def runs(self, place: str, pattern: str) -> dict[str, Any] | None:
        """Return the folders of runs with when each was changed; None if all is as it was before."""
        roots = {o: os.path.join(place, o) for o in ORIGINS if os.path.isdir(os.path.join(place, o))}
        found = {}
        for origin, root in (roots or {"": place}).items():
            for name, changed in _folders(root, pattern):
                found[f"{origin}/{name}".lstrip("/")] = changed
        said = json.dumps(found)
        if said == self._last:
            return None
        self._last = said
        return found

    def look(self, path: str) -> dict[str, Any]:
        """Return the files of a run: what tells whether they change, and those that are not closed."""
        files, unclosed = [], []
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if not entry.name.endswith(".h5") or HIDDEN.match(entry.name):
                    continue
                size, changed, why = self._seen(entry)
                files.append((entry.name, size, changed))
                if why:
                    unclosed.append(f"{entry.name} {why}")
        return {"files": files, "unclosed": unclosed, "gaps": gaps([name for name, _, _ in files])}

    def _seen(self, entry: os.DirEntry[str]) -> tuple[int, int, str]:
        """Return size and time of a file, and why it is not closed.

        One that cannot be read, as a link to nothing, is as one that stays open: others are looked at all the same.
        """
        size, changed = 0, 0
        try:
            found = entry.stat()
            size, changed = found.st_size, found.st_mtime_ns
            # Opening a pipe waits for who writes to it.
            return (
                size,
                changed,
                self._unclosed(entry.path, found) if stat.S_ISREG(found.st_mode) else NO_FILE,
            )
        except OSError as e:
            return size, changed, f"cannot be read: {e.strerror}"

    def _unclosed(self, path: str, found: os.stat_result) -> str:
        key = (path, found.st_size, found.st_mtime_ns)
        if key in self._closed:
            return ""
        if why := unclosed(path, found.st_size):
            return why
        self._closed.add(key)
        return ""

    def touch(self, path: str) -> None:
        """Touch a folder: it answers where files can be changed, also where there is no room for more."""
        os.utime(path)

    def forget(self) -> None:
        """Forget files: their runs are complete."""
        self._closed.clear()

    def describe(self, path: str, keys: Sequence[str]) -> dict[str, Any]:
        """Return what a run is: type, sample, detectors, trains, the values of some keys; where its writers end."""
        return described(Path(path), keys)


def _folders(root: str, pattern: str) -> list[tuple[str, int]]:
    """Return names of folders that may be runs, in order, with the time of their last change in nanoseconds."""
    found = []
    with os.scandir(root) as entries:
        for entry in entries:
            if fnmatch.fnmatchcase(entry.name, pattern) and not HIDDEN.match(entry.name):
                try:
                    about = entry.stat()
                except OSError as e:
                    # A link to nothing, or removed at this moment: the others can be seen.
                    # In a folder in which one may not look at anything, runs are not gone.
                    if e.errno not in NOWHERE or (e.errno == errno.EACCES and not entry.is_symlink()):
                        raise
                    continue
                if stat.S_ISDIR(about.st_mode):
                    found.append((entry.name, about.st_mtime_ns))
    return sorted(found)


def unclosed(path: str, size: int) -> str:
    """Return why an HDF5 file is still being written, by its lock and its first bytes; "" if it is closed."""
    with open(path, "rb") as file:
        head = file.read(64)
    if len(head) < 64 or not head.startswith(SIGNATURE):
        return "is no HDF5 file yet"
    if in_writing(path):
        return "is open for writing"
    shift = 4 * head[8]
    base, end = (
        (head[12:20], head[28:36])
        if head[8] >= 2
        else (head[24 + shift : 32 + shift], head[40 + shift : 48 + shift])
    )
    wanted = int.from_bytes(end, "little")
    return f"has {size} of {wanted} bytes" if wanted > size and not any(base) else ""


def gaps(names: Sequence[str]) -> list[str]:
    """Return the files that are missing between others of the same writer."""
    numbers: dict[str, set[int]] = {}
    for match in filter(None, map(NAMED.fullmatch, names)):
        numbers.setdefault(match["who"], set()).add(int(match["number"]))
    missing = ((who, sorted(set(range(max(own))) - own)) for who, own in sorted(numbers.items()))
    return [f"{who}-S{least[0]:05d} is missing" for who, least in missing if least]


def described(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Return what the files of a run say of it; those that cannot be read say nothing."""
    by_writer: dict[str, list[Path]] = {}
    for file in sorted(path.glob("*.h5")):
        if HIDDEN.match(file.name) or file.is_fifo():
            continue
        match = NAMED.fullmatch(file.name)
        by_writer.setdefault(match["who"] if match else file.name, []).append(file)
    facts: dict[str, Any] = {"values": {}, "unreadable": []}
    sources: set[str] = set()
    ends: dict[str, tuple[int, int]] = {}
    for who, files in by_writer.items():
        try:
            first = _of_file(files[0], keys, facts, sources)
            last = first if files[-1] == files[0] else _trains(files[-1])
        # What HDF5 raises of damage has many classes; what others write in these places is of any shape.
        except (OSError, LookupError, ValueError, RuntimeError, TypeError, AttributeError) as e:
            facts["unreadable"].append(f"{who}: {e}")
            continue
        if first and last:
            ends[who] = (first[0], last[1])
    began = min((a for a, _ in ends.values()), default=0)
    ended = max((b for _, b in ends.values()), default=-1)
    facts["trains"] = ended - began + 1 if ends else 0
    facts["ends"] = {who: b for who, (_, b) in ends.items()}
    facts["sources"] = sorted(sources)
    facts["detectors"] = sorted({one.name for one in detectors.find(sources)})
    return facts


def _of_file(path: Path, keys: Sequence[str], facts: dict[str, Any], sources: set[str]) -> Any:
    """Add what one file says to facts; return its first and last train."""
    from ..disk.openhdf5 import open_hdf5

    with open_hdf5(path) as file:
        about = file["METADATA"]
        for name, key in {**TEXTS, **NUMBERS}.items():
            if name not in facts and key in about:
                value = _first(about[key])
                facts[name] = int(value) if name in NUMBERS else bytes(value).decode("utf-8", "replace")
        listed = about["dataSources/dataSourceId"] if "dataSources" in about else about["dataSourceId"]
        own = [bytes(s).decode("utf-8", "replace").partition("/")[2] for s in listed[()]]
        sources.update(GROUP.sub(r"\1", s) for s in own if s)
        for text in keys:
            source, _, key = text.partition(" ")
            place = f"RUN/{source}/{key.strip().replace('.', '/')}/value"
            if text not in facts["values"] and place in file:
                facts["values"][text] = _plain(_first(file[place]))
        return _of_index(file)


def _first(data: Any) -> Any:
    """Return the first value of a dataset; a text that stands alone is its value."""
    found = data[()]
    return found.ravel()[0] if hasattr(found, "ravel") else found


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, bytes):
        return bytes(value).decode("utf-8", "replace")
    found = value.item() if hasattr(value, "item") else value
    return found if isinstance(found, (bool, int, float, str)) else str(found)


def _trains(path: Path) -> Any:
    from ..disk.openhdf5 import open_hdf5

    with open_hdf5(path) as file:
        return _of_index(file)


def _of_index(file: Any) -> tuple[int, int] | None:
    """Return the first and last train of a file; 0 stands for none."""
    ids = file["INDEX/trainId"][()]
    ids = ids[ids > 0]
    return (int(ids.min()), int(ids.max())) if ids.size else None


def main() -> None:
    """Answer what is asked of runs."""
    answers.serve(Eyes())
