"""Simulated runs: each is made once in a run of the tests, by any of its processes, and copied from then on."""

import atexit
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from dxflow import simulate
from dxflow.planning.digests import Digests
from dxflow.planning.diskdigests import NoDigest
from dxflow.reader import known

VARIABLE = "DXFLOW_TESTS_RUNS"
LARGE = 50_000_000
"""Bytes of runs that no two tests have in common."""


def begin():
    """Make the folder of all runs, unless a process that started this one has; what is in files is soon known.

    The clock of local disks ticks every few milliseconds, that of the worst file systems every other second.
    """
    known.SETTLED = 50 * 10**6
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="dxflow-runs-")
        atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)


def make_run(path, **options):
    """Do as `dxflow.simulate.make_run`; the copy belongs to who asks, and may be changed."""
    path = Path(path)
    try:
        key = Digests([]).of(sorted(options.items()))
    except NoDigest:
        key = ""
    # The campaign tries more runs than anybody wants to keep.
    if not key or "DXFLOW_EXAMPLES" in os.environ or (path.exists() and any(path.iterdir())):
        return simulate.make_run(path, **options)
    kept = Path(os.environ[VARIABLE], key)
    with open(f"{kept}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            part = Path(f"{kept}.part")
            shutil.rmtree(part, ignore_errors=True)
            simulate.make_run(part, **options)
            if sum(file.stat().st_size for file in part.rglob("*")) > LARGE:
                shutil.copytree(part, path, dirs_exist_ok=True)
                shutil.rmtree(part)
                return simulate.Truth.load(path)
            part.rename(kept)
    # Times of files are those of the copy.
    shutil.copytree(kept, path, copy_function=shutil.copy, dirs_exist_ok=True)
    return simulate.Truth.load(path)
