"""Export of what is small: results, tables, cubes and picks as CSV, Parquet, .npz or .mat."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..disk import ours, replace
from ..errors.kinds import PATH, expect
from ..errors.near import listed
from ..sizes import count, parse, show
from . import asarrays, asrows
from .parts import Part, Source, parts
from .spelled import of_file, unique

LIMIT = "200 MB"
"""Values that are exported unless more is asked for."""
NAMED = 3
"""Of the largest variables, in a message."""
Writer = Callable[[Path], None]


@dataclass(frozen=True)
class Exported:
    """What was written, and what was not."""

    files: dict[str, str]
    """By path, what is in the file, in words."""
    left: dict[str, str] = field(default_factory=dict)
    """By variable, why it is in none."""

    def __str__(self) -> str:
        lines = [f"wrote    {path}: {words}" for path, words in self.files.items()]
        why: dict[str, list[str]] = {}
        for name, reason in self.left.items():
            why.setdefault(reason, []).append(name)
        return "\n".join([*lines, *(f"left out {listed(names)}: {reason}" for reason, names in why.items())])


def export(
    what: Any,
    to: str | Path,
    *variables: str,
    at: str | None = None,
    overwrite: bool = False,
    limit: str | int | None = LIMIT,
    agree: Callable[[str], bool] | None = None,
    units: bool = True,
) -> Exported:
    """Write what is small of a result, table, cube or picks for other programs.

    Parameters
    ----------
    what : path, Result, Table, Cube or Picks
        What `dxflow.open` opens, or has opened.
    to : path
        ``name.csv`` or ``name.parquet``: rows and columns; variables with other rows than the first ones go into files
        of their own, ``name.pulse.csv``, ``name.train.csv``. ``name.npz`` or ``name.mat``: arrays of any shape.
    *variables : str
        Which, by name or pattern (``"xgm.*"``); all that fit without any.
    at : {"pulse", "train"}, optional
        Rows and columns only: repeat values of trains and of the run in each of these rows, in one file.
    overwrite : bool
        Replace files of these names.
    limit : str or int, optional
        Bytes of values that are exported at most; None for any.
    agree : callable, optional
        Called with the size in words where it is above the limit; True goes on.
    units : bool
        CSV only: write units behind names, ``xgm (uJ)``.

    Returns
    -------
    Exported

    Raises
    ------
    KeyError, TypeError, ValueError
        If there is no such variable, it does not fit into such a file, or it is too large.
    FileExistsError, FileNotFoundError
        If a file is there already, or its folder is not.
    """
    expect(PATH, to, "to=")
    path = Path(to)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ValueError(f"to={str(to)!r}: expected a name that ends with {listed(KINDS)}")
    if at is not None and kind in ARRAYS:
        raise ValueError(f"at={at!r} is for rows and columns; arrays of {kind} have the axes that they have")
    source = Source.of(what)
    asked = _Asked(source, path, tuple(variables), at, units)
    writers, words, left = (asked.arrays if kind in ARRAYS else asked.rows)(KINDS[kind])
    _check([*writers], _inputs(what, source), overwrite)
    asked.refuse_large(limit, agree)
    _write(writers, overwrite)
    sized = {str(p): f"{words[p]}, {show(p.stat().st_size)}" for p in writers}
    return Exported(sized, left)


@dataclass
class _Asked:
    """What is to be written."""

    source: Source
    path: Path
    names: Sequence[str]
    at: str | None
    units: bool
    sizes: dict[str, int] = field(default_factory=dict)

    def rows(self, write: Callable[..., None]) -> tuple[dict[Path, Writer], dict[Path, str], dict[str, str]]:
        """Return what writes each file of rows and columns, what is in it, and what is left out."""
        made, left = parts(self.source, self.names, self.at)
        if not made:
            raise ValueError("nothing is there that has rows and columns; .npz and .mat hold all arrays")
        writers: dict[Path, Writer] = {}
        words = {}
        more = {"units": self.units} if write is asrows.write_csv else {}
        for part in made:
            own = self._file(part, writers) if len(made) > 1 else self.path
            writers[own] = partial(write, self.source, part, **more)
            rows, own_names = part.rows(self.source), [*self.source.labels(part.dims), *part.variables]
            words[own] = f"{count(rows, 'row')}, {count(len(own_names), 'variable')}"
            for name in part.variables:
                self.sizes[name] = Part(part.name, part.dims, [name], part.at).size(self.source)
        return writers, words, left

    def _file(self, part: Part, taken: dict[Path, Writer]) -> Path:
        """Return the file of one of several parts."""
        stems = [p.name.removesuffix(p.suffix) for p in taken]
        stem = unique(f"{self.path.stem}.{of_file(part.name)}", stems)
        return self.path.with_name(f"{stem}{self.path.suffix}")

    def arrays(
        self, write: Callable[..., None]
    ) -> tuple[dict[Path, Writer], dict[Path, str], dict[str, str]]:
        """Return what writes the file of arrays, and what is in it."""
        names = self.source.named(self.names)
        every = asarrays.chosen(self.source, names)
        self.sizes = {name: asarrays.size(self.source, [name]) for name in every}
        return (
            {self.path: lambda path: write(self.source, names, path)},
            {self.path: count(len(every), "array")},
            {},
        )

    def refuse_large(self, limit: str | int | None, agree: Callable[[str], bool] | None) -> None:
        """Refuse more than the limit, unless somebody agrees."""
        whole = sum(self.sizes.values())
        if limit is None or whole <= (most := parse(limit)):
            return
        largest = sorted(self.sizes, key=self.sizes.__getitem__, reverse=True)[:NAMED]
        said = ", ".join(f"{name} {show(self.sizes[name])}" for name in largest)
        words = f"{show(whole)} of values ({said})"
        if agree is not None and agree(words):
            return
        raise ValueError(
            f"{words} are more than the limit of {show(most)}: name those that are needed, or give limit=None"
        )


def _inputs(what: Any, source: Source) -> list[str]:
    """Return what is read."""
    return [p for p in (source.about.get("source", ""), what if isinstance(what, str) else "") if p]


def _check(paths: Sequence[Path], inputs: Sequence[str], overwrite: bool) -> None:
    """Refuse places where a file cannot be, before anything is read."""
    for path in paths:
        if not path.absolute().parent.is_dir():
            raise FileNotFoundError(
                f"{path}: the folder {path.absolute().parent} does not exist; make it first"
            )
        if why := ours.inside_any_run(path):
            raise ValueError(why)
        if not os.path.lexists(path):
            continue
        if not path.is_file() or path.is_symlink() or ours.touched(path, inputs):
            raise FileExistsError(f"{path} is no file that can be replaced: choose another name")
        if not overwrite:
            raise FileExistsError(f"{path} exists: choose another name, or overwrite=True to replace it")


def _write(writers: dict[Path, Writer], overwrite: bool) -> None:
    """Write all files under other names first, then rename them."""
    made: dict[Path, Path] = {}
    placed: list[Path] = []
    try:
        for path, write in writers.items():
            _tidy(path)
            made[path] = path.with_name(f".{path.name}.{_here()}{os.getpid()}-{uuid.uuid4().hex[:8]}")
            write(made[path])
        for path, temporary in made.items():
            os.replace(temporary, path) if overwrite else replace.appear(temporary, path)
            placed.append(path)
    except BaseException:
        for path in () if overwrite else placed:
            path.unlink(missing_ok=True)
        raise
    finally:
        for temporary in made.values():
            temporary.unlink(missing_ok=True)


def _here() -> str:
    """Return what begins the ends of temporary names of this machine."""
    return f"{of_file(os.uname().nodename)}-"


def _tidy(path: Path) -> None:
    """Remove what exports to a file left on this machine whose processes were killed."""
    begins = f".{path.name}.{_here()}"
    for one in path.absolute().parent.iterdir():
        found = _ENDS.fullmatch(one.name.removeprefix(begins)) if one.name.startswith(begins) else None
        if found and not Path("/proc", found[1]).exists():
            one.unlink(missing_ok=True)


_ENDS = re.compile(r"(\d+)-[0-9a-f]{8}")
ARRAYS = (".npz", ".mat")
KINDS: dict[str, Callable[..., None]] = {
    ".csv": asrows.write_csv,
    ".parquet": asrows.write_parquet,
    ".npz": asarrays.write_npz,
    ".mat": asarrays.write_mat,
}
