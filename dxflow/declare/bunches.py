"""Bunch patterns: in which slots of a train X-ray pulses came, by the time server or the decoder of pulse patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import listed, no_source, written
from ..run.bound import BoundInput, Stretch
from ..run.findings import Faults
from ..run.index import plain
from ..run.instruments import Instrument, known, named, of_run
from ..run.locate import nowhere
from ..run.losses import Loss
from ..run.timing import SLOTS
from .inputs import Key

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile

DESTINATION = 0xF << 18
SASE1_AND_3 = 4 << 18
SASE2 = 2 << 18
DEFLECTED = 1 << 27
"""Bits of the bunch pattern table: European XFEL timing system specification 2.2, page 10."""

PATTERN = "data.bunchPatternTable"
OWN = {
    1: (DESTINATION | DEFLECTED, SASE1_AND_3),
    2: (DESTINATION, SASE2),
    3: (DESTINATION | DEFLECTED, SASE1_AND_3 | DEFLECTED),
}
"""(bits to look at, their value) of the pulses that lase in each undulator."""
MEASURED = {1: (DESTINATION, SASE1_AND_3), 2: (DESTINATION, SASE2), 3: (DESTINATION, SASE1_AND_3)}
"""The same of the pulses that the gas monitor has an entry for: SASE1 and SASE3 share theirs."""
SERVERS = "TIMESERVER:outputBunchPattern"
"""How sources of the table end."""


def own_pulses(table: NDArray, sase: int) -> NDArray:
    """Return which slots of a table, (train, slot), have a pulse of an undulator."""
    return _pulses(table, *OWN[sase])


def rows_of_monitor(table: NDArray, sase: int) -> NDArray:
    """Return in which entry of the gas monitor the pulse of a slot is, (train, slot), where there is one."""
    return np.asarray(np.cumsum(_pulses(table, *MEASURED[sase]), axis=1) - 1)


def of_slots(entries: NDArray, table: NDArray, sase: int) -> NDArray:
    """Return the entry of our pulse in each slot, (train, slot): 0 without a pulse, NaN for one without entry."""
    width = entries.shape[1]
    values = np.take_along_axis(
        np.pad(entries.astype(float), ((0, 0), (0, 1)), constant_values=np.nan),
        np.clip(rows_of_monitor(table, sase), 0, width),
        axis=1,
    )
    return np.where(own_pulses(table, sase), values, 0.0)


def in_exposures(values: NDArray, trains: NDArray, slots: NDArray, exposure: int) -> NDArray:
    """Return the values of all slots that frames see, (..., exposure), 0 outside the table.

    Parameters
    ----------
    values : ndarray, (train, slot)
    trains, slots : ndarray of int, (...)
        Train of each frame, and the first slot that it sees.
    """
    at = slots[..., None] + np.arange(exposure)
    inside = (at >= 0) & (at < values.shape[1])
    found = values[trains[..., None], np.clip(at, 0, values.shape[1] - 1)]
    return np.where(inside, found, np.zeros((), values.dtype))


def without_pulses(table: NDArray, train_ids: NDArray, sase: int, source: str, so_that: str) -> list[Loss]:
    """Return a loss of the trains, (train,), in whose bunch pattern an undulator has no pulse."""
    empty = ~own_pulses(table, sase).any(axis=1)
    if not empty.any():
        return []
    others = [n for n in OWN if own_pulses(table[empty], n).any()]
    hint = f"; there are pulses of SASE {others}: is sase={sase} right?" if others else ""
    detail = f"none of SASE {sase} in the bunch pattern, so that {so_that}{hint}"
    span = int(train_ids[empty][0]), int(train_ids[empty][-1])
    return [Loss("no pulses", 0, int(empty.sum()), *span, source, detail=detail)]


def undulator(sase: int | None, instrument: Instrument | None, what: str) -> int:
    """Return the undulator that was asked for, or that of the instrument.

    Raises
    ------
    ValueError
    """
    if sase is None and instrument is None:
        raise ValueError(
            f"{what}: the run is of no instrument that is known, which are {listed(known())}: give sase=, 1, 2 or 3"
        )
    number = instrument.sase if sase is None and instrument else sase
    if number not in OWN:
        raise ValueError(f"{what}: sase={number}; expected one of {sorted(OWN)}")
    return int(number)


def instrument_of(run: DataCollection, name: str | None) -> Instrument | None:
    """Return an instrument by name, else that of a run."""
    return named(name) if name else of_run(run)


@dataclass(frozen=True, repr=False)
class Bunches:
    """The bunch pattern table of each train, (1, 2700) uint32: of the time server, else made of the decoder's lists.

    Parameters
    ----------
    source : str, optional
        Time server or decoder; by default those that the instrument's file names, then any time server.
    instrument : str, optional
        "SPB"; by default that of the run.
    needed : bool
        False: a run may be without.
    inherit : bool
        Trains without a pattern take that of the train before them, the first ones that of the train after;
        ``info[alias].facts["inherited"]`` has their ids.
    """

    source: str | None = None
    instrument: str | None = None
    needed: bool = True
    inherit: bool = False

    def __repr__(self) -> str:
        return written(self)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the table, or the lists of pulses, in a run."""
        source = self._found(run)
        if source is None:
            if self.needed:
                raise KeyError(self._none(run))
            return _made(self, "no bunch pattern", "", trains, (SLOTS,), "u4", ())
        if ":" in source:
            return self._filled(Key(source, PATTERN).bind(run, trains, faults), faults)
        keys = [f"sase{n}.{key}" for n in OWN for key in ("nPulses", "pulseIds")]
        parts = tuple(self._filled(Key(source, key).bind(run, trains, faults), faults) for key in keys)
        made = _made(self, source, "sase1.pulseIds", trains, (SLOTS,), "u4", parts)
        return replace(made, facts=parts[0].facts)

    def _filled(self, bound: BoundInput, faults: Faults) -> BoundInput:
        """Return the same, where trains without entries have those of the train before, if that was asked for."""
        there = bound.location.count[0] > 0
        if not self.inherit or there.all() or not there.any():
            return bound
        known = np.flatnonzero(there)
        of = known[np.maximum(np.searchsorted(known, np.arange(len(there)), side="right") - 1, 0)]
        at = bound.location
        moved = {name: getattr(at, name)[:, of] for name in ("file", "first", "count")}
        index = plain(bound.index.train_ids, moved["count"][0])
        lacking = bound.index.train_ids[~there]
        faults.note("inherited pattern", "", "the bunch pattern of a train nearby", lacking, bound.name)
        facts = {"inherited": [int(one) for one in lacking]}
        return replace(bound, location=replace(at, **moved), index=index, facts=facts)

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        found = [s for s in access.all_sources if s == self.source or s.endswith(SERVERS)]
        kept = [Key(s, PATTERN).look_ahead(access) for s in found if ":" in s]
        return all(kept)

    def _found(self, run: DataCollection) -> str | None:
        if self.source is not None:
            if self.source not in run.all_sources:
                raise KeyError(no_source(run, self.source))
            return self.source
        instrument = instrument_of(run, self.instrument)
        usual = (*instrument.bunches, *instrument.decoder) if instrument else ()
        others = sorted(s for s in run.instrument_sources if s.endswith(SERVERS))
        return next((s for s in (*usual, *others) if s in run.all_sources), None)

    def _none(self, run: DataCollection) -> str:
        like = [s for s in run.all_sources if "TIME" in s.upper() or "PATTERN" in s.upper()]
        return (
            "the run has no time server and no decoder of pulse patterns that is known"
            f"{f', but {listed(like)}' if like else ''}: give bunches=, its source (...:outputBunchPattern with "
            f"{PATTERN}, or a decoder with sase1.pulseIds), or take litframes, which goes by intensity"
        )

    def compose(
        self, parts: Sequence[tuple[NDArray, NDArray]], at: Stretch
    ) -> tuple[NDArray, NDArray, list[Loss]]:
        """Return the table of each train made of the lists of a decoder, and where there is one."""
        table = np.zeros((at.trains, SLOTS), np.uint32)
        there = np.ones(at.trains, bool)
        for n, (number, ids) in zip(OWN, zip(parts[::2], parts[1::2], strict=True), strict=True):
            listed_ = np.arange(ids[0].shape[1]) < number[0].reshape(-1, 1)
            train, column = np.nonzero(listed_ & (ids[0] >= 0) & (ids[0] < SLOTS))
            np.bitwise_or.at(table, (train, ids[0][train, column]), np.uint32(OWN[n][1]))
            there &= number[1] & ids[1]
        return table, there, []


