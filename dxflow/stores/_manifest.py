"""The manifest of a result in a folder: how it was made, all files with size and checksum, and its own checksum."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checksums import digest

MANIFEST = "dxflow.json"
PART = ".dxflow-manifest.part"
Digests = Mapping[str, tuple[int, int]]
"""Size and CRC-32 by path in the folder."""
COPY = "copy"
"""The kind of a copy of a run, in its manifest."""
CACHES = ("karabo_data_map.json",)
"""What EXtra-data leaves in a run directory when it opens it; it makes it anew when it is not there."""
_OWN = '"crc32": "{:08x}"'
_FOUND = re.compile(rb'^\{\n "crc32": "([0-9a-f]{8})"')


class Damage(OSError):
    """A result that is not as it was written; the message names the file."""


def write(folder: Path, manifest: Mapping[str, Any], files: Digests, *, lasting: bool = True) -> None:
    """Write the manifest of a folder whose other files are complete; `lasting`: through a power loss."""
    facts = {"crc32": "0" * 8, **manifest, "files": {name: list(files[name]) for name in sorted(files)}}
    text = json.dumps(facts, indent=1).encode()
    own = _OWN.format(zlib.crc32(text)).encode()
    part = folder / PART
    with open(part, "wb") as file:
        file.write(text.replace(_OWN.format(0).encode(), own, 1))
        file.flush()
        if lasting:
            os.fsync(file.fileno())
    os.replace(part, folder / MANIFEST)


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, and check it against itself.

    Raises
    ------
    Damage
        If it is not as it was written.
    FileNotFoundError
        If there is none.
    """
    path = folder / MANIFEST
    text = path.read_bytes()
    found = _FOUND.match(text)
    if found is None:
        raise Damage(
            f"{path}: it does not begin with its checksum; it is damaged, or not that of a reduction"
        )
    if zlib.crc32(text.replace(found[1], b"0" * 8, 1)) != int(found[1], 16):
        raise Damage(f"{path}: its checksum is not {found[1].decode()}")
    try:
        return json.loads(text)
    except ValueError as e:
        raise Damage(f"{path}: {e}") from e


def digests(folder: Path, known: Digests) -> dict[str, tuple[int, int]]:
    """Return the digests of all files in a folder; those that are known are not read again.

    Raises
    ------
    Damage
        If a file that is known is not there, or has another size.
    """
    there = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    for name, (size, _) in known.items():
        if name not in there:
            raise Damage(f"{folder / name} was written and is gone; resume=True writes it again")
        if there[name].stat().st_size != size:
            raise Damage(f"{folder / name} has lost bytes since it was written; resume=True writes it again")
    return {name: known.get(name) or digest(path) for name, path in there.items()}


def problems(folder: Path) -> list[str]:
    """Return what is damaged in a folder with a manifest, one line each; reads everything."""
    try:
        files = read(folder)["files"]
    except (OSError, KeyError) as e:
        return [_said(folder / MANIFEST, e)]
    found = [p for name, (size, crc) in files.items() if (p := _problem(folder / name, size, crc))]
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    extra = sorted(there - set(files) - {MANIFEST, *CACHES})
    return found + [f"{folder / name}: it is no part of the result" for name in extra]


def _problem(path: Path, size: int, crc: int) -> str:
    """Return what is wrong with a file, or nothing."""
    try:
        now, found = digest(path)
    except OSError as e:
        return _said(path, e)
    if now != size:
        return f"{path}: {now} bytes, {size} were written"
    if found == crc:
        return ""
    said = f"{path}: checksum {found:08x}, it was {crc:08x} when written"
    return f"{said}; {_blamed(path)}" if path.suffix == ".h5" else said


def _blamed(path: Path) -> str:
    """Say what of an HDF5 file is damaged, as far as that is seen."""
    from ._hdf5 import blamed

    return blamed(path, "unreadable")


def _said(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: missing"
    if isinstance(error, KeyError):
        return f"{path}: it has no list of files, so damage cannot be found; write the result again"
    return str(error) if str(path) in str(error) else f"{path}: {error}"
