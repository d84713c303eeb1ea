"""Results in one HDF5 file: written by one child process, read back lazily, checked by a checksum of the whole file."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...codecs.table import CODECS, DEFAULT, make_known
from ...disk.manifest import Damage
from ...disk.openhdf5 import open_hdf5
from ...hdf5.errors import WriteError
from ...hdf5.process import Writer
from ...sizes import show
from ..labels import coordinates
from ..shards.sharding import READ_BYTES, chunk_of, module_axis
from ..store import Store, described, is_number, refuse_dtypes, variables

if TYPE_CHECKING:
    import xarray as xr

    from ...planning.public import Plan
    from ..contents import Contents
    from ..variables import Variable

HDF5_CODECS = tuple(name for name, codec in CODECS.items() if not codec.bounded)
"""Those that leave values as they are."""
WORK = "dxflow.stores.hdf5.work"
"""What processes do with files."""
CHECKED_BYTES = 2**28
"""Files up to this size are compared with their checksum when they are opened."""


class Hdf5Store(Store):
    """A result in one file. A format has a function ``create(path, task)`` in its module, which runs in the child.

    Parameters
    ----------
    path : path
        Of the file.
    """

    codecs = HDF5_CODECS
    format = ""
    """Name of the module of the format."""

    def holds(self, dtype: np.dtype) -> bool:
        """Return whether the format has a type like this."""
        return is_number(dtype)

    def place(self, name: str) -> str:
        """Return the path of a variable in the file."""
        return f"/{name}"

    def extra(self, contents: Contents) -> dict[str, Any]:
        """Return what else `create` of the format needs to know, as JSON values."""
        return {}

    def check(self, plan: Plan) -> None:
        """Refuse also what the format cannot hold."""
        super().check(plan)
        if self.codec:
            CODECS[self.codec].check(None)
        refuse_dtypes(plan, f"a {self.path.suffix} file", self.holds)

    def create(self, contents: Contents) -> Sequence[int]:
        """Make an empty folder; the file is one piece."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        return [0]

    def write(self, contents: Contents, piece: int) -> None:
        """Write the file, all but the manifest, in a process of its own."""
        temporary = self.work / f".{uuid.uuid4().hex[:12]}"
        task = {"attributes": described(contents), **self.extra(contents)}
        task["codec"] = self.codec
        task["arrays"] = {name: vars(fact) for name, fact in _facts(contents).items()}
        with Writer(WORK) as writer:
            writer.begin("write", self.format, temporary.absolute(), task, made=temporary, path=self.path)
            for name, region, values in _arrays(contents):
                stored = values.astype("M8[ns]").view("i8") if values.dtype.kind == "M" else values
                writer.send((name, region), stored)
            writer.end()
        os.replace(temporary, self.work / "result")

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Add manifest and checksum, and give the file its name."""
        facts = {n: {**vars(f), "path": self.place(n)} for n, f in _facts(contents).items()}
        own = {"attributes": described(contents), "variables": facts}
        text = json.dumps({**manifest, "hdf5": own})
        result = self.work / "result"
        with Writer(WORK) as writer:
            writer.do("seal", result.absolute(), text, made=result, path=self.path)
        self.publish(result, contents.plan)

    def piece_bytes(self, plan: Plan) -> int:
        """A part, or rows with the fragment they are taken from."""
        parts = [v.nbytes // len(plan.parts) for v in variables(plan) if v.axis == "part"]
        rows = [
            2 * min(READ_BYTES, v.nbytes) + v.nbytes // len(plan.chunks)
            for v in variables(plan)
            if v.axis != "part"
        ]
        return 2 * max([*parts, *rows], default=0)

    def describe(self, plan: Plan) -> str:
        """Name and size before compression."""
        return f"{self.path}: up to {show(sum(v.nbytes for v in variables(plan)))} in one file"


class Fact:
    """What a file says of an array: dims, shape, dtype, attributes; if it is a label, or what an algorithm made."""

    def __init__(
        self, what: Any, shape: Sequence[int], dtype: np.dtype, *, label: bool, made: bool = False
    ) -> None:
        self.made, self.dims, self.shape = made, list(what.dims), list(shape)
        self.dtype, self.attrs, self.label = dtype.str, dict(what.attrs), label


def _facts(contents: Contents) -> dict[str, Fact]:
    """Return the facts of all coordinates and variables."""
    labels = {
        n: Fact(c, c.values.shape, c.values.dtype, label=True) for n, c in coordinates(contents).items()
    }
    outputs = {o.name for o in contents.plan.results}
    return labels | {
        v.name: Fact(v, v.shape, v.dtype, label=not v.output, made=v.name in outputs)
        for v in contents.variables.values()
    }


def _arrays(contents: Contents) -> Iterator[tuple[str, list[int], NDArray]]:
    """Yield coordinates, and portions of variables, with their names and where they begin."""
    for name, coordinate in coordinates(contents).items():
        yield name, [0] * coordinate.values.ndim, coordinate.values
    for variable in contents.variables.values():
        for region, values in _portions(contents, variable):
            yield variable.name, region, values


def _portions(contents: Contents, variable: Variable) -> Iterator[tuple[list[int], NDArray]]:
    """Yield a variable part by part, or some rows after the other, each with where it begins."""
    nowhere = [0] * len(variable.shape)
    if variable.axis != "part":
        rows = chunk_of(tuple(max(1, n) for n in variable.shape), variable.dtype)[0]
        step = max(1, READ_BYTES // max(1, variable.row_bytes * rows)) * rows
        for a in range(0, variable.shape[0], step):
            yield [a, *nowhere[1:]], contents.rows(variable, a, min(a + step, variable.shape[0]))
    elif (axis := module_axis(variable)) < 0:
        yield nowhere, contents.part(variable, 0)
    else:
        for number, modules in enumerate(contents.plan.parts):
            start = [modules.start if a == axis else 0 for a in range(len(nowhere))]
            yield start, contents.part(variable, number)


# Reading ------------------------------------------------------------------------------------------


def manifest(path: Path) -> dict[str, Any]:
    """Return the manifest in a file.

    Raises
    ------
    Damage
        If the file is not as it was written, or was not written by dxflow.
    """

    from ...disk.marks import GROUP

    try:
        with open_hdf5(path) as file:
            return json.loads(file[GROUP]["manifest"][()])
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError) as e:
        raise Damage(f"{path}: no manifest of dxflow can be read from it ({e})") from e


def problems(path: Path) -> list[str]:
    """Return what is wrong with a file; reads all of it."""
    from .work import MARK, crc32

    try:
        written, offset = _written(path, MARK)
        found = crc32(path, offset)
    except FileNotFoundError:
        return [f"{path}: missing"]
    except OSError as e:
        return [f"{path}: cannot be read: {e}"]
    if offset < 0:
        return [f"{path}: it has no checksum of dxflow: it is damaged, or no result"]
    if f"{found:08x}".encode() == written:
        return []
    said = written.decode(errors="replace")
    return [f"{path}: checksum {found:08x}, it was {said} when written; {blamed(path)}"]


def _written(path: Path, mark: bytes) -> tuple[bytes, int]:
    """Return the checksum in a file and where it is, -1 if it has none; HDF5 does not see the file."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return b"", -1
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.rfind(mark)
            return content[at + len(mark) : at + len(mark) + 8], -1 if at < 0 else at + len(mark)


