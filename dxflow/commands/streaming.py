"""``dxflow live tcp://HOST:PORT``: the options of streams, and a stream that is reduced as it comes."""

from __future__ import annotations

import argparse
import glob
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import sizes
from ..clusters.kinds.local import Local
from ..errors import PlanError
from ..errors.usage import UsageError, text_of
from ..html.escaped import plain
from ..live.arriving import GrowingStream, ending, set_aside
from ..live.bridge import PATTERNS, NoBridge, checked
from ..live.folder import Ending
from ..live.following import follow
from ..live.mapping import AXES
from ..live.receiver import Asked, Report
from ..live.stream import Stream, memory_for, unusual

if TYPE_CHECKING:
    from ..driver.result import Result
    from ..live.observers import Observer

SHARE, LEAST, MOST = 4, 2**28, 16 * 2**30
"""What trains may take in memory if nobody says it: one part in so many of what is free, within bounds."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that only streams have."""
    add = parser.add_argument_group("streams (dxflow live tcp://HOST:PORT ...)").add_argument
    add(
        "--socket", choices=PATTERNS, default="REQ", help="what the client is; the server is REP, PUB or PUSH"
    )
    add(
        "--buffer",
        metavar="SIZE",
        help="what trains may take in memory (default: a quarter of it, at most 16 GiB)",
    )
    add(
        "--source",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "AS"),
        help="take a source for another one, such as SPB_DET_AGIPD1M-1/CAL/APPEND_CORRECTED; may be given again",
    )
    add(
        "--axes",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "ORDER"),
        help="order of the axes of the images of a source, such as module,fs,ss,frame; may be given again",
    )


def reduce(
    line: Any,
    args: argparse.Namespace,
    observers: Sequence[Observer],
    say: Callable[[str], None],
) -> Result:
    """Reduce a stream until it ends, or until Ctrl-C; return the final result.

    Parameters
    ----------
    line : object
        Has a `cluster`, says what runs (`about`), and makes plans, each of which goes through `made`.
    """
    asked = asked_for(args, line.cluster)
    if (kept := set_aside(Path(args.to))) is not None:
        say(f"kept     {kept} is what there was of a stream that was interrupted: nothing can be added to it")
    with Stream(asked) as stream, ending(stream, say):
        line.made = stream.planned
        source = GrowingStream(stream, line, line.about())
        try:
            result = follow(source, args.to, observers, line.cluster, overwrite=args.overwrite)
        except PlanError:
            if not source.snapshots:
                # Nobody was there, or nothing can be made of what came: nothing is left.
                set_aside(Path(args.to))
            # It may be why.
            for words in left_out(stream.report):
                say(plain(words))
            raise
        for words in said(stream.report):
            say(words)
    return result


def said(report: Report) -> list[str]:
    """Return in words what came of a stream, which axes are in another order than in files, and what was left out."""
    out = [f"stream   {report.account}"]
    out += [f"axes     {order}" for order in unusual(report.orders)]
    out += left_out(report)
    # What sends decides what names hold.
    return [plain(one) for one in out]


def left_out(report: Report) -> list[str]:
    """Return in words what is in no result, and why."""
    out = [f"left out {what}: {why}" for what, why in report.refused.items()]
    alike: dict[tuple[int, str], list[str]] = {}
    for place, one in report.unlike.items():
        alike.setdefault((one.trains, one.why), []).append(place)
    for (trains, why), places in alike.items():
        more = f" and {len(places) - 1} more" if places[1:] else ""
        out.append(f"left out {places[0]}{more} in {trains} trains: {why}")
    return out + [
        f"unused   {name}: no source of this name came (--source, --axes)" for name in report.unused
    ]


def asked_for(args: argparse.Namespace, cluster: Any) -> Asked:
    """Return what is to be received.

    Raises
    ------
    UsageError
    """
    to = Path(args.to).absolute()
    if not to.parent.is_dir():
        raise UsageError(f"--to {args.to}: the folder {to.parent} does not exist; make it first")
    try:
        checked(str(args.run))
        limit = sizes.parse(args.buffer) if args.buffer else usual()
        chunk = sizes.trains(args.chunk) if args.chunk else 0
        idle = Ending.of(args.end).seconds
    except (NoBridge, ValueError) as e:
        raise UsageError(text_of(e)) from e
    if versions := sorted(to.parent.glob(f"{glob.escape(to.stem)}.v*.zarr")):
        raise UsageError(f"{versions[0]} exists: move it away, versions of the result are kept there")
    for option, given in (("--source", args.source), ("--axes", args.axes)):
        names = [name for name, _ in given]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(f"{option} {twice[0]} is given twice; expected each source once")
    if args.chunk and not chunk:
        raise UsageError(f"--chunk {args.chunk}: a stream is cut by train ids, such as '16 trains'")
    if not idle:
        raise UsageError(f"--end {args.end}: a stream ends after seconds without a train, or never")
    here = cluster is None or cluster == "here" or isinstance(cluster, Local)
    return Asked(
        endpoint=str(args.run),
        pattern=args.socket,
        folder=str(to.parent),
        memory=memory_for(limit, str(to.parent)) if here else str(to.parent),
        limit=limit,
        chunk=chunk,
        wait=args.wait,
        idle=0 if idle == math.inf else idle,
        names=dict(args.source),
        axes={name: axes_of(order) for name, order in args.axes},
    )


def usual() -> int:
    """Return the bytes that trains may take in memory if nobody says it."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(LEAST, min(MOST, free // SHARE))


def axes_of(text: str) -> tuple[str, ...]:
    """Return the order of axes that is written as ``module,fs,ss,frame``.

    Raises
    ------
    UsageError
    """
    axes = tuple(text.split(","))
    if len({*axes}) < len(axes) or {*axes} - {*AXES} or not {"ss", "fs"} <= {*axes}:
        raise UsageError(f"--axes {text}: expected some of {', '.join(AXES)}, each once, with ss and fs")
    return axes
