"""AGIPD: 16 or 8 modules of 512 x 128 pixels, up to 352 memory cells."""

from __future__ import annotations

from . import Detector, Readout, Timing

TIMING = Timing(
    cells=352,
    # integrationTime counts clocks of 10 ns, of which 22 make a slot.
    clocks=22,
    keys={
        "frames": "bunchStructure.nPulses",
        "rate": "bunchStructure.repetitionRate",
        "first": "bunchStructure.firstPulse",
        "exposure": "integrationTime",
    },
    modes={"AgipdComposite": "patternType", "Agipd2Composite": "expType"},
    counts_from_0=("Agipd2Composite",),
)


def _agipd(kind: str, label: str, modules: int) -> Detector:
    return Detector(
        kind=kind,
        raw=rf"(?P<name>[^/]+_DET_{label}[^/]*)/DET/(?P<module>\d+)CH\d?:xtdf",
        corrected=rf"(?P<name>[^/]+_DET_{label}[^/]*)/CORR/(?P<module>\d+)CH0:(?:xtdf|output)",
        modules=modules,
        planes={"data": 0, "gain": 1},
        timing=TIMING,
        readout=Readout(gain="plane", bits=14, codes=(0, 1, 2), asic=(64, 64)),
    )


DETECTORS = (_agipd("AGIPD1M", "AGIPD1M", 16), _agipd("AGIPD500K", "AGIPD500K", 8))
