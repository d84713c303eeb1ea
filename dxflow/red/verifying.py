"""Whether a volume is as it was written: every byte, what is missing or too much, what it says of itself."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..driver.progress import Progress
from ..errors.usage import UsageError
from ..sizes import count
from . import checking
from .comparing import compare
from .finishing import metadata_problems, unfinished
from .folder import ABOUT, SUMS, files_in
from .hashed import Hashed, each, hashed, read_list


@dataclass(frozen=True)
class Verified:
    """What was found: problems, one line each, and what was looked at."""

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    files: int
    bytes: int
    sums: str


def verify(path: str | Path, *, deep: bool = False, quiet: bool = False) -> Verified:
    """Return whether a volume is as it was written, wherever it lies now; the runs it was made of are not needed.

    Parameters
    ----------
    deep : bool
        Compare files with those they were copied or cut from, where these still are.

    Raises
    ------
    UsageError
        If there is no volume.
    """
    folder = Path(path)
    if not folder.is_dir() or not any((folder / name).is_file() for name in (SUMS, ABOUT)):
        if folder.is_dir() and unfinished(folder):
            raise UsageError(f"{path}: this volume is not complete: 'dxflow red run' goes on with it")
        raise UsageError(f"{path}: no volume is there; expected a folder with {SUMS} and {ABOUT}")
    problems = [f"{path}: is not complete: 'dxflow red run' goes on with it"] if unfinished(folder) else []
    sums, about = _sums(folder, problems), _about(folder, problems)
    found = _hashed(folder, sums, problems, quiet)
    known = about.get("files") or {}
    problems += _unlike(known, sums, found)
    problems += _foreign(folder, sums)
    problems += metadata_problems(folder)
    notes = _installed(folder, problems)
    if deep:
        notes += _compared(folder, known, _options(about), problems, quiet)
    size = sum(one.size for one in found.values())
    return Verified(tuple(dict.fromkeys(problems)), tuple(notes), len(found), size, _own(folder))


def _foreign(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Return what is in the folder and in no list, and what nobody can look into."""
    try:
        there = files_in(folder)
    except OSError as e:
        return [f"{e.filename}: {e.strerror}"]
    return [f"{name}: is no part of the volume" for name in sorted(there.keys() - sums.keys() - {SUMS})]


def _own(folder: Path) -> str:
    return hashed(folder / SUMS).sha256 if (folder / SUMS).is_file() else ""


def _sums(folder: Path, problems: list[str]) -> dict[str, str]:
    try:
        return read_list((folder / SUMS).read_bytes())
    except (OSError, ValueError) as e:
        problems.append(f"{SUMS}: {e}")
        return {}


def _about(folder: Path, problems: list[str]) -> Mapping[str, Any]:
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        if about["kind"] != "red volume" or not isinstance(about["files"], dict):
            raise ValueError("is not what dxflow writes")
        return about
    except (OSError, ValueError, KeyError, TypeError) as e:
        problems.append(f"{ABOUT}: {e}")
        return {}


def _hashed(folder: Path, sums: Mapping[str, str], problems: list[str], quiet: bool) -> dict[str, Hashed]:
    """Read all files of the list; return what each is."""
    todo = {}
    for name in sorted(sums):
        if why := _no_file(folder, name):
            problems.append(f"{name}: {why}")
        else:
            todo[name] = folder / name
    found = {}
    with Progress("reading all of it", quiet=quiet) as progress:
        progress.phase("reading all of it", sum(path.stat().st_size for path in todo.values()))
        for name, made in each(todo.items(), progress.add):
            if isinstance(made, OSError):
                problems.append(f"{name}: {made.strerror or made}")
            else:
                found[name] = made
                if made.sha256 != sums[name]:
                    problems.append(
                        f"{name}: changed: SHA-256 {made.sha256[:12]}..., it was {sums[name][:12]}..."
                    )
    return found


def _no_file(folder: Path, name: str) -> str:
    """Return why a path of the list is no file of the volume; links, also above it, are not followed."""
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            return "is, or lies behind, a symbolic link, which is not followed"
    try:
        found = path.lstat()
    except FileNotFoundError:
        return "missing"
    except OSError as e:
        return e.strerror or str(e)
    return "" if stat.S_ISREG(found.st_mode) else "is no regular file"


def _unlike(known: Mapping[str, Any], sums: Mapping[str, str], found: Mapping[str, Hashed]) -> Iterator[str]:
    """Yield where the list of checksums and the origins do not agree, and files of another size."""
    for name, one in sorted(known.items()):
        if name not in sums:
            yield f"{name}: is in {ABOUT}, and not in {SUMS}"
        elif one.get("sha256") != sums[name]:
            yield f"{name}: has another SHA-256 in {ABOUT} than in {SUMS}"
        if name in found and found[name].size != one.get("size"):
            yield f"{name}: {found[name].size} bytes, {one.get('size')} were written"


def _installed(folder: Path, problems: list[str]) -> list[str]:
    """Let the packages that know crates and DataCite look, too; return which of them are not there."""
    notes = []
    try:
        import datacite  # noqa: F401
        import jsonschema  # noqa: F401
    except ModuleNotFoundError:
        notes.append("datacite.json was not compared with the schema of DataCite: pip install 'dxflow[red]'")
    try:
        problems += checking.reread(folder)
    except ModuleNotFoundError:
        notes.append("the crate was not read by rocrate: pip install 'dxflow[red]'")
    return notes


def _options(about: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the options of the copy of each run."""
    return {one["name"]: one.get("options", {}) for one in about.get("runs", ())}


def _compared(
    folder: Path,
    known: Mapping[str, Any],
    options: Mapping[str, Mapping[str, Any]],
    problems: list[str],
    quiet: bool,
) -> list[str]:
    """Compare files with their originals; return what was compared, and what was not."""
    whole, cut, gone = {}, {}, 0
    for name, one in known.items():
        inputs = one.get("inputs") or []
        if not inputs or _no_file(folder, name):
            continue
        original = Path(inputs[0]["path"])
        if not original.is_file():
            gone += 1
        elif one["how"] == "whole":
            whole[name] = original
        else:
            cut[name] = original
    with Progress("comparing with the originals", quiet=quiet) as progress:
        size = sum(known[name]["size"] for name in whole)
        size += sum(path.stat().st_size for path in cut.values())
        progress.phase("comparing with the originals", size)
        for name, made in each(whole.items(), progress.add):
            if isinstance(made, OSError):
                problems.append(f"{name}: its original, {whole[name]}: {made.strerror or made}")
            elif made.sha256 != known[name]["sha256"]:
                problems.append(f"{name}: is not its original, {whole[name]}")
        for name, original in cut.items():
            given = options.get(name.split("/")[1], {})
            problems += [f"{name}: {one}" for one in compare(folder / name, original, given, progress.add)]
    notes = [f"{count(len(whole), 'file')} compared with their originals"] if whole else []
    notes += [f"{count(len(cut), 'file')} compared with what was to remain of their originals"] if cut else []
    return [*notes, *([f"{count(gone, 'original')} not there"] if gone else [])]
