"""Names and texts as others take them: variables of MATLAB and Python, cells of spreadsheets, parts of file names."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection, Iterable

LONGEST = 63
"""Characters of a name that MATLAB tells apart (namelengthmax)."""
OF_MATLAB = frozenset(
    (
        *(
            "break",
            "case",
            "catch",
            "classdef",
            "continue",
            "else",
            "elseif",
            "end",
            "for",
            "function",
            "global",
        ),
        *("if", "otherwise", "parfor", "persistent", "return", "spmd", "switch", "try", "while"),
    )
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would work out."""


def identifier(name: str, taken: Iterable[str] = (), reserved: Collection[str] = OF_MATLAB) -> str:
    """Return a name of letters, digits and underscores, of 63 characters at most, that nothing else has.

    Parameters
    ----------
    name : str
    taken : iterable of str
        Names that are used; their case counts.
    reserved : collection of str
        Words that mean something else.
    """
    plain = re.sub(r"[^0-9A-Za-z_]", "_", name)
    if not re.match("[A-Za-z]", plain) or plain in reserved:
        plain = f"x{plain}" if plain.startswith("_") else f"x_{plain}"
    return unique(plain[:LONGEST], taken, lambda base, end: base[: LONGEST - len(end)] + end)


def python_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return a name as `identifier` does that is none of Python's words."""
    return identifier(name, taken, {*keyword.kwlist, *keyword.softkwlist})


def unique(
    name: str, taken: Iterable[str], joined: Callable[[str, str], str] = lambda base, end: base + end
) -> str:
    """Return a name that is not taken: itself, or with ``_2``, ``_3`` and so on behind it."""
    used, made, number = set(taken), name, 1
    while made in used:
        number += 1
        made = joined(name, f"_{number}")
    return made


def writable(text: str) -> str:
    """Return a text that can be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: with ``'`` before it where it begins like one."""
    text = writable(text)
    return f"'{text}" if text.startswith(FORMULA) and not _number(text) else text


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def of_file(name: str) -> str:
    """Return a name as part of that of a file."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._-") or "rows"
