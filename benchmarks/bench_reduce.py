"""Reductions against the bare reading of the same bytes, and against what others need for the same work.

First whole calls, from `reduce()` called to the result there, on workers that run; then their parts, and others.
Beside each ratio stands what is wanted. Data: corrected AGIPD-1M frames, float32, in 16 files, in memory where that is
large enough, so that the page cache is warm. It all takes less than 6 minutes; each table is printed when it is done.

    python benchmarks/bench_reduce.py [--small] [--json FILE] [--only "whole calls"]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import h5py
import numpy as np
from benchkit import data, peers_component, peers_pyfai, script
from benchkit.overhead import empty_chunks
from benchkit.tasks import TrainSums

from dxflow import FrameSelection
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.bench import peers
from dxflow.bench.crew import Apart, Crew
from dxflow.bench.rounds import Group, Ratio, Sample
from dxflow.bench.subject import Subject, workers
from dxflow.simulate import Truth

FLOOR = "bare read()"
MOMENTS = "mean + variance + count"
LARGE, SMALL = 32, 8
"""Trains of 64 frames: 8.6 and 2.1 GB."""


def whole_group(subject: Subject, what: peers_pyfai.Integration) -> Group:
    """Whole calls, of two sizes: what a call costs whatever it reads, and what each byte costs."""
    sizes = {"large": {}, "small": {"frames": first_trains(subject, SMALL / LARGE)}}
    cases = {FLOOR: subject.floor()}
    for size, options in sizes.items():
        cases[f"average, {size}"] = subject.dxflow(lambda: [Average()], **options)
        cases[f"litframes, {size}"] = subject.dxflow(lambda: [LitFrames()], **options)
        cases[f"azint, {size}"] = subject.dxflow(lambda: [AzimuthalIntegration(**what.options)], **options)
    works = (
        (f"{MOMENTS}, no mask", "average", 0.45, 0.15),
        ("lit pixels", "litframes", 0.45, 0.15),
        (f"azimuthal integration, {what.nbins} bins", "azint", 0.32, 0.15),
    )
    whole = [Ratio(f"{work}: whole call", f"{name}, large", (FLOOR,), at) for work, name, at, _ in works]
    small = [Ratio("the same of a fourth", f"{name}, small", (FLOOR,)) for _, name, _, _ in works]
    fixed = [
        Ratio("fixed cost of a call", f"{name}, large", (f"{name}, small",), s, False, "fixed")
        for _, name, _, s in works
    ]
    steady = [Ratio("its pass alone", f"{name}, large", (FLOOR,), by="pass") for _, name, _, _ in works]
    return Group("whole calls", cases, (*whole, *small, *fixed, *steady), seconds=60)


def first_trains(subject: Subject, share: float) -> FrameSelection:
    """Return the selection of the first trains."""
    trains = subject.plan.train_ids
    return FrameSelection(trains=trains[: max(1, int(share * len(trains)))].tolist())


def mask_group(subject: Subject, what: str, wanted: float, **options: Any) -> Group:
    """The run's own mask, which is used unless one says otherwise, against none."""
    cases = {
        "without": subject.dxflow(lambda: [Average()], **options),
        "with the run's mask": subject.dxflow(lambda: [Average()], mask="auto", **options),
    }
    ratio = Ratio(f"average, {what}", "with the run's mask", ("without",), wanted, False, "seconds")
    return Group(f"masks: {what}", cases, (ratio,), seconds=15)


def together_group(subject: Subject, what: peers_pyfai.Integration, some: FrameSelection) -> Group:
    def azint() -> AzimuthalIntegration:
        return AzimuthalIntegration(**what.options)

    cases = {
        "average": subject.dxflow(lambda: [Average()], frames=some),
        "litframes": subject.dxflow(lambda: [LitFrames()], frames=some),
        "azint": subject.dxflow(lambda: [azint()], frames=some),
        "together": subject.dxflow(lambda: [Average(), LitFrames(), azint()], frames=some),
    }
    parts = ("average", "litframes", "azint")
    ratio = Ratio("those three in one pass", "together", parts, 0.6, at_least=False, by="seconds")
    return Group("one pass", cases, (ratio,), seconds=20)


