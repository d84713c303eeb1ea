"""What is asked for: one short YAML file says what of each run remains, and what the volume says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..errors.usage import UsageError
from ..errors.yamls import Items, Section, read
from .facts import FACTS, Facts, facts_of, text

RAW, CODED, FRAMES, REGIONS, PROCESSED, NOTHING = "raw", "coded", "frames", "regions", "processed", "nothing"
KEEP = {
    RAW: "the files of data as they are, byte by byte",
    CODED: "all of it, its pixels stored anew: codec, round",
    FRAMES: "the frames or trains that are selected: frames, trains",
    REGIONS: "the pixels or modules where something is: region, modules",
    PROCESSED: "results of dxflow only",
    NOTHING: "nothing but a line that says why",
}
NEEDS = {CODED: ("codec", "round"), FRAMES: ("frames", "trains"), REGIONS: ("region", "modules")}
"""One of these options must be given."""
COPIES = (RAW, CODED, FRAMES, REGIONS)
OF_RUN = ("run", "keep", "as", "results", "why")
"""Keys of a run; others are options of ``dxflow copy``."""
TOP = ("to", "runs", *FACTS)


@dataclass(frozen=True)
class Entry:
    """What remains of one run, or of several that one text means."""

    run: str
    keep: str
    options: Mapping[str, Any]
    """Of ``dxflow copy``, as they are written."""
    results: tuple[str, ...]
    why: str
    name: str
    """What it is called in the volume; "": as the run."""
    given: Section


@dataclass(frozen=True)
class Asked:
    """A file: where the volume is made, what it says of itself, and what remains of runs."""

    path: Path
    text: str
    to: Path
    facts: Facts
    entries: tuple[Entry, ...]


def asked(path: str | Path, today: date | None = None) -> Asked:
    """Return what a file asks for.

    Raises
    ------
    UsageError
        If it cannot be right; names line and key, and near names.
    """
    given = read(path)
    given.only(TOP)
    to = text(given, "to")
    facts = facts_of(given, today or date.today())
    runs = given.get("runs")
    if not isinstance(runs, Items) or not runs:
        raise given.wrong(
            "expected a list of runs, such as '- {run: 900123:34, keep: raw}'",
            *(["runs"] if "runs" in given else []),
        )
    entries = tuple(_entry(runs, n) for n in range(len(runs)))
    file = Path(path).expanduser()
    return Asked(file, file.read_text(encoding="utf-8"), Path(to).expanduser(), facts, entries)


def _entry(runs: Items, n: int) -> Entry:
    """Return what remains of a run."""
    one = runs[n]
    if not isinstance(one, Section):
        raise runs.wrong("expected keys with values, such as {run: 900123:34, keep: raw}", n)
    keep = text(one, "keep")
    if keep not in KEEP:
        from ..errors.near import did_you_mean

        lines = "; ".join(f"{name}: {words}" for name, words in KEEP.items())
        raise one.wrong(f"{keep!r}:{did_you_mean(keep, KEEP)} Expected one of {lines}", "keep")
    options = {key: value for key, value in one.items() if key not in OF_RUN and value is not None}
    entry = Entry(
        text(one, "run"), keep, options, _results(one), text(one, "why", ""), text(one, "as", ""), one
    )
    if (why := _wrong(entry)) is not None:
        raise why
    return entry


def _results(one: Section) -> tuple[str, ...]:
    """Return the paths of results."""
    value = one.get("results")
    listed = value if isinstance(value, Items) else [] if value is None else [value]
    if not all(isinstance(path, str) and path for path in listed):
        raise one.wrong("expected paths of results, such as [r0034.zarr]", "results")
    return tuple(listed)


def _wrong(entry: Entry) -> UsageError | None:
    """Return what does not go together."""
    one, keep = entry.given, entry.keep
    first = next(iter(entry.options), None)
    if keep not in COPIES and first is not None:
        return one.wrong(f"says how a run is copied, but 'keep: {keep}' copies nothing of it", first)
    if keep == RAW and first is not None:
        return one.wrong(
            "'keep: raw' copies the run as it is: leave this out, or write frames, regions or coded", first
        )
    if (needs := NEEDS.get(keep)) and not any(name in entry.options for name in needs):
        return one.wrong(f"'keep: {keep}' needs {' or '.join(needs)}", "keep")
    if keep == PROCESSED and not entry.results:
        return one.wrong("'keep: processed' needs results, such as [r0034.zarr]", "keep")
    if keep == NOTHING and entry.results:
        return one.wrong("'keep: nothing' has no results: write processed", "results")
    if keep == NOTHING and not entry.why:
        return one.wrong("'keep: nothing' needs why, a reason in words", "keep")
    return None
