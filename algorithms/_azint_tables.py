"""Tables of `azint`: in which bin of q and chi each pixel is, and what it weighs."""

from __future__ import annotations

import math
import os
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, geometry
from dxflow.errors.near import listed
from dxflow.run import detectors

from .subtract import positions

UNITS = {"q": "1/angstrom", "2theta": "degree", "r": "mm"}
"""What is on the first axis, and its unit."""
LARGEST = {"q": np.inf, "2theta": 180.0, "r": np.inf}
TURN = 360.0
AXES = ("module", "ss", "fs")


@dataclass(frozen=True, eq=False)
class Axis:
    """Bins along q, 2 theta, r or chi.

    Parameters
    ----------
    name, unit : str
    values : ndarray, (module, ss, fs)
        Of each pixel.
    nbins : int or None
        None for an axis of which only the range counts.
    limits : (float, float) or None
        First and last edge; None for those of the pixels.
    turn : float
        After which values begin anew; 0 for never.
    """

    name: str
    unit: str
    values: NDArray
    nbins: int | None
    limits: tuple[float, float] | None
    turn: float = 0.0

    @property
    def bins(self) -> int:
        """How many there are."""
        return self.nbins or 1

    def edges(self, bad: NDArray) -> tuple[float, float, float]:
        """Return first and last edge, and the width of a bin."""
        good = self.values[~bad]
        low, high = self.limits if self.limits is not None else (good.min(), good.max())
        return low, high, (high - low) / self.bins or 1.0

    def centres(self, bad: NDArray) -> NDArray:
        """Return the middle of each bin."""
        low, _, width = self.edges(bad)
        return np.asarray(low + (np.arange(self.bins) + 0.5) * width)

    def numbers(self, bad: NDArray) -> NDArray:
        """Return the bin of each pixel, as a float; those that are bad or outside have a number that no bin has."""
        low, high, width = self.edges(bad)
        values = np.where(bad, low, self.values)
        if self.turn:
            # A range across the end of the circle goes on beyond it.
            last = (values - high) % self.turn == 0
            number = np.floor(((values - low) % self.turn) / width)
            if high - low == self.turn:
                # What is left of a division may be rounded up to a whole turn.
                number = np.minimum(number, self.bins - 1)
        else:
            last = values == high
            number = np.floor((values - low) / width)
        number[last & ~bad] = self.bins - 1
        number[bad | (number < 0) | (number >= self.bins)] = -1
        return number

    def outside(self, bad: NDArray) -> str:
        """Say which values the pixels have, of an axis whose range was given; "" where it holds some."""
        if self.limits is None or (self.numbers(bad) >= 0).any():
            return ""
        good = self.values[~bad]
        return f"{good.min():.4g} to {good.max():.4g} {self.unit}"


def radial(points: NDArray, unit: str, wavelength: float) -> NDArray:
    """Return q, 2 theta or r of pixels, any shape + (3,) -> that shape."""
    if unit == "q":
        return geometry.momentum_transfer(points, wavelength)
    if unit == "2theta":
        return np.asarray(np.degrees(geometry.scattering_angle(points)))
    return np.asarray(1e3 * np.hypot(points[..., 0], points[..., 1]))


def azimuth(points: NDArray) -> NDArray:
    """Return chi of pixels in degrees, from the horizontal x towards y, -180 to 180."""
    return np.asarray(np.degrees(np.arctan2(points[..., 1], points[..., 0])))


