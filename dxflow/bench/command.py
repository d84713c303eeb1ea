"""The command ``dxflow bench RUN``: what a user's own run costs, what bounds it, and what would help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..find import algorithm
from ..inputs import Frames
from ..options import RUN, run_of
from ..plan import plan as make_plan
from ..runs import opened
from ..sizes import show
from . import machine, peers, table
from .advice import advice
from .rounds import Case, Group, Measured, Ratio, measure
from .script import MEANING
from .subject import Subject, workers
from .tasks import Nothing

if TYPE_CHECKING:
    from ..algorithm import Algorithm

ENOUGH = 2 * 10**9
"""Bytes that are measured on, if the number of trains is not given."""
FLOOR, READ, TOGETHER = "bare read()", "read and decode", "together"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow bench`` to a parser."""
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN)
    add(
        "--algorithms",
        nargs="+",
        default=["average", "litframes"],
        metavar="NAME",
        help="with their defaults",
    )
    add("--detector", help="name in the run, where there are several")
    add("--key", default="image.data", help="key of the frames (default: %(default)s)")
    add("--trains", type=int, help=f"the first so many trains (default: about {show(ENOUGH)})")
    add(
        "--seconds", type=float, default=60.0, help="begin no further round after this (default: %(default)g)"
    )
    add("--rounds", type=int, default=5, help="at most (default: %(default)s)")
    add("--workers", type=int, nargs="+", help="numbers of processes to try (default: 1 and one per core)")
    add("--no-peers", action="store_true", help="dxflow only, no comparison with other libraries")
    add("--json", metavar="FILE", help="write all samples, and what they depend on, as JSON")


def run(args: argparse.Namespace) -> str:
    """Measure a run as parsed options say; return the table and what bounds the run.

    Raises
    ------
    PlanError, NotFoundError
        If there is no such run, detector or algorithm.
    """
    frames = Frames(args.key, detector=args.detector)
    classes = [algorithm(name) for name in args.algorithms]

    def chosen() -> list[Algorithm]:
        return [cls(img=frames) for cls in classes]

    data = some_trains(args, frames)
    counts = args.workers or sorted({1, len(os.sched_getaffinity(0))})
    measured = [_on(count, data, frames, chosen, args, last=count == counts[-1]) for count in counts]
    facts = {"run": str(args.run), "trains": len(data.train_ids)} | machine.facts()
    if args.json:
        table.write(args.json, facts, measured)
    lines = [
        machine.headline(facts, measured),
        table.text(table.rows(measured)),
        MEANING,
        "",
        advice(measured),
    ]
    return "\n".join(lines)


def some_trains(args: argparse.Namespace, frames: Frames) -> Any:
    """Return the run with only the trains that are measured on."""
    source = run_of(args.run)
    # Files are found again by the worker processes, which may be elsewhere.
    run = opened(str(Path(source).resolve()) if isinstance(source, str) else source).run
    count = args.trains
    if count is None:
        whole = make_plan(run, [Nothing(img=frames)], on_fault="mask")
        count = max(1, int(len(whole.train_ids) * ENOUGH / max(whole.bytes_to_read, ENOUGH)))
    return run.select_trains(np.s_[:count])


def _on(
    count: int,
    data: Any,
    frames: Frames,
    chosen: Callable[[], list[Algorithm]],
    args: argparse.Namespace,
    *,
    last: bool,
) -> Measured:
    """Measure on some processes; with peers on the last number of them."""
    with workers(count) as (crew, apart):
        subject = Subject(data, crew, apart, frames)
        others = peer_cases(subject, [a.ALG_ID for a in chosen()]) if last and not args.no_peers else {}
        return measure(group(subject, chosen, others), args.rounds, until=perf_counter() + args.seconds)


def group(
    subject: Subject, chosen: Callable[[], list[Algorithm]], others: dict[str, dict[str, Case]]
) -> Group:
    """Return the cases on some processes: floor, reading, each algorithm, all of them, and peers by algorithm."""
    names = [a.name for a in chosen()]
    cases = {FLOOR: subject.floor(), READ: subject.reading()}
    cases |= {name: subject.dxflow(partial(_one, chosen, n)) for n, name in enumerate(names)}
    ratios = [Ratio("", name, (FLOOR,)) for name in [READ, *names]]
    if len(names) > 1:
        cases[TOGETHER] = subject.dxflow(chosen)
        ratios.append(Ratio("", TOGETHER, tuple(names), by="seconds"))
    for mine, listed in others.items():
        cases |= listed
        ratios += [Ratio("", mine, (other,)) for other in listed]
    return Group(f"{subject.workers} worker{'s' if subject.workers > 1 else ''}", cases, tuple(ratios))


def _one(chosen: Callable[[], list[Algorithm]], number: int) -> list[Algorithm]:
    return chosen()[number : number + 1]


def peer_cases(subject: Subject, names: list[str]) -> dict[str, dict[str, Case]]:
    """Return what others need for the same work, by what it is compared with."""
    out = {READ: {"EXtra-data ndarray()": subject.peer(peers.read)}}
    if "average" in names:
        out["average"] = {
            "EXtra-data + numpy, mean": subject.peer(peers.moments),
            "Dask arrays": subject.dask_moments(),
            "pasha": subject.pasha_moments(),
            "LiberTEM (no NaN test)": subject.libertem_std(),
        }
    if "litframes" in names:
        out["litframes"] = {"EXtra-data + numpy, lit": subject.peer(peers.lit_pixels)}
    return out
