"""Numbers: what is behind a picture, as a file within the page: CSV of what has one axis, NPZ of images and maps."""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..html.escaped import escaped, ident, plain
from ..sizes import show

if TYPE_CHECKING:
    from xarray import Dataset

MOST = 120_000
"""Bytes of a file."""
ROWS = 4000
"""Of a table as text."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What begins a formula in programs for tables."""


@dataclass(frozen=True)
class File:
    """A file within a page."""

    name: str
    kind: str
    content: bytes

    @property
    def link(self) -> str:
        """What is clicked to have it."""
        href = f"data:{self.kind};base64,{b64encode(self.content).decode()}"
        words = f"{self.name.rpartition('.')[2].upper()}, {show(len(self.content))}"
        return f'<a download="{escaped(self.name)}" href="{href}">{words}</a>'


def file_of(data: Dataset, name: str, most: int = MOST) -> File | None:
    """Return the numbers of a picture as a file; None if it would be too large.

    Parameters
    ----------
    data : xarray.Dataset
        What is drawn.
    name : str
        Of the variable.
    most : int
        Bytes.
    """
    columns = {str(k): v for k, v in data.variables.items() if v.ndim < 2}
    axes = {dim for v in columns.values() for dim in v.dims}
    stem = ident(name)
    if len(columns) == len(data.variables) and len(axes) < 2:
        rows = max((v.size for v in columns.values()), default=0)
        made = File(f"{stem}.csv", "text/csv", _csv(data, name)) if rows <= ROWS else None
        if made is not None and len(made.content) <= most:
            return made
    if sum(v.nbytes for v in data.variables.values()) > 4 * most:
        return None
    made = File(f"{stem}.npz", "application/octet-stream", _npz(data, name))
    return made if len(made.content) <= most else None


def _csv(data: Dataset, name: str) -> bytes:
    """Return columns with names, after lines that say what they are."""
    along = [(str(k), v.values) for k, v in data.variables.items() if v.ndim]
    said = [(str(k), v.values) for k, v in data.variables.items() if not v.ndim]
    out = io.StringIO()
    out.write(f"# {_line(name)}\n")
    for key, value in [*data.attrs.items(), *said]:
        out.write(f"# {_line(key)}: {_line(value)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(key) for key, _ in along])
    writer.writerows(zip(*(_cells(values) for _, values in along), strict=True))
    return out.getvalue().encode("utf-8")


def _line(text: Any) -> str:
    return " ".join(plain(text).split())


def _cells(values: NDArray) -> list[Any]:
    """Return a column; of floats as many digits as give the same again."""
    return [_cell(v) for v in (values.astype("U") if values.dtype.kind in "mM" else values).tolist()]


def _cell(value: Any) -> Any:
    """Return a value of a table; a text is never a formula."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(FORMULAS) else text


def _npz(data: Dataset, name: str) -> bytes:
    """Return arrays under names that are names of files everywhere."""
    about = [f"{_line(k)}: {_line(v)}" for k, v in {"name": name, **data.attrs}.items()]
    arrays = {"about": np.array(about)}
    for key, variable in data.variables.items():
        arrays[str(key) if str(key).isidentifier() else ident(key)] = _saved(variable.values)
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _saved(values: NDArray) -> NDArray:
    """Return an array as it is kept: images in single precision."""
    if values.dtype.kind == "O":
        return values.astype("U")
    return values.astype("f4") if values.ndim > 1 and values.dtype.kind == "f" else values
