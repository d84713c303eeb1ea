"""The manifest of a result in a folder: how it was made, all files with size and checksum, and its own checksum."""

from __future__ import annotations

import json
import os
import re
import stat
import zlib
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from .checksums import digest

MANIFEST = "dxflow.json"
PART = ".dxflow-manifest.part"
Digests = Mapping[str, tuple[int, int]]
"""Size and CRC-32 by path in the folder."""
COPY = "copy"
"""The kind of a copy of a run, in its manifest."""
CACHES = ("karabo_data_map.json",)
"""What EXtra-data leaves in a run directory when it opens it; it makes it anew when it is not there."""
NAMED = 5
"""Damaged files that an error names."""
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
        made = json.loads(text)
    except ValueError as e:
        raise Damage(f"{path}: {e}") from e
    for name in made.get("files", ()):
        if not name or name.startswith("/") or {"..", ""} & set(name.split("/")):
            raise Damage(f"{path}: it lists {name!r}, which is outside of the result")
    return made


def whole(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and CRC-32 of all files that belong to a folder, if all are there and have their sizes.

    Raises
    ------
    Damage
        Names those that are missing, or have another size.
    """
    files = read(folder).get("files", {})
    if wrong := [why for name, (size, _) in files.items() if (why := unlike(folder, name, size))]:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise Damage("; ".join(wrong[:NAMED]) + more + ": this result is damaged, write it again")
    return files


def unlike(folder: Path, name: str, size: int) -> str:
    """Return what is wrong with a file, without reading it: missing, a link, of another size; or nothing."""
    path = folder / name
    try:
        above = accumulate(name.split("/"), lambda a, b: f"{a}/{b}", initial=str(folder))
        if any(map(os.path.islink, list(above)[1:])):
            return f"{path}: it is, or lies behind, a symbolic link, which is not followed"
        found = path.lstat()
    except OSError as e:
        return said_of(path, e)
    if not stat.S_ISREG(found.st_mode):
        return f"{path}: it is no regular file"
    return "" if found.st_size == size else f"{path}: {found.st_size} bytes, {size} were written"


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


def said_of(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that could not be read."""
    if isinstance(error, FileNotFoundError):
        return f"{path}: missing"
    if isinstance(error, KeyError):
        return f"{path}: it has no list of files, so damage cannot be found; write the result again"
    return str(error) if str(path) in str(error) else f"{path}: {error}"
