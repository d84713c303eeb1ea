"""A chunk's results on disk: complete or absent, checked when read.

A fragment begins with MAGIC, the length of its head and the CRC-32 of that. The head is JSON: "of", "meta", "bytes"
(of what follows it), and "arrays", by name: dtype, shape, where it begins after the head, and the CRC-32 of each BLOCK
of it. The arrays follow as they are in memory, each at a multiple of 64 bytes, a large one at a page.
"""

from __future__ import annotations

import json
import math
import os
import struct
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .checksums import crc32

MAGIC = b"dxflow fragment\n"
START = struct.Struct("<16sQI4x")
"""MAGIC, bytes of the head, its CRC-32."""
ALIGNED, PAGE = 64, 4096
BLOCK = 2**20
"""Bytes of an array with a checksum of their own: they stay in the cache between reading and checking."""
LONGEST = 2**26
"""Bytes of a head."""
SMALL = 2**16
"""Bytes of an array that is kept in memory, where many are asked for one by one."""
PARTS = 512
"""Buffers that are written by one call of the system."""
SUFFIX = ".fragment"
CHANGED = "not as it was written"
# What is raised for a head that is no JSON, or says something else than was written, and by the disk.
DAMAGE = (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError)


class DamagedFragment(OSError):
    """A fragment that is truncated, changed or of another run; the message names the file."""


def write(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray], *, of: str = "", lasting: bool = True
) -> None:
    """Write a fragment: under a temporary name, synced if it is to last, renamed.

    `of` is the digest of what its content depends on: a fragment of something else is not taken for this one.

    The directory is not synced: a rename that a power loss undoes leaves the fragment absent, and its chunk is done
    again.
    """
    parts = _parts(meta, arrays, of)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            _write_all(handle, parts)
            if lasting:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _parts(meta: Mapping[str, Any], arrays: Mapping[str, NDArray], of: str) -> list[memoryview]:
    """Return what is written, one after the other: the arrays themselves, if they are contiguous, no copies."""
    parts, described, at = [memoryview(b"")], {}, 0
    for name, array in arrays.items():
        data, gap = _bytes(name, array), -at % (ALIGNED if array.nbytes < BLOCK else PAGE)
        at += gap
        described[name] = [np.lib.format.dtype_to_descr(array.dtype), array.shape, at, _checksums(data)]
        at += len(data)
        parts += [memoryview(bytes(gap)), data]
    text = json.dumps({"of": of, "meta": meta, "bytes": at, "arrays": described}).encode()
    text += b" " * (-(START.size + len(text)) % (ALIGNED if at < BLOCK else PAGE))
    parts[0] = memoryview(START.pack(MAGIC, len(text), crc32(text)) + text)
    return [part for part in parts if part]


def _bytes(name: str, array: NDArray) -> memoryview:
    if array.dtype.hasobject:
        raise ValueError(f"{name}: arrays of Python objects are not written")
    return np.asarray(array, order="C").reshape(-1).view(np.uint8).data


