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
from ..analysis.plots.histogram import Histogram
from ..analysis.plots.images import Image
from ..analysis.plots.lines import Line
from ..analysis.plots.maps import Map
from ..analysis.plots.plotted import has_names, literal
from ..analysis.plots.points import Points
from ..analysis.plots.style import styled
from ..html.escaped import escaped, plain

if TYPE_CHECKING:
    from ..analysis.plots.plotted import Picture

SIZE = (4.3, 3.1)
"""Inches: on a phone its texts are as large as those of the page."""
MARGINS = {"left": 0.19, "right": 0.965, "bottom": 0.165, "top": 0.945}
WITHIN = 0.99
"""Part of the width in which everything is."""
WIDER = 1.08
"""How many times as long as here a text may be in the font of a browser."""
INK = "#010203"
"""Stands for the colour of the text around."""
LABEL, NAME, SURE = 44, 24, 20
"""Signs of the name of an axis, and of a name along one; of a name of an axis for which there is always room."""
TICKS = 5
"""Along an axis."""
DOTS, POINTS = 120, 72
"""Per inch, of what is no line, and of SVG."""
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    # The same picture has the same bits.
    "svg.hashsalt": "dxflow",
    "font.size": 8.5,
}
_NOTHING = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_INK = re.compile(rf"\b(fill|stroke): {INK}\b")
_WHITE = re.compile(r"(<(?:use|path)\b[^>]*\bfill: )#ffffff\b")
# The style of joints is that of the page; of what is said of a file nothing is of use in one.
_META = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style type=\"text/css\">[^<]*</style>\s*</defs>", re.DOTALL
)
_NAMES = re.compile(r'<g id="[\w. -]*"')
_OPEN = re.compile(r'<svg\b[^>]*?viewBox="([\d. ]+)"[^>]*>')
_PNG = re.compile(r"data:image/png;base64,([\w+/=\s]+)")
# Which no text of a picture can be: others have no controls.
_PIXELS = "data:\x00"


@contextmanager
def drawing() -> Iterator[None]:
    """Have pictures drawn for pages; entered once for many."""
    import matplotlib as mpl

    with styled(), mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Of signs that no font here has: the browser has its own.
        warnings.simplefilter("ignore")
        yield


