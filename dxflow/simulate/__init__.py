"""Simulated EuXFEL runs with known truth: valid EXDF files for tests, examples and benchmarks."""

from .bragg import Bragg
from .electronics import Electronics
from .lines import Lines
from .plant import Plant
from .run import make_run
from .settings import Scan, Settings
from .signals import Flat, PowderRings, Signal, Speckle, SphereFormFactor
from .spots import Spots
from .truth import Truth

__all__ = [
    "Bragg",
    "Electronics",
    "Flat",
    "Lines",
    "Plant",
    "PowderRings",
    "Scan",
    "Settings",
    "Signal",
    "Speckle",
    "SphereFormFactor",
    "Spots",
    "Truth",
    "make_run",
]
