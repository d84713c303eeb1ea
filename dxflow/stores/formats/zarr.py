"""Zarr v3: sharded, checksummed, labelled so that ``xarray.open_zarr`` opens it without dxflow."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...disk.fragments import persist
from ...disk.manifest import digests
from ...disk.manifest import write as write_manifest
from ...disk.replace import put
from ...sizes import show
from ..labels import TIME, coordinates
from ..shards import metadata
from ..shards.shard import CODECS
from ..shards.sharding import Piece, Portion, Sharding, shardings
from ..store import Store, described, is_number, refuse_dtypes, variables

if TYPE_CHECKING:
    from ...planning.public import Plan
    from ..axes import Coordinate
    from ..contents import Contents
    from ..variables import Variable

SUFFIXES = (".zarr",)
MOST_THREADS = 4
"""That write the shards of a part; as many as there are cores without a part of their own."""
ALONE = 2**20
"""Bytes of a part that are written sooner than threads begin."""
NOTE = "shards-"
"""Begins the names of files with sizes and checksums of shards until `commit`."""
SYNCS = 8
"""Files at a time that are made to last."""


class Zarr(Store):
    """A Zarr v3 store. Each task writes whole shards, so that no two tasks share a file."""

    made_first = True
    codecs = tuple(CODECS)

    def check(self, plan: Plan) -> None:
        """Refuse also what arrays cannot hold."""
        super().check(plan)
        refuse_dtypes(plan, "a Zarr store", is_number, "iufbMU")

    def create(self, contents: Contents) -> Sequence[Piece]:
        """Make the arrays, write coordinates and attributes; return one piece per shard."""
        shutil.rmtree(self.work, ignore_errors=True)
        self._root.mkdir(parents=True)
        labels = {name: _as_stored(one) for name, one in coordinates(contents).items()}
        made = shardings(contents.variables.values(), contents.plan)
        arrays = {name: _metadata(one) for name, one in labels.items()}
        arrays |= {name: sharding.metadata() for name, sharding in made.items()}
        metadata.write_group(self._root, _attributes(contents, labels), arrays)
        for name, coordinate in labels.items():
            metadata.write_chunk(self._root, name, coordinate.values)
        return [piece for sharding in made.values() if not sharding.direct for piece in sharding.pieces()]

    def keep(self, contents: Contents, part: int, arrays: Mapping[str, NDArray]) -> None:
        """Write the shards of a part where it is made; leave what shares shards with other parts as a fragment."""
        made, plan = shardings(contents.variables.values(), contents.plan), contents.plan
        direct = [made[name] for name in arrays if made[name].direct]
        if rest := {name: array for name, array in arrays.items() if not made[name].direct}:
            super().keep(contents, part, rest)
        tasks = [
            (sharding, shard, lambda _, array=arrays[sharding.variable.name]: array)
            for sharding in direct
            for shard in sharding.shards(part, part + 1)
        ]
        for sharding in direct:
            if not sharding.shard:
                self._write_scalar(sharding.variable, arrays[sharding.variable.name])
        threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) // len(plan.parts), len(tasks))
        small = sum(array.nbytes for array in arrays.values()) < ALONE
        with nullcontext() if threads < 2 or small else ThreadPoolExecutor(threads) as pool:
            written = (pool.map if pool else map)(
                lambda task: self._write_shard(task[0], task[1], task[0].modules_of(*task[1:])), tasks
            )
            if found := dict(written):
                self._note(f"part-{part}", found)

    def write(self, contents: Contents, piece: Piece) -> None:
        """Write the shard of a piece."""
        name, start, stop = piece
        sharding = shardings(contents.variables.values(), contents.plan)[name]
        part = partial(contents.part, sharding.variable)
        if not sharding.shard:
            self._write_scalar(sharding.variable, part(0))
        for shard in sharding.shards(start, stop):
            found = sharding.modules_of(shard, part) if sharding.by_part else sharding.rows(contents, shard)
            self._note(f"{name}-{start}", dict([self._write_shard(sharding, shard, found)]))

    def _write_shard(
        self, sharding: Sharding, shard: slice, portions: Iterable[Portion]
    ) -> tuple[str, tuple[int, int]]:
        """Write one shard; return its path in the store, size and checksum."""
        file = sharding.file(shard)
        with sharding.open(self._root / file, lasting=not self.temporary) as out:
            for at, values in portions:
                out.add(at, values)
        return file, (out.size, out.crc)

    def _note(self, name: str, files: Mapping[str, tuple[int, int]]) -> None:
        """Leave sizes and checksums of shards for `commit`."""
        put(self.work / f"{NOTE}{name}.json", json.dumps(files))

    def _write_scalar(self, variable: Variable, value: NDArray) -> None:
        """Write an array without axes, which cannot be in a shard."""
        metadata.write_chunk(self._root, variable.name, np.asarray(value, variable.dtype).reshape(()))

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Add the manifest, and rename the store to its name."""
        known = [json.loads(note.read_text()) for note in sorted(self.work.glob(f"{NOTE}*.json"))]
        files = digests(self._root, {k: (size, crc) for one in known for k, (size, crc) in one.items()})
        if not self.temporary:
            _sync(self._root, set(files) - {k for one in known for k in one})
        write_manifest(self._root, manifest, files, lasting=not self.temporary)
        self.publish(self._root, contents.plan)

    def piece_bytes(self, plan: Plan) -> int:
        """What is taken from fragments for a shard, and a copy of it; compressed chunks are small."""
        return max((sharding.memory() for sharding in shardings(variables(plan), plan).values()), default=0)

    def file_count(self, plan: Plan) -> int:
        """Metadata, shards and coordinates, each with its own metadata."""
        made = shardings(variables(plan), plan).values()
        return 2 + sum(1 + sharding.shard_count() for sharding in made) + 2 * _coordinate_count(plan)

    def describe(self, plan: Plan) -> str:
        """Name, size before compression and number of files."""
        size = sum(v.nbytes for v in variables(plan))
        return f"{self.path}: up to {show(size)}, about {self.file_count(plan)} files"

    @property
    def _root(self) -> Path:
        return self.work / "store"


