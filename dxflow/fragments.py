"""A chunk's results on disk: complete or absent, checked when read."""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .checksums import crc32

META = "meta"
SMALL = 2**18
"""Bytes of arrays that are written in one piece."""
# What zipfile and numpy raise for a file that is not as it was written.
DAMAGE = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, KeyError, RuntimeError)


class DamagedFragment(OSError):
    """A fragment that is truncated, changed or of another run; the message names the file."""


def write(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray], *, lasting: bool = True
) -> None:
    """Write a fragment: raw arrays with a checksum each, under a temporary name, synced if it is to last, renamed.

    The format is ``.npz`` without pickles, whose zip entries carry CRC-32. The directory is not synced: a rename
    that a power loss undoes leaves the fragment absent, and its chunk is done again.
    """
    text = np.frombuffer(json.dumps({"meta": meta, "arrays": sorted(arrays)}).encode(), np.uint8)
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


def persist(path: Path) -> None:
    """Make a file, or the names in a directory, last through a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Fragment:
    """An open fragment: `meta`, and arrays read and checked one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = np.load(path, allow_pickle=False)
            text = json.loads(self[META].tobytes())
            self.meta: dict[str, Any] = text["meta"]
            written = text["arrays"]
        except DAMAGE as e:
            if isinstance(e, (FileNotFoundError, DamagedFragment)):
                raise
            raise DamagedFragment(f"{path}: {e}") from e
        # The directory of a zip file has no checksum: a changed byte there can hide an array.
        if written != sorted(self.names()):
            raise DamagedFragment(f"{path}: holds {sorted(self.names())}, but {written} were written")

    def __getitem__(self, name: str) -> NDArray:
        try:
            return self._file[name]
        except DAMAGE as e:
            raise DamagedFragment(f"{self.path}: {name}: {e}") from e

    def names(self) -> Iterable[str]:
        """Return the names of the arrays."""
        return [n for n in self._file.files if n != META]

    def __enter__(self) -> Fragment:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


def intact(path: Path) -> dict[str, Any] | None:
    """Return the meta of a fragment all of whose arrays are as written, or None."""
    try:
        with Fragment(path) as fragment:
            for name in fragment.names():
                fragment[name]
            return fragment.meta
    except OSError:
        return None
