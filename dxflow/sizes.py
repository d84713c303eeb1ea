"""Bytes and numbers of things as text, and back."""

from __future__ import annotations

import re

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse(size: str | int) -> int:
    """Return a size like ``"2 MiB"`` as bytes.

    Raises
    ------
    ValueError
        If it is no size, or not positive.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", str(size))
    unit = match[2].upper() or "B" if match else ""
    if not match or unit not in UNITS or (n := int(float(match[1]) * UNITS[unit])) <= 0:
        raise ValueError(f"{size!r} is not a size; write it like 2097152, '2 MiB' or '1.5 GB'")
    return n


def trains(size: str | int) -> int:
    """Return the number of a text like ``"64 trains"``; 0 if it is a size."""
    match = re.fullmatch(r"\s*(\d+)\s*trains?\s*", str(size))
    if match and not int(match[1]):
        raise ValueError(f"{size!r}: expected at least 1 train")
    return int(match[1]) if match else 0


def show(n: float) -> str:
    """Return a number of bytes for people, decimal units."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def count(n: int, thing: str) -> str:
    """Return how many there are of a thing: ``1 run``, ``2 runs``."""
    return f"{n} {thing}{'' if n == 1 else 's'}"
