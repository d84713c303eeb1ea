"""The README of a volume: what it is, what remains of which run, and how to read and check it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ..driver.copied import CopyReport
from ..sizes import count, show
from .asked import NOTHING, PROCESSED
from .facts import Facts, Person
from .folder import ABOUT, ASKED, CRATE, DATACITE, RESULTS, RUNS, SUMS
from .words import lost_by, read_by

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|<>&~^$])")


def plain(text: str) -> str:
    """Return a text in which nothing is taken for Markdown or HTML, in one line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return _SPECIAL.sub(r"\\\1", " ".join(shown.split()))


def paragraph(text: str) -> str:
    """Return a text as a paragraph of its own, not a list or a line below a title."""
    return re.sub(r"^(\d*)([-=.)])", r"\1\\\2", plain(text))


def readme(
    facts: Facts, created: date, runs: Sequence[Mapping[str, Any]], versions: Mapping[str, str]
) -> str:
    """Return what a person reads first."""
    size = sum(file["size"] for one in runs for file in one["files"].values())
    before = sum(file["size"] for one in runs for file in one["source"])
    lines = [f"# {plain(facts.title)}", "", paragraph(facts.description), "", *_facts(facts, created), ""]
    lines += [
        "## What remains",
        "",
        f"{show(size)} of {show(before)}, of {count(len(runs), 'run')}.",
        "",
        "| run | kept | before | here | left out or changed |",
        "|---|---|--:|--:|---|",
        *(_row(one) for one in runs),
        "",
    ]
    return "\n".join([*lines, *_reading(runs), *_files(), *_made(created, versions)])


def _facts(facts: Facts, created: date) -> list[str]:
    rows = [
        ("creators", "; ".join(_person(one) for one in facts.creators)),
        ("published by", plain(facts.publisher)),
        ("DOI", plain(facts.doi) or "none yet"),
        ("license", plain(facts.licence[0])),
        ("access", plain(facts.access)),
        ("instrument", f"{plain(facts.instrument)}, {plain(facts.facility)}"),
        ("proposal", plain(facts.proposal)),
        ("collected", plain(facts.collected)),
        ("techniques", "; ".join(f"{plain(one.label)} ({one.code} of PaNET)" for one in facts.techniques)),
        ("samples", "; ".join(plain(f"{one.name} {one.identifier}") for one in facts.samples)),
        ("before the reduction", plain(facts.raw_doi)),
        ("publications", "; ".join(map(plain, facts.publications))),
        ("version", f"{plain(facts.version)} of {created}" if facts.version else str(created)),
    ]
    return ["| | |", "|---|---|", *(f"| {name} | {said} |" for name, said in rows if said)]


def _person(one: Person) -> str:
    said = ", ".join(filter(None, [plain(one.affiliation), one.orcid]))
    return f"{plain(one.name)} ({said})" if said else plain(one.name)


def _row(one: Mapping[str, Any]) -> str:
    before = sum(file["size"] for file in one["source"])
    here = sum(file["size"] for file in one["files"].values())
    cells = [plain(one["name"]), one["keep"], show(before), show(here), plain("; ".join(left_out(one)))]
    return f"| {' | '.join(cells)} |"


def left_out(one: Mapping[str, Any]) -> list[str]:
    """Return in words what of a run, as noted, does not remain."""
    if one["keep"] == NOTHING:
        return [f"everything: {one['why']}"]
    if one["keep"] == PROCESSED:
        return ["all data of the run; results remain"]
    why = [one["why"]] if one["why"] else []
    return [*lost_by(CopyReport.from_json(one["report"])), *why]


def _notes(one: Mapping[str, Any]) -> list[str]:
    """Return what is to be known before what remains of a run is read."""
    return read_by(CopyReport.from_json(one["report"])) if one["report"] else []


def _reading(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    copied = [one["name"] for one in runs if any(path.startswith(f"{RUNS}/") for path in one["files"])]
    lines = ["## Reading it", ""]
    if copied:
        lines += [
            f"The folders in `{RUNS}` are runs in the format of European XFEL:",
            "",
            "```python",
            "from extra_data import RunDirectory",
            "",
            f"RunDirectory({f'{RUNS}/{copied[0]}'!r}).info()",
            "```",
            "",
            "Which frames were left out is in the section REDUCTION of files of format 1.3, else in `dxflow.json`.",
        ]
    notes = dict.fromkeys(note for one in runs for note in _notes(one))
    lines += [line for note in notes for line in ("", plain(note[:1].upper() + note[1:]) + ".")]
    return [
        *lines,
        "",
        f"Results in `{RESULTS}` are read by xarray: `xarray.open_zarr`, `xarray.open_dataset`.",
        "",
    ]


def _files() -> list[str]:
    return [
        "## Files",
        "",
        "| file | |",
        "|---|---|",
        f"| `{SUMS}` | SHA-256 of every file: `sha256sum -c {SUMS}` |",
        f"| `{ABOUT}` | size, SHA-256 and origin of every file; options and versions |",
        f"| `{ASKED}` | what was asked for |",
        f"| `{CRATE}` | all of this for programs, as an RO-Crate 1.1 |",
        f"| `{DATACITE}` | for the DOI, schema 4.5 of DataCite |",
        "",
        "`dxflow red verify .` reads every byte and says what is missing, changed or too much.",
        "",
    ]


def _made(created: date, versions: Mapping[str, str]) -> list[str]:
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return ["## How it was made", "", f"On {created}, with {plain(said)}.", ""]
