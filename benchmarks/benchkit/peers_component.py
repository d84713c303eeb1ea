"""What a user writes with EXtra-data's component of a whole detector, train by train, and numpy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from dxflow.bench.peers import Moments, Share, opened


def prepare(share: Share, *_: Any) -> int:
    """Make the component, so that this is not timed with the rest."""
    return len(trains(share))


@cache
def trains(share: Share) -> list[Any]:
    """Return the key of all modules for each train."""
    data = component(share)[share.key]
    return [data[position : position + 1] for position in range(share.first, share.last)]


@cache
def component(share: Share) -> Any:
    """Return the component of the detector, such as `extra_data.components.AGIPD1M`; made once per process."""
    from extra_data.components import identify_multimod_detectors

    run = opened(share.run).select([(source, "*") for source in share.sources])
    name, kind = identify_multimod_detectors(run, single=True)
    return kind(run, name)


def mean(share: Share, threads: int) -> int:
    """Make the mean of each pixel, without NaN; EXtra-data reads and decompresses with so many threads."""
    sums, total = Moments(), 0
    for train in trains(share):
        x = train.ndarray(decompress_threads=threads)
        total += x.nbytes
        sums.count = sums.count + (~np.isnan(x)).sum(axis=1, dtype=np.int32)
        sums.total = sums.total + np.nansum(x, axis=1, dtype=np.float64)
    return total


def read(share: Share, threads: int) -> int:
    """Read, and decompress with so many threads."""
    return sum(train.ndarray(decompress_threads=threads).nbytes for train in trains(share))


def read_masked(share: Share) -> int:
    """Read frames with their masks applied."""
    data = component(share).masked_data(share.key)
    return sum(data[position : position + 1].ndarray().nbytes for position in range(share.first, share.last))


def read_selected(share: Share, step: int) -> int:
    """Read each `step`-th frame of each train."""
    return sum(
        train.select_pulses(np.s_[::step]).ndarray(decompress_threads=1).nbytes for train in trains(share)
    )
