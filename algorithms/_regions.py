"""Regions of pixels that are correlated together: bins of q, or an image of labels."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import InputInfo, PlanError, RunInfo, geometry

from ._azint_tables import fitting, of_modules
from .azint import ENERGIES, WAVELENGTHS


@dataclass(frozen=True, eq=False)
class Regions:
    """Number of each pixel's region, from 1, 0 of none, (module, pixel); coordinates of the axis "q"."""

    numbers: NDArray
    coordinate: tuple[NDArray, str]

    def __len__(self) -> int:
        return len(self.coordinate[0])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which regions there are."""
    add = parser.add_argument
    add("--labels", help=".npy file with integers, (module, ss, fs): regions of pixels; 0 is none")
    add("--q", type=float, nargs="+", help="edges of bins of q, 1/angstrom, in place of --labels")
    add(
        "--geometry", help=".geom, .h5, .poni or .npy file with the pixel positions; default: that of the run"
    )
    add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
    add("--energy", type=float, help="photon energy in keV, if the geometry does not say it")
    add("--wavelength", type=float, help="wavelength in angstrom, instead of --energy")


def check(name: str, options: argparse.Namespace) -> None:
    """Refuse options that say no regions, or that cannot be meant."""
    if (options.labels is None) == (options.q is None):
        raise ValueError(f"{name}: expected one of labels=, an image of regions, and q=, edges in 1/angstrom")
    if options.energy is not None and options.wavelength is not None:
        raise ValueError(f"{name}: energy= and wavelength= were given; expected one of them")
    for what, limits in (("energy", ENERGIES), ("wavelength", WAVELENGTHS), ("distance", (0.0, 100.0))):
        value = getattr(options, what)
        if value is not None and not limits[0] <= value <= limits[1]:
            raise ValueError(f"{name}: {what}={value:g}; expected {limits[0]:g} to {limits[1]:g}")
    if options.q is not None:
        bins(name, options.q)


def bins(name: str, q: Any) -> NDArray:
    """Return the bins of q, (bin, 2), of rising edges or of pairs that do not overlap."""
    edges = np.asarray(q, float)
    if edges.ndim == 1:
        edges = np.stack([edges[:-1], edges[1:]], axis=-1)
    rising = edges.ndim == 2 and edges.shape[1:] == (2,) and len(edges) > 0
    if (
        not rising
        or not (np.diff(edges) > 0).all()
        or (edges[1:, 0] < edges[:-1, 1]).any()
        or edges[0, 0] < 0
        or not np.isfinite(edges).all()
    ):
        raise ValueError(f"{name}: q={q}; expected rising edges in 1/angstrom, or pairs (low, high) in order")
    return edges


def made(name: str, options: Any, info: RunInfo) -> Regions:
    """Return the regions of the pixels that are read, or say what does not fit."""
    img = info["img"]
    try:
        found = _labelled(options.labels, img) if options.q is None else _binned(name, options, info)
    except (ValueError, OSError) as e:
        raise PlanError(f"{name}: {e}") from e
    if not found.numbers.any():
        what = "labels have no region" if options.q is None else f"q={options.q} 1/angstrom holds no pixel"
        raise PlanError(f"{name}: {what} of {img.name}")
    return found


def _labelled(given: Any, img: InputInfo) -> Regions:
    given = _loaded(given) if isinstance(given, (str, os.PathLike)) else given
    labels = np.asarray(given)
    if labels.dtype.kind not in "iub" or labels.ndim not in (2, 3) or labels.min(initial=0) < 0:
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}; expected integers from 0, (module, ss, fs), 0 for no region"
        )
    own = of_modules("labels", given, img)
    # Regions are those of the whole image: a region without a pixel that is read is NaN.
    known = np.unique(labels[labels > 0]).astype(np.int64)
    numbers = np.where(own > 0, np.searchsorted(known, own) + 1, 0)
    return Regions(numbers.reshape(len(own), -1), (known, ""))


def _loaded(path: str | os.PathLike[str]) -> NDArray:
    """Return the array of a file."""
    try:
        array = np.load(path)
    except (OSError, ValueError) as e:
        raise ValueError(f"labels={os.fspath(path)!r}: {e}; expected an .npy file that is there") from e
    if not isinstance(array, np.ndarray):
        raise ValueError(f"labels={os.fspath(path)!r} has several arrays; expected an .npy file of one")
    return array


def _binned(name: str, options: Any, info: RunInfo) -> Regions:
    img, edges = info["img"], bins(name, options.q)
    placed = geometry.load(beside(options, info), options.distance)
    wavelength = geometry.HC / options.energy if options.energy is not None else options.wavelength
    wavelength = placed.wavelength if wavelength is None else wavelength
    if wavelength is None:
        raise ValueError("the geometry holds no wavelength: give energy= in keV or wavelength= in angstrom")
    q = geometry.momentum_transfer(fitting("geometry", placed.positions, img), wavelength)
    # Each bin holds its lower edge, the last one also its upper one; NaN is in none.
    number = np.searchsorted(edges[:, 0], q, "right")
    low, high = edges[number - 1].T
    inside = (number > 0) & ((q < high.T) | (q == edges[-1, 1]))
    return Regions(np.where(inside, number, 0).reshape(len(q), -1), (edges.mean(axis=1), "1/angstrom"))


def hints(name: str, options: Any, info: RunInfo) -> list[str]:
    """Say which regions have no pixel, so that all of them is NaN."""
    found = made(name, options, info)
    values, unit = found.coordinate
    some = np.isin(np.arange(len(found)) + 1, found.numbers)
    said = ", ".join(f"{x:.4g}" for x in values[~some])
    what = f"at q = {said} {unit}" if unit else said
    return [] if some.all() else [f"no pixel that is read is in the region {what}: its results are NaN"]


def depends(options: Any, info: RunInfo) -> dict[str, Any]:
    """Return the geometry that lies beside the run where bins follow from it: it counts as if it had been given."""
    near = options.q is not None and options.geometry is None
    return {"geometry": geometry.beside(info.path)} if near else {}


def beside(options: Any, info: RunInfo) -> Any:
    """Return the geometry that is given, or that lies beside the run."""
    return options.geometry if options.geometry is not None else geometry.beside(info.path)
