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
    """

    detector: str
    modules: tuple[int, ...]
    frames: NDArray
    there: NDArray


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
    longest = max(rows.values(), key=lambda r: len(r.labels))
    if not len(longest.labels):
        raise PlanError(f"{one.name}: there are no frames in this run")
    labels = longest.labels if among is None or not len(among) else among
    labels = labels[np.unique(np.linspace(0, len(labels) - 1, count).astype(np.int64))]
    made = np.zeros((len(labels), len(wanted), *longest.shape), longest.dtype)
    there = np.zeros(made.shape[:2], bool)
    if made.dtype.kind == "f":
        made[:] = np.nan
    for place, module in enumerate(wanted):
        for number, label in enumerate(labels):
            if (values := rows[module].read(label)) is not None:
                made[number, place], there[number, place] = values, True
    return Samples(one.name, tuple(wanted), made, there)


class _Rows:
    """The entries of a module in the files of a run: (train id, number in its train) of each."""

    def __init__(self, run: Any, source: str, key: str) -> None:
        self.path = f"INSTRUMENT/{source}/{key.replace('.', '/')}"
        found: list[tuple[tuple[int, int], Any, int]] = []
        for access in run[source].files:
            first, counts = access.get_index(source, key.partition(".")[0])
            for train, a, n in zip(access.train_ids.tolist(), first.tolist(), counts.tolist(), strict=True):
                found += [((train, k), access, a + k) for k in range(n)]
        found.sort(key=lambda one: one[0])
        self.labels = np.array([label for label, *_ in found], np.int64).reshape(-1, 2)
        self._places = {label: (access, row) for label, access, row in found}
        dataset = run[source].files[0].file[self.path]
        make_known(dataset)
        self.shape, self.dtype = dataset.shape[-2:], dataset.dtype

    def read(self, label: NDArray) -> NDArray | None:
        """Return a frame, None if it is not there; of an entry with several the first."""
        place = self._places.get((int(label[0]), int(label[1])))
        if place is None:
            return None
        access, row = place
        values = access.file[self.path][row]
        return np.asarray(values.reshape(-1, *self.shape)[0])
