"""Which detector frame each row of a table is: X-ray pulses are slots of the bunch pattern, not ids of frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Frames, Key
from ..errors import PlanError
from ..errors.usage import text_of
from ..run.findings import Faults
from ..run.open import opened
from ..run.selection import FrameSelection
from . import beam
from .config import Config
from .passing import clocked, places_of_seen, several
from .rows import CLOCK, DIFFER


def frames_of(
    run: Any, frames: Frames | Key, trains: NDArray, pulses: NDArray, clock: Mapping[str, Any] | None
) -> tuple[str, NDArray, NDArray]:
    """Return the frame of each row.

    Parameters
    ----------
    run : path, (proposal, run) or DataCollection
    frames : Frames or Key
        Of which detector.
    trains, pulses : ndarray, (row,)
        Train ids, and pulse ids of frames or slots of the bunch pattern.
    clock : mapping, optional
        Of slots, options of `PulseKey`: ``offset``, ``reference_frame``, ``exposure``, ``stride``, ``sase``,
        ``pattern``. None where rows are frames.

    Returns
    -------
    label : str
        "pulse_id"; "entry_id" of detectors without, "train_id" of those with one frame per train.
    ids : ndarray, (row,)
        Of the frames in their trains.
    there : ndarray of bool, (row,)
        Whether there is one, as far as that is known.

    Raises
    ------
    PlanError
        If the run does not say which frames saw the pulses.
    """
    with opened(run) as source:
        try:
            index = frames.bind(source.run, source.train_ids, Faults()).index
            if not several(index):
                return "train_id", trains, np.ones(len(trains), bool)
            label = "entry_id" if index.pulse_ids is None else "pulse_id"
            if clock is None:
                return label, pulses, np.ones(len(pulses), bool)
            if isinstance(frames, Key):
                raise ValueError(f"{frames} is no detector with a clock; expected Frames(...)")
            found = beam.found(source, clock, Faults())
            _, seen, why = clocked(frames, Config(clock=dict(clock)), source, found)
        except (KeyError, ValueError) as e:
            raise PlanError(f"{run}: which frames are to be read is not known: {text_of(e)}") from e
    if seen is None:
        raise PlanError(f"{run}: which frames saw the pulses is not known: {why}")
    mine = np.searchsorted(source.train_ids, trains).clip(max=len(source.train_ids) - 1)
    at = places_of_seen(*seen, beam.keys(mine, pulses))
    ids = index.entry_ids if index.pulse_ids is None else index.pulse_ids
    return label, ids[at], (at >= 0) & (source.train_ids[mine] == trains)


def each_of(run: Any, numbers: Sequence[int]) -> list[Any]:
    """Return the runs of a table of several, which a mapping says by their numbers.

    Raises
    ------
    PlanError
        If it says not all of them.
    """
    given = run if isinstance(run, Mapping) else {}
    if missing := [number for number in numbers if number not in given]:
        what = f"runs {missing} are not in run=" if given else "rows are of several runs"
        like = f"{{{numbers[0]}: 'r{numbers[0]:04d}'}}"
        raise PlanError(f"{what}: expected a mapping with each of {[*numbers]}, such as run={like}")
    return [given[number] for number in numbers]


def clock_of(attrs: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """Return how slots of rows are found: as given, else as the table was made; None of rows that are frames.

    Parameters
    ----------
    attrs : mapping
        Of the dataset of a table.

    Raises
    ------
    ValueError
        If it is of several runs that were made differently.
    """
    if attrs.get("rows") != "pulses":
        return None
    if not given and attrs.get(CLOCK) == DIFFER:
        raise ValueError(
            "the tables of these runs find pulses in frames differently (pulses: of their configurations): read the "
            "images of each run by its own table, or give pulses="
        )
    return dict(given or json.loads(attrs.get(CLOCK, "{}")))


def selection(label: str, trains: NDArray, ids: NDArray) -> FrameSelection:
    """Return just these frames."""
    if label == "train_id":
        return FrameSelection(trains=np.unique(trains))
    return (
        FrameSelection(entries=(trains, ids)) if label == "entry_id" else FrameSelection(frames=(trains, ids))
    )
