"""Cubes of random tables against loops over their rows: counts exactly, floats to 1e-12.

``python -m campaign.cubes --cases 300`` tries so many; ``--seed 7`` other ones.
"""

import argparse
import itertools
import os
import sys
import warnings
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from dxflow.analysis.tables import Table

EDGES = (-1.0, -0.25, 0.0, 0.1, 2.0, 2.5)
POOL = (*EDGES, np.nextafter(2.5, 3), np.nextafter(-1, -2), -0.0, 0.05, 1.0, 3.0, np.nan, np.inf, -np.inf)
"""Values of scan variables: on edges, next to them, between, outside and missing."""
SPECS = {
    "edges": EDGES,
    "array": np.array([0.0, 0.1, 1.0]),
    "equal": 3,
    "range": "-1:2:6",
    "unique": "unique",
    "near": "unique(0.12)",
    "quantiles": "quantiles(3)",
    "circle": "4%2.5",
    "arc": "-0.5,0.05,0.5%3",
}
PERIODS = {"circle": 2.5, "arc": 3.0}
OF = ("x", "far", "whole", "curve", "slow")


@dataclass
class Case:
    """A table and what is asked of it."""

    table: Table
    bins: dict
    where: np.ndarray
    options: dict = field(default_factory=dict)


@st.composite
def cases(draw):
    """Return a random case."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    trains, pulses = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    data = made(rng, trains, pulses, draw(st.sampled_from([0, 0.1, 0.9])))
    axes = draw(st.lists(st.sampled_from(["a", "b", "c", "t"]), min_size=1, max_size=3, unique=True))
    bins = {name: SPECS[draw(st.sampled_from(sorted(SPECS)))] for name in axes}
    share = draw(st.sampled_from([1, 0.7, 0.05]))
    options = {
        "normalise": draw(st.sampled_from([None, None, "i0", "slow_i0"])),
        "how": draw(st.sampled_from(["ratio", "each"])),
        "weights": draw(st.sampled_from([None, None, "w"])),
    }
    if draw(st.booleans()):
        options["on"] = rng.random(data.sizes["pulse"]) < draw(st.sampled_from([0.5, 1]))
    return Case(Table(data), bins, rng.random(data.sizes["pulse"]) < share, options)


def made(rng, trains, pulses, missing):
    """Return the dataset of a table with some rows gone, trains without rows, and rows without their train."""
    ids = np.arange(100, 100 + trains, dtype="u8")
    train, pulse = np.repeat(ids, pulses), np.tile(np.arange(pulses, dtype="u8"), trains)
    there = rng.random(len(train)) > 0.2
    train, pulse = train[there], pulse[there]
    n, ids = len(train), ids[rng.random(trains) > 0.1]

    def some(values):
        return np.where(rng.random(values.shape) < missing, np.nan, values)

    data = {name: ("pulse", rng.choice(POOL, n)) for name in "abc"}
    data |= {
        "x": ("pulse", some(rng.normal(0, 1, n))),
        "far": ("pulse", some(1e8 + rng.normal(0, 1, n))),
        "whole": ("pulse", rng.integers(-5, 5, n)),
        "whole_valid": ("pulse", rng.random(n) >= missing),
        "curve": (("pulse", "q"), some(rng.normal(3, 1, (n, 3))).astype("f4")),
        "i0": ("pulse", some(rng.gamma(4, 1, n) * (rng.random(n) > 0.05) - (rng.random(n) < 0.05))),
        "w": ("pulse", some(rng.gamma(2, 1, n) * (rng.random(n) > 0.1))),
        "t": ("train", rng.choice(POOL, len(ids))),
        "slow": ("train", some(rng.normal(5, 1, len(ids)))),
        "slow_i0": ("train", some(rng.gamma(4, 1, len(ids)))),
    }
    return xr.Dataset(data, {"train_id": ("pulse", train), "pulse_id": ("pulse", pulse), "train": ids})


def value(case, name, row):
    """Return a value of a row as float64, NaN where there is none."""
    data = case.table.data
    if data[name].dims[0] == "train":
        at = np.flatnonzero(data.train.values == data.train_id.values[row])
        return np.float64(data[name].values[at[0]]) if len(at) else np.float64(np.nan)
    if f"{name}_valid" in data and not data[f"{name}_valid"].values[row]:
        return np.float64(np.nan)
    return np.asarray(data[name].values[row], float)


def ranges(spec, kind, values):
    """Return the bins for values, as (lowest, highest, whether the highest belongs to it)."""
    if kind in ("unique", "near"):
        out, tolerance = [], max(0.12 if kind == "near" else 0, 1e-9 * max(map(abs, values)))
        for x in sorted(values):
            if out and x - out[-1][0] <= tolerance:
                out[-1][1] = x
            else:
                out.append([x, x, True])
        return out
    edges = {
        "equal": lambda: np.linspace(min(values), max(values), 4),
        "range": lambda: np.linspace(-1, 2, 7),
        "circle": lambda: np.linspace(0, 2.5, 5),
        "arc": lambda: np.array([-0.5, 0.05, 0.5]),
        "quantiles": lambda: np.unique(np.quantile(values, [0, 1 / 3, 2 / 3, 1])),
    }.get(kind, lambda: np.asarray(spec))()
    if edges[0] == edges[-1]:
        half = abs(edges[0]) / 200 or 0.5
        edges = np.array([edges[0] - half, edges[0] + half])
    return [[a, b, b == edges[-1]] for a, b in itertools.pairwise(edges)]


def folded(x, kind):
    """Return a value in its period."""
    start = {"circle": 0.0, "arc": -0.5}.get(kind)
    if start is None or start <= x < start + PERIODS[kind]:
        return x
    return start + (x - start) % PERIODS[kind] if np.isfinite(x) else np.nan


def bin_of(x, bins):
    """Return the number of a value's bin, or the word of where it is."""
    if np.isnan(x):
        return "missing"
    for n, (low, high, closed) in enumerate(bins):
        if low <= x < high or (closed and x == high):
            return n
    return "under" if x < bins[0][0] else "over"


