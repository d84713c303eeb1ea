"""What is written when all runs are done: README, crate, DataCite, origins, and the list of all checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..disk.replace import put
from ..errors import PlanError
from . import checking
from .citing import datacite
from .crate import crate
from .folder import ABOUT, ASKED, CRATE, DATACITE, OWN, README, SUMS, Volume, files_in
from .hashed import hashed, listed
from .planning import VolumePlan
from .readme import readme

FORMAT = 1
PACKAGES = ("dxflow", "h5py", "numpy", "extra-data")


def versions() -> dict[str, str]:
    """Return the versions of what copies and reduces."""
    return {name: version(name) for name in PACKAGES}


def finish(volume: Volume, plan: VolumePlan) -> str:
    """Write all that is about the data, check it, and make the volume complete; return the SHA-256 of the list.

    Raises
    ------
    PlanError
        If something is in the folder that is no part of the volume.
    ValueError
        If what was written is not what it must be.
    """
    records = [_noted(volume, one.wanted.name) for one in plan.runs]
    files = {path: facts for one in records for path, facts in one["files"].items()}
    _refuse_foreign(volume, files)
    own: dict[str, dict[str, Any]] = {}

    def write(name: str, text: str) -> None:
        put(volume.path / name, text)
        made = hashed(volume.path / name)
        own[name] = {"size": made.size, "sha256": made.sha256}

    facts, today = plan.asked.facts, date.today()
    size = sum(one["size"] for one in files.values())
    write(ASKED, plan.asked.text)
    write(README, readme(facts, today, records, versions()))
    write(DATACITE, _json(datacite(facts, today, records, size, len(files))))
    write(ABOUT, _json(_about(plan, records, files, today)))
    write(CRATE, _json(crate(facts, today, records, own, versions())))
    sums = {path: one["sha256"] for path, one in {**files, **own}.items()}
    raw = listed(sums)
    part = volume.journal / SUMS
    part.write_bytes(raw)
    part.replace(volume.path / SUMS)
    if problems := metadata_problems(volume.path):
        raise ValueError(f"what was written is not what it must be, which is a mistake of dxflow: {problems}")
    for folder in ("runs", "results"):
        _remove_empty(volume.path / folder)
    volume.finish()
    return hashlib.sha256(raw).hexdigest()


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
    plan: VolumePlan, records: list[dict[str, Any]], files: Mapping[str, Any], today: date
) -> dict[str, Any]:
    """Return the origin of all, as JSON values."""
    return {
        "kind": "red volume",
        "format": FORMAT,
        "created": today.isoformat(),
        "fingerprint": plan.fingerprint,
        "title": plan.asked.facts.title,
        "available": plan.asked.facts.available.isoformat(),
        "versions": versions(),
        "runs": [{key: value for key, value in one.items() if key != "files"} for one in records],
        "files": dict(files),
        "not_named": list(plan.beside),
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
