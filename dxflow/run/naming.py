"""Names of runs: raw and proc of a proposal, and what stands for ``{run:04}`` or ``{name}`` in texts for many."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from ..errors.usage import UsageError

ORIGINS = ("raw", "proc")
"""Folders of a proposal that have runs."""
FIELD = re.compile(r"\{(\w+)(?::0?(\d+)d?)?\}")
"""What stands in a text for what each run has of its own; digits of a number may be asked for."""


def filled(text: str, values: Mapping[str, Any], names: Collection[str], run: str) -> str:
    """Return a text with what a run has for its fields: ``r{run:04}.zarr``.

    Parameters
    ----------
    values : dict
        What the run has, by the names of fields; None for what it does not say.
    names : collection of str
        Fields that are filled in; others stay as they are.
    run : str
        The run, as its user has named it.

    Raises
    ------
    UsageError
        If the run does not say what is asked for.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in names:
            return match[0]
        if (found := values.get(match[1])) is None:
            what = f"{match[1]} number" if match[1] in ("run", "proposal") else match[1]
            raise UsageError(f"{match[0]}: {run} does not say its {what}; {{name}} is {values['name']}")
        return f"{found:0{match[2]}}" if match[2] and isinstance(found, int) else str(found)

    return FIELD.sub(value, text)
