"""A table that is made of nothing: values whose truth is known, per pulse, per train and of the run."""

import numpy as np
import xarray as xr

from dxflow.analysis.tables import Table


def dataset(trains=20, pulses=8, seed=0):
    """Return the dataset of a table: some pulses of trains are not there, some values are missing."""
    rng = np.random.default_rng(seed)
    ids = 10001 + np.arange(trains, dtype=np.uint64)
    every = np.repeat(ids, pulses), np.tile(4 * np.arange(pulses, dtype=np.uint64), trains)
    there = rng.random(trains * pulses) > 0.1
    train_id, pulse_id = (one[there] for one in every)
    n = len(train_id)
    xgm, delay = rng.gamma(9, 100, n), np.round(np.linspace(-1, 5, trains), 1)
    xgm[rng.random(n) < 0.05] = np.nan
    delay[rng.random(trains) < 0.05] = np.nan
    valid = rng.random(n) > 0.05
    lit = rng.random(n) > 0.3
    data = {
        "xgm": ("pulse", xgm, {"units": "uJ", "long_name": "energy of the pulse", "rate": "pulse"}),
        "signal": ("pulse", rng.normal(3, 1, n), {"units": "photons", "rate": "pulse"}),
        "lit": ("pulse", lit & valid, {"rate": "pulse"}),
        "lit_valid": ("pulse", valid),
        "photons": ("pulse", rng.poisson(5, n), {"rate": "pulse"}),
        "roi": (
            ("pulse", "region"),
            rng.normal(2, 1, (n, 3)).astype("f4"),
            {"units": "adu", "rate": "pulse"},
        ),
        "delay": ("train", delay, {"units": "ps", "long_name": "delay", "rate": "train"}),
        "laser": ("train", ids % 2 == 0, {"rate": "train"}),
        "state": ("train", np.where(ids % 5 == 0, "MOVING", "ON"), {"rate": "train"}),
        "energy": ((), 9.3, {"units": "keV", "rate": "run"}),
        "image": (("ss", "fs"), rng.random((4, 6), np.float32), {"rate": "run"}),
    }
    start = np.datetime64("2026-11-22T10:00:00", "ns")
    coords = {
        "train_id": ("pulse", train_id),
        "pulse_id": ("pulse", pulse_id),
        "train": ids,
        "time": ("train", start + np.arange(trains) * np.timedelta64(100, "ms")),
    }
    return xr.Dataset(data, coords, {"title": "made", "run": "r0001", "rows": "pulses"})


def table(trains=20, pulses=8, seed=0):
    """Return such a table."""
    return Table(dataset(trains, pulses, seed))


def rows(**values):
    """Return a table of these values per pulse, ten pulses a train."""
    n = len(next(iter(values.values())))
    ids = np.arange(n, dtype="u8")
    coords = {"train_id": ("pulse", ids // 10), "pulse_id": ("pulse", ids % 10)}
    return Table(xr.Dataset({name: ("pulse", np.asarray(v)) for name, v in values.items()}, coords))
