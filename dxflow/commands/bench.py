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

from .. import sizes
from ..api import plan as make_plan
from ..bench import machine, peers, said, table
from ..bench.advice import advice
from ..bench.rounds import Cannot, Case, Group, Measured, Ratio, Sample, measure
from ..bench.said import FLOOR, READ, TOGETHER
from ..bench.subject import Subject, workers
from ..bench.tasks import Nothing
from ..declare.inputs import Frames
from ..disk import ours
from ..driver.progress import Progress
from ..errors import PlanError
from ..find import algorithm
from ..line.options import RUN, add_pass_options, mask_of, of_frames, positive, run_of
from ..run.open import opened
from ..run.selection import First
from ..sizes import show

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm
    from ..planning.public import Plan

WITH_NUMPY = {"average": "EXtra-data + numpy, mean", "litframes": "EXtra-data + numpy, lit"}
"""What does the same as an algorithm."""
USUAL = ("average", "litframes")
MEANT = ("trains", "detector", "modules", "mask", "mask-bits", "name", "quiet")
"""Options of a pass that mean something here."""
ENOUGH = 2 * 10**9
"""Bytes that are measured on, if the number of trains is not given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow bench`` to a parser."""
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN)
    add(
        "--algorithms",
        nargs="+",
        metavar="NAME",
        help="with their defaults (default: average and, where it works without options, litframes)",
    )
    add("--key", default="image.data", help="key of the frames (default: %(default)s)")
    add(
        "--first", type=positive, metavar="N", help=f"only the first N trains (default: about {show(ENOUGH)})"
    )
    add(
        "--seconds", type=float, default=60.0, help="begin no further round after this (default: %(default)g)"
    )
    add("--rounds", type=positive, default=5, help="at most (default: %(default)s)")
    add(
        "--workers",
        type=positive,
        nargs="+",
        help="numbers of processes to try (default: 1 and one per core)",
    )
    add_pass_options(parser, MEANT)
    add("--no-peers", action="store_true", help="dxflow only, no comparison with other libraries")
    add("--json", metavar="FILE", help="write all samples, and what they depend on, as JSON")


def run(args: argparse.Namespace) -> str:
    """Measure a run as parsed options say; return the table and what bounds the run.

    Raises
    ------
    PlanError, NotFoundError
        If there is no such run, detector or algorithm.
    """
    if args.json and (why := ours.obstacle(Path(args.json), [ours.BENCH])):
        raise PlanError(why)
    if args.json and not (folder := Path(args.json).absolute().parent).is_dir():
        raise PlanError(f"--json {args.json}: the folder {folder} does not exist; make it first")
    frames = Frames(args.key, **of_frames(args), **masks(args))
    classes = [algorithm(name) for name in args.algorithms or USUAL]
    with Progress("opening the run", quiet=args.quiet) as progress:
        whole, data = some_trains(args, frames)
        if not args.algorithms:
            classes = [cls for cls in classes if _works(cls, data, frames)]

        def chosen() -> list[Algorithm]:
            return [cls(img=frames) for cls in classes]

        counts = args.workers or sorted({1, len(os.sched_getaffinity(0))})
        measured = [
            _on(count, data, frames, chosen, args, progress, last=count == counts[-1]) for count in counts
        ]
    facts = {"name": args.name, "run": str(args.run), "trains": len(data.train_ids)} | machine.facts()
    if args.json:
        table.write(args.json, facts, measured)
    part = make_plan(data, [Nothing(img=frames)], on_fault="mask", quiet=True)
    work, peers_of_all = _all(measured[-1])
    lines = [
        said.headline(
            measured[-1], work, peers_of_all, whole.bytes_to_read / max(part.bytes_to_read, 1), args.name
        ),
        _on_what(whole, part, measured[-1]),
        "",
        said.table(measured),
        "",
        advice(measured),
        machine.headline(facts, measured),
    ]
    return "\n".join(lines)


def masks(args: argparse.Namespace) -> dict[str, Any]:
    """Return what ``--mask`` and ``--mask-bits`` mean to `dxflow.Frames`."""
    mask = {"mask": mask_of(args.mask)} if args.mask else {}
    return mask | ({"bits": args.mask_bits} if args.mask_bits is not None else {})


