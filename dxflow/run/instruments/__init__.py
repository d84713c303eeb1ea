"""Instruments: which devices say when X-rays came and when frames were taken; one small YAML file each.

A new instrument is a new file here, named after the first part of the names of its sources; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ...errors.near import did_you_mean, listed
from .. import detectors

if TYPE_CHECKING:
    from extra_data import DataCollection


@dataclass(frozen=True)
class Instrument:
    """What a file says.

    Parameters
    ----------
    name : str
        "SPB".
    sase : int
        Undulator of the beamline.
    bunches, decoder, xgm : tuple of str
        Sources of the bunch pattern table, of the decoder of pulse patterns, and of the gas monitor, best first.
    detectors : mapping
        Name of a detector in runs -> names of the devices about it: ``control``, ``litfrm``, ``selector``, ``trigger``
        (``device``, ``name``), ``motor`` (``device``, ``property``, ``scale``).
    """

    name: str
    sase: int
    bunches: tuple[str, ...] = ()
    decoder: tuple[str, ...] = ()
    xgm: tuple[str, ...] = ()
    detectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@cache
def known() -> dict[str, Instrument]:
    """Return all instruments that have a file, by name."""
    import yaml

    found = {}
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            name = file.name.removesuffix(".yaml").upper()
            said = yaml.safe_load(file.read_text(encoding="utf-8"))
            lists = {key: tuple(value) for key, value in said.items() if isinstance(value, list)}
            found[name] = Instrument(name, **{**said, **lists})
    return found


def named(name: str) -> Instrument:
    """Return an instrument.

    Raises
    ------
    KeyError
        If it has no file.
    """
    if (one := known().get(name.upper())) is None:
        raise KeyError(
            f"no instrument {name!r} is known.{did_you_mean(name.upper(), known())} There are: {listed(known())}"
        )
    return one


def of_run(run: DataCollection) -> Instrument | None:
    """Return the instrument of a run: that of its detectors, else the only one that its sources are named after."""
    found = detectors.find(run.instrument_sources - set(run.legacy_sources))
    for names in ({f.name for f in found}, run.all_sources):
        first = {name.partition("_")[0] for name in names} & set(known())
        if len(first) == 1:
            return known()[first.pop()]
    return None
