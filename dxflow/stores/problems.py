"""What is wrong with the files of a result."""

from __future__ import annotations

from pathlib import Path

from ..disk.checksums import digest
from ..disk.manifest import CACHES, MANIFEST, read, said_of, unlike


def problems(folder: Path) -> list[str]:
    """Return what is damaged in a folder with a manifest, one line each; reads everything."""
    try:
        files = read(folder)["files"]
    except (OSError, KeyError) as e:
        return [said_of(folder / MANIFEST, e)]
    found = [p for name, (size, crc) in files.items() if (p := _problem(folder, name, size, crc))]
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    extra = sorted(there - set(files) - {MANIFEST, *CACHES})
    return found + [f"{folder / name}: it is no part of the result" for name in extra]


def _problem(folder: Path, name: str, size: int, crc: int) -> str:
    """Return what is wrong with a file, or nothing."""
    if why := unlike(folder, name, size):
        return why
    path = folder / name
    try:
        _, found = digest(path)
    except OSError as e:
        return said_of(path, e)
    if found == crc:
        return ""
    said = f"{path}: checksum {found:08x}, it was {crc:08x} when written"
    return f"{said}; {_blamed(path)}" if path.suffix == ".h5" else said


def _blamed(path: Path) -> str:
    """Say what of an HDF5 file is damaged, as far as that is seen."""
    from .hdf5.file import blamed

    return blamed(path, "unreadable")
