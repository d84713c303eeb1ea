"""Numbers: what is behind a picture, as a file within the page: CSV of what has one axis, NPZ of images and maps."""

from __future__ import annotations

import csv
import io
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.plots.images import Image
from ..html.escaped import escaped, ident, plain
from ..sizes import show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xarray import Dataset

    from ..analysis.plots.plotted import Picture

MOST = 150_000
"""Bytes of a file."""
ROWS = 4000
"""Of a table as text."""
SAMPLES, SAMPLED = 8, 2**14
"""Pieces of an array, and bytes of each, from which follows how small it becomes."""
EXACT = 2**24
"""Whole numbers up to which single precision has all."""
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


def behind(picture: Picture) -> Iterator[tuple[Dataset, str]]:
    """Yield what may be kept of a picture without a loss, the most first, and what is said of it.

    An image that was put together is there as it is drawn and as it is in the variable: ``pixels``, by module.
    """
    if not isinstance(picture, Image) or picture.pixels is None:
        yield picture.data, ""
        return
    array = picture.pixels
    dims = tuple(f"pixel_{dim}" for dim in array.dims)
    together = picture.data.assign(pixels=(dims, array.values))
    if array.dims[0] in array.coords and array.ndim == 3:
        together["modules"] = dims[0], array[array.dims[0]].values
    yield together, "image and pixels by module"
    yield picture.data, "image of single pixels"
    alone = together.drop_vars("image")
    alone.attrs = {}
    yield alone, "pixels by module"


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
    if sum(_squeezed(v.values) for v in data.variables.values()) > 1.3 * most:
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


def _squeezed(values: NDArray) -> float:
    """Return about how many bytes an array needs: counts of images are alike and need few, noise needs all."""
    if values.nbytes <= SAMPLES * SAMPLED or values.dtype.kind == "O":
        return 0.0
    flat, n = values.reshape(-1), max(SAMPLED // values.itemsize, 1)
    starts = np.linspace(0, flat.size - n, SAMPLES).astype(int)
    some = [_saved(flat[a : a + n][None]) for a in starts]
    ratio = np.mean([len(zlib.compress(one.tobytes(), 1)) / n for one in some])
    return float(ratio * flat.size)


def _npz(data: Dataset, name: str) -> bytes:
    """Return arrays under names that are names of files everywhere."""
    about = [f"{_line(k)}: {_line(v)}" for k, v in {"name": name, **data.attrs}.items()]
    arrays = {}
    for key, variable in data.variables.items():
        own = str(key) if str(key).isidentifier() else ident(key)
        arrays[own] = _saved(variable.values)
        if (was := variable.dtype) != arrays[own].dtype and was.kind == "f":
            about.append(f"{own}: {arrays[own].dtype} of {was}")
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, about=np.array(about), **arrays)
    return out.getvalue()


def _saved(values: NDArray) -> NDArray:
    """Return an array as it is kept: images in single precision, but for whole numbers that it has not."""
    if values.dtype.kind == "O":
        return values.astype("U")
    if values.ndim < 2 or values.dtype.kind != "f":
        return values
    large = values[np.abs(values) > EXACT]
    whole = len(large) > 0 and (large[np.isfinite(large)] % 1 == 0).all()
    return values if whole else values.astype("f4")
