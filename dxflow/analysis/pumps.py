"""Pump on and off: two selections of rows, by what says whether there was a pump pulse, or by a pattern of ids."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors.kinds import shown
from .evaluating import Source
from .rows import TIMESTAMPS
from .selections import Selection
from .values import Value

STATES = {True: True, False: False, "on": True, "off": False, None: None}


def on_off(
    table: Source,
    flag: Any = None,
    *,
    pattern: Sequence[bool | str | None] | None = None,
    per: str = "pulse",
    first: int | None = None,
    step: int | None = None,
    where: Any = None,
    only_on: Any = None,
    names: tuple[str, str] = ("on", "off"),
) -> tuple[Selection, Selection]:
    """Make the selections of rows with and without pump; see `Table.on_off`."""
    if (flag is None) == (pattern is None):
        raise ValueError(
            "expected one of flag=, a condition that is true with pump, and pattern=, such as ['on', 'off']"
        )
    selections = table.selections
    if pattern is not None:
        pumped, dark = (Value(one) for one in _of_pattern(table, pattern, per, first, step))
    else:
        pumped = selections.whole(flag)
        dark = ~pumped
    both, own = ([] if one is None else [one] for one in (where, only_on))
    on, off = names
    made = selections.define(on, *both, *own, pumped)
    return made, selections.define(off, *both, dark)


def _of_pattern(
    table: Source, pattern: Sequence[Any], per: str, first: int | None, step: int | None
) -> list[ast.expr]:
    """Return the conditions that ids are those of rows with pump, and of rows without."""
    if isinstance(pattern, str) or not all(
        isinstance(one, (bool, str, type(None))) and one in STATES for one in pattern
    ):
        raise ValueError(
            f"pattern={shown(pattern)}: expected True or 'on', False or 'off', and None of what is neither"
        )
    ids = {"pulse": table.rows.pulse_ids, "train": table.rows.train_ids}.get(per)
    if ids is None:
        raise ValueError(f"per={per!r}: expected 'pulse' or 'train', of what a pattern has a state each")
    if len(ids) and table.rows.train_ids.max() >= TIMESTAMPS:
        raise ValueError(
            "a pattern needs ids that count trains and pulses; these are times of events: give flag="
        )
    states = [STATES[one] for one in pattern]
    if not {True, False} <= set(states):
        raise ValueError(f"pattern={shown(pattern)}: expected at least one that is on and one that is off")
    for name, number, least in (("first", first, 0), ("step", step, 1)):
        if number is not None and (type(number) is not int or number < least):
            raise ValueError(f"{name}={number!r}: expected a whole number from {least}")
    known = np.unique(ids).astype(np.int64)
    start = int(known.min(initial=2**62) if first is None else first) if len(known) else 0
    apart = int(
        np.gcd.reduce(np.diff(known)) if step is None and len(known) > 1 and per == "pulse" else step or 1
    )
    turn: ast.expr = ast.Name(f"{per}_id")
    for op, number in ((ast.Sub(), start), (ast.FloorDiv(), apart)):
        if number != isinstance(op, ast.FloorDiv):
            turn = ast.BinOp(turn, op, ast.Constant(number))
    turn = ast.BinOp(turn, ast.Mod(), ast.Constant(len(states)))
    places: list[list[ast.expr]] = [
        [ast.Constant(n) for n, one in enumerate(states) if one is state] for state in (True, False)
    ]
    return [ast.Compare(turn, [ast.In()], [ast.Tuple(found, ast.Load())]) for found in places]
