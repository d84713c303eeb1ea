"""Which sources and trains of a run a copy keeps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..run import detectors
from ..run.open import OpenedRun
from ..run.selection import First, among, checked


@dataclass(frozen=True, eq=False)
class Choice:
    """What is kept.

    Parameters
    ----------
    dropped : frozenset of str
        Sources that are left out, with their other names and what the sections REDUCTION and ERRATA say of them.
    found : tuple of Found
        Detectors with the modules that are kept.
    trains : ndarray of uint64 or None, (train,)
        Those that are kept; None: all, also ids that cannot be.
    """

    dropped: frozenset[str]
    found: tuple[detectors.Found, ...]
    trains: NDArray | None


def choose(
    opened: OpenedRun,
    accesses: Sequence[Any],
    *,
    sources: Sequence[str] | str | None = None,
    modules: Iterable[int] | None = None,
    whose: str = "",
    trains: Any = None,
    detector: str | None = None,
) -> Choice:
    """Return what the arguments of `plan_copy` keep of the files that EXtra-data opened; `modules` are of `whose`.

    Raises
    ------
    PlanError
        If a pattern, module, detector or train is none of this run.
    """
    everything = set().union(*(a.control_sources | a.instrument_sources for a in accesses))
    other_names = {k: v for a in accesses for k, v in a.legacy_sources.items()}
    # A run that was opened by the caller may be a selection of sources.
    opened_of_them = {other_names.get(s, s) for s in opened.run.all_sources}
    kept = _matching(sources, everything, other_names) & opened_of_them
    found = [
        f
        for f in detectors.find(everything - set(other_names))
        if detector in (None, f.name, f.detector.kind)
    ]
    if detector is not None and not found:
        have = sorted({f.name for f in detectors.find(everything)})
        raise PlanError(f"detector={detector!r}: no such detector; there are {have}")
    if modules is not None:
        meant = [f for f in found if whose in ("", f.name)]
        if found and not meant:
            raise PlanError(f"modules=: these are of {whose}, there are {sorted({f.name for f in found})}")
        kept -= _other_modules(meant, {int(m) for m in modules})
    dropped = {s for s in everything if other_names.get(s, s) not in kept}
    dropped |= _auxiliary(accesses, everything, dropped)
    left = (_with_modules(f, kept) for f in found)
    return Choice(frozenset(dropped), tuple(f for f in left if f.sources), _trains(opened, accesses, trains))


def _matching(
    patterns: Sequence[str] | str | None, everything: set[str], other_names: dict[str, str]
) -> set[str]:
    """Return the sources, by their own names, that fit one of the patterns."""
    kept: set[str] = set()
    for pattern in ["*"] if patterns is None else [patterns] if isinstance(patterns, str) else patterns:
        fits = {other_names.get(s, s) for s in everything if fnmatchcase(s, pattern)}
        if not fits:
            raise PlanError(f"sources: nothing fits {pattern!r}. Sources of this run: {sorted(everything)}")
        kept |= fits
    return kept


def _other_modules(found: Sequence[detectors.Found], modules: set[int]) -> set[str]:
    """Return the sources of modules that are not wanted."""
    have = {m for f in found for m in f.sources}
    if not modules or not modules <= have:
        names = sorted({f.name for f in found}) or "no detector"
        raise PlanError(f"modules {sorted(modules)}: expected some of {sorted(have)}, those of {names}")
    return {s for f in found for m, s in f.sources.items() if m not in modules}


def _auxiliary(accesses: Sequence[Any], everything: set[str], dropped: set[str]) -> set[str]:
    """Return the sources of REDUCTION and ERRATA whose names end with a source that is dropped."""
    names = {s for a in accesses for s in a.reduction_sources | a.errata_sources}
    about = {n: {s for s in everything if n.endswith(s)} for n in names}
    return {n for n, sources in about.items() if sources and sources <= dropped}


def _with_modules(found: detectors.Found, kept: set[str]) -> detectors.Found:
    sources = {m: s for m, s in found.sources.items() if s in kept}
    return detectors.Found(found.name, found.detector, found.data, sources)


def _trains(opened: OpenedRun, accesses: Sequence[Any], trains: Any) -> NDArray | None:
    """Return the trains to keep, None for all of the files."""
    there = opened.train_ids
    in_files = np.unique(np.concatenate([a.train_ids for a in accesses]))
    if trains is None:
        # A run that was opened by the caller may hold a part of the trains in its files.
        return None if len(opened.run.train_ids) == len(in_files) else there
    from extra_data import by_id, by_index

    if isinstance(trains, First):
        trains = trains.ids(there)
    if not isinstance(trains, (by_id, by_index)):
        kept = there[among(there, checked("trains", trains))]
    else:
        kept = np.asarray(opened.run.select_trains(trains).train_ids, np.uint64)
    if not len(kept):
        raise PlanError(
            f"none of the trains that are asked for is in this run; there are {there[0]} to {there[-1]}"
        )
    return kept