def _works(cls: type[Algorithm], data: Any, frames: Frames) -> bool:
    """Return whether an algorithm can be used on these data without options."""
    try:
        make_plan(data, [cls(img=frames)], on_fault="mask", quiet=True)
    except PlanError:
        return False
    return True


def _all(measured: Measured) -> tuple[str, list[str]]:
    """Return the case of dxflow that does all, and those of EXtra-data and numpy that do the same together."""
    cases = measured.group.cases
    mine = list(dict.fromkeys(r.of for r in measured.group.ratios if r.of not in (READ, TOGETHER)))
    others = [WITH_NUMPY.get(name, "") for name in mine]
    return TOGETHER if TOGETHER in cases else mine[0], others if all(name in cases for name in others) else []


def _on_what(whole: Plan, part: Plan, measured: Measured) -> str:
    """Say what was measured, and whether that is all."""
    bound = part.inputs[0]
    what = f"{bound.name} {bound.key}, {show(whole.bytes_to_read)} in {len(whole.train_ids)} trains"
    rounds = f"{measured.group.title}, {sizes.count(len(measured.rounds), 'round')}"
    if len(part.train_ids) == len(whole.train_ids):
        return f"({what}; {rounds}; files were in the page cache)"
    some = f"measured on the first {len(part.train_ids)} trains, {show(part.bytes_to_read)}, and scaled"
    return f"({what}; {some}; {rounds}; files were in the page cache)"


def some_trains(args: argparse.Namespace, frames: Frames) -> tuple[Plan, Any]:
    """Return the plan of the run that was asked for, and the run with only the trains that are measured on."""
    from extra_data import by_id

    source = run_of(args.run)
    # Files are found again by the worker processes, which may be elsewhere.
    run = opened(str(Path(source).resolve()) if isinstance(source, str) else source).run
    if args.trains is not None:
        first = isinstance(args.trains, First)
        run = run.select_trains(by_id[args.trains.ids(run.train_ids) if first else args.trains])
    whole = make_plan(run, [Nothing(img=frames)], on_fault="mask", quiet=True)
    count = args.first or max(1, int(len(whole.train_ids) * ENOUGH / max(whole.bytes_to_read, ENOUGH)))
    return whole, run.select_trains(np.s_[:count])


def _on(
    count: int,
    data: Any,
    frames: Frames,
    chosen: Callable[[], list[Algorithm]],
    args: argparse.Namespace,
    progress: Progress,
    *,
    last: bool,
) -> Measured:
    """Measure on some processes; with peers on the last number of them."""
    progress.phase(f"starting {sizes.count(count, 'worker')}")
    with workers(count) as (crew, apart):
        subject = Subject(data, crew, apart, frames)
        others = peer_cases(subject, [a.ALG_ID for a in chosen()]) if last and not args.no_peers else {}
        cases = group(subject, chosen, others)
        until = perf_counter() + args.seconds
        return measure(
            cases, args.rounds, until=until, say=lambda what: progress.phase(f"{cases.title}: {what}")
        )


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
    return Group(sizes.count(subject.workers, "worker"), cases, tuple(ratios))


def _one(chosen: Callable[[], list[Algorithm]], number: int) -> list[Algorithm]:
    return chosen()[number : number + 1]


def peer_cases(subject: Subject, names: list[str]) -> dict[str, dict[str, Case]]:
    """Return what others need for the same work, by what it is compared with."""
    out: dict[str, dict[str, Case]] = {READ: {"EXtra-data ndarray()": subject.peer(peers.read)}}
    if "average" in names:
        out["average"] = {
            WITH_NUMPY["average"]: subject.peer(peers.moments),
            "Dask arrays": subject.dask_moments(),
            "pasha": subject.pasha_moments(),
            "LiberTEM (no NaN test)": subject.libertem_std(),
        }
    if "litframes" in names:
        out["litframes"] = {WITH_NUMPY["litframes"]: subject.peer(peers.lit_pixels)}
    return {mine: {name: careful(case) for name, case in listed.items()} for mine, listed in out.items()}


def careful(case: Case) -> Case:
    """Return a case of others that says why it cannot, whatever it raises: their limits are not the run's."""

    def tried() -> Sample:
        try:
            return case()
        except (Cannot, ImportError):
            raise
        # A peer is arbitrary code on a user's own data.
        except Exception as e:
            raise Cannot(f"{type(e).__name__}: {e}") from e

    return tried
