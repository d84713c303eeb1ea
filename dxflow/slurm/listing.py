"""The jobs of dxflow as one wants to see them: what each does for which run, how far it is, why it waits or ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from ..disk import fragments
from ..disk.replace import put
from . import commands
from .jobs import STATES, why
from .options import home

PREFIX = "dxflow-driver-"
"""Of names of drivers; jobs of workers begin with "dxflow-" only."""
ABOUT = "about.json"
TITLES = ("JOB", "STATE", "SINCE", "WHAT", "RUN", "PROGRESS", "NODE, OR WHY IT WAITS")


def note(path: Path, **facts: Any) -> None:
    """Note what a job is about, beside what is noted already."""
    put(path, json.dumps({**about(path), **facts}))


def about(path: Path) -> dict[str, Any]:
    """Return what is noted of a job."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def of_plan(plan: Any) -> dict[str, Any]:
    """Return what is noted of a plan: which run, where the result goes, of how many chunks."""
    store = plan.store
    return {
        "run": plan.run,
        "to": str(Path(store.path).absolute()),
        "partial": str(Path(store.partial).absolute()),
        "chunks": len(plan.chunks),
    }


@dataclass(frozen=True)
class Row:
    """A line of ``dxflow jobs``."""

    id: str
    state: str
    since: str
    what: str
    run: str
    progress: str
    where: str
    name: str


def rows() -> list[Row]:
    """Return the user's jobs of dxflow, drivers and workers, those that ended lately too."""
    asked = ("squeue", "-h", "-t", "all", "-u", commands.user(), "-S", "i", "-o", "%i|%j|%T|%S|%N|%r")
    lines = [line.split("|", 5) for line in commands.run(*asked, times="standard").splitlines()]
    return [_row(*line) for line in lines if line[1].startswith("dxflow-")]


def _row(job: str, name: str, state: str, since: str, nodes: str, reason: str) -> Row:
    driver = name.startswith(PREFIX)
    facts = about(home() / "drivers" / f"{job}.json" if driver else home() / "runs" / name / ABOUT)
    # Workers that are not needed any more are cancelled: that is how they end in order.
    if state == "CANCELLED" and job in facts.get("ended", ()):
        state = "ENDED"
    where = nodes or (why(reason) if state == "PENDING" else STATES.get(state, ""))
    what = name.removeprefix(PREFIX) if driver else "workers"
    return Row(job, state, _time(since), what, _run(facts), progress(facts), where, name)


def _time(since: str) -> str:
    """Return a time without the year: "11-21 18:02"."""
    return since[5:16].replace("T", " ") if since[4:5] == "-" else ""


def _run(facts: Mapping[str, Any]) -> str:
    """Return the run and where its result goes."""
    return f"{Path(facts['run']).name} -> {Path(facts['to']).name}" if "run" in facts else ""


def progress(facts: Mapping[str, Any]) -> str:
    """Return how many chunks of a reduction are done."""
    if "partial" not in facts:
        return ""
    partial = Path(facts["partial"])
    if partial.is_dir():
        done = len(fragments.chunks(partial))
        return f"{done} of {facts['chunks']} chunks"
    return "done" if Path(facts["to"]).exists() else ""


def table(found: Sequence[Row]) -> str:
    """Return jobs as text, each column as wide as it must be."""
    lines = [TITLES, *(astuple(row)[: len(TITLES)] for row in found)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(TITLES))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def log_of(job: str) -> str:
    """Return the log of a job of dxflow, empty if there is none."""
    base = home()
    found = [*base.glob(f"drivers/{job}.log"), *base.glob(f"runs/*/logs/{job}.log")]
    return str(found[-1]) if found else ""
