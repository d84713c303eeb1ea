"""The command ``dxflow live``: a run is reduced while it is taken."""

from __future__ import annotations

import argparse
import re
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import plan
from ..disk import lock
from ..driver.execute import execute
from ..driver.growing import Growing, growing
from ..errors.usage import OptionParser, UsageError, spoken, text_of
from ..line import naming
from ..line.exits import OK
from ..line.options import cluster_of_pass, of_plan, run_of
from ..line.watching import add_watching, unwatched, watching
from ..live.arriving import is_stream
from ..live.folder import END, WAIT, Ending, GrowingRun
from ..live.following import follow
from ..live.parameters import answered, ask, parsed, without
from ..live.snapshots import Place
from . import streaming
from .arguments import Section, configured, grouped, read, shared_parser, split

if TYPE_CHECKING:
    from ..driver.result import Result
    from ..live.observers import Snapshot, Status
    from ..live.parameters import Asked
    from ..planning.public import Plan

Say = Callable[[str], None]
SAID = 30.0
"""Seconds between lines that say what is waited for."""
INDIFFERENT = ("--wait", "--end", "--cluster", "--workers", "--to", "--buffer")
FLAGS = ("--overwrite", "--quiet", "--resume", "--traceback")
"""Options that may differ when an interrupted reduction is gone on with."""
AGAIN = "--again"
FIXED = ("--help", "--name")
"""Options of an algorithm that cannot be changed."""
ANSWER = 20.0
"""Seconds that an answer is waited for."""


def parser(doc: str) -> argparse.ArgumentParser:
    """Return the parser of the options that are no algorithm's."""
    out = shared_parser("live", doc)
    add = out.add_argument
    add(
        "--wait",
        type=float,
        default=WAIT,
        metavar="SECONDS",
        help="how long trains wait for aggregators that lag behind, and a stream for its first train "
        f"(default: {WAIT:g})",
    )
    add(
        "--end",
        default=f"{END:g}",
        metavar="SECONDS|now|never",
        help=f"it has ended when no file has changed, or no train has come, for so long (default: {END:g}); "
        "now: with what is closed",
    )
    add_watching(out)
    streaming.add_arguments(out)
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
        self._first_passes = ExitStack()
        self._grown: dict[tuple[str, ...], Growing] = {}
        self.made: Callable[[Plan], Plan] = lambda plan: plan
        """Makes a plan of a run that of what it is read from: of a stream, whose data are in no file."""

    def about(self) -> dict[str, Any]:
        """Return what runs, as plain values."""
        first, *own = self.sections
        return {
            "source": str(self.options.run),
            "algorithms": [{"name": one.name, "class": type(one).__name__} for one in self._first],
            "options": {
                "shared": _deciding(unwatched(first.tokens)),
                "own": [one.tokens for one in own],
            },
        }

    def changed(self, asked: Asked) -> Line:
        """Return the line with other options of an algorithm.

        Raises
        ------
        UsageError
            If there is no such algorithm, or it has no such option.
        """
        first, *own = self.sections
        names = [one.called for one in own]
        if asked.algorithm not in names:
            raise UsageError(f"no algorithm {asked.algorithm!r}; there are: {', '.join(names)}")
        at = names.index(asked.algorithm)
        words = [w for name, value in asked.options.items() for w in (f"--{name}", *_values(name, value))]
        for flag in (f"--{name}" for name in asked.options):
            known = [f for f in own[at].parser._option_string_actions if f.startswith("--")]
            if flag not in known or flag in FIXED:
                listed = ", ".join(f for f in known if f not in FIXED)
                raise UsageError(f"{asked.algorithm}: unknown option {flag}. Its options: {listed}")
        # Also of options that may be given several times: what was given before is not what is asked for.
        own[at] = replace(own[at], tokens=[*without(own[at].tokens, asked.options), *words])
        line = Line([first, *own])
        line.made, line._first_passes = self.made, self._first_passes
        return line

    def __call__(self, run: Any, to: Path | None, *, chunk: str, resume: bool = False) -> Plan:
        """Return a plan of a run, or of a part of it."""
        options, algorithms = read(self.sections)
        naming.take(options, run, algorithms, self.cluster, reduced=partial(self._before, chunk))
        given = of_plan(options) | {"chunk": chunk, "resume": resume, "overwrite": False, "quiet": True}
        given["on_fault"] = given.get("on_fault") or "mask"
        return self.made(plan(run, grouped(options, algorithms), to, cluster=self.cluster, **given))

    def _before(self, chunk: str, run: Any, algorithms: Sequence[Any], **given: Any) -> Result:
        """Make a first pass over the run so far, which says what a name means: only what is new of it is read."""
        cluster, names = given.pop("cluster"), tuple(one.name for one in algorithms)
        made = self.made(plan(run, algorithms, cluster=cluster, chunk=chunk, **given | {"on_fault": "mask"}))
        if names not in self._grown:
            first = self.made(
                plan(run, algorithms, cluster=cluster, chunk=chunk, **given | {"on_fault": "mask"})
            )
            self._grown[names] = self._first_passes.enter_context(growing(first))
        return execute(made, cluster, quiet=True, within=self._grown[names])

    def close(self) -> None:
        """Forget first passes."""
        self._first_passes.close()


