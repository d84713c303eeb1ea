"""Regions: rectangles and pixels that are picked on an image with the mouse, as `RoiSum` and masks take them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ... import geometry as geometries
from . import style
from .images import assemble, beside, corners, of_array, of_modules
from .plotted import SIZE

if TYPE_CHECKING:
    from xarray import DataArray

MODES = {"a": "roi", "m": "mask", "u": "unmask"}
"""What a drag of the mouse means, by the key that says so; keys that windows of matplotlib use themselves are not."""
KEYS = dict.fromkeys(("move", "rotate", "square", "center"), "not-applicable")
"""Of the selector itself, so that rectangles are never turned."""
UNDO = "z"
HELP = "drag: add a region (a), pixels to leave out (m), to use again (u); z takes back"
NO_WINDOW = ("agg", "cairo", "inline", "pdf", "pgf", "ps", "svg", "template")
"""Backends that take no mouse."""
VEIL = (0.84, 0.37, 0.0, 0.6)
"""Colour, and opacity, of pixels that are left out."""


@dataclass(frozen=True)
class Roi:
    """A rectangle: for each module that it touches (module, first row, stop, first column, stop)."""

    name: str
    parts: tuple[tuple[int, int, int, int, int], ...]

    @property
    def names(self) -> list[str]:
        """What its parts are called."""
        return [self.name if len(self.parts) == 1 else f"{self.name}_m{part[0]}" for part in self.parts]


class Regions:
    """An image on which regions and pixels are picked; use what was picked at any time.

    Keys say what a drag of the mouse means: ``a`` a rectangle that becomes a region, ``m`` a line around pixels that
    are not to be used, ``u`` around those that are to be used again; ``z`` takes the last one back.

    Parameters
    ----------
    image : DataArray or array, (module, ss, fs) or (ss, fs)
        Such as ``result.dataset["average.mean"]``.
    geometry : path or object, optional
        As of `dxflow.geometry.positions`: modules are put together; side by side without.
    mask : array of bool, optional
        Pixels that are left out from the start, of the shape of the image.
    ax : matplotlib.axes.Axes, optional
        Of a figure that takes the mouse, such as one of ``plt.subplots()``. By default a new one of pyplot, whose
        windows these are: in notebooks after ``%matplotlib widget`` (ipympl), elsewhere with any window.

    Raises
    ------
    RuntimeError
        If there is no `ax` and no backend that takes the mouse.
    """

    def __init__(self, image: Any, geometry: Any = None, mask: Any = None, ax: Any = None) -> None:
        array = _array(image)
        positions = None if geometry is None else geometries.across(geometry)
        self._picture = of_array(array, positions, str(array.attrs.get("long_name") or array.name or "image"))
        self._shape, self._modules = array.shape, _numbers(array)
        self._places = _places(array, positions)
        self._given = np.shape(image)
        self._mask = _as_image(mask, array.shape, self._given)
        self._rois: list[Roi] = []
        self._done: list[tuple[str, Any]] = []
        self._drawn: dict[str, list[Any]] = {}
        self.axes = _window() if ax is None else ax
        self._show()

    @property
    def rois(self) -> dict[str, list[tuple[int, int]]]:
        """The regions, as ``RoiSum(rois=...)`` takes them: [(module, module + 1), (ss, stop), (fs, stop)] by name.

        A rectangle over several modules is one region for each: ``roi1_m3``, ``roi1_m4``.
        """
        return {
            name: [(m, m + 1), (s0, s1), (f0, f1)]
            for roi in self._rois
            for name, (m, s0, s1, f0, f1) in zip(roi.names, roi.parts, strict=True)
        }

    def regions(self, name: str) -> list[tuple[int, int, int, int, int]]:
        """Return one rectangle over all its modules, as ``RoiSum(regions=...)`` takes it."""
        found = {roi.name: roi.parts for roi in self._rois}
        if name not in found:
            raise KeyError(f"no region {name!r}; there are: {', '.join(found) or 'none'}")
        return list(found[name])

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels that are not used are True, of the shape of the image."""
        return self._mask.reshape(self._given).copy()

    @property
    def mode(self) -> str:
        """What a drag means: "roi", "mask" or "unmask"."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES.values():
            raise ValueError(f"mode={mode!r}; expected one of {', '.join(MODES.values())}")
        self._mode = mode
        self._rectangle.set_active(mode == "roi")
        self._lasso.set_active(mode != "roi")

    def add(self, x0: float, x1: float, y0: float, y1: float, name: str = "") -> None:
        """Add the rectangle between two corners of the axes; that without a pixel is none.

        Raises
        ------
        ValueError
            If there is a region of this name.
        """
        x, y = np.moveaxis(self._places, -1, 0)
        inside = (x >= min(x0, x1)) & (x <= max(x0, x1)) & (y >= min(y0, y1)) & (y <= max(y0, y1))
        parts = tuple(
            (number, *_box(one)) for number, one in zip(self._modules, inside, strict=True) if one.any()
        )
        if parts:
            made = Roi(name, parts) if name else self._free(parts)
            if self._taken(made):
                raise ValueError(f"name={name!r}: there is such a region; there are: {', '.join(self.rois)}")
            self._done.append(("roi", None))
            self._rois.append(made)
            self._draw_roi(min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1))

    def enclose(self, vertices: Any) -> None:
        """Leave out, or use again, the pixels within a line around them."""
        from matplotlib.path import Path

        inside = Path(np.asarray(vertices)).contains_points(self._places.reshape(-1, 2))
        self._done.append(("mask", self._mask))
        kept = inside.reshape(self._shape)
        self._mask = self._mask | kept if self._mode == "mask" else self._mask & ~kept
        self._draw_mask()

    def undo(self) -> None:
        """Take back what was picked last."""
        if not self._done:
            return
        what, before = self._done.pop()
        if what == "mask":
            self._mask = before
            self._draw_mask()
            return
        for artist in self._drawn.pop(self._rois.pop().name):
            artist.remove()
        self.axes.figure.canvas.draw_idle()

    def _free(self, parts: tuple[tuple[int, int, int, int, int], ...]) -> Roi:
        """Return a region with a name that no other has."""
        return next(roi for n in count(1) if not self._taken(roi := Roi(f"roi{n}", parts)))

    def _taken(self, made: Roi) -> bool:
        """Return whether a region, or a part of one, is called as this one or a part of it."""
        return any({roi.name, *roi.names} & {made.name, *made.names} for roi in self._rois)

    # The figure -----------------------------------------------------------------------------------

    def _show(self) -> None:
        from matplotlib.backend_bases import MouseButton
        from matplotlib.widgets import LassoSelector, RectangleSelector

        with style.styled():
            self._picture.draw(self.axes)
        self.axes.set_title(HELP, loc="left", fontsize=8)
        self._veil = self.axes.imshow(np.zeros((1, 1, 4)), zorder=3, **self._placed())
        # Widgets work as long as somebody holds them.
        self._rectangle = RectangleSelector(
            self.axes, self._picked, button=MouseButton.LEFT, state_modifier_keys=KEYS
        )
        self._lasso = LassoSelector(self.axes, self.enclose, button=MouseButton.LEFT)
        self._key = self.axes.figure.canvas.mpl_connect("key_press_event", self._pressed)
        self.mode = "roi"
        self._draw_mask()

    def _placed(self) -> dict[str, Any]:
        """Return where an image of all pixels is drawn."""
        left, right, bottom, top = self._picture.data.attrs["extent"]
        up = self._picture.up
        extent = (left, right, bottom, top) if up else (left, right, top, bottom)
        return {"extent": extent, "origin": "lower" if up else "upper", "interpolation": "nearest"}

    def _picked(self, pressed: Any, released: Any) -> None:
        self.add(pressed.xdata, released.xdata, pressed.ydata, released.ydata)

    def _pressed(self, event: Any) -> None:
        if event.key == UNDO:
            self.undo()
        elif event.key in MODES:
            self.mode = MODES[event.key]

    def _draw_roi(self, left: float, right: float, low: float, high: float) -> None:
        name, colour = self._rois[-1].name, style.COLOURS[(len(self._rois) - 1) % 4]
        from matplotlib.patches import Rectangle

        box = Rectangle((left, low), right - left, high - low, fill=False, ec=colour, lw=1.5, zorder=4)
        said = self.axes.text(
            left, high, name, color="white", fontsize=7, zorder=5, bbox={"color": colour, "pad": 1}
        )
        self._drawn[name] = [self.axes.add_patch(box), said]
        self.axes.figure.canvas.draw_idle()

    def _draw_mask(self) -> None:
        drawn = _drawn(self._mask, self._places if self._picture.up else None)
        veil = np.zeros((*drawn.shape, 4))
        veil[drawn > 0] = VEIL
        self._veil.set_data(veil)
        self.axes.figure.canvas.draw_idle()


def _array(image: Any) -> DataArray:
    """Return an image as an array with modules."""
    import xarray as xr

    array = image if isinstance(image, xr.DataArray) else xr.DataArray(np.asarray(image), name="image")
    if array.ndim == 2:
        array = array.expand_dims("module")
    if array.ndim != 3:
        raise ValueError(f"the image is {array.shape}; expected (module, ss, fs) or (ss, fs)")
    return array.rename(dict(zip(array.dims[1:], ("ss", "fs"), strict=True)))


def _as_image(mask: Any, shape: tuple[int, ...], given: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask of an image with modules: of its shape, or of one module without that axis."""
    made = np.zeros(shape, bool) if mask is None else np.array(mask, bool)
    if made.shape not in (shape, given, shape[1:] if shape[0] == 1 else shape):
        raise ValueError(f"mask= is {made.shape}; expected {given}, as the image")
    return made.reshape(shape)


