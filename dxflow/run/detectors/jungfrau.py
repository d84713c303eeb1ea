"""JUNGFRAU: any number of modules of 512 x 1024 pixels, one or 16 memory cells per train."""

from __future__ import annotations

from . import Detector, Readout, Timing

DETECTORS = (
    Detector(
        kind="JUNGFRAU",
        raw=r"(?P<name>[^/]+_(?:JNGFR|JUNGF|JF)[^/]*)/DET/(?:JNGFR|MODULE_|RECEIVER-)(?P<module>\d+):daqOutput",
        corrected=r"(?P<name>[^/]+_(?:JNGFR|JUNGF|JF)[^/]*)/CORR/(?:JNGFR|MODULE_|RECEIVER-)(?P<module>\d+):daqOutput",
        modules=0,
        first=1,
        pulses="",
        cells="data.memoryCell",
        keys={"image.data": "data.adc", "image.mask": "data.mask", "image.gain": "data.gain"},
        timing=Timing(cells=16, exposure=0),
        readout=Readout(gain="key", bits=14, codes=(0, 1, 3), asic=(256, 256)),
    ),
)
