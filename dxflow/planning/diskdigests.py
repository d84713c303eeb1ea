"""Digests of texts, files and folders by what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from ..reader.files import Stat, stat_of

LENGTH = 16
"""Hexadecimal digits of a digest."""
LARGE = 2**32
"""Bytes of a file from which on its size, date and inode stand for its content."""
MOST_FILES = 1000
"""Files of a folder that is no store: more are not looked at."""
STORES = ("dxflow.json", "zarr.json", ".zgroup", ".zarray")
"""What tells a folder that holds data."""
IGNORED = (STORES[0], "karabo_data_map.json")
"""The manifest, which says when a result was made, and what EXtra-data leaves in a folder."""


class NoDigest(TypeError):
    """A value whose content cannot be told; the message says why."""


def digest(*parts: str | bytes) -> str:
    """Return a digest of texts, each apart from its neighbours."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        h.update(len(data).to_bytes(8, "little") + data)
    return h.hexdigest()[:LENGTH]


def content(path: str | Path, apart: Collection[Path] = ()) -> str:
    """Return the digest of what a file or folder holds; "" if there is none, or all work is done in it.

    Parameters
    ----------
    path : path
    apart : collection of path
        What is never looked into, nor the folders around it.

    Raises
    ------
    NoDigest
        If it is a folder of too many files.
    """
    try:
        there = Path(os.path.abspath(path)) if str(path).strip() else None
        if there is None or there in apart:
            return ""
        if there.is_file():
            return _file(str(there), stat_of(str(there)))
        return _folder(there, apart) if there.is_dir() else ""
    # A text that is too long for a name, or has characters that no name has.
    except (OSError, ValueError):
        return ""


def _folder(path: Path, apart: Collection[Path]) -> str:
    """Return the digest of a folder, unless all work is done in it."""
    if any((path / name).exists() for name in STORES):
        return _store(path)
    around = {p for a in [*apart, Path.cwd()] for p in (a, *a.parents)}
    if path in around:
        return ""
    listed = list(islice(_files(path), MOST_FILES + 1))
    if len(listed) > MOST_FILES:
        raise NoDigest(f"the folder {path} has more than {MOST_FILES} files")
    return digest(*(f"{p.relative_to(path)} {stat_of(str(p))}" for p in sorted(listed)))


@lru_cache(maxsize=1024)
def _file(path: str, stat: Stat) -> str:
    """Return the digest of a file's content; read once as long as the file is the same."""
    if stat[0] > LARGE:
        return digest(str(stat))
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:LENGTH]


def _store(path: Path) -> str:
    """Return the digest of a folder of data: of the checksums in its manifest, and of files that these do not fit."""
    listed, began = _listed(path)
    parts = [f"{name} {listed[name]}" for name in sorted(listed)]
    for file in sorted(_files(path)):
        name, (size, changed, _) = str(file.relative_to(path)), stat_of(str(file))
        known = listed.get(name)
        if name not in IGNORED and (known is None or known[0] != size or changed > began):
            parts += _unlike(file, name, known)
    gone = [name for name in listed if not (path / name).exists()]
    return digest(*parts, *gone)


def _listed(path: Path) -> tuple[Mapping[str, Any], int]:
    """Return size and checksum of each file as the manifest has them, and when it was written."""
    from ..disk.manifest import MANIFEST, read

    try:
        return read(path)["files"], stat_of(str(path / MANIFEST))[1]
    except (OSError, KeyError):
        return {}, 0


def _unlike(file: Path, name: str, known: Any) -> list[str]:
    """Return what identifies a file, nothing if it is what the manifest says."""
    from ..disk.checksums import digest as checksum

    if known is not None and list(checksum(file)) == list(known):
        return []
    return [name, _file(str(file), stat_of(str(file)))]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder."""
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names if Path(root, name).is_file())
