"""Columns of the table of runs: numbers that one chose from the results of tasks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.near import did_you_mean, listed
from ..errors.usage import UsageError, text_of
from ..errors.yamls import Section

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

HOW = ("mean", "std", "min", "max", "sum", "median", "first", "last", "n")
MOST = 200_000_000
"""Bytes of a variable that are read for one number."""
SHOWN = 80
"""Characters of a text."""


@dataclass(frozen=True)
class Column:
    """A number of each run: what is made of a variable of a task's result."""

    name: str
    task: str
    variable: str
    """``file.zarr:variable`` of a recipe's folder; ``@name`` is an attribute."""
    how: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.task, self.variable, self.how) if part)


def of(given: Section, tasks: Collection[str]) -> dict[str, Column]:
    """Return the columns that stand under ``columns``.

    Raises
    ------
    UsageError
        If they are none; the message names file, line and key.
    """
    found = given.get("columns")
    if found is None:
        return {}
    if not isinstance(found, Section):
        raise given.wrong(
            "expected names with 'TASK VARIABLE mean', such as 'xgm: table xgm.intensityTD mean'", "columns"
        )
    made = {}
    for name, text in found.items():
        try:
            made[str(name)] = column(str(name), text, tasks)
        except UsageError as e:
            raise found.wrong(str(e), name) from e
    return made


def column(name: str, text: Any, tasks: Collection[str]) -> Column:
    """Return a column by what is written: ``TASK VARIABLE``, and what is made of its values.

    Raises
    ------
    UsageError
        If it is none.
    """
    words = text.split() if isinstance(text, str) else []
    if len(words) not in (2, 3):
        raise UsageError(f"{text!r}: expected TASK VARIABLE, and perhaps one of {listed(HOW)}")
    if words[0] not in tasks:
        raise UsageError(
            f"{words[0]!r} is no task.{did_you_mean(words[0], tasks)} There are: {listed(tasks)}"
        )
    if words[2:] and words[2] not in HOW:
        raise UsageError(f"{words[2]!r}: expected one of {listed(HOW)}.{did_you_mean(words[2], HOW)}")
    return Column(name, *words)


@dataclass(frozen=True)
class Values:
    """Numbers of a result by column, their units, and why others are not there."""

    numbers: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def values(wanted: Mapping[str, Column], task: str, path: Path) -> Values:
    """Return the numbers of a result."""
    made = Values()
    for name, one in wanted.items():
        if one.task == task:
            try:
                made.numbers[name], unit = value(path, one.variable, one.how)
            # Whatever reading may raise: a column is not worth a task.
            except Exception as e:  # noqa: BLE001
                made.wrong.append(f"{name}: {text_of(e)}")
            else:
                made.units.update({name: unit} if unit else {})
    return made


def value(path: Path, variable: str, how: str = "") -> tuple[Any, str]:
    """Return one number or short text of a result, and its unit, "" if it has none.

    Raises
    ------
    KeyError
        If there is no such variable.
    ValueError
        If it is too large.
    """
    from ..analysis.columns import VALID

    file, _, variable = variable.rpartition(":")
    data = _dataset(path / file if file else path)
    if variable.startswith("@"):
        return _plain(_of(data.attrs, variable[1:])), ""
    found = _of(data.variables, variable)
    if found.nbytes > MOST:
        raise ValueError(f"{variable} has {found.nbytes} bytes: too many for a column")
    numbers = found.values
    if (valid := data.variables.get(f"{variable}{VALID}")) is not None:
        numbers = numbers[valid.values.astype(bool)]
    one = found.size == 1 and numbers.size == 1 and how not in ("n", "std")
    unit = "" if how == "n" else str(found.attrs.get("units", ""))
    return _plain(numbers.item() if one else _made(numbers, how or "mean")), unit[:SHOWN]


def _dataset(path: Path) -> xr.Dataset:
    from ..driver.result import open_result

    return open_result(path).dataset


def _of(there: Mapping[Any, Any], name: str) -> Any:
    if name not in there:
        near, all_ = did_you_mean(name, map(str, there)), listed(map(str, there))
        raise KeyError(f"there is no {name!r}.{near} There are: {all_}")
    return there[name]


def _made(numbers: np.ndarray, how: str) -> Any:
    """Return what is made of values, without those that are missing."""
    import numpy as np

    there = numbers[~np.isnan(numbers)] if numbers.dtype.kind == "f" else numbers.ravel()
    if how == "n":
        return int(there.size)
    if not there.size:
        return None
    if how in ("first", "last"):
        return there[0 if how == "first" else -1].item()
    if there.dtype.kind not in "biuf":
        raise ValueError("its values are no numbers: only first, last and n can be made of them")
    how_: Callable[[Any], Any] = getattr(np, how)
    return how_(
        there.astype("f8") if there.dtype.kind in "fb" or how not in ("min", "max", "sum") else there
    ).item()


def _plain(found: Any) -> Any:
    """Return what JSON knows."""
    found = found.item() if hasattr(found, "item") and getattr(found, "size", 1) == 1 else found
    if isinstance(found, float):
        return found if found - found == 0 else None
    return found if isinstance(found, (int, bool, type(None))) else str(found)[:SHOWN]


def titled(name: str, units: Mapping[str, str]) -> str:
    """Return the head of a column: its name, and its unit if it has one."""
    return f"{name} ({units[name]})" if units.get(name) else name


def shown(found: Any) -> str:
    """Return a value as a table shows it."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return "yes" if found else "no"
    return f"{found:.5g}" if isinstance(found, float) else str(found)
