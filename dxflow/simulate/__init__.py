"""Simulated EuXFEL runs with known truth: valid EXDF files for tests, examples and benchmarks."""

from .bragg import Bragg
from .bursts import Bursts
from .electronics import Electronics
from .lines import Lines
from .patches import Patches
from .plant import Plant
from .run import make_run
from .settings import Scan, Settings
from .signals import Flat, PowderRings, Signal, Speckle, SphereFormFactor
from .spots import Spots
from .timetool import TimeTool
from .truth import Truth
from .waveforms import Waveforms

__all__ = [
    "Bragg",
    "Bursts",
    "Electronics",
    "Flat",
    "Lines",
    "Patches",
    "Plant",
    "PowderRings",
    "Scan",
    "Settings",
    "Signal",
    "Speckle",
    "SphereFormFactor",
    "Spots",
    "TimeTool",
    "Truth",
    "Waveforms",
    "make_run",
]
