"""The command ``dxflow live``: a run is reduced while it is taken."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import plan
from ..errors.usage import UsageError, spoken
from ..line import naming
from ..line.exits import OK, text_of
from ..line.options import cluster_of_pass, of_plan, run_of
from ..live.folder import CHUNK, END, WAIT, Ending, GrowingRun
from ..live.following import follow
from .arguments import Section, configured, grouped, read, shared_parser, split

if TYPE_CHECKING:
    from ..live.observers import Snapshot, Status
    from ..planning.public import Plan

Say = Callable[[str], None]
SAID = 30.0
"""Seconds between lines that say what is waited for."""


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the parser of the options that are no algorithm's."""
    out = shared_parser("live", doc)
    add = out.add_argument
    add(
        "--wait",
        type=float,
        default=WAIT,
        metavar="SECONDS",
        help=f"how long trains wait for aggregators that lag behind, once for each of them (default: {WAIT:g})",
    )
    add(
        "--end",
        default=f"{END:g}",
        metavar="SECONDS|now|never",
        help=f"the run has ended when no file has changed for so long (default: {END:g}); now: with what is closed",
    )
    return out


class Line:
    """A command line: what it asks for, as plans of the run so far.

    Parameters
    ----------
    sections : sequence of Section
        Of the options, and of each algorithm.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        self.sections = list(sections)
        self.options, self._first = read(self.sections)
        if len(self.sections[0].runs) != 1:
            raise UsageError(f"expected one run, got {', '.join(self.sections[0].runs)}")
        self.cluster = cluster_of_pass(self.options)

    def about(self) -> dict[str, Any]:
        """Return what runs, as plain values."""
        first, *own = self.sections
        return {
            "source": str(self.options.run),
            "algorithms": [{"name": one.name, "class": type(one).__name__} for one in self._first],
            "options": {
                "shared": [t for t in first.tokens if t not in ("--overwrite", "--quiet")],
                "own": [one.tokens for one in own],
            },
        }

    def planned(self, run: Any, to: Path | None, *, chunk: str, resume: bool = False) -> Plan:
        """Return a plan of a run, or of a part of it."""
        options, algorithms = read(self.sections)
        naming.take(options, run, algorithms, self.cluster)
        given = of_plan(options) | {"chunk": chunk, "resume": resume, "overwrite": False, "quiet": True}
        given["on_fault"] = given.get("on_fault") or "mask"
        return plan(run, grouped(options, algorithms), to, cluster=self.cluster, **given)


def run(argv: Sequence[str], doc: str, say: Say) -> int:
    """Reduce a run while it is taken; return the exit code."""
    sections = configured(split(parser(doc), argv))
    try:
        line = Line(sections)
        args = line.options
        source = GrowingRun(
            run_of(args.run),
            line.planned,
            line.about(),
            chunk=args.chunk or CHUNK,
            wait=args.wait,
            end=Ending.of(args.end),
        )
    except (ValueError, OSError) as e:
        raise UsageError(text_of(e)) from e
    observers = [] if args.quiet else [Said(say)]
    result = follow(source, args.to, observers, line.cluster, overwrite=args.overwrite, quiet=args.quiet)
    say(spoken(result.report()))
    return OK


class Said:
    """Says of each snapshot that it is there, and every now and then what is waited for."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, ("", 0.0)

    def begin(self, about: Any) -> None:
        """Say what runs."""
        self._say(f"live     {about['source']} -> {about['to']}")

    def snapshot(self, snapshot: Snapshot) -> None:
        """Say that a snapshot is there."""
        now = snapshot.status
        behind = f", {now.behind_trains} trains behind" if now.behind_trains else ""
        late = f", {now.late} late" if now.late else ""
        what = "result" if snapshot.final else f"{snapshot.number:04d}"
        trains = f"{snapshot.trains} trains, {snapshot.first_train} to {snapshot.last_train}"
        self._say(f"{what:<9}{trains}{behind}{late}")
        self._last = ("", now.elapsed_s)

    def status(self, status: Status) -> None:
        """Say what is waited for."""
        kind = status.waiting_for.partition(",")[0]
        if status.waiting_for and (kind != self._last[0] or status.elapsed_s - self._last[1] >= SAID):
            self._last = kind, status.elapsed_s
            self._say(f"{status.state:<9}{status.waiting_for}")

    def close(self) -> None:
        """Say nothing more."""
