"""Reading without reducing: each storage layout and selection, against read() of the same bytes and EXtra-data.

python benchmarks/bench_read.py [--small] [--json FILE] [--only compressed]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from benchkit import data, peers_component, script

from dxflow import Frames
from dxflow.bench import floor, peers
from dxflow.bench.crew import Apart, Crew
from dxflow.bench.rounds import Case, Group, Ratio
from dxflow.bench.subject import Subject, workers
from dxflow.bench.tasks import Nothing

FLOOR, FRESH, REUSED = "bare read()", "ndarray()", "ndarray(out=)"
BUFFERS = (2**18, 2**20, 2**21, floor.BUFFER, 2**25)


def buffers_group(subject: Subject) -> Group:
    cases = {f"{size / 1e6:.3g} MB": subject.floor(size) for size in BUFFERS}
    usual = f"{floor.BUFFER / 1e6:.3g} MB"
    ratios = tuple(Ratio("bare read(), buffer size", name, (usual,)) for name in cases if name != usual)
    return Group("buffers", cases, ratios)


def whole_group(subject: Subject, title: str, extra: dict[str, Case] | None = None) -> Group:
    cases = {
        FLOOR: subject.floor(),
        "dxflow": subject.reading(),
        FRESH: subject.peer(peers.read),
        REUSED: subject.peer(peers.read_into),
        **(extra or {}),
    }
    return group(title, f"read, {title}", cases)


def group(title: str, work: str, cases: dict[str, Case]) -> Group:
    """Return a group in which dxflow is compared with each other case."""
    return Group(title, cases, tuple(Ratio(work, "dxflow", (name,)) for name in cases if name != "dxflow"))


def compressed_group(subject: Subject) -> Group:
    count, prepare = subject.workers, peers_component.prepare
    extra = {
        "component": subject.peer(peers_component.read, 1, prepare=prepare),
        f"component, {count} threads": subject.one_process(peers_component.read, count, prepare=prepare),
    }
    return whole_group(subject, "compressed", extra)


def mask_group(subject: Subject) -> Group:
    masked = Frames("image.data", mask="image.mask")
    cases = {
        FLOOR: subject.floor(plan=subject.planned([Nothing(img=masked)])),
        "dxflow": subject.dxflow(lambda: [Nothing(img=masked)]),
        "masked_data()": subject.peer(peers_component.read_masked, prepare=peers_component.prepare),
    }
    return group("mask", "read with image.mask applied", cases)


def part_group(subject: Subject) -> Group:
    rows = subject.plan.inputs[0].shape[1]
    band = np.s_[rows // 4 : rows // 2, :]
    part = Frames("image.data", roi=band)
    cases = {
        FLOOR: subject.floor(plan=subject.planned([Nothing(img=part)])),
        "dxflow": subject.dxflow(lambda: [Nothing(img=part)]),
        "ndarray(roi=)": subject.peer(peers.read_part, band),
    }
    return group("roi", "read a quarter of each module", cases)


def selected_group(subject: Subject) -> Group:
    tenth = np.arange(len(subject.plan.inputs[0].index)) % 10 == 0
    cases = {
        FLOOR: subject.floor(plan=subject.planned([Nothing()], frames=tenth)),
        "dxflow": subject.reading(frames=tenth),
        "select_pulses()": subject.peer(peers_component.read_selected, 10, prepare=peers_component.prepare),
    }
    return group("selected", "read every 10th frame", cases)


def subjects(args: argparse.Namespace, crew: Crew, apart: Apart) -> Iterator[Group]:
    """Yield groups; the data of each lot exist until the next is asked for."""
    half: dict[str, Any] = {} if args.small else {"trains": 8}
    with data.simulated(small=args.small, **half) as truth:
        subject = Subject(truth.path, crew, apart)
        yield buffers_group(subject)
        yield whole_group(subject, "contiguous")
        yield mask_group(subject)
        yield part_group(subject)
        yield selected_group(subject)
    with data.simulated(small=args.small, layout="chunked", **half) as truth:
        yield whole_group(Subject(truth.path, crew, apart), "chunked")
    with data.simulated(small=args.small, layout="chunked", compress_data=True, **half) as truth:
        yield compressed_group(Subject(truth.path, crew, apart))


def main(argv: list[str] | None = None) -> None:
    args = script.parser(__doc__).parse_args(argv)
    with workers(args.workers) as (crew, apart):
        script.run(args, subjects(args, crew, apart), {} if args.small else {**data.FULL, "trains": 8})


if __name__ == "__main__":
    main()