@dataclass(frozen=True, eq=False)
class Table:
    """Bins and weights of pixels.

    Of each module only those bins are counted that have a pixel of it, so that its sums stay in the cache.
    """

    axes: dict[str, tuple[NDArray, str]]
    """Bin centres of each axis, with their unit."""
    bins: NDArray
    """int32, (module, pixel): position among the bins of the module, one past the last for pixels of no bin."""
    weights: NDArray
    """float32, (module, pixel)."""
    there: list[tuple[NDArray, NDArray]]
    """For each module, which bins it has, int32, and how many pixels they have, int64."""
    own: tuple[NDArray, NDArray] | None
    """Dark and weight of each pixel, float32, (module, pixel), where there are any."""

    @property
    def empty(self) -> bool:
        """Whether no pixel is in any bin."""
        return not any(len(which) for which, _ in self.there)

    def integrated(self, images: NDArray) -> NDArray:
        """Return the averages of the bins, float64, of images (image, module, ss, fs); NaN of bins without a pixel."""
        shape = tuple(len(centres) for centres, _ in self.axes.values())
        out = np.full((len(images), math.prod(shape)), np.nan)
        for n, image in enumerate(images.reshape(len(images), len(self.bins), -1)):
            sums = np.zeros((2, out.shape[1]))
            for module, pixels in enumerate(image.astype("f8")):
                dark, weight = (0.0, 1.0) if self.own is None else (x[module].astype("f8") for x in self.own)
                y, number, which = weight * (pixels - dark), self.bins[module], self.there[module][0]
                good = (y == y) & (number < len(which))
                for total, values in zip(sums, (y, self.weights[module]), strict=True):
                    total[which] += np.bincount(number[good], values[good], len(which))
            np.divide(sums[0], sums[1], out=out[n], where=sums[1] != 0)
        return out.reshape(len(images), *shape)


def table(axes: list[Axis], weights: NDArray, nowhere: NDArray, bad: NDArray, own: Any) -> Table:
    """Return the table of pixels, (module, ss, fs): those that are nowhere set no edges, bad ones are in no bin."""
    numbers, total, outside = np.zeros(bad.shape), 1, bad.copy()
    for axis in axes:
        found = axis.numbers(nowhere)
        outside |= found < 0
        numbers, total = numbers * axis.bins + found, total * axis.bins
    flat = np.where(outside, total, numbers).astype(np.int64).reshape(len(bad), -1)
    there, bins = [], np.empty(flat.shape, np.int32)
    for module, number in enumerate(flat):
        count = np.bincount(number, minlength=total + 1)[:total]
        which = np.flatnonzero(count)
        position = np.full(total + 1, len(which), np.int32)
        position[which] = np.arange(len(which))
        bins[module] = position[number]
        there.append((which.astype(np.int32), count[which].astype(np.int64)))
    centres = {axis.name: (axis.centres(nowhere), axis.unit) for axis in axes if axis.nbins}
    light = np.where(outside, 0, weights).astype("f4").reshape(len(bad), -1)
    return Table(centres, bins, light, there, own)


def nothing(axes: list[Axis], bad: NDArray, img: InputInfo) -> str:
    """Say why no pixel is in any bin."""
    for axis, name in zip(axes, ("qrange", "chirange"), strict=False):
        if said := axis.outside(bad):
            limits = tuple(axis.limits or ())
            return f"{name}={limits} {axis.unit} holds no pixel of {img.name}: they are from {said}"
    if len(axes) == 2:
        ranges = f"qrange={axes[0].limits} and chirange={axes[1].limits}"
        return f"{ranges} together hold no pixel of {img.name} that is used"
    return f"flat= and weights= leave no pixel of {img.name}"


def fitting(what: str, array: NDArray, img: InputInfo, labelled: bool = False) -> NDArray:
    """Return the rows of an array over modules, (module, ss, fs, ...), that belong to the modules that are read.

    Those of a labelled one were found by their labels.
    """
    _, *frame = img.shape
    if array.shape[0] == 1 and array.shape[1:3] != tuple(frame) and array.shape[1] % frame[0] == 0:
        # CrystFEL files may stack the modules along the slow scan.
        array = array.reshape(-1, *frame, array.shape[-1]) if array.shape[2] == frame[1] else array
    if img.roi is not None and array.shape[1:3] != tuple(frame):
        array = array[:, img.roi[0], img.roi[1]]
    every = list(range(len(array)))
    rows = every if labelled else detectors.rows_of(img.modules, img.sources, len(array))
    if array.shape[1:3] != tuple(frame) or not rows:
        raise ValueError(
            f"{what} has (module, ss, fs) = {array.shape[:3]}; expected {img.shape} for modules "
            f"{list(img.modules)} of {img.name}, or all modules of the detector"
        )
    return array if rows == every else array[rows]


