"""A small process that outlives the driver: when the driver is gone, it cancels its jobs.

It is run by path, without dxflow: ``python -I guard.py JOBNAME USER FOLDER``. Its input is a pipe that only the driver
holds open. A driver that ends in order writes "done"; one that was killed cannot.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time

LASTS, EVERY = 120, 2
"""Seconds for which it tries, and between tries."""


def main(name: str, user: str, folder: str) -> None:
    """Wait for the end of the driver; cancel the jobs of this name if it did not do so itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.read().strip() == "done":
        return
    # Credentials first: that cannot fail for long.
    shutil.rmtree(folder, ignore_errors=True)
    end = time.monotonic() + LASTS
    clean = 0
    # A submission may just be under way, so that a queue that is empty once proves nothing.
    while clean < 3 and time.monotonic() < end:
        clean = clean + 1 if empty(name, user) else 0
        time.sleep(EVERY)


def empty(name: str, user: str) -> bool:
    """Cancel what there is; return whether there was nothing."""
    call("scancel", "--quiet", "--name", name, "--user", user)
    listed = call("squeue", "-h", "-o", "%i", "--name", name, "--user", user)
    return listed is not None and not listed.strip()


def call(*command: str) -> str | None:
    """Return what a command prints, None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    main(*sys.argv[1:])
