"""Files with arrays: NumPy's .npz without pickles, and MATLAB's .mat with names that MATLAB takes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .asrows import as_text
from .needed import needed
from .parts import doc_of, unit_of, valid_name
from .spelled import identifier, unique, writable

if TYPE_CHECKING:
    from .parts import Source

ABOUT = "about_dxflow"
"""What the array, or the cell array, is called that says what the others are."""
FIELDS = ("name", "variable", "units", "dims", "doc")
"""Of each row of it in MATLAB."""
LARGEST = 2**31 - 1
"""Bytes of an array in a file of MATLAB, version 5."""


def chosen(source: Source, names: list[str]) -> list[str]:
    """Return variables and the labels of their axes, labels first."""
    dims = {str(d) for n in names for d in source.columns.array(n).dims}
    coords = [str(n) for n, c in source.data.coords.items() if set(map(str, c.dims)) <= dims]
    return [*dict.fromkeys([*coords, *names])]


def size(source: Source, names: list[str]) -> int:
    """Return how many bytes arrays have in memory, about."""
    return sum(int(source.columns.array(n).nbytes) for n in names)


def _arrays(source: Source, names: list[str]) -> Iterator[tuple[str, str, NDArray, tuple[str, ...]]]:
    """Yield name, variable, values and axes; of what may be missing also where it has a value."""
    for name in names:
        array = source.columns.array(name)
        found, dims = source.columns.column(name), tuple(str(d) for d in array.dims)
        values = as_text(found.values) if found.values.dtype.kind in "USO" else found.values
        yield name, name, values, dims
        if valid_name(name) in source.data.variables:
            said = source.columns.array(valid_name(name))
            yield valid_name(name), name, said.values, tuple(str(d) for d in said.dims)


def write_npz(source: Source, names: list[str], path: Path) -> None:
    """Write arrays that `numpy.load` reads without pickles; ``about_dxflow`` has axes and units, as JSON."""
    told: dict[str, Any] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, variable, values, dims in _arrays(source, chosen(source, names)):
            _member(file, name, values)
            told[writable(name)] = {
                "dims": dims,
                "units": unit_of(source, variable),
                "doc": doc_of(source, variable),
            }
        about = json.dumps({**source.about, "arrays": told})
        _member(file, unique(ABOUT, told), np.array(about))


def _member(file: zipfile.ZipFile, name: str, values: NDArray) -> None:
    with file.open(f"{writable(name)}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)


def write_mat(source: Source, names: list[str], path: Path) -> None:
    """Write arrays for MATLAB's ``load``; the cell array ``about_dxflow`` has the name that each had, and its unit."""
    scipy_io = needed("scipy.io", ".mat")
    made: dict[str, Any] = {ABOUT: None}
    rows = [FIELDS]
    for name, variable, values, dims in _arrays(source, chosen(source, names)):
        own = identifier(name, made)
        made[own] = _for_matlab(name, values)
        told = unit_of(source, variable) if name == variable else ""
        doc = doc_of(source, variable) if name == variable else f"whether {variable} has a value"
        if values.dtype.kind in "mM":
            told = "ns"
        if values.dtype.kind == "M":
            doc = f"{doc or name}, since 1970-01-01 UTC"
        rows.append((own, name, told, ", ".join(dims), doc))
    rows += [(key, value, "", "", "") for key, value in source.about.items()]
    made[ABOUT] = np.array([[writable(text) for text in row] for row in rows], object)
    scipy_io.savemat(path, made, do_compression=True, oned_as="column", appendmat=False)


def _for_matlab(name: str, values: NDArray) -> NDArray:
    """Return values of a type that MATLAB has."""
    kind = values.dtype.kind
    if values.nbytes > LARGEST:
        raise ValueError(f"{name!r} has {values.nbytes} bytes; a .mat file holds arrays of 2 GB: write .npz")
    if kind in "mM":
        return values.astype(f"{kind}8[ns]").astype(np.int64)
    if kind == "U":
        return values.astype(object)
    return values.astype(np.float32) if values.dtype == np.float16 else values
