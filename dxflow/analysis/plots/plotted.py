"""What was plotted: axes of matplotlib and the data that are drawn in them, which show themselves in notebooks."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...disk import ours
from .style import styled

if TYPE_CHECKING:
    from xarray import Dataset

    from .screen import Screen

SIZE = (5.2, 3.7)
"""Of a figure, inches."""


class Picture(Protocol):
    """What each kind of picture offers."""

    @property
    def data(self) -> Dataset:
        """The values that are drawn."""

    @property
    def title(self) -> str:
        """What it shows, in a line."""

    def draw(self, axes: Any) -> None:
        """Draw with matplotlib."""

    def text(self, screen: Screen) -> list[str]:
        """Return lines for a terminal."""


@dataclass(frozen=True, eq=False, repr=False)
class Plot:
    """Axes, and the data that are drawn in them: ``axes, data = ev.plot("xgm")``.

    In a notebook it shows itself as the last value of a cell, with any backend: figures are no part of pyplot's state.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    data : xarray.Dataset
        Counts, means, errors, edges of bins: as they are drawn.
    given : bool
        Whether the axes are the user's, whose figure shows itself where it was made.
    """

    axes: Any
    data: Dataset
    given: bool = False

    def __iter__(self) -> Iterator[Any]:
        return iter((self.axes, self.data))

    @property
    def figure(self) -> Any:
        """The figure."""
        return self.axes.figure

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write the figure to a file: PNG, PDF or SVG, by its suffix; `options` are those of `Figure.savefig`."""
        with styled():
            self.figure.savefig(path, **{"bbox_inches": "tight", **_ours(Path(path)), **options})
        return Path(path)

    def _repr_png_(self) -> bytes | None:
        if self.given:
            return None
        out = io.BytesIO()
        with styled():
            self.figure.savefig(out, format="png", dpi=self.figure.dpi)
        return out.getvalue()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim} {n}" for dim, n in self.data.sizes.items())
        return f"<Plot {self.axes.get_title(loc='left')!r}: axes, data ({sizes})>"


def plotted(picture: Picture, ax: Any = None) -> Plot:
    """Return a picture drawn into axes, or into a figure of its own."""
    with styled():
        axes = figure().subplots() if ax is None else ax
        others = [one for one in axes.figure.axes if one is not axes]
        before = {text: text.get_text() for text in _texts(axes)}
        picture.draw(axes)
        axes.set_title(picture.title, loc="left", wrap=True)
        literal(axes.figure, others, before)
    return Plot(axes, picture.data, given=ax is not None)


def literal(made: Any, others: Collection[Any] = (), before: Mapping[Any, str] | None = None) -> None:
    """Have names in a figure stand as they are: a dollar begins a formula only in the numbers along axes.

    Parameters
    ----------
    made : matplotlib.figure.Figure
    others : collection of matplotlib.axes.Axes
        The user's, which are left alone.
    before : mapping
        Texts that were there, and what they said: those that still do are the user's as well.
    """
    for axes in made.axes:
        named = [axis for axis in (axes.xaxis, axes.yaxis) if has_names(axis)]
        if axes in others:
            continue
        for text in [*_texts(axes), *(text for axis in named for text in axis.get_ticklabels())]:
            if (before or {}).get(text) != text.get_text():
                text.set_parse_math(False)


def _texts(axes: Any) -> list[Any]:
    """Return the texts of axes but those of their ticks."""
    legend = axes.get_legend()
    return [
        *(axes.title, axes._left_title, axes._right_title),
        *(axes.xaxis.label, axes.yaxis.label),
        *axes.texts,
        *([*legend.get_texts(), legend.get_title()] if legend else []),
    ]


def has_names(axis: Any) -> bool:
    """Return whether there are names along an axis, and no numbers."""
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    # The latter is what set_yticks makes of labels.
    return isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter))


def figure(size: tuple[float, float] = SIZE) -> Any:
    """Return a figure that no window system and no state of pyplot knows."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained", dpi=110)


def _ours(path: Path) -> dict[str, Any]:
    """Return what pictures say of themselves, in files that have a place for it."""
    return {"metadata": ours.SOFTWARE} if path.suffix.lower() == ".png" else {}
