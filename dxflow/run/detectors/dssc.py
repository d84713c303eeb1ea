"""DSSC: 16 modules of 128 x 512 pixels."""

from __future__ import annotations

from . import Detector, Readout, Timing

DETECTORS = (
    Detector(
        kind="DSSC1M",
        raw=r"(?P<name>[^/]+_DET_DSSC1M[^/]*)/DET/(?P<module>\d+)CH0:xtdf",
        corrected=r"(?P<name>[^/]+_DET_DSSC1M[^/]*)/CORR/(?P<module>\d+)CH0:(?:xtdf|output)",
        modules=16,
        planes={"data": 0},
        timing=Timing(cells=800),
        readout=Readout(bits=9, asic=(64, 64)),
    ),
)
