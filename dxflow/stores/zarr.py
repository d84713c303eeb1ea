"""Zarr v3: sharded, checksummed, labelled so that ``xarray.open_zarr`` opens it without dxflow."""

from __future__ import annotations

import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fragments import sync_directory
from ..sizes import show
from . import Store

if TYPE_CHECKING:
    from ..contents import Contents, Coordinate, Variable
    from ..plan import Plan

CHUNK_BYTES = 2**20
"""What is compressed at once: small enough to read a few frames, large enough to compress."""
SHARD_BYTES = 2**27
"""What is one file, and one task to write."""
MANIFEST = "dxflow.json"
Piece = tuple[str, int, int]
"""Variable, and rows start:stop; or part number and -1."""


class Zarr(Store):
    """A Zarr v3 store. Each task writes whole shards, so that no two tasks share a file."""

    def create(self, contents: Contents) -> Sequence[Piece]:
        """Make the arrays, write coordinates and attributes; return one piece per shard."""
        import zarr

        shutil.rmtree(self._root, ignore_errors=True)
        group = zarr.create_group(self._root, zarr_format=3, attributes=_attributes(contents))
        for name, coordinate in contents.coordinates.items():
            _create_coordinate(group, name, coordinate)
        for variable in contents.variables.values():
            _create(group, variable, contents.plan)
        return [piece for v in contents.variables.values() for piece in _pieces(v, contents.plan)]

    def write(self, contents: Contents, piece: Piece) -> None:
        """Write one shard, or one part of a whole-run array."""
        import zarr

        name, start, stop = piece
        variable = contents.variables[name]
        array: Any = zarr.open_group(self._root, mode="r+", use_consolidated=False)[name]
        if stop < 0:
            values = contents.part(variable, start)
            array[_region(variable, contents.plan.parts[start], values.shape)] = values
        else:
            array[start:stop] = contents.rows(variable, start, stop)

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Consolidate, add the manifest, and rename the store to its name."""
        import zarr

        with warnings.catch_warnings():
            # Consolidated metadata are not in the v3 specification yet; every reader that does not know ignores them.
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(self._root)
        (self._root / MANIFEST).write_text(json.dumps(manifest, indent=1))
        _sync(self._root)
        old = self.partial / "replaced"
        if self.path.exists():
            os.replace(self.path, old)
        os.replace(self._root, self.path)
        sync_directory(self.path.absolute().parent)

    def piece_bytes(self, plan: Plan) -> int:
        """A shard, its compressed form, and the fragments it is taken from."""
        return 3 * max((_piece_bytes(v, plan) for v in _variables(plan)), default=0)

    def describe(self, plan: Plan) -> str:
        """Name, size before compression and number of files."""
        variables = _variables(plan)
        files = 2 + sum(1 + len(list(_pieces(v, plan))) for v in variables)
        return f"{self.path}: up to {show(sum(v.nbytes for v in variables))}, about {files} files"

    @property
    def _root(self) -> Path:
        return self.partial / "store.zarr"


def _variables(plan: Plan) -> list[Variable]:
    """Return the variables as far as they are known before the run: events have no rows yet."""
    from ..contents import Contents

    none = {o.name: [0] * len(plan.chunks) for o in plan.outputs if o.output.kind == "event"}
    return list(Contents(plan, Path(), none).variables.values())


def _attributes(contents: Contents) -> dict[str, Any]:
    """Return the attributes of the whole: how it was made, and which variables are labels."""
    made = contents.plan.fingerprint
    own = [n for n, c in contents.coordinates.items() if (n,) != c.dims]
    attributes = {
        "title": f"reduction of {contents.plan.run}",
        "run": contents.plan.run,
        "versions": json.dumps(made["versions"]),
        "coordinates": " ".join(own + contents.labels),
    }
    for algorithm in made["algorithms"]:
        attributes[f"{algorithm['name']}.options"] = json.dumps(algorithm["options"])
    for bound in contents.plan.algorithms:
        if bound.algorithm.SELECTS:
            attributes["selection"] = f"{bound.name}.{bound.algorithm.SELECTS}"
    return attributes


def _create_coordinate(group: Any, name: str, coordinate: Coordinate) -> None:
    """Write a coordinate: one chunk, it is small."""
    array = group.create_array(
        name,
        shape=coordinate.values.shape,
        dtype=coordinate.values.dtype,
        chunks=tuple(max(1, n) for n in coordinate.values.shape),
        compressors=_codecs(),
        dimension_names=coordinate.dims,
        attributes=dict(coordinate.attrs),
    )
    array[...] = coordinate.values


def _create(group: Any, variable: Variable, plan: Plan) -> None:
    """Make the empty array of a variable."""
    fill = np.nan if variable.dtype.kind in "fc" else 0
    shards, chunks = _layout(variable, plan)
    group.create_array(
        variable.name,
        shape=variable.shape,
        dtype=variable.dtype,
        chunks=chunks,
        # zarr cannot shard an array without axes.
        shards=shards or None,
        compressors=_codecs(),
        dimension_names=variable.dims,
        attributes=dict(variable.attrs),
        fill_value=fill,
    )


def _codecs() -> list[Any]:
    """Return fast compression, and a checksum of what it wrote."""
    from zarr.codecs import BloscCodec, Crc32cCodec

    return [BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"), Crc32cCodec()]


def _layout(variable: Variable, plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of shards and of the chunks inside them; shards are whole numbers of chunks."""
    shape = tuple(max(1, n) for n in variable.shape)
    if variable.axis != "part":
        rows = _rows_per_chunk(variable)
        return (_rows_per_shard(variable), *shape[1:]), (rows, *shape[1:])
    if not shape or len(plan.parts) == 1 and variable.nbytes <= SHARD_BYTES:
        return shape, _pixel_chunks(shape, variable)
    modules = _module_axis(variable)
    shard = tuple(1 if axis == modules else n for axis, n in enumerate(shape))
    return shard, _pixel_chunks(shard, variable)


