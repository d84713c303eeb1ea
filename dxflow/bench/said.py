"""What `dxflow bench` says: how long this run takes, and a table of seconds that needs no explanation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from .rounds import Measured

FLOOR, READ, TOGETHER = "bare reading", "reading and decoding", "all together"
DXFLOW = "dxflow"
HEAD = ("seconds", "GB/s", "dxflow is")
ALIKE = 1.05
"""Factors below which two times are said to be the same."""


def headline(
    measured: Measured, work: str, peers: Sequence[str], scale: float, name: str | None = None
) -> str:
    """Return what the whole run takes: with dxflow, with EXtra-data and numpy, and bare reading.

    Parameters
    ----------
    work : str
        The case of dxflow that does all.
    peers : sequence of str
        The cases that do the same together.
    scale : float
        How much larger the run is than what was measured on.
    name : str, optional
        What the run is called; "this run" by default.
    """
    own = seconds(measured, work)
    parts = [
        f"{DXFLOW} {_clock(own * scale)}"
        if own is not None
        else f"{DXFLOW}: {measured.cannot.get(work, '-')}"
    ]
    others = [seconds(measured, name) for name in peers]
    if others and None not in others:
        parts.append(f"EXtra-data + numpy {_clock(scale * sum(s for s in others if s is not None))}")
    if (floor := seconds(measured, FLOOR)) is not None:
        parts.append(f"{FLOOR} {_clock(floor * scale)}")
    return f"{name or 'this run'}: {', '.join(parts)}"


def seconds(measured: Measured, case: str) -> float | None:
    """Return the median time of a case, of dxflow the whole call; None if it could not be measured."""
    values = [s.seconds for s in measured.samples(case)]
    return median(values) if values else None


def table(measured: Sequence[Measured]) -> str:
    """Return seconds and GB/s of each kind of work, by dxflow and by others."""
    lines = [row for m in measured for row in (("", f"-- {m.group.title}", "", "", ""), *_rows(m))]
    cells = [("", "", *HEAD), *lines]
    widths = [max(len(c[n]) for c in cells if not c[1].startswith("--")) for n in range(len(cells[0]))]
    return "\n".join(_line(c, widths) for c in cells)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if cells[1].startswith("--"):
        return cells[1]
    left = [c.ljust(w) for c, w in zip(cells[:2], widths, strict=False)]
    right = [c.rjust(w) for c, w in zip(cells[2:4], widths[2:], strict=False)]
    return "  ".join([*left, *right, cells[4]]).rstrip()


def _rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    """Yield the rows of one number of workers: each work of dxflow, and below it those who do the same."""
    against = _others(measured)
    yield ("files", FLOOR, *_numbers(measured, FLOOR, None))
    for work in measured.group.cases:
        if work in against:
            yield (work, DXFLOW, *_numbers(measured, work, None))
            for other in against[work]:
                yield ("", other, *_numbers(measured, other, work))


def _others(measured: Measured) -> dict[str, list[str]]:
    """Return the cases of others by that of dxflow which does the same."""
    out: dict[str, list[str]] = {}
    for ratio in measured.group.ratios:
        out.setdefault(ratio.of, []).extend(n for n in ratio.to if n != FLOOR and ratio.by == "rate")
    return out


def _numbers(measured: Measured, case: str, mine: str | None) -> tuple[str, str, str]:
    """Return seconds, rate, and how dxflow compares."""
    taken = seconds(measured, case)
    if taken is None:
        return "-", "-", f"cannot: {measured.cannot.get(case, '')}"
    rate = median(s.nbytes for s in measured.samples(case)) / taken / 1e9 if taken else 0.0
    own = seconds(measured, mine) if mine else None
    return f"{taken:.2f}", f"{rate:.2f}" if rate else "", _compared(own, taken) if own else ""


def _compared(own: float, other: float) -> str:
    if max(own, other) < ALIKE * min(own, other):
        return "as fast"
    return f"{other / own:.1f} x faster" if own < other else f"{own / other:.1f} x slower"


def _clock(value: float) -> str:
    """Return seconds as text, with minutes where there are many."""
    if value < 100:
        return f"{value:.1f} s" if value >= 1 else f"{value:.2f} s"
    return f"{value / 60:.0f} min" if value >= 600 else f"{int(value // 60)} min {int(value % 60)} s"
