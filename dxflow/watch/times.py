"""Times as people write and read them: ``10 min`` in a configuration, 2 h 05 min in a table."""

from __future__ import annotations

import re
import time

from ..errors.yamls import Section

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(given: Section, key: str, usual: float) -> float:
    """Return a time that stands under a key: a number of seconds, or ``10 min``.

    Raises
    ------
    UsageError
        If it is none; the message names file, line and key.
    """
    value = given.get(key, usual)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    match = (
        re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|min|h|d)", value.strip())
        if isinstance(value, str)
        else None
    )
    if match is None:
        raise given.wrong(f"{value!r}: expected a time such as 30 s, 10 min, 2 h", key)
    return float(match[1]) * UNITS[match[2]]


def lasted(span: float) -> str:
    """Return a stretch of time in words."""
    if span < 60:
        return f"{span:.0f} s" if span >= 10 else f"{span:.1f} s"
    minutes, rest = divmod(round(span), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def clock(when: float | None) -> str:
    """Return a time of the day with its date, "" if there is none."""
    return time.strftime("%m-%d %H:%M:%S", time.localtime(when)) if when else ""
