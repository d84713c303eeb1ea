"""Now: how a live run goes, as HTML: its state, what is behind, dropped and lost, and the last minutes as curves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..html import bars, page
from ..html.escaped import escaped
from ..sizes import show

if TYPE_CHECKING:
    from ..live.observers import Snapshot, Status

MOST = 600
"""Seconds of the past that are drawn."""
WIDE, HIGH = 320, 70
CAUSES = 12
"""That are listed."""
STATES = {
    "running": "works",
    "waiting": "waits",
    "paused": "pauses",
    "finished": "has ended",
    "failed": "has failed",
}


class Past:
    """How a live run went: the newest status, and of the last minutes what is drawn."""

    def __init__(self) -> None:
        self.status: Status | None = None
        self.snapshot: Snapshot | None = None
        self._seen: deque[tuple[float, float, float]] = deque(maxlen=MOST)

    def take(self, status: Status) -> None:
        """Take in a status."""
        self.status = status
        self._seen.append((status.elapsed_s, status.trains_per_s, status.behind_s))

    def html(self, drawn: Snapshot | None = None) -> str:
        """Return what is to be seen now; `drawn` is the snapshot that the pictures are of."""
        if self.status is None:
            return "<p>Nothing is known yet.</p>"
        return (
            f"{_said(self.status)}{page.tiles(_tiles(self.status))}{self._drawn()}"
            f"{_of(self.snapshot, drawn, self.status.version)}"
        )

    def _drawn(self) -> str:
        seen = list(self._seen)
        if len(seen) < 2:
            return ""
        times = [one[0] for one in seen]
        curves = (
            ("trains a second", [one[1] for one in seen], bars.BLUE),
            ("seconds behind", [one[2] for one in seen], bars.ORANGE),
        )
        return f'<div class="curves">{"".join(_curve(times, *one) for one in curves)}</div>'


def _said(status: Status) -> str:
    """Return in a sentence what it does, and what was lost."""
    state = STATES.get(status.state, status.state)
    doing = f"The run {state}" + (f": {status.waiting_for}" if status.waiting_for else "")
    out = f'<p class="state {"warn" if status.state in ("paused", "failed") else ""}">{escaped(doing)}.</p>'
    causes = sorted(status.losses.items(), key=lambda one: -one[1])
    if causes:
        # Of whole trains that were dropped nobody knows how many frames they had.
        listed = [f"{cause} ({frames} frames)" if frames else cause for cause, frames in causes[:CAUSES]]
        listed += [f"{len(causes) - CAUSES} more causes"] if len(causes) > CAUSES else []
        out += f'<p class="warn">Lost: {escaped("; ".join(listed))}.</p>'
    return out


def _tiles(status: Status) -> list[tuple[str, str]]:
    """Return the numbers that are seen first."""
    rows = [
        (f"{status.trains}", "trains in the result"),
        (f"{status.trains_per_s:.3g}", "trains a second"),
        (f"{show(status.bytes_per_s)}/s", "data"),
        (f"{status.behind_trains}", f"trains behind, {_duration(status.behind_s)}"),
        (f"{status.dropped}", "trains dropped"),
        (f"{status.not_received}", "trains not received"),
        (f"{status.late}", "came late"),
        (f"{sum(status.losses.values())}", "frames lost"),
        (_duration(status.elapsed_s), "since it began"),
    ]
    return [*rows, (f"{status.version}", "version of parameters now")] if status.version > 1 else rows


def _of(snapshot: Snapshot | None, drawn: Snapshot | None, version: int) -> str:
    """Return which trains the result has, of which version, and the pictures, if these are of an earlier one."""
    if snapshot is None:
        return '<p class="muted">There is no result yet.</p>'
    what = "The result" if snapshot.final else f"Result {snapshot.number}"
    own = f" of version {snapshot.version}" if version > 1 else ""
    said = (
        f"{what}{own}: {snapshot.trains} trains, {snapshot.first_train} to {snapshot.last_train}; the same bits as "
        f"dxflow reduce --chunk '{snapshot.chunk}' of these{' with the options of this version' if own else ''}"
    )
    if snapshot.version < version:
        said += f"; of version {version} there is no result yet"
    if drawn is None:
        said += "; it is being drawn"
    elif drawn is not snapshot:
        said += f"; the pictures are of result {drawn.number}, {drawn.trains} trains"
        said += f" of version {drawn.version}" if drawn.version != snapshot.version else ""
    return f'<p class="muted">{escaped(said)}.</p>'


def _duration(seconds: float) -> str:
    """Return a time for people."""
    if seconds < 120:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _curve(times: Sequence[float], name: str, values: Sequence[float], colour: str) -> str:
    """Return a small line of what was, from 0 to the highest."""
    first, last = times[0], times[-1]
    top = max(values) or 1.0
    span = max(last - first, 1e-9)
    points = " ".join(
        f"{WIDE * (t - first) / span:.1f},{HIGH * (1 - v / top):.1f}"
        for t, v in zip(times, values, strict=True)
    )
    said = f"{name}: {values[-1]:.3g} now, at most {max(values):.3g} in the last {_duration(last - first)}"
    return (
        f'<div><svg role="img" aria-label="{escaped(said)}" viewBox="0 -2 {WIDE} {HIGH + 4}" '
        f'preserveAspectRatio="none"><line x2="{WIDE}" y1="{HIGH}" y2="{HIGH}" class="base"/>'
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" '
        f'vector-effect="non-scaling-stroke"/></svg><span>{escaped(said)}</span></div>'
    )
