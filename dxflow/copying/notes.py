"""What an interrupted copy knows of its finished files: size and CRC-32 of each, noted when it is done."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from ..disk.manifest import MANIFEST
from ..disk.replace import put

PREFIX = ".done-"


def write(folder: Path, name: str, digest: tuple[int, int]) -> None:
    """Note size and CRC-32 of a file that is complete."""
    put(_path(folder, name), json.dumps([name, *digest]))


def read(folder: Path, name: str) -> tuple[int, int] | None:
    """Return what was noted of a file, None if nothing (readable) was."""
    try:
        if _path(folder, name).exists():
            _, size, crc = json.loads(_path(folder, name).read_bytes())
        else:
            # The copy was complete but for its name.
            size, crc = json.loads((folder / MANIFEST).read_bytes())["files"][name]
        return int(size), int(crc)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(folder: Path) -> None:
    """Remove all notes, when the manifest has what they say."""
    for path in folder.glob(f".*{PREFIX[1:]}*"):
        path.unlink()


def _path(folder: Path, name: str) -> Path:
    # Names of files may be as long as names can be.
    return folder / f"{PREFIX}{hashlib.sha256(name.encode()).hexdigest()[:20]}"
