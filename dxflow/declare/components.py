"""Objects of ``extra.components`` as labels, known by what they offer: nothing of EXtra is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..run.joined import Labelled
from .labelled import Values, of_rows
from .pulses import PulseKey

if TYPE_CHECKING:
    from ..run.index import EntryIndex

OFFERS = {
    "Scan": ("positions", "positions_train_ids"),
    "PumpProbePulses": ("pulse_mask", "pumped_pulses_ratios"),
    "XrayPulses": ("pulse_mask", "sase"),
    "XGM": ("pulse_energy", "instrument_source"),
}
"""Components, and attributes by which they are known; the first that fits counts."""


def kind_of(values: Any) -> str:
    """Return which component something is, "" if none."""
    return next((k for k, names in OFFERS.items() if all(hasattr(type(values), name) for name in names)), "")


def energies(xgm: Any) -> PulseKey:
    """Return the energies of an XGM as an input of the run: they are joined to frames by the bunch pattern."""
    return PulseKey(xgm.instrument_source.source, "data.intensityTD")


def of_component(values: Any, every: EntryIndex) -> Values:
    """Return the labels that a component makes.

    A Scan gives the position of the step of each train, XrayPulses which frames see an X-ray pulse, PumpProbePulses
    which of these see one of the laser as well. The first X-ray pulse of a train is taken to fall into the first frame.

    Parameters
    ----------
    every : EntryIndex
        All frames of the first input.
    """
    kind = kind_of(values)
    if kind == "Scan":
        return _scan(values)
    if kind == "XrayPulses":
        return Values(of_rows(every, *_seen(every, values.pulse_mask())), "lit")
    probe, there = _seen(every, values.pulse_mask(field="fel"), values.pulse_mask(field="fel"))
    pump, _ = _seen(every, values.pulse_mask(field="ppl"), values.pulse_mask(field="fel"))
    return Values(of_rows(every, pump & probe, there & probe), "pumped")


def _scan(scan: Any) -> Values:
    """Return the position of the step of each train."""
    ids = [np.asarray(one, np.uint64) for one in scan.positions_train_ids]
    if not ids:
        raise ValueError("this Scan has found no steps")
    at = np.repeat(np.asarray(scan.positions, float), [len(one) for one in ids])
    labelled = Labelled(at, ~np.isnan(at), {"train_id": np.concatenate(ids)})
    return Values(labelled, str(getattr(scan, "name", "position")).rpartition(".")[2])


def _seen(every: EntryIndex, mask: Any, first: Any = None) -> tuple[NDArray, NDArray]:
    """Return which frames see a pulse of a mask, (train, slot), and of which trains that is known, (frame,) both.

    Parameters
    ----------
    first : DataArray, optional
        Mask whose first pulse falls into the first frame; that one by default.
    """
    if every.pulse_ids is None:
        raise ValueError(
            "the frames have no pulse ids, by which pulses would be joined: give values with their ids"
        )
    trains, slots = np.asarray(mask["trainId"]).astype(np.uint64), mask.shape[1]
    begin = np.argmax(np.asarray(mask if first is None else first), axis=1)
    own = every.train_ids[every.train_positions(slice(0, len(every)))]
    order = np.argsort(trains)
    at = order[np.minimum(np.searchsorted(trains[order], own), len(trains) - 1)]
    there = trains[at] == own
    slot = every.pulse_ids.astype(np.int64) + begin[at] - PulseKey("", "").reference(every)
    inside = there & (slot >= 0) & (slot < slots)
    return np.asarray(mask)[at, np.clip(slot, 0, slots - 1)] & inside, there
