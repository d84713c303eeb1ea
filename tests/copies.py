"""Copies of runs against their originals: what is selected is what numpy selects, as EXtra-data reads both."""

import extra_data
import numpy as np
from validator import problems

from dxflow.run.detectors import find


def opened(path):
    return extra_data.RunDirectory(path)


def frames_of(run):
    """Return (source, key group) of the modules of all detectors."""
    found = find(run.instrument_sources - set(run.legacy_sources))
    return {
        s: f.detector.keys.get("image.data", "image.data").partition(".")[0]
        for f in found
        for s in f.sources.values()
    }


def pairs(run, source, group):
    """Return train id and pulse id (or position) of each entry of a module, (entry, 2)."""
    counts = run[source].data_counts(index_group=group)
    trains = np.repeat(counts.index.to_numpy(), counts.to_numpy())
    if f"{group}.pulseId" in run[source]:
        pulses = run[source, f"{group}.pulseId"].ndarray().ravel()
    else:
        pulses = np.concatenate([np.arange(n) for n in counts] or [[]])
    return np.stack([trains, pulses], axis=1).astype(np.int64)


def agrees(original, copy, keep, *, trains=None, sources=None):
    """Check every key of every source: frames by `keep` (train, pulse) -> bool, other sources by train."""
    a, b = opened(original), opened(copy)
    images = frames_of(a)
    trains = a.train_ids if trains is None else trains
    of_trains = a.select_trains(extra_data.by_id[list(trains)])
    for source in b.all_sources if sources is None else sources:
        group = images.get(a.legacy_sources.get(source, source))
        rows = [t in trains and keep(t, p) for t, p in pairs(a, source, group)] if group else []
        for key in sorted(a[source].keys()):
            if key.partition(".")[0] == group:
                expected = a[source, key].ndarray()[np.array(rows, bool)]
            else:
                expected = of_trains[source, key].ndarray()
            np.testing.assert_array_equal(b[source, key].ndarray(), expected, err_msg=f"{source} {key}")
            assert b[source, key].dtype == a[source, key].dtype
    assert problems(copy) == []
