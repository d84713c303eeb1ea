"""Files with rows and columns: CSV for spreadsheets, Parquet for data frames."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .needed import needed
from .parts import doc_of, unit_of
from .spelled import cell, unique, writable

if TYPE_CHECKING:
    from .parts import Part, Source

BLOCK = 50_000
"""Rows that are text at a time."""


@dataclass(frozen=True, eq=False)
class OneColumn:
    """A value for each row, and where there is one."""

    name: str
    values: NDArray
    there: NDArray
    unit: str = ""
    doc: str = ""


def columns(source: Source, part: Part) -> list[OneColumn]:
    """Return the columns of a part: labels of its rows, then its variables, each read once."""
    out: list[OneColumn] = []

    def add(name: str, values: NDArray, there: NDArray, unit: str = "", doc: str = "") -> None:
        if values.dtype.kind == "m":
            values, unit = values.astype("m8[ns]"), "ns"
        for end, one in _real(values):
            own = unique(f"{name}{end}", (c.name for c in out))
            out.append(OneColumn(own, one, there, unit, doc))

    for name, found in part.labels(source):
        told = (unit_of(source, name), doc_of(source, name)) if name in source.data.variables else ("", "")
        add(name, found.values, found.there, *told)
    for name in part.variables:
        found, inner = part.column(source, name)
        for place, text in _places(source, inner, found.values.shape[1:]):
            told = unit_of(source, name), doc_of(source, name)
            own: Any = (slice(None), *place)
            add(f"{name}{text}", found.values[own], found.there[own], *told)
    return out


def _real(values: NDArray) -> list[tuple[str, NDArray]]:
    """Return complex values as two columns of numbers."""
    return [(".real", values.real), (".imag", values.imag)] if values.dtype.kind == "c" else [("", values)]


def _places(
    source: Source, inner: tuple[str, ...], shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield where the columns of a variable are among its values, and what is behind its name."""
    texts = [_texts_of(source, dim, n) for dim, n in zip(inner, shape, strict=True)]
    for place in np.ndindex(*shape):
        said = ",".join(texts[axis][i] for axis, i in enumerate(place))
        yield place, f"[{said}]" if inner else ""


def _texts_of(source: Source, dim: str, size: int) -> list[str]:
    """Return how places along an axis are called: by its labels where these differ, else by number."""
    array = source.data.coords.get(dim)
    texts = [] if array is None else [str(v) for v in array.values]
    return texts if len(set(texts)) == size else [str(i) for i in range(size)]


# CSV ------------------------------------------------------------------------------------------------


def write_csv(source: Source, part: Part, path: Path, units: bool = True) -> None:
    """Write a part as CSV: UTF-8, a header with units, nothing where there is no value."""
    made = columns(source, part)
    header = [cell(f"{c.name} ({c.unit})" if units and c.unit else c.name) for c in made]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for start in range(0, part.rows(source), BLOCK):
            some = slice(start, start + BLOCK)
            writer.writerows(zip(*(_texts(c.values[some], c.there[some]) for c in made), strict=True))


def _texts(values: NDArray, there: NDArray) -> list[str]:
    """Return values as they are written; whole numbers and floats are read back as the same ones."""
    kind = values.dtype.kind
    if kind == "M":
        texts = np.datetime_as_string(values, timezone="UTC").tolist()
    elif kind == "b":
        texts = np.where(values, "true", "false").tolist()
    elif kind in "USO":
        texts = [cell(one) for one in as_text(values).tolist()]
    else:
        texts = (values.astype("i8") if kind == "m" else values).astype("U").tolist()
    return texts if there.all() else [t if ok else "" for t, ok in zip(texts, there.tolist(), strict=True)]


def as_text(values: NDArray) -> NDArray:
    """Return texts and bytes as texts."""
    return (
        np.char.decode(values, "utf-8", "backslashreplace")
        if values.dtype.kind == "S"
        else values.astype("U")
    )


# Parquet --------------------------------------------------------------------------------------------


def write_parquet(source: Source, part: Part, path: Path) -> None:
    """Write a part as Parquet: null where there is no value, units among the metadata of the fields."""
    arrow = needed("pyarrow", ".parquet")
    parquet = needed("pyarrow.parquet", ".parquet")
    fields, arrays = [], []
    for one in columns(source, part):
        array = _arrow(arrow, one)
        told = {"units": one.unit, "long_name": one.doc}
        fields.append(
            arrow.field(
                writable(one.name), array.type, metadata={k: writable(v) for k, v in told.items() if v}
            )
        )
        arrays.append(array)
    about = json.dumps({**source.about, "rows": part.name})
    schema = arrow.schema(fields, metadata={"dxflow": about})
    parquet.write_table(arrow.Table.from_arrays(arrays, schema=schema), path)


def _arrow(arrow: Any, one: OneColumn) -> Any:
    """Return a column as an array of Arrow."""
    values, kind = one.values, one.values.dtype.kind
    mask = None if one.there.all() else ~one.there
    if kind in "USO":
        texts = [writable(t) for t in as_text(values).tolist()]
        return arrow.array(texts, arrow.string(), mask=mask)
    if kind == "M":
        return arrow.array(values.astype("M8[ns]"), arrow.timestamp("ns", "UTC"), mask=mask)
    if kind == "m":
        return arrow.array(values.astype("m8[ns]"), arrow.duration("ns"), mask=mask)
    half = values.dtype == np.float16
    native = values.astype(np.float32 if half else values.dtype.newbyteorder("="))
    return arrow.array(np.ascontiguousarray(native), mask=mask)