def selection_group(subject: Subject) -> Group:
    tenth = np.arange(len(subject.plan.inputs[0].index)) % 10 == 0
    cases = {
        "average, all": subject.dxflow(lambda: [Average()]),
        "average, every 10th": subject.dxflow(lambda: [Average()], frames=tenth),
        "average, first 10 %": subject.dxflow(lambda: [Average()], frames=first_trains(subject, 0.1)),
    }
    every, *some = cases
    work = "10 % of the frames selected"
    return Group("selection", cases, tuple(Ratio(work, a, (every,), 0.2, False, "seconds") for a in some), 15)


def trains_group(subject: Subject, pulses: int) -> Group:
    cases = {
        FLOOR: subject.floor(),
        "sum of frames": subject.dxflow(lambda: [TrainSums()]),
        "EXtra-data fresh arrays": subject.peer(peers.train_sums),
    }
    work = f"whole trains of {pulses} pulses, sum per pulse"
    ratios = (
        Ratio(work, "sum of frames", (FLOOR,), 0.4),
        Ratio("its pass alone", "sum of frames", (FLOOR,), by="pass"),
        Ratio(work, "sum of frames", ("EXtra-data fresh arrays",), 1.5),
    )
    return Group(f"whole trains, {pulses} pulses", cases, ratios, seconds=20)


def peers_group(subject: Subject, what: peers_pyfai.Integration) -> Group:
    cases = {
        "average": subject.dxflow(lambda: [Average()]),
        "litframes": subject.dxflow(lambda: [LitFrames()]),
        "azint": subject.dxflow(lambda: [AzimuthalIntegration(**what.options)]),
        "EXtra-data + numpy": subject.peer(peers.moments),
        "EXtra-data + numpy, lit": subject.peer(peers.lit_pixels),
        "Dask arrays": subject.dask_moments(),
        "pasha": subject.pasha_moments(),
        "LiberTEM (no NaN test)": subject.libertem_std(),
        "pyFAI CSR": subject.peer(peers_pyfai.integrate, what, prepare=peers_pyfai.prepare),
    }
    moments = ("EXtra-data + numpy", "Dask arrays", "pasha", "LiberTEM (no NaN test)")
    ratios = (
        Ratio(f"azimuthal integration, {what.nbins} bins", "azint", ("pyFAI CSR",), 16.0),
        Ratio("its pass alone", "azint", ("pyFAI CSR",), by="pass"),
        *(Ratio(MOMENTS, "average", (name,)) for name in moments),
        Ratio("lit pixels", "litframes", ("EXtra-data + numpy, lit",)),
    )
    return Group("peers", cases, ratios, seconds=30)


def compressed_group(subject: Subject) -> Group:
    count, prepare = subject.workers, peers_component.prepare
    processes, threads = f"EXtra-data, {count} processes", f"EXtra-data, {count} threads"
    cases = {
        "average": subject.dxflow(lambda: [Average()]),
        processes: subject.peer(peers_component.mean, 1, prepare=prepare),
        threads: subject.one_process(peers_component.mean, count, prepare=prepare),
    }
    ratios = tuple(Ratio("mean of deflated frames", "average", (name,), 1.8) for name in (processes, threads))
    return Group("compressed", cases, ratios, seconds=15)


def demo_group(small: bool) -> Group:
    """The demonstration as it is after installation: with nothing compiled."""

    def demo() -> Sample:
        with tempfile.TemporaryDirectory() as folder:
            tiny = ["--trains", "4", "--module-shape", "16", "16"] if small else []
            cold = {} if small else {"NUMBA_CACHE_DIR": f"{folder}/compiled"}
            start = perf_counter()
            subprocess.run(
                [sys.executable, "-m", "dxflow", "recipe", "demo", "--to", f"{folder}/demo", *tiny],
                env=os.environ | cold,
                stdout=subprocess.DEVNULL,
                check=True,
            )
            return Sample(perf_counter() - start)

    ratio = Ratio("`make demo` after installation", "demo", (), 10.0, False, "seconds")
    return Group("demo", {"demo": demo}, (ratio,), 0, warm_up=False)