STORE = Zarr


def _coordinate_count(plan: Plan) -> int:
    """Return about how many coordinates there will be."""
    from ..variables import Variables

    return len(Variables(plan).coordinates) + 2


def _attributes(contents: Contents, labels: dict[str, Coordinate]) -> dict[str, Any]:
    """Return the attributes of the whole: how it was made, and which variables are labels."""
    own = [n for n, c in labels.items() if (n,) != c.dims]
    return described(contents) | {"coordinates": " ".join(own + contents.labels)}


def _as_stored(coordinate: Coordinate) -> Coordinate:
    """Return a coordinate with times as integers."""
    if coordinate.values.dtype.kind != "M":
        return coordinate
    values = coordinate.values.astype("M8[ns]").view("i8")
    return replace(coordinate, values=values, attrs=dict(coordinate.attrs) | TIME)


def _metadata(coordinate: Coordinate) -> dict[str, Any]:
    """Return the metadata of a coordinate: one chunk, it is small."""
    values = coordinate.values
    chunk = [max(1, n) for n in values.shape]
    return metadata.array(
        values.shape, values.dtype, chunk, dims=coordinate.dims, attributes=coordinate.attrs
    )


def _sync(folder: Path, files: set[str]) -> None:
    """Make files of a store, and the names of all of them, last before it gets its name."""
    folders = (p for p in folder.rglob("*") if p.is_dir())
    with ThreadPoolExecutor(SYNCS) as pool:
        # Disks write at once what is asked for at once: that takes a tenth of the time.
        list(pool.map(persist, [*(folder / name for name in sorted(files)), folder, *folders]))
