"""Algorithms whose frames are narrowed to modules and pixels that are asked for of a whole pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from ..errors import PlanError
from ..run.regions import Regions
from .exposures import FrameClock
from .inputs import Frames


def narrowed(algorithms: Sequence[Any], modules: Any, roi: Any) -> list[Any]:
    """Return algorithms with these modules and pixels for all frames whose input does not say it itself.

    Raises
    ------
    PlanError
        If what is given has none, or no input takes it.
    """
    if modules is None and roi is None:
        return list(algorithms)
    try:
        # Once, though many inputs take it.
        roi = roi if roi is None or isinstance(roi, (tuple, slice, Regions)) else Regions.of(roi)
        made = [_narrowed(one, modules, roi) for one in algorithms]
    except (TypeError, ValueError) as e:
        raise PlanError(str(e)) from e
    if all(one is other for one, other in zip(made, algorithms, strict=True)):
        raise PlanError(
            "modules=, roi=: no input takes them: there are no frames of detectors, or they say their own"
        )
    return made


def _narrowed(algorithm: Any, modules: Any, roi: Any) -> Any:
    """Return an algorithm with its frames narrowed; as it is where they say all of it."""
    inputs = getattr(algorithm, "inputs", None)
    if not isinstance(inputs, Mapping):
        return algorithm
    asked = {alias: _asked(what, modules, roi) for alias, what in inputs.items()}
    if not any(asked.values()):
        return algorithm
    same = copy(algorithm)
    same.inputs = {a: what.narrowed(**asked[a]) if asked[a] else what for a, what in inputs.items()}
    return same


def _asked(what: Any, modules: Any, roi: Any) -> dict[str, Any]:
    """Return what an input does not say itself."""
    frames = what.frames if isinstance(what, FrameClock) else what
    if not isinstance(frames, Frames):
        return {}
    given = {"modules": modules, "roi": roi}
    return {
        name: value for name, value in given.items() if value is not None and getattr(frames, name) is None
    }
