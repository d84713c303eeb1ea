"""Cubes of images of random tables against loops over their rows: counts exactly, float32 means and errors to 1e-6.

``python -m campaign.imagecubes --cases 300`` tries so many; ``--seed 7`` other ones.
"""

import argparse
import itertools
import os
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import oracle
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from campaign.cubes import POOL, SPECS, bin_of, folded, ranges
from dxflow import PlanError
from dxflow.analysis.tables import Table
from dxflow.simulate import make_run


def punch(name, item, random):
    """Put NaN into the frames of a module, and one pixel that always has it."""
    if name.endswith("image/data"):
        frames = item[()]
        frames[random.random(frames.shape) < 0.1] = np.nan
        frames[:, 1, 3] = np.nan
        item[()] = frames


class Runs:
    """A run whose frames have NaN, pixels that always do, and one of raw integers; and all their frames."""

    def __init__(self, folder):
        size = {"detector": "AGIPD500K", "trains": 5, "pulses": 6, "module_shape": (2, 6), "seed": 3}
        self.truths = [
            make_run(Path(folder) / "corr", **size),
            make_run(Path(folder) / "raw", data="raw", **size),
        ]
        random = np.random.default_rng(1)
        for file in Path(folder).glob("corr/*AGIPD*.h5"):
            with h5py.File(file, "r+") as f:
                f["INSTRUMENT"].visititems(lambda name, item: punch(name, item, random))
        read = [oracle.frames(t.path, t.sources, t.key)[1] for t in self.truths]
        self.frames = [x[:, :, 0] if x.ndim == 5 else x for x in read]


@st.composite
def cases(draw):
    """Return which run, what its table has, and what is asked of it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    axes = draw(st.lists(st.sampled_from(["a", "b", "t"]), min_size=1, max_size=2, unique=True))
    options = {
        "normalise": draw(st.sampled_from([None, "i0"])),
        "how": draw(st.sampled_from(["ratio", "each"])),
        "weights": draw(st.sampled_from([None, None, "w"])),
    }
    bins = {name: draw(st.sampled_from(sorted(SPECS))) for name in axes}
    on = draw(st.sampled_from([None, 0.5, 1]))
    return draw(st.integers(0, 1)), rng, bins, options, draw(st.sampled_from([1, 0.5, 0.1])), on


def table_of(truth, rng):
    """Return a table with a row for most frames of a run."""
    n = len(truth.pulse_ids)
    rows = np.flatnonzero(rng.random(n) > 0.1)
    k, trains = len(rows), len(truth.train_ids)
    data = {
        "a": ("pulse", rng.choice(POOL, k)),
        "b": ("pulse", rng.choice(POOL, k)),
        "t": ("train", rng.choice(POOL, trains)),
        "i0": ("pulse", np.where(rng.random(k) < 0.1, np.nan, rng.gamma(4, 1, k) - (rng.random(k) < 0.05))),
        "w": ("pulse", rng.gamma(2, 1, k) * (rng.random(k) > 0.1)),
    }
    ids = {
        "train_id": ("pulse", truth.frame_train_ids[rows]),
        "pulse_id": ("pulse", truth.pulse_ids[rows]),
        "train": truth.train_ids,
    }
    return Table(xr.Dataset(data, ids, {"run": str(truth.path), "rows": "frames"})), rows


def check(runs, case):
    """Compare a cube with loops over rows."""
    which, rng, kinds, options, share, on = case
    table, rows = table_of(runs.truths[which], rng)
    frames = runs.frames[which][rows]
    where, flags = rng.random(len(rows)) < share, None if on is None else rng.random(len(rows)) < on
    values = {name: [folded(x, kinds[name]) for x in table.column(name, at="pulse").values] for name in kinds}
    finite = {
        n: [x for x, chosen in zip(v, where, strict=True) if chosen and np.isfinite(x)]
        for n, v in values.items()
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            data = table.cube(
                {name: SPECS[kind] for name, kind in kinds.items()},
                where=where,
                on=flags,
                images=True,
                cluster="here",
                quiet=True,
                **options,
            ).data.load()
    except (PlanError, ValueError) as e:
        if any(said in str(e) for said in ("has a value", "rows is selected, in a bin and above 0")):
            return
        raise
    edges = {name: ranges(SPECS[kind], kind, finite[name]) for name, kind in kinds.items()}
    place = [tuple(bin_of(values[name][row], edges[name]) for name in kinds) for row in range(len(rows))]
    for at in itertools.product(*(range(len(one)) for one in edges.values())):
        inside = where & np.array([one == at for one in place])
        part = data.isel(dict(zip(kinds, at, strict=True)))
        if flags is None:
            check_bin(part, frames, table, inside, options)
            continue
        for kind, chosen in (("on", flags), ("off", ~flags)):
            check_bin(part.sel(pump=kind), frames, table, inside & chosen, options)
        difference = part["image_mean"].sel(pump="on") - part["image_mean"].sel(pump="off")
        np.testing.assert_array_equal(part["image_difference"], difference)


def check_bin(part, frames, table, inside, options):
    """Compare the images of a bin with those of the frames that are in it."""
    ones = np.ones(len(frames))
    i0, w = (
        ones if (name := options[key]) is None else table.data[name].values
        for key in ("normalise", "weights")
    )
    used = inside & (i0 > 0) & (w > 0)
    x, z, v = frames[used], i0[used], w[used]
    if options["how"] == "each":
        x, z = x / z[:, None, None, None], np.ones(len(z))
    for at in np.ndindex(frames.shape[1:]):
        known = np.isfinite(y := x[(slice(None), *at)])
        count, mean, sem = (float(part[f"image_{name}"].values[at]) for name in ("count", "mean", "sem"))
        assert count == known.sum()
        check_pixel(y[known], z[known], v[known], mean, sem)


def check_pixel(y, z, w, mean, sem):
    """Compare the mean of a pixel and its error with those of its values."""
    if not len(y):
        assert np.isnan([mean, sem]).all()
        return
    expected = np.sum(w * y) / np.sum(w * z)
    scale = np.max(np.abs(y)) / np.mean(z)
    assert abs(mean - expected) <= 1e-6 * abs(expected) + 1e-12 * scale
    if len(y) == 1:
        assert np.isnan(sem)
        return
    total, squares = np.sum(w), np.sum(w * w)
    pairs = total**2 - squares
    error = np.sqrt(np.sum(w * (y - expected * z) ** 2) * squares / (total * pairs)) / (np.sum(w * z) / total)
    assert abs(sem - error) <= 1e-6 * error + 1e-7 * scale


def tried(examples, number, runs):
    """Return a function that tries so many cases."""

    def told(case):
        try:
            check(runs, case)
        except AssertionError as e:
            e.add_note(f"python -m campaign.imagecubes --cases {examples} --seed {number}")
            raise

    quick = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    chosen = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=quick)
    return seed(number)(chosen(given(cases())(told)))


def main():
    """Try some cases; an error says which one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DXFLOW_SEED", "20261122")))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="imagecubes-") as folder:
        tried(args.cases, args.seed, Runs(folder))()
    sys.stdout.write(f"{args.cases} cubes of images of seed {args.seed}: equal to loops over rows\n")


if __name__ == "__main__":
    sys.exit(main())
