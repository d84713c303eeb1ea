"""Sample frames of a run: the same frames of all modules, spread over the run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..run import detectors
from .table import make_known


@dataclass(frozen=True, eq=False)
class Samples:
    """Frames of a detector.

    Parameters
    ----------
    detector : str
    modules : tuple of int
    frames : ndarray, (frame, module, ss, fs)
        Floats that are not there are NaN, integers 0.
    there : ndarray of bool, (frame, module)
        Which are.
    sources : tuple of str
        Of the modules, if they are known.
    """

    detector: str
    modules: tuple[int, ...]
    frames: NDArray
    there: NDArray
    sources: tuple[str, ...] = ()


def sample(
    run: Any,
    count: int,
    *,
    detector: str | None = None,
    modules: Iterable[int] | None = None,
    among: NDArray | None = None,
) -> Samples:
    """Read so many frames of a detector from the files of an EXtra-data run.

    Parameters
    ----------
    run : DataCollection
    count : int
    detector : str, optional
    modules : iterable of int, optional
    among : ndarray of int, (frame, 2), optional
        Train id and number in its train of frames, such as lit ones, of which some are taken; all by default.

    Raises
    ------
    PlanError
        If there is no such detector or module, or it has no frames.
    """
    found = [
        f
        for f in detectors.find(run.instrument_sources - set(run.legacy_sources))
        if detector in (None, f.name, f.detector.kind)
    ]
    if not found:
        raise PlanError(f"no detector{f' {detector}' if detector else ''} in this run")
    one = found[0]
    wanted = sorted(one.sources) if modules is None else sorted(set(modules))
    if not wanted or not {*wanted} <= {*one.sources}:
        raise PlanError(f"modules {wanted}: expected some of {sorted(one.sources)}, those of {one.name}")
    key = one.detector.keys.get("image.data", "image.data")
    rows = {m: _Rows(run, one.sources[m], key) for m in wanted}
    longest = max(rows.values(), key=lambda r: r.count)
    if not longest.count:
        raise PlanError(f"{one.name}: there are no frames in this run")
    among = among if among is not None and len(among) else None
    size = longest.count if among is None else len(among)
    chosen = np.unique(np.linspace(0, size - 1, count).astype(np.int64))
    labels = longest.labels(chosen) if among is None else among[chosen]
    made = np.zeros((len(labels), len(wanted), *longest.shape), longest.dtype)
    there = np.zeros(made.shape[:2], bool)
    if made.dtype.kind == "f":
        made[:] = np.nan
    for place, module in enumerate(wanted):
        for number, (train, entry) in enumerate(labels.tolist()):
            if (values := rows[module].read(train, entry)) is not None:
                made[number, place], there[number, place] = values, True
    if among is not None and not there.any():
        # Frames of an entry, which only its first is taken of, or of other modules.
        return sample(run, count, detector=detector, modules=wanted)
    return Samples(one.name, tuple(wanted), made, there, tuple(one.sources[m] for m in wanted))


class _Rows:
    """The entries of a module in the files of a run, told by train id and number in the train."""

    def __init__(self, run: Any, source: str, key: str) -> None:
        self.path = f"INSTRUMENT/{source}/{key.replace('.', '/')}"
        self._files = run[source].files
        found = [
            (
                np.asarray(a.train_ids, np.int64),
                *a.get_index(source, key.partition(".")[0]),
                np.full(len(a.train_ids), n),
            )
            for n, a in enumerate(self._files)
        ]
        columns = np.stack(
            [np.concatenate([np.asarray(c, np.int64) for c in of]) for of in zip(*found, strict=True)]
        )
        columns = columns[:, columns[2] > 0]
        # A number per train, not per frame: of those there may be millions.
        self._trains, self._first, self._counts, self._file = columns[
            :, np.argsort(columns[0], kind="stable")
        ]
        self.count = int(self._counts.sum())
        dataset = self._files[0].file[self.path]
        make_known(dataset)
        self.shape, self.dtype = dataset.shape[-2:], dataset.dtype

    def labels(self, numbers: NDArray) -> NDArray:
        """Return train id and number in the train of entries, (entry, 2)."""
        ends = np.cumsum(self._counts)
        at = np.searchsorted(ends, numbers, "right")
        return np.stack([self._trains[at], numbers - ends[at] + self._counts[at]], -1)

    def read(self, train: int, entry: int) -> NDArray | None:
        """Return a frame, None if it is not there; of an entry with several the first."""
        at = int(np.searchsorted(self._trains, train))
        if at == len(self._trains) or self._trains[at] != train or entry >= self._counts[at]:
            return None
        values = self._files[self._file[at]].file[self.path][int(self._first[at]) + entry]
        return np.asarray(values.reshape(-1, *self.shape)[0])
