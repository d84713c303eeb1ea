"""CrystFEL: a geometry written as the .geom file that its programs read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from . import geometry


def text(positions: NDArray, energy: float, data: str, peaks: str = "", mask: str = "") -> str:
    """Return the text of a CrystFEL ``.geom`` file for images whose modules lie behind one another along the slow scan.

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
        From the sample, m.
    energy : float
        Of a photon, keV.
    data, peaks, mask : str
        Where images, (frame, module * ss, fs), peak lists and masks (not 0: bad) are in the HDF5 file.

    Notes
    -----
    Each panel is the plane that fits its pixels best. Rows of hexagonal pixels, shifted by half a pixel to and fro, are
    a quarter of a pixel off.
    """
    step, clen = geometry.pitch(positions), float(np.nanmedian(positions[..., 2]))
    lines = [
        f"photon_energy = {energy * 1000:.9g}",
        "adu_per_photon = 1",
        f"clen = {clen:.8g}",
        f"res = {1 / step:.8g}",
        f"data = {data}",
        *([f"mask = {mask}", "mask_good = 0x0", "mask_bad = 0xffffffff"] if mask else []),
        *([f"peak_list = {peaks}"] if peaks else []),
        *("dim0 = %", "dim1 = ss", "dim2 = fs"),
    ]
    groups: dict[str, list[str]] = {}
    for name, rows, columns, module in _tiles(positions):
        points = positions[module, rows, columns]
        if np.isfinite(points).all():
            groups.setdefault(f"m{module}", []).append(name)
            first = module * positions.shape[1]
            lines += ["", *_panel_lines(name, points, (first + rows.start, columns.start), step, clen)]
    lines += ["", *(f"rigid_group_{group} = {','.join(names)}" for group, names in groups.items())]
    return "\n".join([*lines, f"rigid_group_collection_modules = {','.join(groups)}", ""])


def _tiles(positions: NDArray) -> Iterator[tuple[str, slice, slice, int]]:
    """Yield name, rows, columns and module of each panel."""
    rows, columns = ([slice(*ends) for ends in pairwise(geometry.edges(positions, axis))] for axis in (1, 2))
    for module in range(len(positions)):
        for number, (ss, fs) in enumerate(product(rows, columns)):
            yield f"m{module}p{number}", ss, fs, module


def _panel_lines(name: str, points: NDArray, first: tuple[int, int], step: float, clen: float) -> list[str]:
    """Return what CrystFEL needs to know of a panel: corner and axes in pixels, and where it is in the image."""
    ss, fs = np.indices(points.shape[:2]).reshape(2, -1) + 0.5
    terms = np.stack([np.ones(ss.size), ss, fs], axis=1)
    corner, *axes = np.linalg.lstsq(terms, points.reshape(-1, 3), rcond=None)[0]
    x, y, _ = corner / step
    along_ss, along_fs = (
        " ".join(f"{v:+.9f}{i}" for v, i in zip(a / step, "xyz", strict=True)) for a in axes
    )
    return [
        f"{name}/min_ss = {first[0]}",
        f"{name}/max_ss = {first[0] + points.shape[0] - 1}",
        f"{name}/min_fs = {first[1]}",
        f"{name}/max_fs = {first[1] + points.shape[1] - 1}",
        f"{name}/ss = {along_ss}",
        f"{name}/fs = {along_fs}",
        f"{name}/corner_x = {x:.6f}",
        f"{name}/corner_y = {y:.6f}",
        f"{name}/coffset = {corner[2] - clen:.9f}",
    ]
