"""Groups of frames: any labels, in runs with gaps, against numpy on the frames that have them.

``python -m campaign.groups --cases 300`` tries as many and fails where one is not as it must be.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass

import numpy as np
import oracle
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import From, Output, geometry
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.spectrum import Spectrum
from dxflow.simulate import Plant, make_run

NBINS = 5
PLANTS = {
    "whole": Plant(),
    "holes": Plant(missing_modules=(2,), lost_trains={5: (0, 4)}, missing_trains=(3,)),
    "gaps": Plant(missing_trains=(0, 5), lost_trains={0: (1, 2), 1: (2,)}),
}
VALUES = {
    "flags": (False, True),
    "numbers": (-3, 0, 7, 2**40),
    "floats": (-0.5, 0.1, 1e9, np.nan),
    "texts": ("on", "off", "", "långsam"),
}


@dataclass(frozen=True)
class Data:
    """A run and what EXtra-data reads of it: trains and pulses of frames, (frame, module, ss, fs), NaN of none."""

    truth: object
    train_ids: np.ndarray
    pulse_ids: np.ndarray
    frames: np.ndarray


class Both(dxflow.Algorithm):
    """Makes a label of its own for each frame: the pulse id, modulo 3."""

    ALG_ID = "both"
    inputs = {"img": dxflow.Frames()}

    def outputs(self, info):
        return {"label": Output(per="img", dtype="i4", merge="max")}

    def process_module_data(self, block, out):
        out.label = block.pulse_ids % 3


def made(folder, name):
    """Return a run with a plant."""
    size = {"detector": "AGIPD500K", "trains": 8, "pulses": 4, "module_shape": (8, 8), "devices": ()}
    truth = make_run(f"{folder}/{name}", plant=PLANTS[name], **size)
    labels, some = oracle.frames(truth.path, truth.sources, truth.key)
    frames = np.full((len(some), 8, *some.shape[2:]), np.nan)
    frames[:, truth.module_numbers] = some
    trains, pulses = np.array(labels).T
    return Data(truth, trains, pulses, frames)


@st.composite
def cases(draw):
    """Return how labels are made: kind, per train or frame, seed, share that is there, groups, chunk and ddof."""
    kind = draw(st.sampled_from(sorted(VALUES)))
    values = [v for v in VALUES[kind] if v == v]
    wanted = draw(st.none() | st.lists(st.sampled_from(values), min_size=1, unique=True))
    return {
        "kind": kind,
        "per_train": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "there": draw(st.sampled_from([0.3, 0.8, 1.0])),
        "wanted": wanted,
        "chunk": draw(st.sampled_from(["2 kB", "20 kB", None])),
        "per": draw(st.sampled_from(["frame", "run"])),
        "made": draw(st.integers(0, 5)) == 0,
    }


def check(data, case):
    """Reduce a run by such labels, and compare with numpy on the frames that have them."""
    array, of_frames = labels(data, case)
    options = {"by": array, "groups": case["wanted"]}
    if case["made"]:
        options = {"by": From("both.label"), "groups": [2, 0, 9]}
        of_frames = (data.pulse_ids % 3).astype(float)
    wanted = options["groups"]
    groups = sorted({v for v in of_frames.tolist() if v is not None and v == v}) if wanted is None else wanted
    here = [any(v == g for v in of_frames.tolist()) for g in groups]
    geometric = {"geometry": f"{data.truth.path}/geometry.npy", "distance": data.truth.distance}
    geometric |= {"energy": data.truth.photon_energy, "nbins": NBINS, "solid_angle": False}
    algorithms = [
        Average(**options),
        AzimuthalIntegration(per=case["per"], **geometric, **options),
        Spectrum(**options),
    ]
    cut = {"chunk": case["chunk"]} if case["chunk"] else {}
    given = {"cluster": "here", "on_fault": "mask", **cut}
    if not any(here):
        with pytest.raises(
            dxflow.PlanError, match="none of its values|it has no values|no frame has one of them"
        ):
            dxflow.reduce(data.truth.path, [Both(), *algorithms], **given)
        return
    found = dxflow.reduce(data.truth.path, [Both(), *algorithms], **given).dataset
    for at, group in enumerate(groups):
        compare(found, data, at, np.array([v == group for v in of_frames.tolist()]))


def labels(data, case):
    """Return labels as an array with ids, and those of frames, None or NaN where there is none."""
    random = np.random.default_rng(case["seed"])
    ids = np.unique(data.train_ids) if case["per_train"] else np.arange(len(data.train_ids))
    # Of other trains and pulses, too, in any order.
    values = np.array(VALUES[case["kind"]])[random.integers(0, len(VALUES[case["kind"]]), len(ids) + 3)]
    there = random.permutation(len(ids) + 3)[: max(1, int(case["there"] * len(ids)))]
    if case["per_train"]:
        trains = np.append(ids, [1, 2, 3])
        array = xr.DataArray(values[there], dims="train", coords={"train": trains[there]})
        known = dict(zip(trains[there].tolist(), values[there].tolist(), strict=True))
        of_frames = [known.get(t) for t in data.train_ids.tolist()]
    else:
        pairs = np.append(np.stack([data.train_ids, data.pulse_ids], 1), [[1, 2], [3, 4], [5, 6]], axis=0)
        coords = {"train_id": ("frame", pairs[there, 0]), "pulse_id": ("frame", pairs[there, 1])}
        array = xr.DataArray(values[there], dims="frame", coords=coords)
        known = dict(zip(map(tuple, pairs[there].tolist()), values[there].tolist(), strict=True))
        own = zip(data.train_ids.tolist(), data.pulse_ids.tolist(), strict=True)
        of_frames = [known.get(pair) for pair in own]
    out = np.empty(len(of_frames), object)
    out[:] = of_frames
    return array, out


def compare(found, data, at, chosen):
    """Compare one group."""
    own = data.frames[chosen]
    equal(found, "average", at, own, ("count", "mean", "variance", "error"))
    columns = np.where(np.isfinite(own).any(axis=(1, 2)), np.nansum(own, axis=(1, 2)), np.nan)
    equal(found, "spectrum", at, columns, ("frames", "mean", "variance", "error"))
    points = geometry.load(f"{data.truth.path}/geometry.npy", data.truth.distance).positions
    q = geometry.momentum_transfer(points, data.truth.wavelength)
    edges = np.linspace(q.min(), q.max(), NBINS + 1)
    bins = np.clip(np.searchsorted(edges, q, side="right") - 1, 0, NBINS - 1)
    there = np.isfinite(own)
    number = [there[:, bins == k].sum() for k in range(NBINS)]
    sums = np.array([own[:, bins == k][there[:, bins == k]].sum() for k in range(NBINS)])
    np.testing.assert_array_equal(found["azint.count"].values[at], number)
    mean = np.where(number, sums / np.maximum(number, 1), np.nan)
    np.testing.assert_allclose(found["azint.mean"].values[at], mean, rtol=1e-6, atol=1e-9)


def equal(found, name, at, rows, parts):
    """Compare count, mean, variance and standard error of rows."""
    n = np.isfinite(rows).sum(axis=0)
    mean = np.where(n, np.nansum(rows, axis=0) / np.maximum(n, 1), np.nan)
    squares = np.nansum((rows - mean) ** 2, axis=0)
    variance = np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan)
    np.testing.assert_array_equal(found[f"{name}.{parts[0]}"].values[at], n)
    expected = (mean, variance, np.sqrt(variance / np.maximum(n, 1)))
    for part, values in zip(parts[1:], expected, strict=True):
        np.testing.assert_allclose(found[f"{name}.{part}"].values[at], values, rtol=1e-6, atol=1e-9)


def tried(runs, examples):
    """Try so many cases on some runs."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sorted(runs)), cases())
    def one(name, case):
        check(runs[name], case)

    one()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="groups-") as folder:
        tried({name: made(folder, name) for name in PLANTS}, args.cases)
    sys.stdout.write(f"{args.cases} cases are as numpy has them\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
