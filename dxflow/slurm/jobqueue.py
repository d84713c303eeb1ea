"""dask-jobqueue, imported without its taking over Ctrl-C, and the settings it comes with."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import yaml

# Imported, it makes Ctrl-C end the process at once, with exit code 0; and it cannot be imported in a thread.
_signal = signal.signal
signal.signal = lambda *_: None
try:
    import dask_jobqueue
    from dask_jobqueue import SLURMCluster
finally:
    signal.signal = _signal

__all__ = ["SLURMCluster", "packaged"]


def packaged() -> dict[str, Any]:
    """Return the settings for Slurm that dask-jobqueue comes with."""
    path = Path(dask_jobqueue.__file__).with_name("jobqueue.yaml")
    return dict(yaml.safe_load(path.read_text())["jobqueue"]["slurm"])
