"""LPD: 16 modules of 256 x 256 pixels."""

from __future__ import annotations

from . import Detector, Readout, Timing

DETECTORS = (
    Detector(
        kind="LPD1M",
        raw=r"(?P<name>[^/]+_DET_LPD1M[^/]*)/DET/(?P<module>\d+)CH0:xtdf",
        corrected=r"(?P<name>[^/]+_DET_LPD1M[^/]*)/CORR/(?P<module>\d+)CH0:(?:xtdf|output)",
        modules=16,
        planes={"data": 0},
        timing=Timing(cells=512),
        readout=Readout(gain="bits", bits=12, codes=(0, 1, 2), asic=(32, 16)),
    ),
)