def loaded(what: str, given: Any) -> Any:
    """Return an array: what is given, or what an ``.npy`` file of this path has."""
    if not isinstance(given, (str, os.PathLike)):
        return given
    if not os.path.isfile(given) or not os.fspath(given).endswith(".npy"):
        raise ValueError(f"{what}={os.fspath(given)!r}; expected an .npy file that is there, or an array")
    try:
        return np.load(given, allow_pickle=False)
    except (ValueError, EOFError) as e:
        raise ValueError(f"{what}={os.fspath(given)!r}; expected an .npy file of numbers: {e}") from e


def of_modules(what: str, given: Any, img: InputInfo) -> NDArray:
    """Return the number of each pixel that is read, (module, ss, fs), of an array or an ``.npy`` file.

    An array of xarray is matched by the labels that its axes have, whatever their order: numbers of modules, pixels.
    """
    given = loaded(what, given)
    values, modules = _chosen(what, given, img) if hasattr(given, "dims") else (np.asarray(given), False)
    if values.dtype.kind not in "fiub" or values.ndim not in (2, 3):
        raise ValueError(
            f"{what} is {values.dtype} {values.shape}; expected numbers, (module, ss, fs) or (ss, fs) of one module"
        )
    return fitting(what, values.reshape(-1, *values.shape[-2:])[..., None], img, modules)[..., 0]


def _chosen(what: str, given: Any, img: InputInfo) -> tuple[NDArray, bool]:
    """Return what a labelled array has for the modules and pixels that are read, and whether modules are labelled."""
    if given.attrs.get("detector", img.name) != img.name:
        raise ValueError(f"{what} is of {given.attrs['detector']}, the frames are of {img.name}")
    given = given.transpose(..., *(axis for axis in AXES if axis in given.dims))
    values, labelled = np.asarray(given), False
    for axis, wanted in zip(AXES, (img.modules, *_pixels(img)), strict=True):
        if axis not in given.dims or axis not in given.coords:
            continue
        known = np.asarray(given.coords[axis])
        rows = positions(known, wanted) if known.dtype.kind in "iu" and len(known) else np.array([-1])
        if (rows < 0).any():
            raise ValueError(
                f"{what} has {axis} {listed(map(str, known.tolist()))}; expected the numbers of all that are read, "
                f"{listed(map(str, wanted))}"
            )
        values, labelled = values.take(rows, given.dims.index(axis)), labelled or axis == "module"
    return values, labelled


def _pixels(img: InputInfo) -> list[range]:
    """Return the numbers of the rows and columns that are read."""
    begins = (part.start for part in img.roi) if img.roi else (0, 0)
    return [range(first, first + n) for first, n in zip(begins, img.shape[1:], strict=True)]


def of_pixels(name: str, given: Any, img: InputInfo) -> NDArray | None:
    """Return one number for each pixel that is read, (module, ss, fs)."""
    if given is None:
        return None
    array = of_modules(name, given, img).astype("f4")
    if name != "dark" and (array < 0).any():
        raise ValueError(f"{name} has numbers below 0, down to {np.nanmin(array):g}; expected 0 or more")
    return array


def identity(given: Any) -> Hashable | None:
    """Return what tells what a pixel is given from all others, labels with it; None if nothing does."""
    own = geometry.identity(given)
    axes = [(axis, *np.ravel(given.coords[axis]).tolist()) for axis in getattr(given, "coords", ())]
    return own if own is None or not axes else (own, given.dims, tuple(axes))


def filled(given: NDArray | None, default: float, bad: NDArray) -> NDArray:
    """Return one number for each pixel, (module, pixel)."""
    return (np.full(bad.shape, default, "f4") if given is None else given).reshape(len(bad), -1)
