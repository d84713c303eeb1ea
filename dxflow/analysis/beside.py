"""What is kept beside a table: a store of variables that were added, changed by one process at a time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..disk import manifest as _manifest
from ..disk.lock import Held, held
from . import saved
from .columns import VALID
from .rooms import recover

if TYPE_CHECKING:
    import xarray as xr

KIND = "added"
SUFFIX = ".added.zarr"
PATIENCE = 30
"""Seconds for which another process may work there."""


def place(path: Path) -> Path:
    """Return where variables that were added to what is at a path are kept."""
    return path.with_name((path.stem if path.suffix == saved.SUFFIX else path.name) + SUFFIX)


def checked(path: Path) -> Path:
    """Return a place that a user gave.

    Raises
    ------
    ValueError
        If it has another ending.
    """
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path}: added variables are kept as name{SUFFIX}")
    return path


def exists(path: Path) -> bool:
    """Return whether anything is kept there, also if whoever replaced it was killed meanwhile.

    Raises
    ------
    OSError
        If it cannot have its name again.
    """
    recover(path)
    return path.exists()


def read(path: Path) -> tuple[xr.Dataset, dict[str, Any]]:
    """Return the variables that are kept, lazily, and what is known of each.

    Raises
    ------
    ValueError
        If it holds something else.
    """
    made = _manifest.read(path)
    if made.get("kind") != KIND:
        raise ValueError(
            f"{path} is a {made.get('kind', 'result')}; expected variables that were added to a table"
        )
    return saved.read(path), made["about"]["variables"]


def selections(path: Path) -> dict[str, Any]:
    """Return the selections that are kept, as `Selections.to_dict` gave them."""
    return dict(_manifest.read(path)["about"].get("selections") or {})


def put(
    path: Path,
    data: Mapping[Any, Any],
    told: Mapping[str, Any],
    *,
    of: str,
    selected: Mapping[str, Mapping[str, Any]] | None = None,
    gone: Collection[str] = (),
) -> None:
    """Keep variables and selections, in place of those of the same name, beside the others that are there.

    Parameters
    ----------
    gone : collection of str
        Selections that are not to be kept.
    """
    with _alone(path):
        there = path.exists()
        kept, known = read(path) if there else (None, {})
        stay = {n: v for n, v in _variables(kept).items() if n.removesuffix(VALID) not in told}
        before = selections(path) if there else {}
        every = {kind: {**before.get(kind, {}), **own} for kind, own in (selected or before).items()}
        for name in gone:
            every.get("selections", {}).pop(name, None)
        # Each is behind what it is made of.
        known = {n: one for n, one in known.items() if n not in told} | dict(told)
        _write(path, {**stay, **data}, known, of, every)


def remove(path: Path, names: Sequence[str]) -> None:
    """Remove variables, as far as they are kept."""
    if not path.absolute().parent.is_dir():
        return
    with _alone(path):
        if not path.exists():
            return
        kept, known = read(path)
        stay = {n: v for n, v in _variables(kept).items() if n.removesuffix(VALID) not in names}
        left = {n: one for n, one in known.items() if n not in names}
        _write(path, stay, left, _manifest.read(path)["about"]["of"], selections(path))


def stamp(path: Path) -> str:
    """Return what tells a table, as it is, from others: the checksum of its manifest, or size and time of a file."""
    if path.is_dir():
        return str(_manifest.read(path)["crc32"])
    found = path.stat()
    return f"{found.st_size}-{found.st_mtime_ns}"


def _variables(kept: xr.Dataset | None) -> dict[str, Any]:
    return {} if kept is None else {str(n): v.variable.load() for n, v in kept.data_vars.items()}


def _write(
    path: Path, data: Mapping[Any, Any], told: Mapping[str, Any], of: str, selected: Mapping[str, Any] | None
) -> None:
    import xarray as xr

    about = {"of": of, "variables": dict(told), "selections": dict(selected or {})}
    saved.write(xr.Dataset(data), path, KIND, about, overwrite=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process changes what is kept.

    Raises
    ------
    FileNotFoundError, FileExistsError, ValueError
        If nothing can be kept there.
    """
    saved.check(path, None, overwrite=True)
    end = time.monotonic() + PATIENCE
    folder = path.absolute().with_name(f".{path.name}.lock")
    while True:
        lock = held(folder, f"changing {path.name}")
        try:
            lock.__enter__()
            break
        except Held:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
    try:
        # Nobody else works on it, so who seems to be about to replace it is dead.
        recover(path, alone=True)
        yield
    finally:
        lock.__exit__(None, None, None)


def arrays(column: Column) -> tuple[NDArray, NDArray]:
    """Return values, the same where there is none, and where there are."""
    return np.where(column.there, column.values, np.zeros((), column.values.dtype)), column.there


def digest(*arrays: NDArray) -> str:
    """Return a digest of what arrays hold."""
    made = hashlib.blake2b(digest_size=16)
    for one in arrays:
        # Texts have the length of the longest one of a file.
        plain = "\0".join(one.ravel()).encode() if one.dtype.kind == "U" else np.ascontiguousarray(one).data
        made.update(f"{one.dtype.kind} {one.shape} ".encode())
        made.update(plain if isinstance(plain, bytes) else plain.cast("B") if plain.nbytes else b"")
    return made.hexdigest()
