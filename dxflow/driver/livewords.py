"""What the result of a live run says of itself: that it is a snapshot, of which version, and what was changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..sizes import count

_VERSION = re.compile(r"\.v\d+$")


def lines(live: Any, path: Path | None = None, trains: int | None = None) -> list[str]:
    """Return in words what a live run says of a result, the most important first; nothing of any other result.

    Parameters
    ----------
    live : mapping or str
        ``plan.live``, also as JSON.
    path : path, optional
        Of the result: others of the run are beside it.
    trains : int, optional
        How many it has.
    """
    said = _read(live)
    if not said:
        return []
    first, last, version = said.get("first_train"), said.get("last_train"), int(said.get("version", 1))
    many = "" if trains is None else f"{count(trains, 'train')}, "
    which = f"{many}{first} to {last}"
    chunk = f", --chunk '{said['chunk']}'" if said.get("chunk") else ""
    if not said.get("final", True):
        newest = "" if path is None else f"; the newest is {result_of(path).name}"
        out = [f"snapshot {said.get('number', '')} of a run that goes on: {which} so far{chunk}{newest}"]
    else:
        out = [f"result of a live run: {which}{chunk}"]
    changes = [str(one) for one in said.get("changes", ())][: version - 1]
    before = [] if path is None else _versions(path, version)
    out += [f"version {n}: {change}" for n, change in enumerate(changes, 2)]
    if before:
        out.append(f"versions before: {', '.join(before)}")
    elif version > 1:
        out.append(f"version {version} of its options: earlier trains may be in results of versions before")
    if path is not None and said.get("final") and (newer := _newer(path)):
        out.append(f"version {version}, which has ended: {newer} goes on with other options")
    return out


def _read(live: Any) -> Mapping[str, Any]:
    """Return what is said, of a text as well."""
    try:
        found = json.loads(live) if isinstance(live, str) else live
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def result_of(path: Path) -> Path:
    """Return where a live run has its newest result: ``x.zarr`` of ``x.live/0003.zarr`` and ``x.v1.zarr``."""
    if path.parent.suffix == ".live":
        return path.parent.with_suffix(".zarr")
    return path.with_name(f"{_VERSION.sub('', path.stem)}{path.suffix}")


def _versions(path: Path, version: int) -> list[str]:
    """Return the names of results of versions before one, as far as they are there."""
    newest = result_of(path)
    names = [newest.with_name(f"{newest.stem}.v{n}{newest.suffix}") for n in range(1, version)]
    return [one.name for one in names if one.exists()]


def _newer(path: Path) -> str:
    """Return the name of the newest result, if a path is that of an earlier version."""
    newest = result_of(path)
    return newest.name if _VERSION.search(path.stem) and newest != path else ""
