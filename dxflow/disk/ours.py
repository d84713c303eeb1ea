"""What may be replaced or removed: only what dxflow made, known by its content, and never what a run is read from."""

from __future__ import annotations

import json
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .openhdf5 import open_hdf5

RESULT, COPY = "a result", "a copy of a run"
JOURNAL, BEGUN = "an interrupted reduction", "an interrupted copy"
FOLDERS = (RESULT, COPY, JOURNAL, BEGUN)
"""Folders of which every file is known."""
FILE = "a file of a FileWriter"
RUN = "a simulated run"
_COPYING = re.compile(r"\.+(dxflow|done)-[^/]*(/[^/]*)?")
"""What is in the folder of a copy until it is complete."""
_UNNAMED = re.compile(r"\.dxflow-[0-9a-f]{12}\.part")
"""The manifest of a copy that begins, until it has its name."""
EMPTY = "an empty folder"
BENCH = "a measurement of dxflow bench"
PICTURE = "a picture of dxflow"
REPORT = "a report of dxflow"
SOFTWARE = {"Software": "dxflow"}
"""What pictures, and in other words reports, say of themselves, by which they are known."""
_REPORT = re.compile(
    rb'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    rb'<meta name="generator" content="dxflow [^"]* report">'
)
JOBS = "the folder of a run's Slurm jobs"
SCRIPT = "job.sh"
"""In the folder of a run's jobs: what Slurm is to start."""
_BESIDE_SCRIPT = re.compile(r"logs(/\d+[^/]*\.log)?|tls(/tls_\w+\.pem)?|sign|answer|\.?about\.json(\.\w+)?")
PLAN = "plan.json"
"""In a folder of fragments: says of which reduction they are."""
MARKS = ("dxflow.json", PLAN)
"""What says of a folder that it is dxflow's."""
LOCK = f".{PLAN}.lock"
"""In a folder that somebody works in: says who."""
STORE, REPLACED = "store-", "replaced-"
"""Begin the names of what lies beside fragments: a result while it is written, and what it replaces."""
_TEMPORARY = r"(\.[0-9a-f]+)?"
_FRAGMENT = r"(chunk|gathered|merged|final|rows)-[-\w]+\.(fragment|json|hook)"
_JOURNAL = re.compile(
    rf"\.?plan\.json(\.lock)?{_TEMPORARY}|\.?noted\.fragment{_TEMPORARY}|\.?{_FRAGMENT}{_TEMPORARY}|\.?arrays-\w+\.bin{_TEMPORARY}"
    rf"|stuck-[-\d]+\.msgpack\.gz|attempts|attempts/\.?({_FRAGMENT}|(end|doing|now)-[^/]*\.json){_TEMPORARY}"
    rf"|{STORE}\w*(/.*)?|{REPLACED}\w*"
)
"""Paths in a folder of fragments that dxflow makes."""
DATA_FOLDERS = ("dxflow.json", "zarr.json", ".zgroup", ".zarray")
"""What a folder holds that may be an option of an algorithm."""
NAMED = 3
"""Files that a message names."""


def obstacle(path: Path, kinds: Iterable[str], inputs: Iterable[str | Path] = ()) -> str:
    """Return why what is at a path must not be replaced or removed, and what to do; "" if it may, or nothing is there.

    Parameters
    ----------
    path : path
    kinds : iterable of str
        What may be replaced there: RESULT, COPY, JOURNAL, BEGUN, FILE, RUN, EMPTY, JOBS, PICTURE, REPORT, BENCH.
    inputs : iterable of path
        Files and folders that are read.
    """
    path = Path(path)
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    except OSError as e:
        return f"{path}: {e.strerror}; choose another name"
    if stat.S_ISLNK(mode):
        return f"{path} is a symbolic link, which is not followed and not replaced: give the path it leads to"
    if read := touched(path, inputs):
        return f"{path} is, or holds, {read}, which is read: it is not replaced; choose another name"
    if (found := kind_of(path)) not in kinds:
        return _refused(path, found, mode)
    if found in FOLDERS and (others := _others(path, found)):
        listed = ", ".join(others[:NAMED]) + (", ..." if len(others) > NAMED else "")
        return f"{path} is {found}, but also holds {listed}: move these away, or choose another name"
    return ""


def _refused(path: Path, found: str, mode: int) -> str:
    """Say what is there instead of what may be replaced."""
    kind = "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "device or pipe"
    begun = ": finish it first (resume), " if found in (JOURNAL, BEGUN) else ": it is not replaced; "
    return f"{path} is {found or f'a {kind} that dxflow did not make'}{begun}choose another name, or remove it yourself"


