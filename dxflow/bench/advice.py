"""One sentence: what bounds a run, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ..sizes import show
from .rounds import Measured
from .said import FLOOR, READ, TOGETHER

AROUND = "That is short: more trains (--first) would tell more."
READING_SHARE = 0.7
"""Of the pass: from this on the pass is bound by reading."""
SLOW_READING = 0.5
"""Of the floor: below this, decoding takes most of reading."""
SCALES = 0.7
"""Of a proportional gain by more workers: from this on still more of them help."""


def advice(measured: Sequence[Measured]) -> str:
    """Return what bounds the whole work (the last case of dxflow) on the most workers, and what would help."""
    last = measured[-1]
    work = _work(last)
    samples = last.samples(work)
    if not samples:
        return f"{work} could not be measured: {last.cannot.get(work, '')}"
    rates = {
        name: median(s.steady for s in last.samples(name)) for name in last.group.cases if last.samples(name)
    }
    said = samples[-1].bound or "it is not known what bounded it"
    # What is measured around the work says nothing about the work.
    helps = (
        AROUND
        if said.startswith(("bounded by starting", "bounded by handing"))
        else _help(measured, work, rates)
    )
    return f"{work} on {last.group.title}: {said}. {helps}"


def _work(measured: Measured) -> str:
    """Return the case that does most: all algorithms, else the only one."""
    names = list(measured.group.cases)
    return TOGETHER if TOGETHER in names else names[2]


def _help(measured: Sequence[Measured], work: str, rates: dict[str, float]) -> str:
    """Say what would help."""
    floor, reading = rates.get(FLOOR), rates[READ]
    if rates[work] < READING_SHARE * reading:
        return f"Reading alone would go at {show(reading)}/s: {_more_workers(measured, work)}."
    if floor is not None and reading < SLOW_READING * floor:
        return (
            f"Files come at {show(floor)}/s, decoded frames at {show(reading)}/s: more workers would help to decode, "
            "and so would fewer frames, modules or pixels (frames=, modules=, roi=)."
        )
    return (
        "It goes as fast as files can be read: faster storage or more nodes would help, and reading less "
        "(frames=, modules=, roi=); more workers on this machine would not."
    )


def _more_workers(measured: Sequence[Measured], work: str) -> str:
    """Say whether more workers would help, from how much they did."""
    fewest, most = measured[0], measured[-1]
    if len(measured) == 1 or not fewest.samples(work):
        return "more workers may help (--workers 1 2 4 tells), or more nodes (cluster=)"
    gain = median(s.steady for s in most.samples(work)) / median(s.steady for s in fewest.samples(work))
    ideal = int(most.group.title.split()[0]) / int(fewest.group.title.split()[0])
    grew = f"{fewest.group.title} to {most.group.title} gave a factor of {gain:.2g}"
    if gain >= SCALES * ideal:
        return f"more cores or nodes would help ({grew})"
    return f"more workers on this machine would help little ({grew}), more nodes would"
