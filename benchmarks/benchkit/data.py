"""Simulated runs for benchmarks, in a directory that is removed in the end."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dxflow.simulate import Truth, make_run

SMALL = {"detector": "AGIPD500K", "trains": 4, "pulses": 4, "module_shape": (32, 32)}
"""Of ``--small``: half a MB in 8 files."""
FULL = {"trains": 16, "pulses": 64}
"""1024 frames of AGIPD-1M, 4.3 GB."""
MEMORY = Path("/dev/shm")


@contextmanager
def folder(nbytes: int, *, disk: bool = False) -> Iterator[Path]:
    """Lend a directory for so many bytes, in memory if twice as much is free there.

    Parameters
    ----------
    disk : bool
        Where temporary files go, in any case.
    """
    roomy = MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, _free_memory()) > 2 * nbytes
    path = Path(tempfile.mkdtemp(prefix="dxflow-bench-", dir=MEMORY if roomy and not disk else None))
    try:
        with _ended_properly():
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _free_memory() -> int:
    """Return the bytes of memory that can be had; what other files in memory take is not among them."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), 0)


@contextmanager
def _ended_properly() -> Iterator[None]:
    """Let SIGTERM, as of ``timeout``, raise SystemExit: gigabytes in memory would stay there otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


@contextmanager
def simulated(*, small: bool, disk: bool = False, **options: Any) -> Iterator[Truth]:
    """Lend a simulated AGIPD-1M run: corrected float32 frames in 16 files, with NaN-free noise and masks.

    Parameters
    ----------
    small : bool
        For a quick check that everything works; the numbers then mean nothing.
    **options
        Of `dxflow.simulate.make_run`.
    """
    base: dict[str, Any] = SMALL if small else FULL
    given = {"sequences": 1, "pool": 2, "devices": (), "layout": "contiguous", **base, **options}
    pixels = 32 * 32 if small else 512 * 128
    with folder(given["trains"] * given["pulses"] * 16 * pixels * 4, disk=disk) as path:
        yield make_run(path / "run", **given)
