"""Drawn: a picture as SVG within a page: texts stay texts, and lines have the colour of the text around."""

from __future__ import annotations

import io
import re
import warnings
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..analysis.plots.bars import Bars
from ..analysis.plots.maps import Map
from ..analysis.plots.plotted import has_names, literal
from ..analysis.plots.style import styled
from ..html.escaped import escaped, plain

if TYPE_CHECKING:
    from ..analysis.plots.plotted import Picture

SIZE = (4.3, 3.1)
"""Inches: on a phone its texts are as large as those of the page."""
MARGINS = {"left": 0.19, "right": 0.965, "bottom": 0.165, "top": 0.96}
INK = "#010203"
"""Stands for the colour of the text around."""
LABEL, NAME = 44, 24
"""Signs of the name of an axis, and of a name along one."""
TICKS = 5
"""Along an axis."""
DOTS = 120
"""Per inch, of what is no line."""
_STYLE = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    # The same picture has the same bits.
    "svg.hashsalt": "dxflow",
    "font.size": 8.5,
}
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_INK = re.compile(rf"\b(fill|stroke): {INK}\b")
_WHITE = re.compile(r"(<(?:use|path)\b[^>]*\bfill: )#ffffff\b")
_META = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_NAMES = re.compile(r'<g id="[\w. -]*"')
_OPEN = re.compile(r'<svg\b[^>]*?viewBox="([\d. ]+)"[^>]*>')
_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")


@contextmanager
def drawing() -> Iterator[None]:
    """Have pictures drawn for pages; entered once for many."""
    import matplotlib as mpl

    with styled(), mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Of signs that no font here has: the browser has its own.
        warnings.simplefilter("ignore")
        yield


def svg(picture: Picture, about: str, dots: float = DOTS) -> str:
    """Return a picture as an element of a page, within `drawing`.

    Parameters
    ----------
    about : str
        What it shows, for those who do not see it.
    dots : float
        Per inch, of images and maps.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import AutoLocator

    words = isinstance(picture, Bars) or (isinstance(picture, Map) and _words(picture))
    figure = Figure(figsize=SIZE, dpi=dots, layout="constrained" if words else None)
    if not words:
        figure.subplots_adjust(**MARGINS)
    axes = figure.add_subplot()
    picture.draw(axes)
    for axis in (axes.xaxis, axes.yaxis):
        # There is room for few, and each takes as long as all that is drawn.
        if isinstance(locator := axis.get_major_locator(), AutoLocator):
            locator.set_params(nbins=TICKS)
    literal(figure)
    _shorten(figure)
    out = io.StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata=_NOTHING, bbox_inches_restore=None)
    return _inline(out.getvalue(), about)


def _words(drawn: Map) -> bool:
    return drawn.x.words is not None or drawn.y.words is not None


def _shorten(figure: Any) -> None:
    """Cut names that would leave no room for what is drawn."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_text(_short(axis.label.get_text()))
            if has_names(axis):
                axis.set_ticks(
                    axis.get_majorticklocs(), [_short(t.get_text(), NAME) for t in axis.get_ticklabels()]
                )
                for text in axis.get_ticklabels():
                    text.set_parse_math(False)
        for text in axes.get_legend().get_texts() if axes.get_legend() else ():
            text.set_text(_short(text.get_text()))


def _short(text: str, most: int = LABEL) -> str:
    said = plain(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def _inline(text: str, about: str) -> str:
    """Return what is to stand in a page of what is a file."""
    found = _OPEN.search(text)
    assert found is not None
    inside = _META.sub("", text[found.end() :])
    inside = _NAMES.sub("<g", _WHITE.sub(r"\1var(--bg, #ffffff)", _INK.sub(r"\1: currentColor", inside)))
    inside = _PNG.sub(lambda m: f"data:image/png;base64,{_palette(m[1])}", inside)
    return f'<svg class="plot" role="img" aria-label="{escaped(about)}" viewBox="{found[1]}" fill="none">{inside}'


def _palette(png: str) -> str:
    """Return a PNG of few colours, which takes a quarter of the room."""
    from PIL import Image

    image = Image.open(io.BytesIO(b64decode(png)))
    out = io.BytesIO()
    image.quantize(256, Image.Quantize.FASTOCTREE).save(out, "png")
    return b64encode(out.getvalue()).decode()