def _values(name: str, text: str) -> list[str]:
    """Return the values of an option; none of them may be another option."""
    values = shlex.split(text)
    if wrong := [one for one in values if re.match(r"-\.?[^\d.]", one)]:
        raise UsageError(f"--{name} {text}: {wrong[0]!r} is no value")
    return values


def _deciding(tokens: Sequence[str]) -> list[str]:
    """Return words of a command line without options that change nothing of the result."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in INDIFFERENT:
        parser.add_argument(name)
    for name in FLAGS:
        parser.add_argument(name, action="store_true")
    return parser.parse_known_args(list(tokens))[1]


def run(argv: Sequence[str], doc: str, say: Say) -> int:
    """Reduce a run while it is taken; return the exit code."""
    sections = configured(split(parser(doc), argv))
    try:
        line = Line(sections)
        args = line.options
        observers: list[Any] = [] if args.quiet else [Said(say)]
        source = None if is_stream(args.run) else _growing(line)
    except (ValueError, OSError) as e:
        raise UsageError(text_of(e)) from e
    with ExitStack() as stack:
        stack.callback(line.close)
        try:
            observers += stack.enter_context(watching(args, say))
        except (ValueError, OSError, ImportError) as e:
            raise UsageError(text_of(e)) from e
        if source is None:
            result = streaming.reduce(line, args, observers, say)
        else:
            result = follow(source, args.to, observers, line.cluster, overwrite=args.overwrite)
    say(spoken(result.report()))
    return OK


def _growing(line: Line) -> GrowingRun:
    """Return the run of a command line."""
    args = line.options
    return GrowingRun(
        run_of(args.run),
        line,
        line.about(),
        chunk=args.chunk or "",
        wait=args.wait,
        end=Ending.of(args.end),
    )


class Said:
    """Says of each snapshot that it is there, and every now and then what is waited for."""

    def __init__(self, say: Say) -> None:
        self._say, self._last, self._known = say, ("", 0.0), 1

    def begin(self, about: Any) -> None:
        """Say what runs."""
        self._say(f"live     {about['source']} -> {about['to']}")

    def snapshot(self, snapshot: Snapshot) -> None:
        """Say that a snapshot is there."""
        now = snapshot.status
        behind = f", {now.behind_trains} trains behind" if now.behind_trains else ""
        late = f", {now.late} late" if now.late else ""
        self._version(now)
        what = "result" if snapshot.final else f"{snapshot.number:04d}"
        trains = f"{snapshot.trains} trains, {snapshot.first_train} to {snapshot.last_train}"
        version = f", version {snapshot.version}: {now.changed}" if snapshot.final and now.changed else ""
        self._say(f"{what:<9}{trains}{behind}{late}{version}")
        self._last = ("", now.elapsed_s)

    def status(self, status: Status) -> None:
        """Say what is waited for, and that options were changed."""
        self._version(status)
        kind = status.waiting_for.partition(",")[0]
        if status.waiting_for and (kind != self._last[0] or status.elapsed_s - self._last[1] >= SAID):
            self._last = kind, status.elapsed_s
            self._say(f"{status.state:<9}{status.waiting_for}")

    def _version(self, status: Status) -> None:
        if status.version != self._known:
            self._known = status.version
            self._say(f"version {status.version}: {status.changed}")

    def close(self) -> None:
        """Say nothing more."""


def change(argv: Sequence[str], doc: str, say: Say) -> int:
    """Ask a live reduction for other options of an algorithm; return the exit code."""
    out = OptionParser(prog="dxflow set", description=doc, allow_abbrev=False)
    out.add_argument(
        "result", metavar="x.zarr", help="of a live reduction that runs, or that is to be gone on with"
    )
    out.add_argument("algorithm", metavar="NAME", help="the algorithm, as it is called in the result")
    words = "from the first train on: files that are closed are read again (default: from the next chunk on)"
    out.add_argument(AGAIN, action="store_true", help=words)
    out.add_argument("options", nargs=argparse.REMAINDER, metavar="--OPTION VALUE", help="its options")
    args = out.parse_args(argv)
    # Behind NAME it is among the options.
    try:
        options = parsed([word for word in args.options if word != AGAIN])
    except ValueError as e:
        raise UsageError(f"dxflow set: {e}") from e
    folder = Place(args.result).folder
    number = ask(folder, args.algorithm, options, args.again or AGAIN in args.options)
    until = time.monotonic() + ANSWER
    while (said := answered(folder, number)) is None and time.monotonic() < until and lock.holder(folder):
        time.sleep(0.1)
    if said is None and lock.holder(folder) is None:
        say("asked for: nobody works there now, it is taken when the same dxflow live goes on")
        return OK
    if said is None:
        say(f"asked for: it is taken when the chunk is done that is being worked on, see {folder}")
        return OK
    error, version, words = said
    if error:
        raise UsageError(error)
    say(f"version {version} has begun: {words}")
    return OK