def blamed(path: Path, do: str = "damaged") -> str:
    """Say which arrays of a damaged file are not as they were, as far as HDF5 can read them, in another process.

    With ``"unreadable"``, of a file without checksums of its arrays, which of them HDF5 cannot read.
    """
    try:
        with Writer(WORK) as writer:
            names = writer.do(do, path.absolute(), path=path)
    except WriteError:
        return "HDF5 cannot read it"
    if names:
        return f"damaged is {', '.join(names)}"
    if do == "unreadable":
        return "HDF5 reads all that is compressed: the damage is elsewhere"
    return "all results in it are as they were: the damage is elsewhere"


def open_dataset(path: Path) -> xr.Dataset:
    """Return a result as a dataset; values are read when they are used.

    Raises
    ------
    Damage
        If the file is not as it was written; large files are not compared.
    """
    import xarray as xr
    from xarray.core.indexing import LazilyIndexedArray

    if path.stat().st_size <= CHECKED_BYTES and (found := problems(path)):
        raise Damage(found[0])
    facts, lazy = manifest(path)["hdf5"], _lazy()
    out: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, one in facts["variables"].items():
        array = lazy(path, one["path"], tuple(one["shape"]), np.dtype(one["dtype"]))
        out[one["label"]][name] = xr.Variable(one["dims"], LazilyIndexedArray(array), one["attrs"])
    return xr.Dataset(out[False], out[True], facts["attributes"])


def _lazy() -> type:
    """Return the adapter for xarray, which is imported when a dataset is opened."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Lazy(BackendArray):
        """A dataset of a file that is open only while it is read."""

        def __init__(self, file: Path, path: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
            self.file, self.path, self.shape, self.dtype = file, path, shape, dtype

        def __getitem__(self, key: Any) -> Any:
            basic = indexing.IndexingSupport.BASIC
            return indexing.explicit_indexing_adapter(key, self.shape, basic, self._read)

        def _read(self, key: tuple[Any, ...]) -> NDArray:
            with open_hdf5(self.file) as file:
                make_known(file[self.path])
                values = np.asarray(file[self.path][key])
            return (
                values.view(self.dtype) if self.dtype.kind == "M" else values.astype(self.dtype, copy=False)
            )

    return Lazy


def options(shape: Sequence[int], dtype: np.dtype, codec: str = "") -> dict[str, Any]:
    """Return how a dataset is stored: what is large in compressed chunks, which deflate gives a checksum."""
    if int(np.prod(shape, dtype=np.int64)) * dtype.itemsize < 2**16:
        return {}
    chunks = chunk_of(tuple(shape), dtype)
    if codec and codec != DEFAULT:
        ((code, values),) = CODECS[codec].filters()
        return {"chunks": chunks, "compression": code, "compression_opts": values}
    return {"chunks": chunks, "shuffle": True, "compression": "gzip", "compression_opts": 1}
