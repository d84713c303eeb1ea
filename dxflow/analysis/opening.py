"""Open whatever dxflow has written: results, tables, cubes, picks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ..driver.result import open_result
from ..errors.kinds import PATH, expect
from .saved import read, unfinished

KINDS = {"table": ("tables", "Table"), "cube": ("cubes", "Cube"), "picks": ("picked", "Picks")}
"""By the kind in a manifest, what holds it: a class of a file of this room, made of dataset, path and ``about``."""
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+)://")


def open(what: Any) -> Any:  # noqa: A001 - as in xarray and zarr
    """Open what dxflow has written before: a result, a table, a cube or picks.

    Parameters
    ----------
    what : path
        What `dxflow.reduce`, `dxflow.analysis.table`, or the ``save`` of a cube was given as `to`.

    Returns
    -------
    Result, Table, Cube or Picks
        Values are read when they are used.

    Raises
    ------
    FileNotFoundError
        If there is none, or only an unfinished one.
    OSError
        If there is something else, its manifest is damaged, or files of it are missing or cut short.
    """
    expect(PATH, what, "path=")
    if isinstance(what, str) and (found := _ADDRESS.match(what)):
        raise ValueError(
            f"{what!r}: {found[1]}:// is not known; expected the path of a result, or of a table of dxflow"
        )
    path = Path(what)
    if not path.exists() and (why := unfinished(path)):
        raise FileNotFoundError(f"{path}: {why}")
    result = open_result(path)
    return _made(path, result.manifest) if result.manifest.get("kind") in KINDS else result


def _made(path: Path, made: Mapping[str, Any]) -> Any:
    """Return what a manifest says that was written."""
    file, name = KINDS[made["kind"]]
    return getattr(import_module(f"{__package__}.{file}"), name)(read(path), path, made["about"])
