"""Tables for notebooks, from plain values; everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from .escaped import escaped

# Jupyter aligns cells right, stripes rows and breaks no words; colours are its own, so that dark themes work.
TABLE = "color:inherit;border-collapse:collapse;margin:0;font-size:13px;max-width:100%"
LABEL = "text-align:left;vertical-align:top;padding:2px 14px 2px 0;font-weight:600;background:none;border:0;"
SHORT, WRAPPED = "white-space:nowrap", "overflow-wrap:anywhere;min-width:8em;max-width:20em"
LINE = 30
"""Signs of a label that stays in one line."""
CELL = "text-align:left;vertical-align:top;padding:2px 0;background:none;border:0;overflow-wrap:anywhere"
TITLE = "font-weight:600;font-size:14px;padding:4px 0;border-bottom:1px solid currentColor;margin-bottom:4px"
MUTED = "opacity:0.65;font-weight:400"


def table(title: str, rows: Iterable[tuple[str, str]], note: str = "") -> str:
    """Return a title and rows of label and text; neighbours with the same label are one row.

    Parameters
    ----------
    note : str
        Behind the title, fainter.
    """
    groups = [(label, [what for _, what in same]) for label, same in groupby(rows, key=lambda row: row[0])]
    body = "".join(
        f'<tr style="background:none"><th style="{_of_label(label)}">{escaped(label)}</th>'
        f'<td style="{CELL}">{"<br>".join(_line(what) for what in lines)}</td></tr>'
        for label, lines in groups
    )
    return f'{_title(title, note)}<table style="{TABLE}"><tbody>{body}</tbody></table>'


def columns(title: str, head: Sequence[str], rows: Iterable[Sequence[str]], note: str = "") -> str:
    """Return a title and a table with a heading for each column.

    Parameters
    ----------
    note : str
        Behind the title, fainter.
    """
    first = _row("th", f"{LABEL}{SHORT}", head)
    rest = "".join(_row("td", f"{CELL};padding-right:14px", row) for row in rows)
    return f'{_title(title, note)}<table style="{TABLE}"><thead>{first}</thead><tbody>{rest}</tbody></table>'


def _row(tag: str, style: str, cells: Sequence[str]) -> str:
    made = "".join(f'<{tag} style="{style}">{escaped(cell)}</{tag}>' for cell in cells)
    return f'<tr style="background:none">{made}</tr>'


def _of_label(label: str) -> str:
    return LABEL + (SHORT if len(label) <= LINE else WRAPPED)


def _title(title: str, note: str) -> str:
    if not (title or note):
        return ""
    said = f' <span style="{MUTED}">{escaped(note)}</span>' if note else ""
    return f'<div style="{TITLE}">{escaped(title)}{said}</div>'


def _line(text: str) -> str:
    """Return escaped text; what is indented stays so."""
    spaces = len(text) - len(text.lstrip(" "))
    return "&emsp;" * (spaces // 2) + escaped(text.lstrip(" "))


def folded(summary: str, html: str, *, opened: bool = False) -> str:
    """Return something that opens, or closes, when its title is clicked."""
    return f'<details style="margin-top:6px"{" open" * opened}><summary>{escaped(summary)}</summary>{html}</details>'
