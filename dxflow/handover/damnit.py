"""DAMNIT: variables of a context file that show what dxflow has made of each run."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob, has_magic
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors.kinds import PATH, expect
from ..errors.near import did_you_mean, listed
from ..errors.redact import logger
from .cells import Shown, shown
from .parts import EVENT, Source, doc_of, unit_of
from .spelled import python_name

log = logger(__name__)
FIELD = re.compile(r"\{(run|proposal)(:[^{}]*)?\}")
"""What a path may have that differs from run to run."""
NUMBERED = re.compile(r"^(?:[^,]*/)?r0*(\d+)/?$")
"""How a result says of which run it is."""
LOOKED = 5
"""Results that are tried, the newest first, for one that tells which variables there are."""


def variables(
    path: str | Path,
    *names: str,
    prefix: str = "",
    data: str | None = None,
    tags: Sequence[str] | str | None = None,
) -> dict[str, Any]:
    """Return variables of DAMNIT for what is in a result, by the names that they have in a context file.

    Two lines of a context file are enough::

        from dxflow.handover.damnit import variables
        globals().update(variables("/gpfs/.../results/r{run:04}.zarr", "xgm*", "average.mean"))

    Parameters
    ----------
    path : path
        Of a result, table or cube, with ``{run}`` and ``{proposal}``, formatted as in Python, where it differs from
        run to run. It should be absolute: DAMNIT runs context files in a folder of its own.
    *names : str
        Which variables, by name or pattern; all of the newest result that is there by default, without lists of events.
    prefix : str
        Before names and titles, for several results of a run: ``"saxs"`` gives ``saxs_roi_sum``.
    data : {"raw", "proc"}, optional
        After the migration of which data DAMNIT looks; see `damnit_ctx.Variable`.
    tags : str or sequence of str, optional
        Of all of them.

    Returns
    -------
    dict of str to damnit_ctx.Variable
        Where a run has no result yet, or one without this variable, DAMNIT skips it and says why.

    Raises
    ------
    ModuleNotFoundError
        If DAMNIT is not there.
    KeyError
        If a static path has no variable of a name.
    """
    expect(PATH, path, "path=")
    context, text = _context(), str(path)
    opened = _Opened(text, context.Skip)
    source = _example(text)
    out: dict[str, Any] = {}
    for name in _names(source, names, text):
        own = python_name(f"{prefix}_{name}" if prefix else name, out)
        known = source is not None and name in source.data.variables
        told = {
            "title": f"{prefix}.{name}" if prefix else name,
            "description": (doc_of(source, name) if source and known else "")
            or (str(source.data[name].attrs.get("source", "")) if source and known else "")
            or name,
            "units": (unit_of(source, name) if source and known else "") or None,
            "data": data,
            "tags": tags,
        }
        out[own] = _fitting(context.Variable, told)(_function(opened, name, own, context))
    return out


def _context() -> Any:
    """Return DAMNIT's module of variables and cells: as its runner imports it, or from the package."""
    try:
        return import_module("damnit_ctx")
    except ModuleNotFoundError:
        pass
    try:
        import_module("damnit.context")
    except ModuleNotFoundError as e:
        raise ModuleNotFoundError(
            f"variables of DAMNIT are made where DAMNIT runs a context file, or is installed, and {e.name} is not "
            "here: pip install 'damnit[backend]'",
            name=e.name,
        ) from e
    return import_module("damnit_ctx")


def _fitting(kind: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """Call what may be of an older DAMNIT, which has fewer options."""
    known = inspect.signature(kind).parameters
    return kind(**{k: v for k, v in given.items() if k in known})


def filled(path: str, run: int | None, proposal: int | None) -> str:
    """Return a path with the numbers of a run; of None, as a pattern that all runs fit."""
    numbers = {"run": run, "proposal": proposal}

    def fill(found: re.Match[str]) -> str:
        number = numbers[found[1]]
        return "*" if number is None else format(number, (found[2] or ":")[1:])

    return FIELD.sub(fill, path)


def run_of(source: Source) -> int | None:
    """Return the number of the one run that a result says to be of, None if it says none, or several."""
    found = NUMBERED.search(source.about.get("run", ""))
    return int(found[1]) if found else None


def _example(path: str) -> Source | None:
    """Return a result that tells which variables there are: the newest that opens.

    One that does not is no reason for DAMNIT to be without the variables of all others in its context file.
    """
    alone = [path] if os.path.exists(path) else []
    there = sorted(
        (_age(one), one) for one in (glob(filled(path, None, None)) if FIELD.search(path) else alone)
    )
    for _, one in there[: -LOOKED - 1 : -1]:
        try:
            return Source.of(one)
        except (OSError, ValueError, TypeError, KeyError) as e:
            log.warning("%s cannot be opened: %s", one, e)
    return None


def _age(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0


def _names(source: Source | None, names: Sequence[str], path: str) -> Iterator[str]:
    """Yield the variables that are asked for; names of which no result knows anything are taken as they are."""
    if source is None:
        if not names or any(has_magic(n) for n in names):
            log.warning(
                "%s: no result is there yet, which would tell the variables; name them, or wait", path
            )
        yield from (n for n in dict.fromkeys(names) if not has_magic(n))
        return
    known = source.columns.names
    usual = [n for n in known if not any(str(d).endswith(EVENT) for d in source.data[n].dims)]
    found: dict[str, None] = dict.fromkeys(() if names else usual)
    for name in names:
        fits = [n for n in known if fnmatchcase(n, name)] if has_magic(name) and name not in known else [name]
        if fits == [name] and name not in known and not FIELD.search(path):
            raise KeyError(
                f"{path}: no variable {name!r}.{did_you_mean(name, known)} There are: {listed(known)}"
            )
        found |= dict.fromkeys(fits)
    yield from found


@dataclass
class _Opened:
    """Results of runs, opened once for all variables of a run."""

    path: str
    skip: type[Exception]
    at: str = ""
    source: Source | None = None

    def of(self, run: int, proposal: int) -> Source:
        """Return the result of a run.

        Raises
        ------
        Skip
            If there is none.
        """
        path = filled(self.path, run, proposal)
        if self.at != path or self.source is None:
            if not Path(path).exists():
                raise self.skip(f"{path}: there is no result of this run yet")
            try:
                self.source = Source.of(path)
            except FileNotFoundError as e:
                raise self.skip(str(e)) from e
            self.at = path
        return self.source


def _function(opened: _Opened, name: str, own: str, context: Any) -> Callable[..., Any]:
    """Return what DAMNIT calls for a run."""

    def compute(run: Any, run_number: int, proposal: int) -> Any:
        source = opened.of(run_number, proposal)
        if (number := run_of(source)) not in (None, run_number):
            raise context.Skip(
                f"{opened.at}: is of run {number}, not of run {run_number}: write {{run}} in the path where it differs"
            )
        if name not in source.data.variables:
            near = did_you_mean(name, source.columns.names)
            raise context.Skip(f"{opened.at}: no variable {name!r} in this run.{near}")
        made: Shown = shown(source, name, own)
        if made.why:
            raise context.Skip(f"{opened.at}: {name} {made.why}")
        told = {
            "summary": made.summary,
            "summary_value": made.value,
            "preview": made.preview,
            "units": made.unit,
        }
        return _fitting(context.Cell, {"data": made.data, **told})

    compute.__name__ = compute.__qualname__ = own
    compute.__doc__ = None
    # DAMNIT reads annotations as what to give to an argument.
    compute.__annotations__ = {"run_number": "meta#run_number", "proposal": "meta#proposal"}
    return compute
