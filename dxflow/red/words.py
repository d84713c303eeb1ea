"""What of a run does not remain, and what is to be known of what does, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..driver.copied import CopyReport
from ..run import detectors
from ..run.losses import ranges
from ..sizes import count

BESIDE = "not copied"
"""Begins what a copy says of files that are beside those of the run."""


def remain(results: int) -> str:
    """Return that some results remain."""
    return f"{count(results, 'result')} {'remains' if results == 1 else 'remain'}"


def lost_by(report: CopyReport) -> list[str]:
    """Return in words what a copy leaves out or changes."""
    lines = [
        f"{before - after} of {count(before, 'frame')} of {name}"
        for name, (before, after) in report.frames.items()
        if after < before
    ]
    before, after = report.trains
    lines += [f"{before - after} of {count(before, 'train')}"] if after < before else []
    lines += _sources(report.sources)
    lines += [
        f"{total - inside} of {total} pixels of {name}, outside of the region"
        for name, (total, inside) in report.pixels.items()
    ]
    gone = sum(file.how == "left out" for file in report.files)
    lines += [count(gone, "file")] if gone else []
    lines += [note for note in report.notes if note.startswith(BESIDE)]
    lines += [f"pixels are stored as {report.codec}"] if report.codec else []
    return lines or ["nothing"]


def _sources(names: Sequence[str]) -> list[str]:
    """Return sources in words, those of modules by detector."""
    found = [one for one in detectors.find(names) if one.sources]
    modules = [
        f"{'module' if len(one.sources) == 1 else 'modules'} {ranges(one.sources)} of {one.name} ({one.data})"
        for one in found
    ]
    rest = {*names}.difference(*(one.sources.values() for one in found))
    return [*modules, *([count(len(rest), "source")] if rest else [])]


def read_by(report: CopyReport) -> list[str]:
    """Return in words what is to be known before a copy is read, and when it is made."""
    return [note for note in report.notes if not note.startswith(BESIDE)]