class Easel:
    """What pictures are drawn on, within `drawing`: those that have no more than plain axes use the same ones again.

    To make axes takes as long as to draw in them.
    """

    def __init__(self) -> None:
        self._plain: Any = None

    def svg(self, picture: Picture, about: str, dots: float = DOTS) -> str:
        """Return a picture as an element of a page.

        Parameters
        ----------
        about : str
            What it shows, for those who do not see it.
        dots : float
            Per inch, of images and maps.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        axes = self._axes(picture, dots)
        figure = axes.figure
        # Letters are measured alike, whatever was drawn before.
        FigureCanvasAgg(figure)
        picture.draw(axes)
        _few(axes, picture)
        literal(figure)
        _shorten(figure)
        _fit(figure)
        _within(figure)
        out = io.StringIO()
        FigureCanvasSVG(figure).print_svg(out, metadata=_NOTHING, bbox_inches_restore=None)
        if _again(picture):
            _clear(axes)
            self._plain = axes
        return _inline(out.getvalue(), about)

    def _axes(self, picture: Picture, dots: float) -> Any:
        """Return axes with nothing in them."""
        from matplotlib.figure import Figure

        if self._plain is not None and _again(picture):
            # One that fails while it draws leaves none.
            axes, self._plain = self._plain, None
            return axes
        words = isinstance(picture, Bars) or (isinstance(picture, Map) and _words(picture))
        figure = Figure(figsize=SIZE, dpi=dots, layout="constrained" if words else None)
        if not words:
            figure.subplots_adjust(**MARGINS)
        return figure.add_subplot()


def _again(picture: Picture) -> bool:
    """Return whether axes are as they were once what a picture has drawn is taken out of them."""
    if not isinstance(picture, (Line, Histogram, Points)):
        return False
    # Axes of times stay axes of times.
    return all(v.dtype.kind in "iufbU" for v in picture.data.variables.values())


def _clear(axes: Any) -> None:
    """Take out all that was drawn."""
    for artist in (*axes.lines, *axes.collections, *axes.patches, *axes.texts):
        artist.remove()
    axes.containers.clear()
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    axes.set_prop_cycle(None)
    axes.relim()
    axes.margins(x=0.05, y=0.05)
    axes.set(xscale="linear", yscale="linear", xlabel="", ylabel="", xlim=(0, 1), ylim=(0, 1))
    axes.xaxis.label.set_x(0.5)
    axes.yaxis.label.set_y(0.5)
    # Of what comes, while these limits stay where nothing does.
    axes.set(autoscalex_on=True, autoscaley_on=True)


def _few(axes: Any, picture: Picture) -> None:
    """Have few ticks: there is no room for many, and each takes as long as all that is drawn."""
    from matplotlib.ticker import AutoLocator

    shares = [1.0, 1.0]
    if isinstance(picture, Image):
        left, right, bottom, top = picture.data.attrs["extent"]
        wide, high = abs(right - left), abs(top - bottom)
        shares = [min(wide / high, 1), min(1.2 * high / wide, 1)] if wide and high else shares
    for axis, share in zip((axes.xaxis, axes.yaxis), shares, strict=True):
        if isinstance(locator := axis.get_major_locator(), AutoLocator):
            locator.set_params(nbins=max(round(TICKS * share), 1))


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


def _fit(figure: Any) -> None:
    """Make room for what colours mean: how wide it is follows from their ticks."""
    if figure.get_layout_engine() is not None or len(figure.axes) < 2:
        return
    bars = [axes.yaxis for axes in figure.axes[1:]]
    over = max(axis.get_tightbbox().x1 for axis in bars) / figure.bbox.width - WITHIN
    # The power of ten, if there is one.
    above = max(axis.offsetText.get_window_extent().y1 for axis in bars) / figure.bbox.height - WITHIN
    figure.subplots_adjust(
        right=max(MARGINS["right"] - max(over, 0), 0.5), top=MARGINS["top"] - min(max(above, 0), 0.2)
    )


def _within(figure: Any) -> None:
    """Have the names of axes within the picture: moved along the axis, and cut if they are longer than it all."""
    long = [
        (axes, axis, n)
        for axes in figure.axes
        for n, axis in enumerate((axes.xaxis, axes.yaxis))
        if len(axis.label.get_text()) > SURE
    ]
    if not long:
        return
    dots, figure.dpi = figure.dpi, POINTS
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)
    # The one that a text was drawn with before may have other dots.
    renderer = figure.canvas.get_renderer()
    for axes, axis, n in long:
        label, room = axis.label, (figure.bbox.width, figure.bbox.height)[n] * WITHIN
        size = WIDER * label.get_window_extent(renderer).size[n]
        if size > room:
            label.set_text(_short(label.get_text(), max(int(LABEL * room / size) - 1, SURE)))
            size = WIDER * label.get_window_extent(renderer).size[n]
        low, length = axes.bbox.min[n], axes.bbox.size[n]
        middle = min(max(low + length / 2, figure.bbox.size[n] * (1 - WITHIN) + size / 2), room - size / 2)
        (label.set_x, label.set_y)[n]((middle - low) / length)
    figure.dpi = dots


def _short(text: str, most: int = LABEL) -> str:
    said = plain(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def _inline(text: str, about: str) -> str:
    """Return what is to stand in a page of what is a file."""
    found = _OPEN.search(text)
    assert found is not None
    # Without the pixels, which are most of it, the rest is soon searched.
    parts = _PNG.split(text[found.end() :])
    inside = _META.sub("", _PIXELS.join(parts[::2]))
    inside = _NAMES.sub("<g", _WHITE.sub(r"\1var(--bg, #ffffff)", _INK.sub(r"\1: currentColor", inside)))
    for png in parts[1::2]:
        inside = inside.replace(_PIXELS, f"data:image/png;base64,{_palette(png)}", 1)
    return f'<svg class="plot" role="img" aria-label="{escaped(about)}" viewBox="{found[1]}" fill="none">{inside}'


def _palette(png: str) -> str:
    """Return a PNG of few colours, which takes a quarter of the room."""
    import PIL.Image

    image = PIL.Image.open(io.BytesIO(b64decode(png)))
    out = io.BytesIO()
    image.quantize(256, PIL.Image.Quantize.FASTOCTREE).save(out, "png")
    return b64encode(out.getvalue()).decode()