def _pixel_chunks(shard: tuple[int, ...], variable: Variable) -> tuple[int, ...]:
    """Return chunks that take whole last axes until they are large enough; before them, one."""
    room, chunks = CHUNK_BYTES // variable.dtype.itemsize, list(shard)
    for axis in range(len(shard)):
        if math.prod(chunks) <= room:
            break
        chunks[axis] = 1
    return tuple(chunks)


def _module_axis(variable: Variable) -> int:
    """Return the axis of modules of a per-pixel variable, or -1."""
    return next((axis for axis, dim in enumerate(variable.dims) if dim.split("_")[0] == "module"), -1)


def _rows_per_chunk(variable: Variable) -> int:
    return max(1, min(variable.shape[0] or 1, CHUNK_BYTES // max(1, variable.row_bytes)))


def _rows_per_shard(variable: Variable) -> int:
    """Return a whole number of chunks: few files, each of a bounded size."""
    rows = _rows_per_chunk(variable)
    chunks = math.ceil((variable.shape[0] or 1) / rows)
    return rows * max(1, min(chunks, SHARD_BYTES // max(1, rows * variable.row_bytes)))


def _piece_bytes(variable: Variable, plan: Plan) -> int:
    """Return the bytes that are written at once of a variable."""
    if variable.axis == "part":
        return variable.nbytes // (len(plan.parts) if _module_axis(variable) >= 0 else 1)
    return _rows_per_shard(variable) * variable.row_bytes


def _pieces(variable: Variable, plan: Plan) -> Iterator[Piece]:
    """Yield what is written at once of a variable."""
    if variable.axis == "part":
        per_module = _module_axis(variable) >= 0
        yield from ((variable.name, part, -1) for part in range(len(plan.parts) if per_module else 1))
        return
    step = _rows_per_shard(variable)
    yield from (
        (variable.name, a, min(a + step, variable.shape[0])) for a in range(0, variable.shape[0], step)
    )


def _region(variable: Variable, modules: slice, shape: tuple[int, ...]) -> Any:
    """Return where a part goes."""
    axis = _module_axis(variable)
    if axis < 0:
        return ...
    return tuple(modules if a == axis else slice(None) for a in range(len(shape)))


def _sync(folder: Path) -> None:
    """Make all files of a store last, before it gets its name."""
    for directory, _, files in os.walk(folder):
        for file in files:
            handle = os.open(os.path.join(directory, file), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