# Lots: groups that share data, which exist until the next is asked for ---------------------------------


@contextmanager
def lent(args: argparse.Namespace, crew: Crew, apart: Apart, **options: Any) -> Iterator[tuple]:
    """Lend a simulated run."""
    size = {} if args.small else options
    with data.simulated(small=args.small, **size) as truth:
        yield Subject(truth.path, crew, apart), truth


def main_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    with lent(args, *processes, trains=LARGE) as (subject, truth):
        what, some = integration(truth), first_trains(subject, SMALL / LARGE)
        yield whole_group(subject, what)
        yield mask_group(subject, "masks that repeat", 1.15, frames=some)
        yield together_group(subject, what, some)
        yield selection_group(subject)


def masks_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    for how, wanted in (("uncompressed", 1.6), ("deflated", 2.2)):
        with lent(args, *processes, trains=4) as (subject, _):
            differ(subject, compressed=how == "deflated")
            yield mask_group(subject, f"masks that differ in every frame, {how}", wanted)


def trains_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    for pulses, trains in ((16, 64), (352, 3)):
        with lent(args, *processes, trains=trains, pulses=pulses) as (subject, _):
            yield trains_group(subject, pulses)


def peers_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    with lent(args, *processes, trains=4) as (subject, truth):
        yield peers_group(subject, integration(truth))


def compressed_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    with lent(args, *processes, trains=4, layout="chunked", compress_data=True) as (subject, _):
        yield compressed_group(subject)


def chunks_lot(args: argparse.Namespace, *processes: Any) -> Iterator[Group]:
    with empty_chunks(*processes, small=args.small) as group:
        yield group


def demo_lot(args: argparse.Namespace, *_: Any) -> Iterator[Group]:
    yield demo_group(args.small)


Lot = Callable[..., Iterator[Group]]
LOTS: tuple[tuple[str, Lot], ...] = (
    ("whole calls, masks: masks that repeat, one pass, selection", main_lot),
    ("masks: masks that differ in every frame, uncompressed, deflated", masks_lot),
    ("whole trains, 16 pulses, whole trains, 352 pulses", trains_lot),
    ("peers", peers_lot),
    ("demo", demo_lot),
    ("chunks that do nothing", chunks_lot),
    ("compressed", compressed_lot),
)
"""Titles of the groups of each lot: one that is not asked for is not made."""


def integration(truth: Truth) -> peers_pyfai.Integration:
    return peers_pyfai.Integration(
        f"{truth.path}/{truth.geometry['npy']}", truth.distance, truth.photon_energy
    )


def differ(subject: Subject, *, compressed: bool) -> None:
    """Give each frame a mask of its own: that of its module, moved along."""
    at = subject.planned([Average()], mask="auto").inputs[0].mask.location
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compressed else {}
    for path, name in zip(at.files, at.datasets, strict=True):
        with h5py.File(path, "r+") as file:
            first, count = file[name][0], len(file[name])
            del file[name]
            chunks = (1, *first.shape) if compressed else None
            masks = file.create_dataset(name, (count, *first.shape), first.dtype, chunks=chunks, **options)
            for frame in range(count):
                masks[frame] = np.roll(first, frame + 1)


def main(argv: list[str] | None = None) -> None:
    args = script.parser(__doc__).parse_args(argv)
    with workers(args.workers) as (crew, apart):
        made = (group for titles, lot in LOTS if args.only in titles for group in lot(args, crew, apart))
        script.run(args, made, {**data.FULL, "trains": LARGE})


if __name__ == "__main__":
    main()
