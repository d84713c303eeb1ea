"""A configuration to begin with: commented, and with what a run holds where one is given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.usage import UsageError
from . import finding

if TYPE_CHECKING:
    from .finding import Found

TEXT = """\
# What is in the table of each run of this experiment:
#   dxflow table RUN --config {file} --to RUN.zarr
# All of it is explained in docs/tables.md. Mistakes are found before anything is read, and named with their line.

# title: XFEL 900123, water
# scan: delay            # what was scanned

# A row for each X-ray pulse (pulses) or detector frame (frames); auto: frames if an algorithm makes something of each.
rows: auto

# Variables are keys of devices, SOURCE KEY. One value per train stays that; lists with an entry for each pulse
# (...TD of a gas monitor) are taken apart by the bunch pattern. Names are yours.
variables:
{variables}
  # With more to say of it:
  # delay:
  #   key: SPB_EXP_SCAN/MOTOR/STAGE actualPosition
  #   unit: ps
  #   doc: nominal delay
  #   offset: 1          # what the device recorded for train t belongs to train t + 1
  # Whether the pump-probe laser came with the pulse, as the decoder of pulse patterns has it:
  # pumped: pumped
  # A value of the run:
  # thickness: {{value: 20, unit: um}}

# Everything else that is small, too: scalars, vectors of up to so many values, lists per pulse; but not these.
everything: {everything}
small: {small}
without: ["*TIMESERVER*"]

# Algorithms, all in one pass over the detector: options as in Python, or as on the command line.
# algorithms:
#   - litframes
#   - roi: {{name: water, rois: {{ring: [[0, 1], [100, 200], [50, 90]]}}}}
#   - azint --geometry agipd.geom --distance 0.2 --energy 9.3 --bins 100
#   - photons: {{threshold: 0.7}}
#   - average: {{img: photons.img}}       # reads what photons makes

# Of the pass: frames, mask, mask_bits, on_fault, chunk, ... as of dxflow.reduce.
# pass: {{on_fault: mask}}

# Which pulses are ours and which frames they fall into, where the run does not say it.
# pulses: {{sase: 1, offset: 0, exposure: 1}}
"""
EXAMPLE = """\
  # xgm: SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD"""


def write(path: str | Path, run: Any = None, small: int = finding.SMALL) -> Path:
    """Write a configuration, which must not be there yet.

    Parameters
    ----------
    run : optional
        Whose variables are listed, as of `dxflow.reduce`.

    Raises
    ------
    UsageError
        If there is such a file, or it cannot be one.
    """
    from ..run.open import opened

    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--new {path}: expected a name such as exp.yaml")
    found: Sequence[Found] = ()
    if run is not None:
        with opened(run) as source:
            found, _ = finding.everything(source, small, ("*TIMESERVER*",))
    lines = "\n".join(_line(one) for one in found) or EXAMPLE
    text = TEXT.format(file=path.name, variables=lines, small=small, everything=str(not found).lower())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists: choose another name, or remove it") from None
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}") from e
    return path


def _line(one: Found) -> str:
    """Return a variable as a configuration has it, with its unit and rate beside it."""
    shape = one.bound.location.shape
    said = [
        f"per {one.rate}",
        *([f"{' x '.join(map(str, shape))} values"] if shape and one.rate == "train" else []),
    ]
    said += [one.bound.location.unit] if one.bound.location.unit else []
    return f"  {one.name}: {one.source}  # {', '.join(said)}"
