"""check_input: every frame of an input is what EXtra-data reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.algorithm import Algorithm
from ..declare.outputs import Output
from ..driver.execute import execute
from ..run.bound import Input
from .case import Case, compare, difference, require

if TYPE_CHECKING:
    import xarray as xr

    from ..driver.result import Result
    from ..planning.public import Plan


def check_input(what: Input, run: Any, *, on_fault: str | None = None) -> Result:
    """Check that every frame or entry of an input is what EXtra-data reads for its labels, and others are missing.

    Bad pixels by a mask of the run are what the input makes of them.

    Parameters
    ----------
    what : Input
        `Frames`, `Key`, or an input of one's own.
    run : path or extra_data.DataCollection
    on_fault
        As of `dxflow.plan`.

    Returns
    -------
    Result
        Holds the frames, as ``check_copy.x``.

    Raises
    ------
    CheckFailed
    """
    case = Case(lambda: _Copy(x=what), run, on_fault=on_fault)
    made = case.plan(trains=3)
    _check_index(made)
    copies = execute(made, "here")
    compare("blocks", copies, case.reduce([_CopyBlocks(x=what)]))
    _check_frames(made, copies.dataset["check_copy.x"], run)
    return copies


class _Copy(Algorithm):
    """Keeps every frame."""

    ALG_ID = "check_copy"
    inputs: Any = {"x": None}

    def outputs(self, info: Any) -> Mapping[str, Output]:
        return {"x": Output(per=("x", "pixel"), dtype=info["x"].dtype)}

    def process_train_data(self, train: Any, out: Any) -> None:
        out.x = train["x"].reshape(out.x.shape)


class _CopyBlocks(Algorithm):
    """Keeps every frame, block by block; where there is none, the output keeps what stands for missing."""

    ALG_ID = "check_copy"
    inputs: Any = {"x": None}
    outputs = _Copy.outputs

    def process_module_data(self, block: Any, out: Any) -> None:
        out.x = block["x"]


def _check_index(made: Plan) -> None:
    """Check that rows, trains and entries of an index fit each other."""
    bound, index = made.inputs[0], made.inputs[0].index
    require(bool((index.counts >= 0).all()), "the offsets of the index go back")
    require(index.entry.shape[1] == len(index), "the index has entries for more or fewer rows than it has")
    for train in range(len(index.train_ids)):
        rows = index.rows(train, train + 1)
        for module in range(len(bound.modules)):
            have = np.sort(index.entries(module, rows)[index.entries(module, rows) >= 0])
            count = bound.location.count[module, train] * bound.location.per_entry
            require(
                len(np.unique(have)) == len(have) and (not len(have) or have[-1] < count),
                f"module {bound.modules[module]}, train {index.train_ids[train]}: "
                f"entries {have.tolist()} of the {count} that are there",
            )


def _check_frames(made: Plan, copies: xr.DataArray, run: Any) -> None:
    """Check all frames of all modules against EXtra-data."""
    from ..run.open import opened

    bound, values = made.inputs[0], copies.values
    with opened(run) as source_of:
        for module, source in enumerate(bound.location.sources):
            stored = _Stored(source_of.run[source]) if source else None
            for train, train_id in enumerate(made.train_ids.tolist()):
                rows = bound.index.rows(train, train + 1)
                expected = _expected(stored, bound, train_id, rows)
                how = difference(expected, values[rows, module])
                require(not how, f"{source} {bound.key}, train {train_id}: {how}")


class _Stored:
    """What EXtra-data reads of a source: each key once."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self._read: dict[str, tuple[NDArray, NDArray]] = {}

    def of_train(self, key: str, train_id: int) -> NDArray:
        """Return the entries of a train."""
        if key not in self._read:
            self._read[key] = self.source[key].train_id_coordinates(), self.source[key].ndarray()
        trains, values = self._read[key]
        return values[trains == train_id]


def _expected(stored: _Stored | None, bound: Any, train_id: int, rows: slice) -> NDArray:
    """Return what EXtra-data reads of a module for the labels of some rows; NaN or 0 where it has nothing."""
    out = np.full((rows.stop - rows.start, *bound.location.shape), 0, bound.dtype)
    if bound.dtype.kind in "fc":
        out[:] = np.nan
    if stored is None or not len(stored.of_train(bound.key, train_id)):
        return out
    frames, labels = _frames_and_labels(stored, bound, train_id)
    wanted = [tuple(int(v) for v in row) for row in zip(*bound.index.labels(rows).values(), strict=True)]
    numbers = {label: n for n, label in enumerate(labels)} if labels else {}
    for row, label in enumerate(wanted):
        n = numbers.get(label[1:]) if labels else row
        if n is not None:
            out[row] = frames[n]
    return out


def _frames_and_labels(stored: _Stored, bound: Any, train_id: int) -> tuple[NDArray, list[tuple] | None]:
    """Return a module's frames of a train and their (pulse, cell); None where rows are in the order of entries."""

    def read(key: str) -> NDArray:
        return stored.of_train(key, train_id)

    frames = read(bound.key)
    if bound.location.plane is not None:
        frames = frames[:, bound.location.plane]
    frames = frames.reshape(-1, *bound.location.shape)
    if bound.mask is not None and bound.mask.key:
        bad = read(bound.mask.key).reshape(frames.shape) & np.array(
            bound.mask.bits, bound.mask.location.dtype
        )
        frames = np.where(bad != 0, frames if bound.mask.fill is None else bound.mask.fill, frames).astype(
            frames.dtype
        )
    ids = [k for k in ("image.pulseId", "image.cellId") if k in stored.source]
    if bound.kind != "frames" or len(ids) < 2:
        return frames, None
    return frames, [tuple(int(v) for v in p) for p in zip(*(read(k).ravel() for k in ids), strict=True)]