def kind_of(path: Path) -> str:
    """Return what of dxflow is at a path, by its content; "" if nothing."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            return _kind_of_folder(path)
        return _kind_of_file(path) if stat.S_ISREG(mode) else ""
    # Whatever a manifest says that is none of ours, and HDF5 of a file that is none.
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        return next(
            (
                f"a folder whose {name} is damaged, or of other origin"
                for name in MARKS
                if _regular(path / name)
            ),
            "",
        )


def _kind_of_folder(path: Path) -> str:
    from .manifest import COPY as COPIED
    from .manifest import MANIFEST, read

    if _regular(path / MANIFEST):
        begun = json.loads((path / MANIFEST).read_bytes())
        if begun.get("state") == "partial" and isinstance(begun["fingerprint"], str):
            return BEGUN
        made = read(path)
        return COPY if made.get("kind") == COPIED else RESULT * isinstance(made["files"], dict)
    if _regular(path / PLAN):
        return JOURNAL * ("dxflow" in json.loads((path / PLAN).read_bytes())["versions"])
    # A process that is killed at once, or has no room, leaves no more than the beginning of its journal.
    if all(_begins(path / name) for name in os.listdir(path)):
        return EMPTY
    return JOBS if _jobs(path) else RUN * _simulated(path)


def _begins(path: Path) -> bool:
    """Return whether something is what a journal or a copy begins with, and holds nothing yet."""
    if path.name.startswith(f".{PLAN}.") or (_UNNAMED.fullmatch(path.name) and _regular(path)):
        return True
    return bool(_COPYING.fullmatch(path.name)) and path.is_dir() and not any(path.iterdir())


def _jobs(path: Path) -> bool:
    """Return whether a folder has a job script that names it, and nothing beside but logs and credentials."""
    there = {*os.listdir(path), *_files(path)} - {SCRIPT}
    if not _regular(path / SCRIPT) or not all(_BESIDE_SCRIPT.fullmatch(name) for name in there):
        return False
    return f"-J {path.name}\n" in (path / SCRIPT).read_text()


def _simulated(path: Path) -> bool:
    """Return whether a folder holds what `dxflow.simulate` writes, and nothing else."""
    from .manifest import CACHES
    from .marks import REST

    if not _regular(path / REST):
        return False
    files = json.loads((path / REST).read_bytes())["files"]
    there = {f.name: f.lstat().st_size for f in path.iterdir() if f.name not in (REST, *CACHES)}
    return bool(there) and all(files.get(name) == size for name, size in there.items())


def _kind_of_file(path: Path) -> str:
    with open(path, "rb") as raw:
        head = raw.read(2**14)
    if head.startswith(b"\x89PNG"):
        return PICTURE * (b"Software\0dxflow" in head)
    if head.startswith(b"<!DOCTYPE"):
        return REPORT * bool(_REPORT.match(head))
    if head.startswith(b"{"):
        return BENCH * ({"rows", "groups", "processor"} <= json.loads(path.read_bytes()).keys())
    return _kind_of_hdf5(path)


def _kind_of_hdf5(path: Path) -> str:

    from .marks import GROUP

    with open_hdf5(path) as file:
        if GROUP in file.attrs:
            return RESULT * isinstance(json.loads(file.attrs[GROUP]), dict)
        if GROUP in file:
            return RESULT * isinstance(json.loads(file[GROUP]["manifest"][()]), dict)
        return FILE * bytes(file["METADATA/daqLibrary"][0]).startswith(b"dxflow ")


def _regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _others(path: Path, kind: str) -> list[str]:
    """Return what is in a folder of dxflow's that is no part of it."""
    from .manifest import CACHES, MANIFEST, PART, read

    if not path.is_dir():
        return []
    if kind == JOURNAL:
        return foreign(path)
    there = set(_files(path))
    made = json.loads((path / MANIFEST).read_bytes()) if kind == BEGUN else read(path)
    listed = {*made.get("files", ()), *(n for n in there if kind != RESULT and _COPYING.fullmatch(n))}
    # What NFS calls files that were removed while somebody has them open.
    left = {n for n in there if os.path.basename(n).startswith((".nfs", LOCK))}
    return sorted(there - listed - left - {MANIFEST, PART, *CACHES})


