"""Reductions against the bare reading of the same bytes, and against what others need for the same work.

Each line of the table is a ratio with what it must reach. Data: corrected AGIPD-1M frames, float32, in 16 files, in
memory where that is large enough, so that the page cache is warm.

    python benchmarks/bench_reduce.py [--small] [--json FILE] [--only azimuthal]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from dxflow import Frames, FrameSelection
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.bench import data, peers, peers_component, script
from dxflow.bench.crew import Apart, Crew
from dxflow.bench.overhead import empty_chunks
from dxflow.bench.peers_pyfai import Integration
from dxflow.bench.rounds import Case, Group, Ratio, Sample
from dxflow.bench.subject import Subject, workers
from dxflow.bench.tasks import Busy, TrainSums, busy_alone
from dxflow.simulate import Truth

FLOOR = "bare read()"


def average_group(subject: Subject) -> Group:
    work = "mean + variance + count, NaN-aware"
    cases = {
        FLOOR: subject.floor(),
        "average": subject.dxflow(lambda: [Average()]),
        "EXtra-data + numpy": subject.peer(peers.moments),
        "Dask arrays": subject.dask_moments(),
        "pasha": subject.pasha_moments(),
        "LiberTEM (no NaN test)": subject.libertem_std(),
    }
    others = tuple(Ratio(work, "average", (name,)) for name in list(cases)[3:])
    ratios = (
        Ratio(work, "average", (FLOOR,), 0.6),
        Ratio(work, "average", ("EXtra-data + numpy",), 3.0),
        *others,
    )
    return Group("average", cases, ratios)


def lit_group(subject: Subject) -> Group:
    work = "lit-pixel count per frame"
    cases = {
        FLOOR: subject.floor(),
        "litframes": subject.dxflow(lambda: [LitFrames()]),
        "EXtra-data + numpy": subject.peer(peers.lit_pixels),
    }
    ratios = (Ratio(work, "litframes", (FLOOR,), 0.7), Ratio(work, "litframes", ("EXtra-data + numpy",)))
    return Group("lit pixels", cases, ratios)


def azint_group(subject: Subject, what: Integration) -> Group:
    work = f"azimuthal integration, {what.nbins} bins, per frame, NaN-aware"
    cases = {
        FLOOR: subject.floor(),
        "azint": subject.dxflow(lambda: [AzimuthalIntegration(**what.options)]),
        "pyFAI CSR": subject.pyfai(what),
    }
    ratios = (Ratio(work, "azint", (FLOOR,), 0.3), Ratio(work, "azint", ("pyFAI CSR",), 10.0))
    return Group("azimuthal integration", cases, ratios)


def one_pass_group(subject: Subject, what: Integration) -> Group:
    def azint() -> AzimuthalIntegration:
        return AzimuthalIntegration(**what.options)

    cases = {
        "average": subject.dxflow(lambda: [Average()]),
        "litframes": subject.dxflow(lambda: [LitFrames()]),
        "azint": subject.dxflow(lambda: [azint()]),
        "together": subject.dxflow(lambda: [Average(), LitFrames(), azint()]),
    }
    parts = ("average", "litframes", "azint")
    ratio = Ratio("those three in one pass", "together", parts, 0.6, at_least=False, by="seconds")
    return Group("one pass", cases, (ratio,))


def compressed_group(subject: Subject) -> Group:
    work = "mean over deflate+shuffle float32"
    count = subject.workers
    cases = {
        FLOOR: subject.floor(),
        "average": subject.dxflow(lambda: [Average()]),
        f"EXtra-data, {count} processes": subject.peer(
            peers_component.mean, 1, prepare=peers_component.prepare
        ),
        f"EXtra-data, {count} threads": subject.one_process(
            peers_component.mean, count, prepare=peers_component.prepare
        ),
    }
    others = list(cases)[2:]
    return Group("compressed", cases, tuple(Ratio(work, "average", (name,), 1.8) for name in others))


def mask_group(subject: Subject) -> Group:
    masked = Frames("image.data", mask="image.mask")
    cases = {
        "average": subject.dxflow(lambda: [Average()]),
        "with image.mask": subject.dxflow(lambda: [Average(img=masked)]),
    }
    ratio = Ratio("frames with image.mask applied", "with image.mask", ("average",), 1.3, False, "seconds")
    return Group("mask", cases, (ratio,))


def selection_group(subject: Subject) -> Group:
    tenth = np.arange(len(subject.plan.inputs[0].index)) % 10 == 0
    pulses = np.unique(subject.plan.inputs[0].index.labels(slice(0, len(tenth)))["pulse_id"])
    first = FrameSelection(pulses=[int(p) for p in pulses[: max(1, len(pulses) // 10)]])
    cases = {
        "average, all": subject.dxflow(lambda: [Average()]),
        "average, every 10th": subject.dxflow(lambda: [Average()], frames=tenth),
        "average, first 10 %": subject.dxflow(lambda: [Average()], frames=first),
        "litframes, all": subject.dxflow(lambda: [LitFrames()]),
        "litframes, every 10th": subject.dxflow(lambda: [LitFrames()], frames=tenth),
    }
    names = list(cases)
    pairs = ((names[1], names[0]), (names[2], names[0]), (names[4], names[3]))
    work = "10 % of the frames selected"
    return Group("selection", cases, tuple(Ratio(work, a, (b,), 0.2, False, "seconds") for a, b in pairs))


def trains_group(subject: Subject) -> Group:
    work = "process_train_data: whole trains assembled"
    cases = {
        FLOOR: subject.floor(),
        "sum of frames": subject.dxflow(lambda: [TrainSums()]),
        "EXtra-data fresh arrays": subject.peer(peers.train_sums),
    }
    ratios = (
        Ratio(work, "sum of frames", ("EXtra-data fresh arrays",), 1.5),
        Ratio(work, "sum of frames", (FLOOR,)),
    )
    return Group("whole trains", cases, ratios)


def busy_group(subject: Subject, title: str, *, cold: bool) -> Group:
    files = list(subject.plan.inputs[0].location.files)

    def ready(case: Case) -> Case:
        def dropped() -> Sample:
            data.drop_cache(files)
            return case()

        return dropped if cold else case

    cases = {
        "reading alone": ready(subject.reading()),
        "computing alone": computing(subject, times=16),
        "both": ready(subject.dxflow(lambda: [Busy(times=16)])),
    }
    work = f"compute-bound pass, {'cold' if cold else 'warm'}"
    parts = ("reading alone", "computing alone")
    return Group(title, cases, (Ratio(work, "both", parts, 1.1, False, "longest"),))


def computing(subject: Subject, times: int) -> Case:
    """Return the case of `Busy` on frames that are in memory, as many as the run has."""
    bound = subject.plan.inputs[0]
    frames = max(1, subject.plan.block_bytes // bound.frame_bytes)
    blocks = len(bound.index) * len(bound.modules) // frames // subject.workers
    shares = [(blocks, frames)] * subject.workers
    return lambda: subject.crew.time(busy_alone, shares, bound.shape[1:], times)


def main(argv: list[str] | None = None) -> None:
    parser = script.parser(__doc__)
    parser.add_argument("--layout", choices=("contiguous", "chunked"), default="contiguous", help="of frames")
    parser.add_argument("--trains", type=int, default=data.FULL["trains"], help="of 64 frames, 268 MB each")
    args = parser.parse_args(argv)
    with workers(args.workers) as (crew, apart):
        measured = [m for groups in subjects(args, crew, apart) for m in script.run(args, groups)]
    print(script.finish(args, measured, {"layout": args.layout, **data.FULL, "trains": args.trains}))


def subjects(args: argparse.Namespace, crew: Crew, apart: Apart) -> Iterator[list[Group]]:
    """Yield groups; the data of each lot exist until the next is asked for."""
    size: dict[str, Any] = {} if args.small else {"trains": args.trains}
    half = {} if args.small else {"trains": min(8, args.trains)}
    with data.simulated(small=args.small, layout=args.layout, **size) as truth:
        subject, what = Subject(truth.path, crew, apart), integration(truth)
        yield [
            average_group(subject),
            lit_group(subject),
            azint_group(subject, what),
            one_pass_group(subject, what),
            mask_group(subject),
            selection_group(subject),
            trains_group(subject),
            busy_group(subject, "computing, warm", cold=False),
        ]
    with data.simulated(small=args.small, layout="chunked", compress_data=True, **half) as truth:
        yield [compressed_group(Subject(truth.path, crew, apart))]
    with data.simulated(small=args.small, disk=True, **half) as truth:
        yield [busy_group(Subject(truth.path, crew, apart), "computing, cold", cold=True)]
    with ExitStack() as stack:
        yield [stack.enter_context(empty_chunks(crew, apart, small=args.small))]


def integration(truth: Truth) -> Integration:
    return Integration(f"{truth.path}/{truth.geometry['npy']}", truth.distance, truth.photon_energy)


if __name__ == "__main__":
    main()
