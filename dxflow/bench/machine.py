"""What numbers depend on: processor, memory, load, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .rounds import Measured

PACKAGES = (
    "dxflow",
    "numpy",
    "numba",
    "h5py",
    "extra-data",
    "dask",
    "distributed",
    "deflate",
    "pyFAI",
    "pasha",
    "libertem",
)


def facts() -> dict[str, Any]:
    """Return what the numbers depend on, as JSON values."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load": list(os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _commit(),
    }


def headline(known: dict[str, Any], measured: Sequence[Measured] = ()) -> str:
    """Return the facts in a line, with the load while it was measured."""
    loads = [load for m in measured for load in m.loads] or known["load"][:1]
    return (
        f"{known['processor']}, {known['cores']} cores, {known['memory'] / 2**30:.0f} GiB; "
        f"load {min(loads):.1f}-{max(loads):.1f}; commit {known['commit'] or 'unknown'}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """Return the commit of the source tree, with a + where files differ from it; "" outside of one."""
    root = Path(__file__).parents[2]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return out.stdout.strip() if out.returncode == 0 else ""
