"""A file to begin with: commented, and with the runs that are given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from ..errors.usage import UsageError
from .asked import KEEP

TEXT = """\
# What remains of a proposal:
#   dxflow red plan {file}      sizes, and what is lost; nothing is written
#   dxflow red run {file}       makes the volume; the same again goes on with it
#   dxflow red verify {file}    whether it is as it was written
# All of it is explained in docs/red.md. Mistakes are found before anything is read, and named with their line.

to: red                         # the volume: a folder that is empty, or not there yet

# What it says of itself. Write what may be public, and nothing else of people.
title: "TITLE"
description: "WHAT WAS MEASURED, AND WHY"
creators:
  - name: "FAMILY, GIVEN"
    # orcid: 0000-0000-0000-0000
    # affiliation: INSTITUTE
    # ror: https://ror.org/...
publisher: European XFEL        # or {{name: ..., ror: https://ror.org/...}}
license: CC-BY-4.0              # a name of SPDX, or an address
instrument: {{name: "INSTRUMENT", facility: European XFEL}}
# proposal: 900123
# collected: 2026-11-20/2026-11-24
samples:
  - {{name: "SAMPLE"}}            # identifier: (such as an IGSN), description:
techniques: [TECHNIQUE]         # such as SAXS: names or identifiers of PaNET: dxflow red techniques
embargo: YEAR-MONTH-DAY         # from when on the data are open; of open data: "open:", since when
# doi: 10.22003/...
# keywords: [water]
# raw_doi: 10.22003/...         # of the data before the reduction
# publications: [10.1000/...]

# What remains of each run. Of 'keep':
{keeps}
# Options are those of 'dxflow copy': frames, trains, modules, sources, region, outside, codec, round, ...
runs:
{runs}
"""
EXAMPLE = """\
  - {run: "900123:34", keep: raw}
  # - {run: "900123:35-40", keep: frames, frames: "lit/r{run:04}.zarr", codec: deflate}
  # - {run: proc/r0041, keep: regions, region: signal.zarr, results: [r0041.zarr]}
  # - {run: raw/r0042, keep: processed, results: [r0042.zarr]}
  # - {run: raw/r0043, keep: nothing, why: the shutter was closed}"""


def write(path: str | Path, runs: Sequence[str] = ()) -> Path:
    """Write a file to begin with, which must not be there yet.

    Parameters
    ----------
    runs : sequence of str
        As they are given to commands: all are kept as they are until it is edited.

    Raises
    ------
    UsageError
        If there is such a file, or it cannot be one.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"{path}: expected a name such as red.yaml")
    listed = "\n".join(f"  - {{run: {json.dumps(run)}, keep: raw}}" for run in runs) or EXAMPLE
    keeps = "\n".join(f"#   {name + ':':<11} {words}" for name, words in KEEP.items())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEXT.format(file=path.name, runs=listed, keeps=keeps))
    except FileExistsError:
        raise UsageError(f"{path} exists: choose another name, or remove it") from None
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}") from e
    return path
