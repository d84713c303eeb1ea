"""Which frames of the inputs of a pass are read at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..declare.beside import Beside, EachTrain
from ..declare.inputs import Frames
from ..run.bound import BoundInput
from ..run.findings import Faults
from ..run.selection import FrameSelection

NO_FRAMES = (Beside, EachTrain)
"""Inputs of which a selection of frames takes nothing away but trains."""


def selected(bound: BoundInput, selection: FrameSelection | None, faults: Faults) -> BoundInput:
    """Return the input with only the selected frames; note those that were named and are not there."""
    if selection is None:
        return bound
    absent = selection.absent(bound.index)
    if len(absent) and bound.kind != "pulses":
        what = f"{len(absent)} of the selected frames or trains are not in this run"
        faults.note("selected, not there", "", what, np.unique(absent), bound.name)
    try:
        return replace(bound, index=bound.index.select(selection.apply(bound.index)))
    except ValueError as e:
        raise ValueError(f"{bound.name} {bound.key}: {e}") from e


def stand_for_frames(what: Any, inputs: Mapping[str, Any]) -> bool:
    """Return whether entries of an input are frames, which a selection is about.

    Those of a key are where it is what an algorithm reads first and no detector is among its inputs: a camera.
    """
    if isinstance(what, (Frames, *NO_FRAMES)):
        return isinstance(what, Frames)
    first = next(iter(inputs.values()))
    return what == first and not any(isinstance(other, Frames) for other in inputs.values())
