"""Image: pixels of modules where they are, put together by a geometry; without one, modules beside each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...run import detectors
from . import style
from .grids import Grid
from .maps import framed, scale
from .screen import MARGIN, Screen, Span, resampled, rows_of, shaded

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

GAP = 0.03
"""Between modules that are drawn beside each other, as a part of the longer side."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image whose pixels are as high as they are wide.

    `data` has ``image (row, column)``; its attributes are the labels of the axes and the ends of the image, ``extent``.
    `up` says whether rows go upwards, `named` where modules are and how they are called, `pixels` are all there are, as
    in the variable, where the image has them in other places, `whole` whether they are whole numbers.
    """

    data: Dataset
    what: str
    title: str = ""
    up: bool = False
    named: tuple[tuple[float, float, str], ...] = ()
    pixels: DataArray | None = None
    whole: bool = False

    def draw(self, axes: Any) -> None:
        """Draw pixels, and the names of modules."""
        values, (left, right, bottom, top) = self.data["image"].values, self.data.attrs["extent"]
        axes.set(xlabel=self.data.attrs["x"], ylabel=self.data.attrs["y"])
        if not np.isfinite(values).any():
            return style.nothing(axes)
        low, high = style.limits(values, whole=self.whole)
        extent = (left, right, bottom, top) if self.up else (left, right, top, bottom)
        cmap = style.ABOUT_ZERO if style.both_ways(low, high) else style.RISING
        origin = "lower" if self.up else "upper"
        shown = axes.imshow(values, cmap=cmap, vmin=low, vmax=high, extent=extent, origin=origin)
        axes.set_facecolor(style.EMPTY)
        for x, y, name in self.named:
            axes.text(x, y, name, fontsize=7, va="top", color="white", bbox={"color": "#0008", "pad": 1})
        style.coloured(axes, shown, values, self.what, whole=self.whole)
        return None

    def text(self, screen: Screen) -> list[str]:
        """Draw in colours or shades, as large as fits."""
        values, (left, right, bottom, top) = self.data["image"].values, self.data.attrs["extent"]
        if not np.isfinite(values).any():
            return [self.title, "no values"]
        fine = 2 if screen.colour and screen.unicode else 1
        shape = _fitting(values.shape, rows_of(screen, 7), screen.width - MARGIN - 2, fine)
        low, high = style.limits(values, whole=self.whole)
        drawn = resampled(values[::-1] if self.up else values, shape)
        lines = shaded(drawn, low, high, screen, both_ways=style.both_ways(low, high))
        x = Span(left, right, name=self.data.attrs["x"])
        y = Span(bottom, top) if self.up else Span(top, bottom)
        y = Span(y.low, y.high, name=self.data.attrs["y"])
        return [self.title, *framed(lines, x, y, shape[1]), scale(self.what, low, high, screen)]


def _fitting(shape: tuple[int, ...], rows: int, columns: int, fine: int) -> tuple[int, int]:
    """Return rows and columns of signs, or of halves of them, for an image: a sign is twice as high as wide."""
    across = 2 // fine
    scale = min(rows * fine / shape[0], columns / (shape[1] * across))
    return max(round(shape[0] * scale), 1), max(round(shape[1] * across * scale), 1)


def of_array(array: DataArray, positions: NDArray | Places | None, title: str) -> Image:
    """Return an array of ([module,] ss, fs) or (y, x) as an image.

    Parameters
    ----------
    positions : Places or ndarray, (module, ss, fs, 3), optional
        Pixel centres of the modules of the array, or of all of the detector, m.
    """
    what = style.label(str(array.name), array.attrs.get("units"))
    made = _put(array, positions, what, title)
    return replace(made, whole=array.dtype.kind in "iub")


def _put(array: DataArray, positions: NDArray | Places | None, what: str, title: str) -> Image:
    if array.dims[-2:] == ("y", "x"):
        return _plane(array, what, title)
    if positions is not None:
        return _assembled(array, positions, what, title)
    modules = array.values if array.ndim == 3 else array.values[None]
    names = (
        array[array.dims[0]].values
        if array.ndim == 3 and array.dims[0] in array.coords
        else range(len(modules))
    )
    image, places = beside(modules)
    named = (
        tuple((x, y, str(name)) for (x, y), name in zip(places, names, strict=True))
        if len(modules) > 1
        else ()
    )
    extent = (-0.5, image.shape[1] - 0.5, -0.5, image.shape[0] - 0.5)
    grid = " of modules side by side" if len(modules) > 1 else ""
    return _image(image, extent, (f"fs (pixels{grid})", f"ss (pixels{grid})"), what, title, named=named)


def _plane(array: DataArray, what: str, title: str) -> Image:
    """Return an image that is in the laboratory plane already, in mm where its coordinates are in m."""
    ends: list[float] = []
    labels = []
    for dim in ("x", "y"):
        metres = dim in array.coords and array[dim].attrs.get("units") == "m"
        at = style.edges(array[dim].values if dim in array.coords else np.arange(array.sizes[dim]))
        ends += [float(at[0]) * (1e3 if metres else 1), float(at[-1]) * (1e3 if metres else 1)]
        labels.append(f"{dim} (mm)" if metres else style.label(dim, array[dim].attrs.get("units", "")))
    return _image(array.values, tuple(ends), tuple(labels), what, title, up=True)


def _assembled(array: DataArray, positions: NDArray | Places, what: str, title: str) -> Image:
    values = array.values if array.ndim == 3 else array.values[None]
    places = positions if isinstance(positions, Places) else Places(positions)
    grid = places.grid(array)
    made = _image(grid.filled(values), grid.extent, ("x (mm)", "y (mm)"), what, title, up=True, pixels=array)
    # Whoever takes the numbers of the image for those of the detector should know.
    behind = f"; {grid.hidden} of {values.size} pixels are behind others" if grid.hidden else ""
    made.data.attrs["points"] = f"each is the value of the pixel that is there{behind}"
    return made


def of_modules(array: DataArray, positions: NDArray) -> NDArray:
    """Return the positions of the modules that an array has.

    Raises
    ------
    ValueError
        If the geometry is that of another detector.
    """
    shape = array.shape if array.ndim == 3 else (1, *array.shape)
    first = detectors.first_of(str(array.attrs.get("detector", "")))
    numbers = [n - first for n in numbers_of(array)]
    if len(positions) != shape[0] and numbers and 0 <= min(numbers) <= max(numbers) < len(positions):
        positions = positions[numbers]
    if positions.shape[:3] != shape:
        raise ValueError(
            f"the geometry has (module, ss, fs) = {positions.shape[:3]}, {array.name} is {shape}: give the geometry of "
            "this detector"
        )
    return positions


def numbers_of(array: DataArray) -> list[int]:
    """Return the numbers of the modules of an array, that of its own if it has no axis of them; [] if unknown."""
    if array.ndim == 3:
        found = [c for name, c in array.coords.items() if name == array.dims[0]]
    else:
        found = [c for name, c in array.coords.items() if str(name).startswith("module") and not c.ndim][:1]
    return [int(n) for c in found if c.dtype.kind in "iu" for n in c.values.ravel()]


def of_one(positions: NDArray | Places | None, module: tuple[int, int] | None) -> NDArray | Places | None:
    """Return the positions of one of the modules of a variable: the how-manieth it is, and of how many."""
    every = positions.positions if isinstance(positions, Places) else positions
    if every is None or module is None or len(every) != module[1]:
        return positions
    return every[[module[0]]]


def _image(values: NDArray, extent: Any, labels: Any, what: str, title: str, **options: Any) -> Image:
    import xarray as xr

    about = {"x": labels[0], "y": labels[1], "extent": tuple(map(float, extent))}
    return Image(xr.Dataset({"image": (("row", "column"), values)}, attrs=about), what, title, **options)


def beside(modules: NDArray) -> tuple[NDArray, list[tuple[int, int]]]:
    """Return modules side by side with gaps of NaN, (row, column), and the first column and row of each."""
    n, ss, fs = modules.shape
    places = corners(n, ss, fs)
    column, row = np.max(places, axis=0, initial=0)
    image = np.full((row + ss, column + fs), np.nan)
    for module, (column, row) in zip(modules, places, strict=True):
        image[row : row + ss, column : column + fs] = module
    return image, places


def corners(n: int, ss: int, fs: int) -> list[tuple[int, int]]:
    """Return the first column and row of each of n modules side by side, about as wide as high."""
    gap = max(round(GAP * max(ss, fs)), 1)
    wide = int(np.clip(np.ceil(np.sqrt(n * (ss + gap) / (fs + gap))), 1, max(n, 1)))
    return [(m % wide * (fs + gap), m // wide * (ss + gap)) for m in range(n)]


def assemble(image: NDArray, positions: NDArray) -> tuple[NDArray, tuple[float, float, float, float]]:
    """Return an image on a regular grid in the plane across the beam, and its extent in mm.

    Parameters
    ----------
    image : ndarray, (module, ss, fs)
    positions : ndarray, (module, ss, fs, 3)
        Pixel centres, m.

    Returns
    -------
    assembled : ndarray, (y, x)
        The value of the pixel that is at each point, see `Grid`; NaN where there is none.
    extent : (left, right, bottom, top)
        mm.
    """
    grid = Grid.of(positions)
    return grid.filled(image), grid.extent


@dataclass(frozen=True, eq=False)
class Places:
    """Pixel centres, (module, ss, fs, 3) in m, and the grids of images that were put together with them."""

    positions: NDArray
    grids: dict[tuple[Any, ...], Grid] = field(default_factory=dict)

    def grid(self, array: DataArray) -> Grid:
        """Return the grid of the modules of an array."""
        key: tuple[Any, ...] = (*array.shape, str(array.attrs.get("detector", "")), *numbers_of(array))
        if key not in self.grids:
            self.grids[key] = Grid.of(of_modules(array, self.positions))
        return self.grids[key]
