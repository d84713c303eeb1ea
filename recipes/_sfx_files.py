"""What the recipe `sfx` needs beside its passes: algorithms of its own, and what a CXI file holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, From, ModuleBlock, Output, Partial, PlanError, RunInfo
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.disk.openhdf5 import open_hdf5
from dxflow.stores.formats.cxi import STACKED

LISTS = "/entry_1/result_1"
"""Where the peak lists of a CXI file are."""


class Corrected(PeakFinder8):
    """Peaks of data that need no dark."""

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Refuse raw data."""
        if info["img"].data == "raw":
            raise PlanError(
                f"sfx: {info['img'].name} is raw data: give dark= (--dark), the result of average --per cell on a dark "
                "run, or the corrected run"
            )
        return super().outputs(info)


class Images(Algorithm):
    """Frames without their dark, to be stored."""

    ALG_ID = "images"
    inputs = {"img": From("subtract.img")}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Declare an image per frame."""
        return {"img": Output(per=("img", "pixel"), dtype="f4", unit=info["img"].unit)}

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        """Keep the frames."""
        out.img = block["img"]


def stacked(cxi: Path) -> tuple[str, str, str]:
    """Return where images, peak lists and masks are, "" for masks that the run does not have."""
    images, masks = STACKED
    with open_hdf5(cxi) as file:
        return images, LISTS, masks if masks in file else ""


def events(cxi: Path, fewest: float, most: float) -> list[int]:
    """Return the numbers of the frames that are hits: copies of some detectors have whole trains."""
    with open_hdf5(cxi) as file:
        count = file[f"{LISTS}/nPeaks"][()]
    return np.flatnonzero((count >= fewest) & (count <= most)).tolist()


def modules(positions: NDArray, cxi: Path, read: NDArray) -> NDArray:
    """Return the positions of the modules of a file, (module, ss, fs, 3); NaN of those that the geometry lacks.

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
        Of all modules of the detector, or of those that were read.
    cxi : Path
    read : ndarray of int
        Numbers of these.
    """
    with open_hdf5(cxi) as file:
        detector = file["/entry_1/instrument_1/detector_1"]
        frame, numbers = detector["data"].shape[-2:], detector["module_identifier"][()]
    # CrystFEL files may stack the modules along the slow scan.
    parts = positions.reshape(-1, *frame, 3)
    if len(parts) == len(numbers):
        return parts
    whole = np.full((len(numbers), *frame, 3), np.nan)
    whole[np.searchsorted(numbers, read)] = parts
    return whole