@dataclass(frozen=True, repr=False)
class Monitored:
    """A key of the gas monitor, one entry per pulse, (1, entry) in each train; nothing where a run has none.

    Parameters
    ----------
    key : str
        "data.intensityTD"
    source : str, optional
        Of the gas monitor; by default the first of those that the instrument's file names.
    instrument : str, optional
        "SPB"; by default that of the run.
    """

    key: str
    source: str | None = None
    instrument: str | None = None

    def __repr__(self) -> str:
        return written(self)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the entries in a run."""
        if self.source is not None:
            return Key(self.source, self.key).bind(run, trains, faults)
        instrument = instrument_of(run, self.instrument)
        usual = [s for s in (instrument.xgm if instrument else ()) if s in run.instrument_sources]
        if not usual:
            return _made(self, "no gas monitor", self.key, trains, (0,), "f4", ())
        return Key(usual[0], self.key).bind(run, trains, faults)


def _made(
    declared: Any,
    name: str,
    key: str,
    trains: NDArray,
    shape: tuple[int, ...],
    dtype: str,
    parts: tuple[BoundInput, ...],
) -> BoundInput:
    """Return an input with one entry per train that is made of others; with none, where there is nothing."""
    index = plain(trains, np.full(len(trains), int(bool(parts))))
    at = nowhere(index, shape, np.dtype(dtype))
    return BoundInput(declared, name, key, "key", (0,), at, index, parts=parts, composed=bool(parts))


def _pulses(table: NDArray, bits: int, value: int) -> NDArray:
    """Return which slots have these bits at this value, (train, slot)."""
    return np.asarray((table & np.uint32(bits)) == np.uint32(value))
