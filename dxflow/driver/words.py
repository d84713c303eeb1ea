"""A plan and a finished reduction in words: (label, text) for terminals and for tables of notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from .. import sizes
from ..declare import pulses
from ..planning.reads import reads
from ..run import losses
from . import cost

if TYPE_CHECKING:
    from ..declare.inputs import BoundInput
    from ..planning.make import Plan
    from ..run.losses import Loss
    from .result import Result

Row = tuple[str, str]
SOME = 6
"""Inputs, algorithms, and names of these, that are shown of many."""
LONG, MUCH = 10, 10**9
"""Seconds of a pass and bytes: below both what bounded it is chance, and nobody needs advice."""
NEARLY = 1.5
"""Factor within which chunks are of the size that was asked for."""


def text(rows: Iterable[Row], width: int) -> str:
    """Return rows as lines, the label before the first line of each group of the same one."""
    out, before = [], ""
    for label, what in rows:
        out.append(f"{label if label != before else '':<{width}}{what}")
        before = label
    return "\n".join(out)


# A plan -----------------------------------------------------------------------------------------------


def of_plan(plan: Plan) -> list[Row]:
    """Return what a plan will do."""
    ids = plan.train_ids
    how = "module blocks" if plan.by_module else "whole trains"
    apart = f", {len(plan.parts)} groups of modules apart" if len(plan.parts) > 1 else ""
    return [
        *([("name", plan.name)] if plan.name else []),
        ("run", plan.run),
        ("trains", f"{len(ids)}: {ids[0]}-{ids[-1]}"),
        *_some([(f"input {number}", _input(bound)) for number, bound in enumerate(plan.inputs)]),
        *_some([row for a in plan.algorithms for row in _algorithm(plan, a)], 2),
        *(("hint", line) for line in pulses.hints(plan)),
        ("chunks", f"{_chunks(plan)}, read as {how}{apart}"),
        ("to read", sizes.show(plan.bytes_to_read)),
        ("memory", f"{plan.memory} per worker"),
        ("result", _place(plan)),
        *(("loss", line) for line in losses.lines(plan.losses)),
    ]


def _some(rows: Sequence[Row], each: int = 1) -> list[Row]:
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
    largest, asked = sizes.largest_chunk(plan), plan.chunk_bytes
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
    made = ", ".join(o.key for o in bound.outputs if o.output.store)
    made = made or f"{', '.join(o.key for o in bound.outputs)} (not stored)"
    what = f"{bound.name}: {bound.algorithm!r} -> {made}"
    return [("algorithm", what), ("", f"{bound.name}: reads {reads(plan)[bound.name]}")]


# A result ---------------------------------------------------------------------------------------------


def of_result(result: Result, said: Iterable[Loss] = ()) -> list[Row]:
    """Return what was read, used and lost, what bounded it, and where the result is.

    Parameters
    ----------
    said : iterable of Loss
        Losses that stand above it already.
    """
    manifest, t = result.manifest, result.times
    return [
        *([("name", name)] if (name := manifest.get("name")) else []),
        ("read", _read(manifest, t)),
        *(
            [("spared", f"{sizes.show(spared)} that were not selected")]
            if (spared := manifest["spared"])
            else []
        ),
        *_some([("inputs", f"{name}: reads {what}") for name, what in manifest.get("reads", {}).items()]),
        *(("check", line) for line in manifest.get("unasked", ())),
        *(("used", line) for line in used(manifest["account"])),
        *_time(t, result.cluster.get("advice", "")),
        *cost.rows(result.cluster),
        ("result", str(result.path) + ("" if result.kept else ", removed when nobody uses it any more")),
        *(
            ("pieces", f"chunk {chunk} was too large for its workers: done in {n} parts")
            for chunk, n in manifest.get("pieces", {}).items()
        ),
        *(("restart", why) for why in manifest.get("restarts", ())),
        *(("lost", line) for line in _lost(losses.from_json(manifest["losses"]), frozenset(said))),
    ]


def _read(manifest: Mapping[str, Any], t: Mapping[str, Any]) -> str:
    chunks = manifest["chunks"]
    reused = f", {chunks['reused']} of an interrupted run" if chunks["reused"] else ""
    what = "chunk" if chunks["computed"] == 1 else "chunks"
    rate = f"{sizes.show(t['bytes'])} in {t['wall']:.1f} s, {sizes.show(t['rate'])}/s"
    return f"{rate} ({chunks['computed']} {what}{reused})"


def _time(t: Mapping[str, Any], advice: str) -> list[Row]:
    """Return what bounded a run and what would help; of one that is soon over only how long it took."""
    if t.get("pass", LONG) < LONG and t["bytes"] < MUCH:
        return [("time", f"the pass over the data took {t['pass']:.2g} of {t['wall']:.2g} s")]
    return [("time", t["bound"]), *([("advice", advice)] if advice else [])]


def _lost(found: Sequence[Loss], said: frozenset[Loss]) -> list[str]:
    """Return lines about losses; those that were said already as one."""
    if not found:
        return ["nothing"]
    new = [loss for loss in found if loss not in said]
    return [*losses.lines(new), *(["what the plan says above"] if len(new) < len(found) else [])]


def used(account: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return how many frames of how many each input gave to algorithms, and the modules that gave less."""
    by_input = groupby(account, key=lambda row: (row["input"], row.get("algorithms")))
    return [line for (name, _), rows in by_input for line in _used(name, list(rows))]


def by_reader(account: Iterable[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return rows of an account with the name of the input, and of those that read it where they used other frames."""
    rows = list(account)
    readers = {(r["input"], ", ".join(r.get("algorithms", ()))) for r in rows}
    several = {name for name, n in Counter(name for name, _ in readers).items() if n > 1}
    return [
        (f"{r['input']} by {', '.join(r['algorithms'])}" if r["input"] in several else r["input"], r)
        for r in rows
    ]


def _used(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    there, frames = max(r.get("there", r["expected"]) for r in rows), rows[0]["expected"]
    chosen = f" selected of {there}" if there > frames else ""
    by = f" by {_names(readers)}" if (readers := rows[0].get("algorithms")) else ""
    of = f" of {len(rows)} modules" if len(rows) > 1 else " of one module"
    what = "frames"
    if rows[0]["module"] < 0:
        what, of = "entries", ""
    total, got = sum(r["expected"] for r in rows), sum(r["used"] for r in rows)
    if got == total:
        return [f"{name}: all {frames} {what}{chosen}{of}{by}"]
    share = f"{100 * got / total:.3g}" if total else "0"
    # What is almost all is not said to be all.
    share = "99.9" if share == "100" else share
    first = f"{name}: {share}% of {frames} {what}{chosen}{of}, {got} of {total}{by}"
    return [first, *(f"  {line}" for line in _short(rows))]


def _names(readers: Sequence[str]) -> str:
    return ", ".join(readers[:SOME]) + (f", ... ({len(readers)} in all)" if len(readers) > SOME else "")


def _short(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what modules lack, those that lack the same in one line."""
    alike: dict[str, list[int]] = {}
    for r in rows:
        if r["used"] < r["expected"]:
            why = ", ".join(f"{n} {cause}" for cause, n in sorted(r["masked"].items()))
            alike.setdefault(f"{r['used']} of {r['expected']} ({why})", []).append(r["module"])
    return [
        what if m[0] < 0 else f"module{'s' if len(m) > 1 else ''} {losses.ranges(m)}: {what}"
        for what, m in alike.items()
    ]
