"""Work that the process which forks has done once: its children need not load and compile what all of them use."""

import gc
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import compiling
import runs

import dxflow
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames

SETTINGS = {"detector": "AGIPD500K", "trains": 2, "pulses": 2, "module_shape": (8, 8), "devices": ()}


def work():
    """Reduce a run, and wait until no thread of it is left: a child would have it neither running nor done."""
    with tempfile.TemporaryDirectory(prefix="dxflow-warm-") as folder:
        run = runs.make_run(Path(folder, "r0001"), **SETTINGS)
        algorithms = [Average(), LitFrames()]
        result = dxflow.reduce(run.path, algorithms, f"{folder}/warm.zarr", cluster="here", quiet=True)
        result.dataset.load()
        del result
    until = time.monotonic() + 10
    while _busy() and time.monotonic() < until:
        time.sleep(0.01)
    gc.collect()
    gc.freeze()


def _busy():
    """Return the threads that do or hold something; those of Zarr only wait, and it replaces them in a child."""
    return [t for t in threading.enumerate()[1:] if not t.name.startswith(("zarr", "asyncio"))]


runs.begin()
compiling.one_at_a_time()
# What does not work is for the tests to say: a process that forks is needed for that, too.
with suppress(Exception):
    work()
