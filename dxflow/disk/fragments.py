"""A chunk's results on disk: complete or absent, checked when read."""

from __future__ import annotations

import io
import json
import math
import os
import re
import threading
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .checksums import crc32

if TYPE_CHECKING:
    pass

META = "meta"
SMALL = 2**18
"""Bytes of arrays that are written in one piece, and read at once."""
MAGIC, BEFORE_HEADER = np.lib.format.magic(1, 0), 10
"""What an array begins with, and its bytes with the length of the header."""
HEADER = re.compile(rb"{'descr': '([^']+)', 'fortran_order': False, 'shape': \(([\d, ]*)\), } *\n")
COMPILING = threading.Lock()
LONGEST = 2**26
"""Bytes of a fragment's meta."""
# What zipfile and numpy raise for a file that is not as it was written.
DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError, RuntimeError)


class DamagedFragment(OSError):
    """A fragment that is truncated, changed or of another run; the message names the file."""


def write(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray], *, of: str = "", lasting: bool = True
) -> None:
    """Write a fragment: raw arrays with a checksum each, under a temporary name, synced if it is to last, renamed.

    `of` is the digest of what its content depends on: a fragment of something else is not taken for this one.

    The format is ``.npz`` without pickles, whose zip entries carry CRC-32. The directory is not synced: a rename
    that a power loss undoes leaves the fragment absent, and its chunk is done again.
    """
    text = np.frombuffer(json.dumps({"of": of, "meta": meta, "arrays": sorted(arrays)}).encode(), np.uint8)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    whole = {META: text, **arrays}
    try:
        with open(temporary, "xb") as f:
            _archive(f, whole)
            if lasting:
                os.fsync(f.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _archive(file: BinaryIO, arrays: Mapping[str, NDArray]) -> None:
    """Write arrays as a zip file: in memory first, and at once, what is small; each call of the system takes long."""
    small = sum(array.nbytes for array in arrays.values()) < SMALL
    into: BinaryIO = io.BytesIO() if small else file
    with zipfile.ZipFile(into, "w") as archive:
        for name, array in arrays.items():
            _append(into, archive, f"{name}.npy", array)
    if isinstance(into, io.BytesIO):
        file.write(into.getbuffer())
    file.flush()


def _append(file: BinaryIO, archive: zipfile.ZipFile, name: str, array: NDArray) -> None:
    """Write an array as an entry of a zip file, as `numpy.savez` does, but without its copies: twice as fast."""
    whole, head = np.asarray(array, order="C"), io.BytesIO()
    if whole.dtype.hasobject:
        raise ValueError(f"{name}: arrays of Python objects are not written (allow_pickle=False)")
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(whole))
    data = whole.reshape(-1).view(np.uint8).data
    entry = zipfile.ZipInfo(name)
    entry.header_offset, entry.file_size = file.tell(), head.tell() + data.nbytes
    entry.compress_size, entry.CRC = entry.file_size, crc32(data, crc32(head.getvalue()))
    for part in (entry.FileHeader(), head.getvalue(), data):
        file.write(part)
    archive.filelist.append(entry)
    archive.NameToInfo[name] = entry
    # Where the directory will stand, and, by setting a comment, that there is one to write.
    archive.start_dir, archive.comment = file.tell(), b""


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and dtype, as `_append` writes them.

    By numpy only what has fields, and in one thread at a time: it has Python compile the text, at which Python 3.11
    may fail in several threads at once ("AST constructor recursion depth mismatch").

    Raises
    ------
    ValueError
        If it is not what was written.
    """
    start = file.read(BEFORE_HEADER)
    text = file.read(int.from_bytes(start[-2:], "little"))
    if start[:-2] != MAGIC or not text.startswith(b"{'descr': "):
        raise ValueError(f"no array begins with {(start + text)[:80]!r}")
    if (found := HEADER.fullmatch(text)) is None:
        with COMPILING:
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(start[-2:] + text))
        if fortran:
            raise ValueError("an array in Fortran's order")
        return shape, dtype
    return tuple(int(n) for n in re.findall(rb"\d+", found[2])), np.dtype(found[1].decode())


def persist(path: Path) -> None:
    """Make a file, or the names in a directory, last through a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Fragment:
    """An open fragment: `meta`, and arrays read and checked one by one.

    Nothing in it is compressed, so that no more bytes are made of it than the file has.

    Parameters
    ----------
    path : path
    of : str, optional
        What it must belong to: see `write`.
    """

    def __init__(self, path: Path, of: str | None = None) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
            try:
                text = json.loads(self._meta())
                self.meta: dict[str, Any] = text["meta"]
                self._check(text, of)
            except BaseException:
                self._zip.close()
                raise
        except DAMAGE as e:
            if isinstance(e, (FileNotFoundError, DamagedFragment)):
                raise
            raise DamagedFragment(f"{path}: {e}") from e

    def _meta(self) -> bytes:
        if (size := self._entry(META).file_size) > LONGEST:
            raise DamagedFragment(f"{self.path}: {META} of {size} bytes; at most {LONGEST} were written")
        return self[META].tobytes()

    def _check(self, text: Mapping[str, Any], of: str | None) -> None:
        """Raise if it belongs to something else, or does not hold what was written."""
        if of is not None and text["of"] != of:
            raise DamagedFragment(f"{self.path}: belongs to another plan ({text['of']}, not {of})")
        # The directory of a zip file has no checksum: a changed byte there can hide an array.
        if text["arrays"] != sorted(self.names()):
            raise DamagedFragment(
                f"{self.path}: holds {sorted(self.names())}, but {text['arrays']} were written"
            )

    def __getitem__(self, name: str) -> NDArray:
        with self._opened(name) as (file, shape, dtype):
            array = np.empty(shape, dtype)
            data = array.reshape(-1).view(np.uint8).data
            for at in range(0, len(data), SMALL):
                data[at : at + SMALL] = file.read(min(SMALL, len(data) - at))
            return array

    def like(self, name: str, expected: NDArray) -> NDArray:
        """Return an array that must have the shape and dtype of another; nothing is read of one that has not.

        Raises
        ------
        DamagedFragment
        """
        return self.of(name, expected.shape, expected.dtype)

    def of(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray:
        """Return an array of which shape and dtype are known.

        Raises
        ------
        DamagedFragment
        """
        with self._opened(name) as (_, found, kind):
            if (found, kind) != (tuple(shape), np.dtype(dtype)):
                raise DamagedFragment(
                    f"{self.path}: {name} is {kind} {found}, but the plan has {np.dtype(dtype)} {tuple(shape)}"
                )
        return self[name]

    def verify(self) -> None:
        """Read all arrays and compare their checksums, without keeping them.

        Raises
        ------
        DamagedFragment
        """
        for name in self.names():
            with self._opened(name) as (file, _, _):
                while file.read(SMALL):
                    pass

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype]]:
        """Open an array: its bytes, shape and dtype, which fit each other."""
        try:
            entry = self._entry(name)
            with self._zip.open(entry) as file:
                shape, dtype = _header(file)
                size = math.prod(shape) * dtype.itemsize
                if dtype.hasobject or file.tell() + size != entry.file_size:
                    raise DamagedFragment(f"{self.path}: {name}: {dtype} {shape} in {entry.file_size} bytes")
                yield file, shape, dtype
        except DAMAGE as e:
            if isinstance(e, DamagedFragment):
                raise
            raise DamagedFragment(f"{self.path}: {name}: {e}") from e

    def _entry(self, name: str) -> zipfile.ZipInfo:
        """Return the entry of an array, which is stored as it is."""
        entry = self._zip.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise DamagedFragment(f"{self.path}: {name} is compressed; fragments are not")
        if entry.header_offset + entry.file_size > (size := self.path.stat().st_size):
            raise DamagedFragment(
                f"{self.path}: {name} would have {entry.file_size} bytes, the file has {size}"
            )
        return entry

    def names(self) -> Iterable[str]:
        """Return the names of the arrays."""
        return [n for e in self._zip.namelist() if (n := e.removesuffix(".npy")) != META]

    def __enter__(self) -> Fragment:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.close()


def intact(path: Path, of: str | None = None) -> dict[str, Any] | None:
    """Return the meta of a fragment all of whose arrays are as written, or None; of another plan's, None."""
    try:
        with Fragment(path, of) as fragment:
            fragment.verify()
            return fragment.meta
    except OSError:
        return None


def chunk_path(folder: Path, number: int, digest: str) -> Path:
    """Return where a chunk's fragment is: workers of another plan, whose driver is gone, leave theirs elsewhere."""
    return folder / f"chunk-{number:06d}-{digest[:8]}.npz"


def merged_path(folder: Path, part: int, level: int, number: int, digest: str) -> Path:
    """Return where the totals of some chunks of a part are."""
    return folder / f"merged-{part:03d}-{level}-{number:06d}-{digest[:8]}.npz"


def rows_path(folder: Path, algorithm: int, digest: str) -> Path:
    """Return where that is what an algorithm made of all rows."""
    return folder / f"rows-{algorithm:03d}-{digest[:8]}.npz"


def final_path(folder: Path, part: int, digest: str) -> Path:
    """Return where the finalized totals of a part are."""
    return folder / f"final-{part:03d}-{digest[:8]}.npz"