def check(case):
    """Compare a cube with loops over rows."""
    kinds = {name: next(k for k, s in SPECS.items() if s is spec) for name, spec in case.bins.items()}
    rows = np.flatnonzero(case.where)
    scanned = {name: [folded(value(case, name, r), kinds[name]) for r in rows] for name in case.bins}
    finite = {name: [x for x in xs if np.isfinite(x)] for name, xs in scanned.items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            data = case.table.cube(case.bins, OF, where=case.where, **case.options).data
    except ValueError as e:
        need = ("equal", "unique", "near", "quantiles")
        if "has a value" in str(e) and any(not finite[n] and kinds[n] in need for n in case.bins):
            return
        raise
    bins = {name: ranges(spec, kinds[name], finite[name]) for name, spec in case.bins.items()}
    found = {name: [bin_of(x, bins[name]) for x in xs] for name, xs in scanned.items()}
    for name in case.bins:
        assert data.sizes[name] == len(bins[name])
        np.testing.assert_array_equal(data[f"{name}_lo"], [b[0] for b in bins[name]])
        np.testing.assert_array_equal(data[f"{name}_hi"], [b[1] for b in bins[name]])
        for where in ("under", "over", "missing"):
            assert int(data[f"{name}_{where}"]) == found[name].count(where)
    on = case.options.get("on")
    for at in itertools.product(*(range(len(b)) for b in bins.values())):
        inside = [
            r
            for i, r in enumerate(rows)
            if all(found[name][i] == n for name, n in zip(found, at, strict=True))
        ]
        part = data.isel(dict(zip(bins, at, strict=True)))
        if on is None:
            check_bin(case, part, inside)
            continue
        for kind, chosen in (("on", on), ("off", ~on)):
            check_bin(case, part.sel(pump=kind), [r for r in inside if chosen[r]])
        check_difference(part)


def check_bin(case, part, rows):
    """Compare a bin with what rows are in it."""
    assert int(part.n) == len(rows)
    by, how, weights = (case.options[k] for k in ("normalise", "how", "weights"))
    for name in OF:
        own = rows
        slow = [other for other in (name, by, weights) if other]
        if all(case.table.data[other].dims[0] == "train" for other in slow):
            trains = case.table.data.train_id.values
            own = [r for n, r in enumerate(rows) if n == 0 or trains[r] != trains[rows[n - 1]]]
        y = np.array([np.ravel(value(case, name, r)) for r in own]).reshape(
            len(own), -1 if len(own) else np.size(part[f"{name}_mean"])
        )
        x = np.array([value(case, by, r) if by else 1.0 for r in own])
        w = np.array([value(case, weights, r) if weights else 1.0 for r in own])
        for k, (count, mean, sem) in enumerate(
            zip(*(np.ravel(part[f"{name}_{p}"]) for p in ("count", "mean", "sem")), strict=True)
        ):
            known = np.isfinite(y[:, k]) & (x > 0) & (w > 0)
            assert count == known.sum()
            check_value(y[known, k], x[known], w[known], how, mean, sem, by or weights)
        check_derived(part, name)


def check_value(y, x, w, how, mean, sem, divided):
    """Compare a mean and its error with those of some values."""
    if how == "each":
        y, x = y / x, np.ones(len(x))
    if not len(y):
        assert np.isnan([mean, sem]).all()
        return
    expected = np.sum(w * y) / np.sum(w * x)
    scale = np.max(np.abs(y)) / np.mean(x)
    assert abs(mean - expected) <= 1e-12 * scale
    if len(y) == 1:
        assert np.isnan(sem)
        return
    total, squares = np.sum(w), np.sum(w * w)
    pairs = sum(w[i] * w[j] for i in range(len(w)) for j in range(i)) * 2
    error = np.sqrt(np.sum(w * (y - expected * x) ** 2) * squares / (total * pairs)) / (np.sum(w * x) / total)
    # Where it is divided, the residuals that both are made of have the rounding of what they are differences of.
    assert abs(sem - error) <= 1e-12 * (scale if divided else error) + 1e-15 * scale
    if not divided:
        assert abs(sem - np.std(y, ddof=1) / np.sqrt(len(y))) <= 1e-12 * error + 1e-15 * scale


def check_derived(part, name):
    """Compare the sum and the standard deviation with what they follow from."""
    count, mean, sem = (part[f"{name}_{p}"].values for p in ("count", "mean", "sem"))
    number = part[f"{name}_effective"].values if f"{name}_effective" in part else count
    weight = part[f"{name}_weight"].values if f"{name}_weight" in part else count
    np.testing.assert_allclose(part[f"{name}_sum"], mean * weight, 1e-12)
    np.testing.assert_allclose(part[f"{name}_std"], sem * np.sqrt(number), 1e-12)


def check_difference(part):
    """Compare on - off, and what it is of off, with on and off."""
    for name in OF:
        (on, off), (a, b) = (part[f"{name}_{p}"].values for p in ("mean", "sem"))
        with np.errstate(all="ignore"):
            wanted = {
                "difference": on - off,
                "difference_sem": np.sqrt(a**2 + b**2),
                "relative": (on - off) / off,
                "relative_sem": np.sqrt(a**2 / off**2 + on**2 * b**2 / off**4),
            }
        for what, values in wanted.items():
            np.testing.assert_allclose(part[f"{name}_{what}"], values, 1e-12)


def tried(examples, number):
    """Return a function that tries so many cases."""

    def told(case):
        try:
            check(case)
        except AssertionError as e:
            e.add_note(f"python -m campaign.cubes --cases {examples} --seed {number}")
            raise

    quick = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    chosen = settings(
        max_examples=examples, deadline=None, database=None, print_blob=True, suppress_health_check=quick
    )
    return seed(number)(chosen(given(cases())(told)))


def main():
    """Try some cases; an error says which one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DXFLOW_SEED", "20261122")))
    args = parser.parse_args()
    tried(args.cases, args.seed)()
    sys.stdout.write(f"{args.cases} cubes of seed {args.seed}: equal to loops over rows\n")


if __name__ == "__main__":
    sys.exit(main())
