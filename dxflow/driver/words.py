"""A finished reduction in words: (label, text) for terminals and for tables of notebooks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from .. import html, sizes
from ..html import bars
from ..planning.words import SOME, Row, some
from ..run import losses
from . import cost, livewords

if TYPE_CHECKING:
    from pathlib import Path

    from ..run.losses import Loss

LONG, MUCH = 10, 10**9
"""Seconds of a pass and bytes: below both what bounded it is chance, and nobody needs advice."""


class Finished(Protocol):
    """What is to be known of a result."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """How it was made."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def kept(self) -> bool:
        """Whether it stays there."""


def of_result(result: Finished, said: Iterable[Loss] = ()) -> list[Row]:
    """Return what was read, used and lost, what bounded it, and where the result is.

    Parameters
    ----------
    said : iterable of Loss
        Losses that stand above it already.
    """
    manifest, t, cluster = result.manifest, result.manifest["times"], result.manifest["cluster"]
    return [
        *([("name", name)] if (name := manifest.get("name")) else []),
        *(("live", line) for line in of_live(result)),
        ("read", _read(manifest, t)),
        *(
            [("spared", f"{sizes.show(spared)} that were not selected")]
            if (spared := manifest["spared"])
            else []
        ),
        *some([("inputs", f"{name}: reads {what}") for name, what in manifest.get("reads", {}).items()]),
        *(("where", line) for line in manifest.get("where", ())),
        *(("found", line) for line in found(manifest)),
        *(("check", line) for line in manifest.get("unasked", ())),
        *(("used", line) for line in used(manifest["account"])),
        *time_rows(t, cluster.get("advice", "")),
        *cost.rows(cluster),
        ("result", str(result.path) + ("" if result.kept else ", removed when nobody uses it any more")),
        *(("restart", why) for why in manifest.get("restarts", ())),
        *(("lost", line) for line in lost_lines(losses.from_json(manifest["losses"]), frozenset(said))),
    ]


def of_live(result: Finished) -> list[str]:
    """Return what a live run says of a result: that it is a snapshot, of which version."""
    facts = result.manifest.get("plan")
    trains = facts.get("trains") if isinstance(facts, Mapping) else None
    count = trains[0] if isinstance(trains, (list, tuple)) and trains else None
    return livewords.lines(result.manifest.get("live"), result.path, count)


def found(manifest: Mapping[str, Any]) -> list[str]:
    """Return the files that algorithms found and used though nobody named them, such as a geometry beside the run."""
    facts = manifest.get("plan")
    algorithms = facts.get("algorithms", ()) if isinstance(facts, Mapping) else ()
    return [
        f"{one.get('name')}: {key} {value['path']}"
        for one in algorithms
        for key, value in one.get("depends", {}).items()
        if isinstance(value, Mapping) and "path" in value and one.get("options", {}).get(key) is None
    ]


def _read(manifest: Mapping[str, Any], t: Mapping[str, Any]) -> str:
    chunks = manifest["chunks"]
    reused = f", {chunks['reused']} of an interrupted run" if chunks["reused"] else ""
    rate = f"{sizes.show(t['bytes'])} in {t['wall']:.1f} s, {sizes.show(t['rate'])}/s"
    return f"{rate} ({sizes.count(chunks['computed'], 'chunk')}{reused})"


def time_rows(t: Mapping[str, Any], advice: str) -> list[Row]:
    """Return what bounded a run and what would help; of one that is soon over only how long it took."""
    if t.get("pass", LONG) < LONG and t["bytes"] < MUCH:
        return [("time", f"the pass over the data took {t['pass']:.2g} of {t['wall']:.2g} s")]
    return [("time", t["bound"]), *([("advice", advice)] if advice else [])]


def lost_lines(found: Sequence[Loss], said: frozenset[Loss]) -> list[str]:
    """Return lines about losses; those that were said already as one."""
    if not found:
        return ["nothing"]
    new = [loss for loss in found if loss not in said]
    return [*losses.lines(new), *(["what the plan says above"] if len(new) < len(found) else [])]


def drawn(manifest: Mapping[str, Any]) -> str:
    """Return, as HTML, bars of what became of the frames of each input, and of what workers did."""
    out = ""
    for name, same in groupby(by_reader(manifest["account"]), key=lambda row: row[0]):
        rows = [row for _, row in same]
        masked: Counter[str] = Counter()
        for row in rows:
            masked.update(row["masked"])
        expected, taken = (sum(r[k] for r in rows) for k in ("expected", "used"))
        out += bars.told(bars.frames(expected, taken, masked), expected, title=name)
    t = manifest["times"]
    if t.get("sum"):
        busy = bars.working(t["sum"], max(len(t["workers"]), 1) * t.get("pass", t["wall"]))
        out += bars.told(busy, title="time of the workers in the pass")
    return html.folded("frames and time", out, opened=True) if out else ""


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
