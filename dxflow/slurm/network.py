"""Where the scheduler listens: a network interface of this machine that the nodes reach."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from .commands import OptionError

ROUTES = Path("/proc/net/route")
FAST = re.compile(r"(ib|hsn|opa)\d+$")
"""InfiniBand, Slingshot, Omni-Path."""


def addresses() -> dict[str, str]:
    """Return the IPv4 address of each interface that is up, by name."""
    import psutil

    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    return {
        name: a.address
        for name, listed in psutil.net_if_addrs().items()
        for a in listed
        if a.family == socket.AF_INET and name in up
    }


def interface(wanted: str | None = None) -> str:
    """Return the interface for the scheduler: the wanted one, else a fast one, else that of the default route.

    Raises
    ------
    OptionError
        If the wanted one is not there.
    """
    there = addresses()
    if wanted is not None:
        if wanted not in there:
            raise OptionError(f"interface={wanted!r}: this machine has {_listed(there)}")
        return wanted
    fast = sorted(name for name in there if FAST.match(name))
    others = sorted(name for name in there if name != "lo")
    for name in (*fast, _default(), *others, "lo"):
        if name in there:
            return str(name)
    raise OptionError("this machine has no network interface that is up; the nodes could not reach it")


def _listed(there: dict[str, str]) -> str:
    return ", ".join(f"{name} ({address})" for name, address in sorted(there.items())) or "none that is up"


def _default() -> str | None:
    """Return the interface of the default route."""
    try:
        lines = ROUTES.read_text().splitlines()[1:]
    except OSError:
        return None
    routes = [line.split() for line in lines]
    return next((r[0] for r in routes if len(r) > 1 and r[1] == "00000000"), None)
