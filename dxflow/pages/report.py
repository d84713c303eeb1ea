"""Report: a result, table or cube as one HTML file that needs nothing else: how it was made, and all that is in it.

::

    write("x.zarr")                     # x.html, beside it
    page_of(dxflow.open("x.zarr"))      # the text of the page
"""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis import listing
from ..analysis.opening import open as open_
from ..analysis.show import opened
from ..analysis.tables import Table
from ..disk import ours
from ..disk.replace import put
from ..driver.livewords import result_of
from ..driver.result import Result
from ..errors import PlanError
from ..errors.kinds import PATH, expect
from ..errors.usage import text_of
from ..html import page
from ..html.escaped import escaped, ident
from ..planning.places import run_folders
from . import sections
from .figures import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..planning.public import Plan

SUFFIXES = (".html", ".htm")


def write(what: Any, to: Any = None, *, geometry: Any = None, distance: float | None = None) -> Path:
    """Write the report of something, in place of an earlier report at most; return where it is.

    Parameters
    ----------
    what : path, Result, Table, Cube or Picks
    to : path, optional
        ``x.html`` beside ``x.zarr`` by default.
    geometry, distance
        As of `dxflow.analysis.show`: by default the geometry beside the run, if it is there.

    Raises
    ------
    ValueError
        If something else is there, or `to` is no name of a page.
    """
    found = open_(what) if isinstance(what, (str, Path, list, tuple)) else what
    path = place(to, getattr(found, "path", None))
    if why := obstacle(path, getattr(found, "path", None)):
        raise ValueError(why)
    text = page_of(found, geometry=geometry, distance=distance)
    put(path, text)
    return path


def reporting(plan: Plan, to: Any) -> Callable[[Result], Result]:
    """Return what writes the report of the result of a plan, and returns the result.

    A result that took hours is there also where its page could not be drawn: then a warning says so.

    Parameters
    ----------
    to : True or path
        ``x.html`` beside the result if it is True.

    Raises
    ------
    PlanError
        If something else is where the report goes, or the result has no name after which it could be called.
    """
    try:
        path = place(None if to is True else to, None if plan.store.temporary else plan.store.path)
    except (TypeError, ValueError) as e:
        raise PlanError(f"report=: {e}".replace("to='x.html'", "report='x.html'")) from e
    if why := obstacle(path, plan.store.path, run_folders(plan)):
        raise PlanError(why)

    def written(result: Result) -> Result:
        try:
            write(result, path)
        except Exception as e:  # noqa: BLE001
            warnings.warn(
                f"{path}: no report was written: {e}; the result is whole: {result.path}", stacklevel=3
            )
        return result

    return written


def place(to: Any, result: Any) -> Path:
    """Return where the report of a result goes.

    Raises
    ------
    ValueError
        If that cannot be the name of a page, or has to be given.
    """
    if to is None:
        if result is None:
            raise ValueError(
                "this has no name after which its report could be called: say where it goes, to='x.html'"
            )
        return _named_after(Path(result)).with_suffix(SUFFIXES[0])
    expect(PATH, to, "to=")
    if Path(to).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{to}: expected the name of a page, such as {Path(to).stem or 'x'}.html")
    return Path(to)


def _named_after(result: Path) -> Path:
    """Return the result after which a report is called: a snapshot soon goes, with the folder that it is in."""
    return result_of(result) if result.parent.suffix == ".live" else result


def obstacle(path: Path, result: Any = None, runs: Sequence[Path] = ()) -> str:
    """Return why a report must not be written there; "" if it may: nothing is there, or an earlier report.

    Parameters
    ----------
    result : path, optional
        What it is about, which need not be there yet.
    runs : sequence of path
        Run directories, beside those that are seen to be some.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"{path}: there is no folder {folder}"
    if not os.access(folder, os.W_OK):
        return f"{path}: nothing may be written in {folder}: choose another folder (--to, to=)"
    read = [] if result is None else [result]
    return ours.obstacle(path, [ours.REPORT], read) or ours.inside_any_run(path, runs)


def page_of(what: Any, *, geometry: Any = None, distance: float | None = None) -> str:
    """Return the report of something as the text of a page."""
    about = sections.of_result(what) if _reduced(what) else [_heading(what), *_of_table(what)]
    variables = [] if _copied(what) else Figures(_data(what), what.path, geometry, distance).sections()
    title = f"{_named_after(what.path).name if what.path else 'dxflow'}: report"
    return page.page(title, [*about, *variables], generator(), _foot(what))


def generator() -> str:
    """Return what reports say of themselves, by which they are known."""
    return f"{ours.SOFTWARE['Software']} {version('dxflow')} report"


def _copied(what: Any) -> bool:
    return isinstance(what, Result) and what.is_copy


def _reduced(what: Any) -> bool:
    return isinstance(what, Result) and not what.is_copy


def _data(what: Any) -> Any:
    return what.dataset if isinstance(what, Result) else opened(what)[0]


def _heading(what: Any) -> page.Section:
    """Return what a table, a cube, picks or a copy say of themselves."""
    lines = what.report().splitlines() if isinstance(what, Result) else opened(what)[1]
    kind = "Copy" if isinstance(what, Result) else type(what).__name__
    name = Path(what.path).name if what.path else ""
    text = "\n".join(lines)
    return page.Section("top", "", f"<h1>{escaped(f'{kind} {name}')}</h1><pre>{escaped(text, 100_000)}</pre>")


def _of_table(what: Any) -> list[page.Section]:
    """Return what was lost for a table, cube or picks; of a table variables, selections with their cutflows, notes."""
    about = getattr(what, "about", None) or {}
    lost = [sections.losses_of(about["losses"])] if "losses" in about else []
    if not isinstance(what, Table):
        return lost
    found = [
        *lost,
        page.Section(
            "listing", "Table", page.grid(listing.HEAD, listing.lines(what), texts=len(listing.HEAD))
        ),
    ]
    found += [_of_selection(what, name) for name in what.selections]
    told = [one for one in listing.notes(what) if not one.startswith("lost: ")]
    if said := "".join(f"<li>{escaped(one)}</li>" for one in told):
        found.append(page.Section("notes", "Notes", f"<ul>{said}</ul>"))
    return found


def _of_selection(table: Table, name: str) -> page.Section:
    """Return the cutflow of a selection, or why there is none: a variable may be out of date, or damaged."""
    section = ident(name, "selection"), f"Selection {name}"
    try:
        cuts = table.selections.cutflow(name)
    except (KeyError, ValueError, TypeError, OSError) as e:
        said = f"{' & '.join(map(str, table.selections[name].cuts))}: not counted: {text_of(e)}"
        return page.Section(*section, f'<p class="warn">{escaped(said, 1000)}</p>')
    rows = [[str(cut), *(str(n) for n in row)] for cut, row in zip(cuts.index, cuts.values, strict=True)]
    head = ["condition", *(str(one).replace("_", " ") for one in cuts.columns)]
    return page.Section(*section, page.grid(head, rows))


def _foot(what: Any) -> str:
    """Return how all numbers are had, and what made the page."""
    all_numbers = f"dxflow.open({str(what.path)!r})" if what.path else ""
    code = (
        f"<p>All numbers: <code>{escaped(all_numbers)}</code></p>"
        if all_numbers and not _copied(what)
        else ""
    )
    return f'{code}<p class="muted">{escaped(generator())}</p>'