def _numbers(array: DataArray) -> list[int]:
    """Return the numbers of the modules."""
    dim = array.dims[0]
    return [int(n) for n in (array[dim].values if dim in array.coords else range(len(array)))]


def _places(array: DataArray, positions: NDArray | None) -> NDArray:
    """Return where the centre of each pixel is in the axes, (module, ss, fs, 2)."""
    if positions is not None:
        return 1e3 * of_modules(array, positions)[..., :2]
    ss, fs = np.indices(array.shape[1:])
    return np.stack([np.stack([fs + column, ss + row], -1) for column, row in corners(*array.shape)]).astype(
        float
    )


def _drawn(mask: NDArray, places: NDArray | None) -> NDArray:
    """Return a mask as it lies in the image, 0 in gaps."""
    if places is None:
        return np.nan_to_num(beside(mask)[0])
    return np.nan_to_num(assemble(mask.astype(float), places / 1e3)[0])


def _box(inside: NDArray) -> tuple[int, int, int, int]:
    """Return the first row, the one after the last, and the same of columns, of pixels of a module."""
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _window() -> Any:
    """Return axes of a new window, or of a new cell of a notebook, that takes the mouse."""
    from matplotlib import pyplot

    backend = str(pyplot.get_backend()).lower()
    if backend.rpartition("backend_")[2] in NO_WINDOW:
        raise RuntimeError(
            f"the backend {backend!r} takes no mouse: in a notebook say %matplotlib widget (pip install ipympl), "
            "elsewhere matplotlib.use('qtagg') or another with windows, or give ax= of such a figure"
        )
    return pyplot.figure(figsize=(1.5 * SIZE[0], 1.5 * SIZE[1]), layout="constrained").add_subplot()