def _checksums(data: memoryview) -> list[int]:
    return [crc32(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]


def _write_all(handle: int, parts: Sequence[memoryview]) -> None:
    """Write buffers one after the other; the system may take less than it is given."""
    left = list(reversed(parts))
    while left:
        count = os.writev(handle, left[: -PARTS - 1 : -1])
        while left and count >= len(left[-1]):
            count -= len(left.pop())
        if count:
            left[-1] = left[-1][count:]


def _dtype(described: Any) -> np.dtype:
    """Return the dtype that was described.

    Raises
    ------
    ValueError, TypeError
        If it is none, or one of Python objects.
    """
    dtype = np.lib.format.descr_to_dtype(_fields(described))
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    return dtype


def _fields(described: Any) -> Any:
    """Return fields as numpy wants them: JSON has no tuples."""
    if isinstance(described, str):
        return described
    return [
        (tuple(n) if isinstance(n, list) else n, _fields(of), *map(tuple, shape))
        for n, of, *shape in described
    ]


def persist(path: Path) -> None:
    """Make a file, or the names in a directory, last through a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Entry:
    """An array of a fragment: what it is, where it begins after the head, and the checksums of its blocks."""

    shape: tuple[int, ...]
    dtype: np.dtype
    at: int
    checksums: list[int]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class Fragment:
    """An open fragment: `meta`, and arrays, read straight into their memory and checked one by one.

    Nothing in it is compressed, so that no more bytes are made of it than the file has.

    Parameters
    ----------
    path : path
    of : str, optional
        What it must belong to: see `write`.
    """

    def __init__(self, path: Path, of: str | None = None) -> None:
        self.path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by `__exit__`
        try:
            with self._damage("head"):
                head = self._head()
                self.meta: dict[str, Any] = head["meta"]
                self._arrays: dict[str, Any] = head["arrays"]
            if of is not None and head["of"] != of:
                raise DamagedFragment(f"{path}: belongs to another plan ({head['of']}, not {of})")
        except BaseException:
            self._file.close()
            raise

    @contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        """Say where something is not as it was written."""
        try:
            yield
        except DAMAGE as e:
            raise DamagedFragment(f"{self.path}: {name}: {e}") from e

    def _head(self) -> dict[str, Any]:
        """Read the head; note where arrays begin, and how many bytes of them there are."""
        start, size = self._file.read(START.size), os.fstat(self._file.fileno()).st_size
        if not start.startswith(MAGIC) or len(start) < START.size:
            raise ValueError(f"no fragment begins with {start!r}")
        _, length, crc = START.unpack(start)
        self._first = START.size + length
        if length > LONGEST or self._first > size:
            raise ValueError(
                f"it would have {length} bytes, at most {LONGEST} were written, the file has {size}"
            )
        text = self._file.read(length)
        if crc32(text) != crc:
            raise ValueError(CHANGED)
        head = json.loads(text)
        self._room = size - self._first
        if head["bytes"] != self._room:
            raise ValueError(f"arrays of {head['bytes']} bytes were written, there are {self._room}")
        return head

    def __getitem__(self, name: str) -> NDArray:
        entry = self._entry(name)
        return self._rows(name, entry, 0, entry.shape[0] if entry.shape else 1)

    def of(
        self, name: str, shape: tuple[int, ...], dtype: Any, start: int = 0, stop: int | None = None
    ) -> NDArray:
        """Return an array of which shape and dtype are known, or some of its rows; nothing is read of another.

        Raises
        ------
        DamagedFragment
        """
        entry = self._entry(name)
        if (entry.shape, entry.dtype) != (tuple(shape), np.dtype(dtype)):
            raise DamagedFragment(
                f"{self.path}: {name} is {entry.dtype} {entry.shape}, "
                f"but the plan has {np.dtype(dtype)} {tuple(shape)}"
            )
        rows = shape[0] if shape else 1
        return self._rows(name, entry, start, rows if stop is None else stop)

    def verify(self) -> None:
        """Read all arrays and compare their checksums, without keeping them.

        Raises
        ------
        DamagedFragment
        """
        buffer = memoryview(bytearray(min(BLOCK, self._room)))
        for name in self.names():
            entry = self._entry(name)
            with self._damage(name):
                for at in range(0, entry.nbytes, BLOCK):
                    self._fill(entry, at, buffer[: entry.nbytes - at])

    def _entry(self, name: str) -> Entry:
        """Return an array's entry, if all of it can be in the file."""
        with self._damage(name):
            described, shape, at, checksums = self._arrays[name]
            entry = Entry(tuple(shape), _dtype(described), at, checksums)
            if min(shape, default=0) < 0 or at < 0 or at + entry.nbytes > self._room:
                raise ValueError(f"{entry.dtype} {entry.shape} in {self._room} bytes")
            if len(checksums) != -(-entry.nbytes // BLOCK):
                raise ValueError(f"{len(checksums)} checksums of {entry.nbytes} bytes")
            return entry

    def _rows(self, name: str, entry: Entry, start: int, stop: int) -> NDArray:
        """Read some rows: all of the blocks that have a part of them, as these have the checksums."""
        row = math.prod(entry.shape[1:]) * entry.dtype.itemsize
        first = start * row // BLOCK * BLOCK
        data = _memory(min(-(-stop * row // BLOCK) * BLOCK, entry.nbytes) - first if stop > start else 0)
        with self._damage(name):
            for at in range(0, len(data), BLOCK):
                self._fill(entry, first + at, data.data[at : at + BLOCK])
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        own = data[start * row - first :][: math.prod(shape) * entry.dtype.itemsize]
        return own.view(entry.dtype).reshape(shape) if len(own) else np.empty(shape, entry.dtype)

    def _fill(self, entry: Entry, at: int, block: memoryview) -> None:
        """Read a block of an array, and compare its checksum."""
        if self._read(entry, at, block) < len(block) or crc32(block) != entry.checksums[at // BLOCK]:
            raise ValueError(f"bytes {at}-{at + len(block)}: {CHANGED}")

    def _read(self, entry: Entry, at: int, block: memoryview) -> int:
        """Read a block of an array; return how many bytes there were."""
        return os.preadv(self._file.fileno(), [block], self._first + entry.at + at)

    def names(self) -> list[str]:
        """Return the names of the arrays."""
        return list(self._arrays)

    def __enter__(self) -> Fragment:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class Held(Fragment):
    """A fragment whose head and small arrays are in memory: they are asked for many times, one by one.

    Attributes
    ----------
    nbytes : int
        About as many are in memory.
    """

    def __init__(self, path: Path, of: str | None = None) -> None:
        super().__init__(path, of)
        with self._file, self._damage("arrays"):
            small = [e for e in map(self._entry, self.names()) if 0 < e.nbytes <= SMALL]
            self._kept = {e.at: os.pread(self._file.fileno(), e.nbytes, self._first + e.at) for e in small}
        # As objects a head is some times as large as its text.
        self.nbytes = 4 * self._first + sum(map(len, self._kept.values()))

    def _read(self, entry: Entry, at: int, block: memoryview) -> int:
        if (kept := self._kept.get(entry.at)) is None:
            with open(self.path, "rb", buffering=0) as file:
                return os.preadv(file.fileno(), [block], self._first + entry.at + at)
        own = kept[at : at + len(block)]
        block[: len(own)] = own
        return len(own)

    def __exit__(self, *_: object) -> None:
        """Keep it."""


def _memory(size: int) -> NDArray:
    """Return bytes; of many, 64 bytes after a page: reads into what begins 16 bytes after one take twice as long."""
    if size < BLOCK:
        return np.empty(size, np.uint8)
    raw = np.empty(size + ALIGNED, np.uint8)
    gap = -raw.ctypes.data % ALIGNED
    return raw[gap : gap + size]


def intact(path: Path, of: str | None = None) -> dict[str, Any] | None:
    """Return the meta of a fragment all of whose arrays are as written, or None; of another plan's, None."""
    try:
        with Fragment(path, of) as fragment:
            fragment.verify()
            return fragment.meta
    except OSError:
        return None


def chunks(folder: Path) -> list[Path]:
    """Return the fragments of chunks in a folder, of whichever plan."""
    return sorted(folder.glob(f"chunk-*{SUFFIX}"))


class Address(NamedTuple):
    """Where a fragment is, and the digest of what it must belong to."""

    path: Path
    of: str


def chunk_path(folder: Path, part: int, place: int, digest: str) -> Path:
    """Return where a chunk's fragment is: workers of another plan, whose driver is gone, leave theirs elsewhere."""
    return folder / f"chunk-{part:03d}-{place:06d}-{digest[:8]}{SUFFIX}"


def gathered_path(folder: Path, place: int, digest: str) -> Path:
    """Return where that is what the chunks of some modules made of a stretch of trains, put together."""
    return folder / f"gathered-{place:06d}-{digest[:8]}{SUFFIX}"


def merged_path(folder: Path, part: int, level: int, number: int, digest: str) -> Path:
    """Return where the totals of some chunks of a part are."""
    return folder / f"merged-{part:03d}-{level}-{number:06d}-{digest[:8]}{SUFFIX}"


def rows_path(folder: Path, algorithm: int, digest: str) -> Path:
    """Return where that is what an algorithm made of all rows."""
    return folder / f"rows-{algorithm:03d}-{digest[:8]}{SUFFIX}"


def final_path(folder: Path, part: int, digest: str) -> Path:
    """Return where the finalized totals of a part are."""
    return folder / f"final-{part:03d}-{digest[:8]}{SUFFIX}"
