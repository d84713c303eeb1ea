"""Reads numbers of results for the watcher, in a process of its own: what that needs stays out of the watcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import answers, columns


class Reader:
    """Answers questions on results."""

    def numbers(
        self, wanted: Mapping[str, Sequence[str]], results: Sequence[tuple[str, str]]
    ) -> list[dict[str, Any]]:
        """Return the numbers of each (task, path), their units, and why others are not there."""
        known = {name: columns.Column(name, *own) for name, own in wanted.items()}
        return [asdict(columns.values(known, task, Path(path))) for task, path in results]


def main() -> None:
    """Answer requests, a line each, until there are no more."""
    answers.serve(Reader())
