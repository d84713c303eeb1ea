"""SHA-256 of files: while they are copied, or by several threads, and the list of them that ``sha256sum -c`` reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..disk.checksums import crc32

BLOCK = 2**20
AHEAD = 4
"""Files that each thread has waiting."""


@dataclass(frozen=True)
class Hashed:
    """What a file is: its bytes, SHA-256 as text, and CRC-32."""

    size: int
    sha256: str
    crc: int


def hashed(path: str | Path, to: Path | None = None) -> Hashed:
    """Return what a file is; with `to`, copy it there while it is read, to a name that must not exist."""
    sha, size, crc = hashlib.sha256(), 0, 0
    buffer = memoryview(bytearray(BLOCK))
    with ExitStack() as stack:
        source = stack.enter_context(open(path, "rb", buffering=0))
        target = None if to is None else stack.enter_context(open(to, "xb", buffering=0))
        while count := source.readinto(buffer):
            some = buffer[:count]
            sha.update(some)
            crc, size = crc32(some, crc), size + count
            while target is not None and some:
                some = some[target.write(some) :]
    return Hashed(size, sha.hexdigest(), crc)


def each(
    paths: Iterable[tuple[str, Path]], say: Callable[[int], None] = lambda size: None
) -> Iterator[tuple[str, Hashed | OSError]]:
    """Yield what each of some files is, in order, by as many threads as there are cores; tell `say` the bytes read."""
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        waiting: list[tuple[str, object]] = []
        todo = iter(paths)
        try:
            for name, path in todo:
                waiting.append((name, pool.submit(_tried, path)))
                if len(waiting) >= AHEAD * cores:
                    yield _done(waiting.pop(0), say)
            while waiting:
                yield _done(waiting.pop(0), say)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tried(path: Path) -> Hashed | OSError:
    try:
        return hashed(path)
    except OSError as e:
        return e


def _done(one: tuple[str, object], say: Callable[[int], None]) -> tuple[str, Hashed | OSError]:
    name, future = one
    found = future.result()  # type: ignore[attr-defined]
    if isinstance(found, Hashed):
        say(found.size)
    return name, found


def listed(digests: Mapping[str, str]) -> bytes:
    """Return SHA-256 and path of each file, in lines as ``sha256sum`` writes them."""
    return b"".join(_line(name, digests[name]) for name in sorted(digests))


def _line(name: str, sha256: str) -> bytes:
    raw = os.fsencode(name)
    quoted = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if quoted != raw else b"") + sha256.encode() + b"  " + quoted + b"\n"


def read_list(raw: bytes) -> dict[str, str]:
    """Return SHA-256 by path of what `listed` wrote.

    Raises
    ------
    ValueError
        If a line is none, or a path leads out of the folder.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(raw.split(b"\n")[:-1], 1):
        escaped, line = line.startswith(b"\\"), line.removeprefix(b"\\")
        sha256, two, name = line[:64], line[64:66], line[66:]
        if two not in (b"  ", b" *") or not name or any(c not in b"0123456789abcdef" for c in sha256):
            raise ValueError(f"line {number} is no SHA-256 and path")
        path = os.fsdecode(_unquoted(name) if escaped else name)
        if path.startswith("/") or {"", ".", ".."} & set(path.split("/")):
            raise ValueError(f"line {number}: {path!r} is outside of the volume")
        if path in found:
            raise ValueError(f"line {number}: {path!r} is there twice")
        found[path] = sha256.decode()
    if raw and not raw.endswith(b"\n"):
        raise ValueError("the last line is cut short")
    return found


def _unquoted(raw: bytes) -> bytes:
    parts = raw.split(b"\\\\")
    return b"\\".join(part.replace(b"\\n", b"\n").replace(b"\\r", b"\r") for part in parts)
