"""Detectors: how their modules are found in a run, and which keys say what a frame is.

A new detector is a new file here with a tuple `DETECTORS`; nothing else changes.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from ..losses import ranges


@dataclass(frozen=True)
class Timing:
    """When a kind of detector takes its frames: one rule, as data.

    Parameters
    ----------
    cells : int
        Memory cells of a module.
    exposure : int
        Slots of the bunch pattern that a frame sees where no device says so; 0: as many as there are between two.
    clocks : float
        Of the exposure that the control device says, in one slot.
    keys : mapping
        Keys of the control device: ``frames``, ``rate`` (MHz), ``first`` (pulse id), ``exposure``.
    modes : mapping
        Class of the control device -> key that says "XRay" where frames were exposed.
    counts_from_0 : tuple of str
        Classes of control devices whose frames have pulse ids from 0 on, whatever ``first`` says.
    """

    cells: int
    exposure: int = 1
    clocks: float = 1.0
    keys: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    counts_from_0: tuple[str, ...] = ()


@dataclass(frozen=True)
class Readout:
    """What a raw value is, and where the gain stage of a pixel is recorded.

    Parameters
    ----------
    gain : str
        "plane": an analogue level beside the value; "bits": of the value, above those of the converter; "key": a
        dataset of its own, ``image.gain``; "": there is one stage.
    bits : int
        Of the converter: the lowest of a value.
    codes : tuple of int
        What is recorded for each gain stage, high gain first; of a level, how many stages there are.
    asic : (int, int)
        Pixels of an ASIC, (ss, fs).
    """

    gain: str = ""
    bits: int = 16
    codes: tuple[int, ...] = (0,)
    asic: tuple[int, int] | None = None


@dataclass(frozen=True)
class Detector:
    """A kind of detector.

    Parameters
    ----------
    kind : str
        Its name, as in EXtra-data: ``"AGIPD1M"``.
    raw, corrected : str
        Regular expressions of a module's source name, with groups ``name`` and ``module``, a number; "" is 1.
    modules : int
        How many modules it has; 0 where that varies.
    first : int
        Number of the first module.
    pulses, cells : str
        Keys of pulse id and memory cell of each frame; "" where there is none.
    keys : mapping
        Where it has its own names for the usual ``image.*`` keys.
    planes : mapping
        For raw data with an axis before the pixels: position of each plane along it, by name.
    strips : bool
        Whether a module is a line of pixels, and an entry (frame, strip): its frames are (1, strip).
    turns : int
        Memory cells that take turns from frame to frame of a train where no key says them; 0: there are none.
    timing : Timing, optional
        When it takes its frames.
    readout : Readout
        What its raw data are.
    """

    kind: str
    raw: str
    corrected: str
    modules: int
    first: int = 0
    pulses: str = "image.pulseId"
    cells: str = "image.cellId"
    keys: Mapping[str, str] = field(default_factory=dict)
    planes: Mapping[str, int] = field(default_factory=dict)
    strips: bool = False
    turns: int = 0
    timing: Timing | None = None
    readout: Readout = Readout()


@dataclass(frozen=True)
class Found:
    """A detector of a run: its name there, its kind, and the source of each module that is there."""

    name: str
    detector: Detector
    data: str
    """"corrected" or "raw"."""
    sources: Mapping[int, str]
    """Module number -> source."""


@cache
def known() -> tuple[Detector, ...]:
    """Return all kinds of detector, from the files of this folder."""
    modules = (importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__))
    return tuple(detector for module in modules for detector in module.DETECTORS)


def find(sources: Iterable[str]) -> list[Found]:
    """Return the detectors among source names, corrected before raw, by name.

    Names that fit two kinds (an AGIPD1M and a smaller one) go to the kind that was declared first.
    """
    names = sorted(sources)
    found = [
        Found(name, kind, data, modules)
        for kind in known()
        for data, pattern in (("corrected", kind.corrected), ("raw", kind.raw))
        for name, modules in _matches(pattern, names).items()
    ]
    return sorted(found, key=lambda f: (f.data != "corrected", f.name))


def of(sources: Iterable[str]) -> Detector | None:
    """Return the kind of detector that sources are modules of, "" where one is missing; None if they are of none."""
    return next((f.detector for f in find(s for s in sources if s)), None)


def first_of(name: str) -> int:
    """Return the number of the first module of a detector of this name; 0 of one that is of no known kind."""
    # Patterns begin with the name.
    return next((kind.first for kind in known() if re.fullmatch(kind.raw.partition("/DET/")[0], name)), 0)


def rows_of(modules: Sequence[int], sources: Iterable[str], count: int) -> list[int]:
    """Return which row of an array over modules belongs to each module that is read; [] where it cannot be known.

    An array has all modules of the detector in the order of their numbers, or those that are read, as they are read.

    Parameters
    ----------
    modules : sequence of int
        Numbers of the modules that are read.
    sources : iterable of str
        Their sources, "" where a module is missing.
    count : int
        Rows of the array.
    """
    kind = of(sources)
    numbers = [m - (kind.first if kind else 0) for m in modules]
    if (
        count == (kind.modules if kind else 0)
        or sorted(numbers) == list(range(count))
        and not (kind and kind.modules)
    ):
        return numbers
    if count == len(numbers):
        return list(range(count))
    return numbers if count > max(numbers) else []


def highest(sources: Iterable[str]) -> int | None:
    """Return the highest module number that the detector of these sources can have; None where that varies."""
    kind = of(sources)
    return kind.first + kind.modules - 1 if kind and kind.modules else None


def refuse_impossible(modules: Iterable[int], found: Found) -> None:
    """Raise if a module is none that the detector can have: where that varies, up to twice the highest number."""
    kind = found.detector
    last = kind.first + kind.modules - 1 if kind.modules else 2 * max(found.sources)
    if wrong := [m for m in modules if not kind.first <= m <= last]:
        of = f" of {kind.first}-{last}" if kind.modules > len(found.sources) else ""
        raise ValueError(
            f"{found.name} ({kind.kind}) has no modules {ranges(wrong)}; in this run are {ranges(found.sources)}{of}: "
            "give some of these with Frames(modules=[...])"
        )


def _matches(pattern: str, names: list[str]) -> dict[str, dict[int, str]]:
    """Return {detector name: {module number: source}} of the names that fit, modules in order."""
    out: dict[str, dict[int, str]] = {}
    for source in names:
        if hit := re.fullmatch(pattern, source):
            out.setdefault(hit["name"], {})[int(hit["module"] or 1)] = source
    return {name: dict(sorted(modules.items())) for name, modules in out.items()}
