"""What is written when all runs are done: README, crate, DataCite, origins, and the list of all checksums."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..disk.replace import put
from ..errors import PlanError, yamls
from . import checking
from .asked import Asked
from .citing import datacite
from .crate import crate
from .folder import ABOUT, ASKED, CRATE, DATACITE, OWN, README, RESULTS, RUNS, SUMS, Volume, files_in
from .hashed import hashed, listed
from .planning import fingerprint_of_all
from .readme import readme

FORMAT = 1
PACKAGES = ("dxflow", "h5py", "numpy", "extra-data")


def versions() -> dict[str, str]:
    """Return the versions of what copies and reduces."""
    return {name: version(name) for name in PACKAGES}


def finish(
    volume: Volume,
    asked: Asked,
    names: Sequence[str],
    not_named: Sequence[str] = (),
    created: date | None = None,
) -> str:
    """Write all that is about the data, check it, and make the volume complete; return the SHA-256 of the list.

    Parameters
    ----------
    names : sequence of str
        Of the runs, all of which are noted.
    not_named : sequence of str
        Runs beside them.
    created : date, optional
        When the data were copied: today.

    Raises
    ------
    PlanError
        If something is in the folder that is no part of the volume.
    ValueError
        If what was written is not what it must be.
    """
    records = [_noted(volume, name) for name in names]
    files = {path: facts for one in records for path, facts in one["files"].items()}
    _refuse_foreign(volume, files)
    _write(volume, asked, records, files, not_named, created or date.today())
    if problems := metadata_problems(volume.path):
        raise ValueError(f"what was written is not what it must be, which is a mistake of dxflow: {problems}")
    for folder in (RUNS, RESULTS):
        _remove_empty(volume.path / folder)
    made = sums(volume)
    volume.finish()
    return made


def _write(
    volume: Volume,
    asked: Asked,
    records: Sequence[Mapping[str, Any]],
    files: Mapping[str, Mapping[str, Any]],
    not_named: Sequence[str],
    day: date,
) -> None:
    """Write all that is about the data, the list of all SHA-256 last."""
    own: dict[str, dict[str, Any]] = {}

    def write(name: str, text: str) -> None:
        put(volume.path / name, text)
        made = hashed(volume.path / name)
        own[name] = {"size": made.size, "sha256": made.sha256}

    facts, size = asked.facts, sum(one["size"] for one in files.values())
    write(ASKED, asked.text)
    write(README, readme(facts, day, records, versions()))
    write(DATACITE, _json(datacite(facts, day, records, size, len(files))))
    write(ABOUT, _json(_about(asked, records, files, day, not_named)))
    write(CRATE, _json(crate(facts, day, records, own, versions())))
    part = volume.journal / SUMS
    part.write_bytes(listed({path: one["sha256"] for path, one in {**files, **own}.items()}))
    part.replace(volume.path / SUMS)


def anew(asked: Asked) -> str:
    """Write all that is about the data of a volume anew, by a file that says the same of runs; return as `finish`.

    Neither the data nor the runs they were made of are read.

    Raises
    ------
    PlanError
        If there is no volume, or the file says something else of its runs.
    """
    volume = Volume(asked.to)
    try:
        about = json.loads((volume.path / ABOUT).read_bytes())
        records, created = about["runs"], date.fromisoformat(about["created"])
        before = yamls.load((volume.path / ASKED).read_text(encoding="utf-8"))["runs"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise PlanError(f"{volume.path}: no complete volume is there: {e}") from e
    if before != yamls.load(asked.text)["runs"]:
        raise PlanError(
            f"{asked.path}: says something else of runs than {volume.path / ASKED}, by which the volume was made: only "
            "what it says of itself can be written anew"
        )
    _refuse_foreign(volume, about["files"])
    with volume.held(complete=True):
        for one in records:
            inside = [f"{folder}/{one['name']}/" for folder in (RUNS, RESULTS)]
            own = {path: facts for path, facts in about["files"].items() if path.startswith(tuple(inside))}
            volume.note(one["name"], {**one, "files": own})
        return finish(volume, asked, [one["name"] for one in records], about["not_named"], created)


def _noted(volume: Volume, name: str) -> dict[str, Any]:
    found = volume.noted(name)
    if found is None:
        raise PlanError(f"{volume.path}: what was noted of {name} is gone; start it again")
    return found


def _refuse_foreign(volume: Volume, files: Mapping[str, Any]) -> None:
    """Raise if the folder has more, or less, than was written."""
    there = files_in(volume.path)
    temporary = {path for path in there if any(path.startswith(f".{own}.") for own in OWN)}
    for path in temporary:
        there.pop(path).unlink()
    if other := sorted(there.keys() - files.keys() - {*OWN}):
        raise PlanError(
            f"{volume.path} holds {', '.join(other[:3])}, which is no part of the volume: move it away and start again"
        )
    if gone := sorted(files.keys() - there.keys()):
        raise PlanError(
            f"{volume.path}: {', '.join(gone[:3])} is gone since it was written: 'dxflow red run --again'"
        )


def _about(
    asked: Asked,
    records: Sequence[Mapping[str, Any]],
    files: Mapping[str, Any],
    day: date,
    not_named: Sequence[str],
) -> dict[str, Any]:
    """Return the origin of all, as JSON values."""
    return {
        "kind": "red volume",
        "format": FORMAT,
        "created": day.isoformat(),
        "fingerprint": fingerprint_of_all(asked, [(one["name"], one["fingerprint"]) for one in records]),
        "title": asked.facts.title,
        "available": asked.facts.available.isoformat(),
        "versions": versions(),
        "runs": [{key: value for key, value in one.items() if key != "files"} for one in records],
        "files": dict(files),
        "not_named": list(not_named),
    }


def _json(made: Any) -> str:
    return json.dumps(made, indent=1) + "\n"


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.glob("*/")) if folder.is_dir() else []:
        if not any(path.iterdir()):
            path.rmdir()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def metadata_problems(folder: Path) -> list[str]:
    """Return what is wrong with what a volume says of itself; the schema of DataCite only where it is installed."""
    found = []
    try:
        found += checking.of_crate(json.loads((folder / CRATE).read_bytes()), folder)
    except (OSError, ValueError) as e:
        found.append(f"{CRATE}: {e}")
    try:
        made = json.loads((folder / DATACITE).read_bytes())
    except (OSError, ValueError) as e:
        return [*found, f"{DATACITE}: {e}"]
    try:
        return [*found, *checking.of_datacite(made)]
    except ModuleNotFoundError:
        return found


def fingerprint_of(volume: Volume) -> str:
    """Return the fingerprint of the plan by which a complete volume was made, "" if it does not say it."""
    try:
        return json.loads((volume.path / ABOUT).read_bytes())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def sums(volume: Volume) -> str:
    """Return the SHA-256 of the list of all SHA-256."""
    return hashed(volume.path / SUMS).sha256


def unfinished(folder: Path) -> bool:
    """Return whether a volume was begun in a folder and is not complete."""
    return Volume(folder).begun