def foreign(journal: Path) -> list[str]:
    """Return what is in a folder of fragments that dxflow did not make."""
    files = set(_files(journal))
    there = files | set(os.listdir(journal)) - {name.partition(os.sep)[0] for name in files}
    strange = {name for name in there if not _JOURNAL.fullmatch(name) and not name.startswith(REPLACED)}
    for old in journal.glob(f"{REPLACED}*"):
        others = _others(old, RESULT) if kind_of(old) == RESULT else [""]
        strange |= {os.path.join(old.name, name) for name in others}
    return sorted(n for n in strange if not os.path.basename(n).startswith(".nfs"))


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths in a folder of all that is no folder; links are not followed."""
    for root, folders, files in os.walk(folder):
        links = [f for f in folders if os.path.islink(os.path.join(root, f))]
        yield from (os.path.relpath(os.path.join(root, name), folder) for name in [*files, *links])


def warn_open(folder: Path) -> None:
    """Warn of a folder in which everybody may replace what is written there."""
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        warnings.warn(
            f"{folder} can be written by everybody, who may change or replace what is there: choose another folder, or "
            f"take that right away (chmod o-w {folder})",
            stacklevel=2,
        )


# Inputs -------------------------------------------------------------------------------------------


def touched(path: Path, inputs: Iterable[str | Path]) -> Path | None:
    """Return an input that a path is, or holds, or lies in, whatever links and mounts lead there."""
    here, listed = _id(path), [Path(i) for i in inputs]
    return within(path, listed) or next((i for i in listed if here and here in _ids_above(i)), None)


def within(path: Path, folders: Iterable[str | Path]) -> Path | None:
    """Return which of some folders a path is, or lies in; it need not be there yet."""
    above = _ids_above(path)
    return next((Path(f) for f in folders if _id(Path(f)) in above), None)


def inside_run(path: Path, folders: Iterable[str | Path]) -> str:
    """Return why something new must not be written inside a run directory or a result; "" if it is not."""
    if not (run := within(path.absolute().parent, folders)):
        return _inside_result(path.absolute())
    return (
        f"{path} would lie in the run directory {run}, where others look for data of the run: "
        f"choose another folder, such as {run.absolute().parent}"
    )


def inside_any_run(path: Path, folders: Iterable[str | Path] = ()) -> str:
    """Say the same as `inside_run`, also of a folder that is seen to be one of a run: files there have such names."""
    files = [one for one in path.absolute().parent.glob("*.h5") if _of_run(one.name)]
    return inside_run(path, [*folders, *folders_of(files)])


def _inside_result(path: Path) -> str:
    for above in path.parents:
        # Only what has a mark is looked at: folders above may hold whole beam times.
        if any(_regular(above / name) for name in MARKS) and kind_of(above) in FOLDERS:
            inside = f"{path} would lie in {above}, which is {kind_of(above)}"
            return f"{inside}: choose another folder, such as {above.parent}"
    return ""


def _ids_above(path: Path) -> set[tuple[int, int]]:
    """Return device and inode of a path and of all folders above it, with links resolved."""
    real = Path(os.path.realpath(path))
    return {i for p in (real, *real.parents) if (i := _id(p)) is not None}


def _id(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def folders_of(files: Iterable[Path]) -> list[Path]:
    """Return the folders of files that are run directories."""
    listed = list(files)
    count = Counter(f.parent for f in listed)
    return sorted({f.parent for f in listed if count[f.parent] > 1 or _of_run(f.name)})


def _of_run(name: str) -> bool:
    """Return whether a file has the name of one of a run."""
    from .marks import PATTERN

    return PATTERN.fullmatch(name) is not None


def paths_in(value: Any) -> list[Path]:
    """Return the paths of what is on the disk that a value names: texts, results, datasets, lists of these."""
    if isinstance(value, Mapping):
        return [p for v in value.values() for p in paths_in(v)]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [p for v in value for p in paths_in(v)]
    if hasattr(value, "__dataclass_fields__"):
        return paths_in(getattr(value, "__dict__", {}))
    source = getattr(value, "encoding", None)
    named = source.get("source") if isinstance(source, dict) else getattr(value, "path", value)
    return [Path(named)] if isinstance(named, (str, Path)) and _data(named) else []


def _data(name: str | Path) -> bool:
    """Return whether a text names a file, or a folder of data; "." as an option names none."""
    try:
        path = Path(name)
        return path.is_file() or any((path / mark).exists() for mark in DATA_FOLDERS)
    except (OSError, ValueError):
        return False
