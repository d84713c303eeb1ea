"""What there is in a table: its variables with shape, unit, rate and source, as text and for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import html
from ..run.losses import from_json
from ..run.losses import lines as lines_of
from .rows import PULSE, RUN, TRAIN

if TYPE_CHECKING:
    from pandas import DataFrame

    from .added import Listed

MOST = 200
"""Variables that a text lists."""
LOST = 6
"""Lines of what was lost."""
WIDEST = 60
"""Letters of a cell of a text."""
HEAD = ("name", "shape", "unit", "per", "source", "values")
WHERE = {True: "in memory", False: "on disk"}
RATES = (PULSE, TRAIN, RUN)


class Line(NamedTuple):
    """What is said of a variable."""

    name: str
    shape: str
    unit: str
    rate: str
    source: str
    where: str


def lines(table: Listed) -> list[Line]:
    """Return what there is, by rate, in the order of the table; nothing is read for it."""
    found = [_line(table, name) for name in table.names]
    return sorted(found, key=lambda line: RATES.index(line.rate))


def _line(table: Listed, name: str) -> Line:
    array = table.data[name]
    sizes = [f"{dim} {n}" if dim in RATES else str(n) for dim, n in array.sizes.items()]
    unit = str(array.attrs.get("units", ""))
    here = array.variable._in_memory or table.columns.holds(name)
    return Line(name, " x ".join(sizes) or "one", unit, table.rate(name), _source(table, name), WHERE[here])


def _source(table: Listed, name: str) -> str:
    """Return what a variable comes from, as far as its attributes say."""
    attrs = table.data[name].attrs
    if name in table.added:
        return f"= {table.added[name].expression or 'data'}"
    return next((str(attrs[key]) for key in ("source", "detector", "long_name") if attrs.get(key)), "")


def title(table: Listed) -> str:
    """Return what a table is, in a few words."""
    attrs, rows = table.data.attrs, len(table.rows)
    kind = str(attrs.get("rows", "rows"))
    sizes = [f"{rows} {kind}"] if PULSE in table.data.dims else []
    sizes += [f"{len(table.rows.trains)} trains"] if TRAIN in table.data.dims else []
    runs = table.data.attrs.get(RUN)
    of = (
        f" of {len(runs)} runs"
        if isinstance(runs, (list, tuple))
        else f" of run {Path(str(runs)).name}"
        if runs
        else ""
    )
    return f"{', '.join(sizes) or 'no rows'}{of}"


def losses(table: Listed) -> DataFrame:
    """Return what could not be used."""
    from ..run.tables import table as made

    return made(from_json(table.about.get("losses", ())))


def lost(table: Listed) -> list[str]:
    """Return what could not be used, in words."""
    return lines_of(from_json(table.about.get("losses", ())))


def told(table: Listed) -> list[str]:
    """Return the first lines of what was lost."""
    found = lost(table)
    more = [f"lost: {len(found) - LOST} more: ev.losses"] if len(found) > LOST else []
    return [*(f"lost: {line}" for line in found[:LOST]), *more]


def notes(table: Listed) -> Iterator[str]:
    """Yield what else is to be said: selections, what is out of date, what was left out, what was lost."""
    if table.selections:
        yield f"selections: {', '.join(table.selections)}"
    yield from (str(one) for one in table.added.values() if one.stale)
    yield from map(str, table.about.get("notes", ()))
    yield from told(table)


def text(table: Listed) -> str:
    """Return all of it as text."""
    found = lines(table)
    shown = [HEAD, *(tuple(_cut(cell) for cell in line) for line in found[:MOST])]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    body = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in shown]
    more = [f"... and {len(found) - MOST} more: ev.names"] if len(found) > MOST else []
    where = f" {table.path}" if table.path else ""
    return "\n".join([f"<dxflow.Table{where}: {title(table)}>", *body, *more, *notes(table)])


def _cut(cell: str) -> str:
    return cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 3]}..."


def notebook(table: Listed) -> str:
    """Return all of it for a notebook."""
    made = html.columns("Table", HEAD, lines(table), f"{title(table)} {table.path or ''}")
    said = [("", one) for one in notes(table)]
    return made + (html.table("", said) if said else "") + html.folded("data", table.data._repr_html_())
