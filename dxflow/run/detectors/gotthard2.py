"""Gotthard-II: any number of modules of 1280 strips, two memory cells that take turns, up to 2720 frames per train."""

from __future__ import annotations

from . import Detector, Readout, Timing

DETECTORS = (
    Detector(
        kind="GOTTHARD2",
        raw=r"(?P<name>[^/]+_(?:G2|GH2|GOTTHARD2)[^/]*)/DET/RECEIVER(?P<module>\d*):daqOutput",
        corrected=r"(?P<name>[^/]+_(?:G2|GH2|GOTTHARD2)[^/]*)/CORR/RECEIVER(?P<module>\d*):daqOutput",
        modules=0,
        first=1,
        pulses="",
        # There is data.memoryCell, but the receiver writes 255 for each frame.
        cells="",
        keys={"image.data": "data.adc", "image.mask": "data.mask", "image.gain": "data.gain"},
        strips=True,
        turns=2,
        timing=Timing(cells=2720, exposure=0),
        readout=Readout(gain="key", bits=12, codes=(0, 1, 3), asic=(1, 128)),
    ),
)
