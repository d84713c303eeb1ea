"""Open whatever was written: results, tables of dxflow and of LCLS, also of several runs, cubes, picks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from glob import glob, has_magic
from importlib import import_module
from pathlib import Path
from typing import Any

from ..disk.marks import GROUP
from ..disk.openhdf5 import open_hdf5
from ..driver.result import Result, open_result
from ..errors.kinds import PATH, expect
from ..errors.redact import hidden
from ..stores.opening import dataset
from . import beside
from .added import with_added
from .rooms import recover, unfinished
from .runs import join
from .saved import read
from .tables import Table

RAW = (".xtc", ".xtc2")
"""Of raw data of LCLS."""
HDF5 = (".h5", ".hdf5", ".hdf")

KINDS = {"table": ("tables", "Table"), "cube": ("cubes", "Cube"), "picks": ("picked", "Picks")}
"""By the kind in a manifest, what holds it: a class of a file of this room, made of dataset, path and ``about``."""
FEEDBACK = ("redis", "rediss", "unix")
_ADDRESS = re.compile(r"([a-z][a-z0-9+]+)://")


def open(what: Any) -> Any:  # noqa: A001 - as in xarray and zarr
    """Open what was written before: a result, tables of one run or of several, a cube, picks.

    Parameters
    ----------
    what : path, or list of paths
        What `dxflow.reduce`, `dxflow.analysis.table`, or the ``save`` of a cube was given as `to`; or a small-data file
        of LCLS. Several, or a pattern such as ``"r*.zarr"``, are tables of several runs, which become one: see
        `dxflow.analysis.runs.join`. ``"redis://host:port/db?name=r0034"`` is the feedback of a live run: a table that
        grows, see `dxflow.live.feed.LiveTable`.

    Returns
    -------
    Result, Table, Cube or Picks
        Values are read when they are used.

    Raises
    ------
    FileNotFoundError
        If there is none, or only an unfinished one.
    OSError
        If its manifest is damaged, or files of it are missing or cut short.
    ValueError
        If it is something else, or tables of several runs do not fit together.
    """
    if isinstance(what, (list, tuple)):
        return _joined([*what])
    expect(PATH, what, "path=")
    if isinstance(what, str) and (found := _ADDRESS.match(what)):
        if found[1] in FEEDBACK:
            # Of what stands beside, and needs tables itself.
            return import_module("dxflow.live.feed").open_feed(what)
        raise ValueError(
            f"{hidden(what)!r}: {found[1]}:// is not known; expected the path of a result, of a table of "
            "dxflow, or the feedback of a live run, redis://host:port/db?name=..."
        )
    if not Path(what).exists() and has_magic(str(what)):
        # What was added to tables lies beside them.
        tables = [one for one in sorted(glob(str(what))) if not one.endswith(beside.SUFFIX)]
        return _joined(tables, str(what))
    return _opened(Path(what))


def _opened(path: Path) -> Any:
    """Open what is at one path."""
    with suppress(OSError):
        recover(path)
    if not path.exists() and (why := unfinished(path)):
        raise FileNotFoundError(f"{path}: {why}")
    if path.suffix in RAW:
        raise ValueError(
            f"{path} is raw data of LCLS, which are not read: open the small-data file that smalldata_tools makes of it"
        )
    if path.is_file() and path.suffix in HDF5 and not _ours(path):
        from . import smalldata

        data = smalldata.read(path)
        left, said = data.attrs.get("left_out", ""), _said(path)
        notes = [f"left out, neither numbers nor texts: {left}"] if left else []
        data.attrs.update(said.get("attrs", {}))
        about = {"layout": data.attrs["layout"], "notes": notes, **said.get("about", {})}
        return with_added(Table(data, path, about))
    result = open_result(path)
    if result.manifest.get("kind") == beside.KIND:
        raise ValueError(
            f"{path} has what was added to a table: open the table, or ev.restore({str(path)!r})"
        )
    return _made(path, result.manifest) if result.manifest.get("kind") in KINDS else result


def _said(path: Path) -> dict[str, Any]:
    """Return what a table in LCLS's layout says of how dxflow made it; nothing of a file of LCLS."""
    with open_hdf5(path) as file:
        return dict(json.loads(file.attrs[GROUP])) if GROUP in file.attrs else {}


def _ours(path: Path) -> bool:
    """Return whether an HDF5 file says that it is of dxflow, or nothing can be said of it."""
    try:
        with open_hdf5(path) as file:
            return "manifest" in file.get(GROUP, {})
    except OSError:
        return True


def _joined(paths: Sequence[Any], pattern: str = "") -> Table:
    """Open tables of several runs as one."""
    if not paths:
        raise FileNotFoundError(f"{pattern}: no such files" if pattern else "no paths; expected at least one")
    opened = [one if isinstance(one, Table) else open(one) for one in paths]
    tables = [one.table if isinstance(one, Result) else one for one in opened]
    for path, one in zip(paths, tables, strict=True):
        if not isinstance(one, Table):
            raise ValueError(f"{path} is a {type(one).__name__}; expected tables")
    return join(tables)


def _made(path: Path, made: Mapping[str, Any]) -> Any:
    """Return what a manifest says that was written."""
    file, name = KINDS[made["kind"]]
    data = read(path) if path.is_dir() else dataset(path)
    opened = getattr(import_module(f"{__package__}.{file}"), name)(data, path, made["about"])
    return with_added(opened) if isinstance(opened, Table) else opened
