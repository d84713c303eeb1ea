"""The bunch pattern of a train: which slot had which pulse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .schedule import Beam
from .settings import SLOTS

# Bits of the bunch pattern table: European XFEL timing system specification 2.2, page 10, as in the
# package euxfel_bunch_pattern.
CHARGE = 8
"""250 pC."""
T5D = 2 << 18
"""Destination: the dump behind SASE2."""
T4D = 4 << 18
"""Destination: the dump behind SASE1 and SASE3."""
DEFLECTED = 1 << 27
"""Soft kick: lases in SASE3 instead of SASE1."""

SASE = {"SPB": 1, "FXE": 1, "MID": 2, "HED": 2, "SCS": 3, "SQS": 3, "SXP": 3}
OWN = {1: T4D, 2: T5D, 3: T4D | DEFLECTED}
OTHER = {1: T4D | DEFLECTED, 2: T4D, 3: T4D}
"""Pulses of the neighbouring beamline: for SASE1 and SASE3 they pass the same X-ray gas monitor."""

LASER = {"MID": 1 << 9, "HED": 1 << 9, "SPB": 1 << 10, "FXE": 1 << 11, "SQS": 1 << 12, "SCS": 1 << 13}
"""Seed bit of the pump-probe laser."""


def sase(instrument: str) -> int:
    """Return the number of the undulator of an instrument, 1 for unknown ones."""
    return SASE.get(instrument, 1)


def bunch_table(beam: Beam, instrument: str, other_pulses: int) -> NDArray[np.uint32]:
    """Return the bunch pattern table of each train, (train, 2700).

    Parameters
    ----------
    beam : Beam
        Our pulses.
    instrument : str
        "SPB", "MID", ...
    other_pulses : int
        Pulses of the neighbouring beamline, right after the last possible one of ours.
    """
    out = np.zeros((len(beam.lit), SLOTS), np.uint32)
    number = sase(instrument)
    out[:, beam.slots] |= np.uint32(OWN[number] | CHARGE) * beam.lit
    out[:, beam.slots] |= np.uint32(LASER.get(instrument, 1 << 10)) * beam.pump
    out[:, other_slots(beam, other_pulses)] |= np.uint32(OTHER[number] | CHARGE)
    return out


def other_slots(beam: Beam, other_pulses: int) -> NDArray[np.int64]:
    """Return the slots of the neighbouring beamline's pulses, cut off at the end of the table."""
    first = int(beam.slots[-1]) + 1
    return np.arange(first, min(first + other_pulses, SLOTS))
