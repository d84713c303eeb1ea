"""Which runs a task is for: conditions on what is known of a run, from a configuration."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from ..errors.near import did_you_mean, listed
from ..errors.yamls import Items, Section

KNOWN = (
    *("name", "run", "proposal", "origin", "type", "sample"),
    *("version", "trains", "files", "bytes", "detectors", "sources"),
)
"""What is known of each run; and any ``SOURCE KEY`` of what it has once."""
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_COMPARED = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Condition:
    """What one thing that is known must be: any of some patterns or values, or within bounds."""

    name: str
    wanted: tuple[Any, ...]

    def fails(self, facts: Mapping[str, Any]) -> str:
        """Return why a run is none of these, "" if it is."""
        value = facts.get(self.name, facts.get("values", {}).get(self.name))
        if value is None:
            return f"{self.name} is not known of it"
        values = value if isinstance(value, list) else [value]
        if any(_fits(one, wanted) for one in values for wanted in self.wanted):
            return ""
        said = listed(map(str, values), 3) if isinstance(value, list) else f"{value!r}"
        return f"{self.name}: {said}, not {' or '.join(map(str, self.wanted))}"


def conditions(given: Any, above: Section) -> tuple[Condition, ...]:
    """Return the conditions that stand under ``where``.

    Raises
    ------
    UsageError
        If they are none; the message names file, line and key.
    """
    if given is None:
        return ()
    if not isinstance(given, Section):
        raise above.wrong("expected conditions, such as {type: '*dark*', trains: '>= 100'}", "where")
    return tuple(_condition(given, name) for name in given)


def _condition(given: Section, name: Any) -> Condition:
    if name not in KNOWN and not (isinstance(name, str) and "/" in name and " " in name):
        near = did_you_mean(str(name), KNOWN)
        raise given.wrong(f"is not known of runs.{near} Expected: {listed(KNOWN)}, or SOURCE KEY", name)
    found = given[name]
    wanted = tuple(found) if isinstance(found, Items) else (found,)
    for one in wanted:
        if not isinstance(one, (str, int, float)):
            raise given.wrong(f"{one!r}: expected a pattern, a number, '>= 100', or a list of these", name)
        if isinstance(one, str) and one[:1] in ("<", ">") and not _bounds(one):
            raise given.wrong(f"{one!r}: expected such as '>= 100' or '> 10, <= 20'", name)
    return Condition(name, wanted)


def _bounds(text: str) -> list[tuple[str, float]]:
    """Return comparisons, ``> 10, <= 20``; empty if it is something else."""
    parts = [_COMPARED.fullmatch(part) for part in text.split(",")]
    try:
        return [(m[1], float(m[2])) for m in parts if m] if all(parts) else []
    except ValueError:
        return []


def _fits(value: Any, wanted: Any) -> bool:
    """Return whether a value is as it should be."""
    if isinstance(wanted, str):
        if bounds := _bounds(wanted):
            number = not isinstance(value, (str, bool))
            return number and all(COMPARED[sign](value, limit) for sign, limit in bounds)
        if wanted.startswith("!"):
            return not fnmatchcase(str(value), wanted[1:].lstrip("= "))
        return fnmatchcase(str(value), wanted)
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def refused(wanted: tuple[Condition, ...], facts: Mapping[str, Any]) -> str:
    """Return why a task is not for a run, "" if it is."""
    return next((why for one in wanted if (why := one.fails(facts))), "")


def keys(wanted: tuple[Condition, ...]) -> list[str]:
    """Return the keys of devices that conditions ask for."""
    return [one.name for one in wanted if one.name not in KNOWN]
