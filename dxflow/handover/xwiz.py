"""extra-xwiz: the configuration with which it indexes and merges the hits that the recipe `sfx` has found."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..errors import PlanError
from ..run.open import opened
from ..stores.formats.cxi import STACKED

NAME = "xwiz_conf.toml"
"""What the configuration is called in the folder that xwiz-workflow runs in."""
COMMAND = "xwiz-workflow -a -p"
"""Begins it without questions, and with the peaks that are in the file."""
LAST_ROW = 511
"""extra-xwiz takes a geometry without a panel beyond it for one of modules that are apart."""
PER_NODE = 1000
"""Hits that a node is given, about; as many nodes at most:"""
NODES = 20
TOOLS = ("xwiz", "xwiz-old")
"""What the recipe calls it; "xwiz-old" has the names of sections and keys of 2022."""
OLDER = {"indexamajig_run": "proc_coarse", "file_path": "file"}
"""How an older extra-xwiz calls that section, and the file of ``unit_cell``."""
MERGING = (
    "# Where the symmetry is known, to merge as well:",
    "# [merging]",
    '# point_group = "422"',
    '# scaling_model = "unity"',
    "# scaling_iterations = 1",
    "# max_adu = 100000",
)
"""What it says of merging, which needs more than dxflow knows."""
BLANK = re.compile(r"\s")


def origin(run: Any) -> tuple[int, int]:
    """Return proposal and number of a run: as they were given, as its files say, or its path.

    Raises
    ------
    PlanError
        If nothing says them.
    """
    if isinstance(run, tuple):
        return int(run[0]), int(run[1])
    said = _metadata(run)
    found = re.search(r"/p(\d{4,6})/(?:\w+/)?r(\d{4,})(?:/|$)", str(Path(str(run)).absolute()))
    proposal = said.get("proposalNumber") or (int(found[1]) if found else 0)
    number = said.get("runNumber") or (int(found[2]) if found else 0)
    if not proposal or not number:
        raise PlanError(
            f"{run} does not say its proposal and number, which extra-xwiz asks for: give the run as PROPOSAL:RUN, "
            "900123:34, or a path such as p900123/proc/r0034"
        )
    return proposal, number


def _metadata(run: Any) -> dict[str, int]:
    """Return what the files of a run say of it; files of version 0.5 say nothing."""
    with opened(run) as source:
        said = source.run.run_metadata()
    return {k: int(said[k]) for k in ("proposalNumber", "runNumber") if k in said}


def check(positions: NDArray, cell: str | None) -> None:
    """Refuse what extra-xwiz cannot take, before anything is done.

    Raises
    ------
    PlanError
    """
    rows = int(np.prod(positions.shape[:2]))
    if rows <= LAST_ROW + 1:
        raise PlanError(
            f"a detector with {rows} rows of pixels is not known to extra-xwiz, which takes its images for modules of "
            "512 rows that are apart: leave --for xwiz out, and index with index.sh"
        )
    if cell is not None and BLANK.search(str(Path(cell).absolute())):
        raise PlanError(f"extra-xwiz takes no blanks in names: --cell {cell!r}; give it another name")


def resolution(positions: NDArray, wavelength: float) -> float:
    """Return the smallest distance of lattice planes that the detector sees, Å, from the wavelength in Å."""
    angle = float(np.nanmax(geometry.scattering_angle(positions)))
    return round(wavelength / (2 * np.sin(angle / 2)), 2)


def configuration(
    run: tuple[int, int],
    peaks: Mapping[str, Any],
    finest: float,
    indexing: str,
    cell: str | None,
    hits: int,
    older: bool = False,
) -> str:
    """Return the text of ``xwiz_conf.toml``.

    Keys are those of the configuration in the tutorial of extra-xwiz (tutorials/crystals2023, March 2023).

    Parameters
    ----------
    run : tuple of int
        Proposal and number.
    peaks : mapping
        What the peaks were found with, as `PeakFinder8` calls it.
    finest : float
        Resolution up to which reflections are integrated, Å.
    indexing : str
        Method of indexamajig.
    cell : path or None
        Unit cell.
    hits : int
        How many there are.
    older : bool
        With the names that extra-xwiz had before.
    """
    proposal, number = run
    sections: dict[str, dict[str, Any]] = {
        "data": _data(proposal, number),
        "crystfel": {"version": "0.10.2"},
        "geom": {"file_path": "hits.geom"},
        "slurm": {
            "partition": "exfel",
            "reservation": "none",
            "duration_all": "1:00:00",
            "n_nodes_all": min(NODES, max(1, -(-hits // PER_NODE))),
        },
        "indexamajig_run": _indexing(peaks, finest, indexing),
        "unit_cell": {
            "file_path": "none" if cell is None else str(Path(cell).absolute()),
            "run_refine": False,
        },
    }
    lines = [
        f"# The hits of run {number}, proposal {proposal}, for extra-xwiz. In this folder: {COMMAND}",
        f"# hits.cxi has peak lists, and images of all modules behind one another in {STACKED[0]}, as hits.geom says.",
        "",
    ]
    for title, values in (_as_before(sections) if older else sections).items():
        lines += [f"[{title}]", *(f"{key} = {_toml(value)}" for key, value in values.items()), ""]
    return "\n".join([*lines, *MERGING, ""])


def _data(proposal: int, number: int) -> dict[str, Any]:
    """Return which run it is, and where its images and peaks are."""
    return {
        "proposal": proposal,
        "runs": [number],
        "vds_names": ["hits.cxi"],
        "cxi_names": ["hits.cxi"],
        "frames_range": {"start": 0, "end": -1, "step": 1},
        "list_prefix": f"p{proposal:06d}_r{number:04d}",
    }


def _indexing(peaks: Mapping[str, Any], finest: float, indexing: str) -> dict[str, Any]:
    """Return the options of indexamajig, with what the peaks were found with."""
    farthest = peaks["max_res"]
    return {
        "resolution": finest,
        "peak_method": "peakfinder8",
        "peak_threshold": _short(peaks["threshold"]),
        "peak_snr": _short(peaks["min_snr"]),
        "peak_min_px": peaks["min_pixels"],
        "peak_max_px": _short(peaks["max_pixels"]),
        "peaks_hdf5_path": "entry_1/result_1",
        "index_method": indexing,
        "n_cores": -1,
        "local_bg_radius": peaks["local_bg_radius"],
        "integration_radii": "2,3,5",
        "max_res": int(farthest) if farthest is not None and np.isfinite(farthest) else 1600,
        "min_peaks": peaks["min_peaks"],
        "extra_options": f"--no-non-hits-in-stream --min-peaks={peaks['min_peaks']}",
    }


def _as_before(sections: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return sections with the names that extra-xwiz had before."""
    made = {OLDER.get(title, title): values for title, values in sections.items()}
    return made | {"unit_cell": {OLDER.get(key, key): value for key, value in made["unit_cell"].items()}}


def _short(value: float) -> float | int:
    """Return a whole number as one: extra-xwiz asks for these."""
    return int(value) if float(value).is_integer() else float(value)


def _toml(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    # Texts of JSON are texts of TOML, but for this sign.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
