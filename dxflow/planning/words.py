"""A plan in words: (label, text) for terminals and for tables of notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import sizes
from ..html import bars
from ..run import losses
from .hints import hints
from .reads import reads
from .steps import largest_chunk
from .walking import walk

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .memory import Memory
    from .plan import Plan
    from .where import Cut


Row = tuple[str, str]
SOME = 6
"""Inputs, algorithms, and names of these, that are shown of many."""
NEARLY = 1.5
"""Factor within which chunks are of the size that was asked for."""


def text(rows: Iterable[Row], width: int) -> str:
    """Return rows as lines, the label before the first line of each group of the same one."""
    out, before = [], ""
    for label, what in rows:
        out.append(f"{label if label != before else '':<{width}}{what}")
        before = label
    return "\n".join(out)


def of_plan(plan: Plan, memory: Memory) -> list[Row]:
    """Return what a plan will do, and what its workers need."""
    ids = plan.train_ids
    how = walk(plan).words
    apart = f", {len(plan.parts)} groups of modules apart" if len(plan.parts) > 1 else ""
    return [
        *([("name", plan.name)] if plan.name else []),
        ("run", plan.run),
        ("trains", f"{len(ids)}: {ids[0]}-{ids[-1]}"),
        *some([(f"input {number}", _input(bound)) for number, bound in enumerate(plan.inputs)]),
        *of_where(plan.where),
        *some([row for a in plan.algorithms for row in _algorithm(plan, a)], 2),
        *(("hint", line) for line in hints(plan)),
        ("chunks", f"{_chunks(plan)}, read as {how}{apart}"),
        ("to read", sizes.show(plan.bytes_to_read)),
        ("memory", f"{memory} per worker"),
        ("result", _place(plan)),
        *(("loss", line) for line in losses.lines(plan.losses)),
    ]


def memory_parts(memory: Memory) -> list[bars.Part]:
    """Return what a worker needs memory for, as parts of a bar."""
    colours = (bars.BLUE, bars.ORANGE, bars.GREEN, bars.PURPLE, bars.YELLOW, bars.GREY)
    each = zip(asdict(memory).items(), colours, strict=True)
    return [bars.Part(what, n, sizes.show(n), colour) for (what, n), colour in each if n]


def of_where(cut: Cut | None) -> list[Row]:
    """Return what a condition left, and what its names were taken to mean."""
    if cut is None:
        return []
    meant = "; ".join(
        f"{name} is {one.removeprefix('Labels(').removesuffix(')')}" for name, one in cut.labels.items()
    )
    return [*(("where", str(one)) for one in cut.passed), *([("where", meant)] if meant else [])]


def some(rows: Sequence[Row], each: int = 1) -> list[Row]:
    """Return as many rows as fit a screen beside others, and how many more things there are, of `each` so many rows."""
    more = len(rows) // each - SOME
    # One more, or that there is one more: as long.
    return [*rows] if more <= 1 else [*rows[: SOME * each], ("", f"... and {more} more")]


def _place(plan: Plan) -> str:
    """Return where the result will be, and how large."""
    said = plan.store.describe(plan)
    if not plan.store.temporary:
        return said
    where = plan.store.path.parent.parent
    return f"not kept, as no place is given for it: {said.partition(': ')[2]} in {where} while it is in use"


def _chunks(plan: Plan) -> str:
    """Return number and size of the chunks, and why it is not the size that was asked for."""
    largest, asked = largest_chunk(plan), plan.chunk_bytes
    size = f"{len(plan.chunks)} of up to {sizes.show(largest)}"
    if not asked or asked / NEARLY < largest < asked * NEARLY:
        return size
    if largest < asked:
        return (
            size
            if len(plan.chunks) == 1
            else f"{size} (not {sizes.show(asked)}, so that workers share the run)"
        )
    single = all(c.last - c.first == 1 for c in plan.chunks)
    why = (
        "one train is the least" if single else "smaller ones would leave more partial results than they read"
    )
    return f"{size} (not {sizes.show(asked)}: {why})"


def _input(bound: BoundInput) -> str:
    shape = " x ".join(str(n) for n in bound.shape)
    raw = " (raw data)" if bound.raw else ""
    return f"{bound.name} {bound.key}{raw}: {len(bound.index)} entries of {shape} {bound.dtype}"


def _algorithm(plan: Plan, bound: Any) -> list[Row]:
    outputs = (*bound.outputs, *bound.finals)
    made = ", ".join(o.key for o in outputs if o.output.store)
    made = made or f"{', '.join(o.key for o in outputs)} (not stored)"
    what = f"{bound.name}: {bound.algorithm!r} -> {made}"
    return [("algorithm", what), ("", f"{bound.name}: reads {reads(plan)[bound.name]}")]
