"""What was asked for in a plan, as plain values: the configuration that makes it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.labels import Labels
from ..declare.spelled import UNSPELLED, algorithms, spelled
from ..errors.redact import hidden_in
from ..run.part import Part
from ..run.selection import First, FrameSelection

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm

USUAL = {
    "mask": "auto",
    "mask_bits": None,
    "modules": None,
    "roi": None,
    "chunk": "1 GiB",
    "block": "4 MiB",
    "on_fault": None,
    "suspect": "use",
    "codec": None,
    "hook_timeout": None,
    "name": "",
}
"""Other options of a plan that decide what comes out, and what they are by default."""


def configuration(
    run: str, several: Sequence[Algorithm], frames: Any, where: Any, labels: Any, **options: Any
) -> dict[str, Any]:
    """Return what makes a plan again: keys and values as `dxflow reduce --config` reads them.

    What cannot be spelled is there as ``{UNSPELLED: what it is}``.
    """
    made: dict[str, Any] = {"run": run, **_frames(frames)}
    if where is not None:
        made["where"] = where if isinstance(where, str) else _plain(Labels, where)
    if named := _labels(labels):
        made["labels"] = named
    for name, usual in USUAL.items():
        value = options[name]
        if not (isinstance(value, type(usual)) and value == usual):
            made[name] = _option(name, value)
    made["algorithms"] = algorithms(several)
    return dict(hidden_in(made))


def spoken_of(run: Any, path: str) -> str:
    """Return a run as it is given to a command: ``900123:34``, or where it is."""
    run = run.run if isinstance(run, Part) else run
    return f"{run[0]}:{run[1]}" if isinstance(run, tuple) else path


def of_part(config: Mapping[str, Any], run: Any, trains: NDArray, read: NDArray) -> dict[str, Any]:
    """Return a configuration that names the trains of a part of a run: of the whole one there are more.

    Parameters
    ----------
    config : mapping
    run
        What was given as one; of others than a `Part` nothing changes.
    trains, read : array
        Ids of all trains that there are, and of those that are selected.
    """
    if not isinstance(run, Part) or not len(read) or isinstance(config.get("trains"), Mapping):
        return dict(config)
    within = trains[(trains >= read[0]) & (trains <= read[-1])]
    of_all = "trains" not in config or len(within) == len(read)
    ids = slice(int(read[0]), int(read[-1]) + 1) if of_all else read
    return {"run": config["run"], "trains": _ids(ids)} | {k: v for k, v in config.items() if k != "trains"}


def _option(name: str, value: Any) -> Any:
    """Return an option as the command line has it."""
    if name == "mask":
        if value is None:
            return "none"
        texts = list(value) if isinstance(value, (list, tuple)) else [value]
        return [_path(spelled(one)) for one in texts]
    if name == "roi" and isinstance(value, (tuple, list)) and all(isinstance(one, slice) for one in value):
        return ",".join(_range(one) for one in value)
    if isinstance(value, np.ndarray) and name == "modules":
        value = value.tolist()
    return _path(spelled(value))


def _path(found: Any) -> Any:
    """Return the path of a result as a text, and labels of which nothing else is said as what they are of."""
    if isinstance(found, Mapping) and set(found) == {"Result"}:
        return found["Result"]
    own = found.get("Labels", {}) if isinstance(found, Mapping) else {}
    return own["of"] if set(own) == {"of"} and isinstance(own["of"], str) else found


def _range(one: slice) -> str:
    """Return ``5:9`` or ``5:9:2``."""
    parts = [one.start, one.stop, *([one.step] if one.step not in (None, 1) else [])]
    return ":".join("" if part is None else str(part) for part in parts)


def _plain(kind: Any, value: Any) -> Any:
    """Return labels, or what they take, as data."""
    try:
        return _path(
            spelled(value if isinstance(value, (kind, str)) or hasattr(value, "path") else kind(value))
        )
    except TypeError:
        return {UNSPELLED: type(value).__name__}


def _labels(labels: Any) -> Any:
    """Return what names stand for; those that were found in the run by themselves are found again."""
    if labels is None:
        return {}
    if not isinstance(labels, Mapping) or hasattr(labels, "coords"):
        return _plain(Labels, labels)
    return {
        name: _plain(Labels, what)
        for name, what in labels.items()
        if not (isinstance(what, Labels) and what.said)
    }


def _frames(frames: Any) -> dict[str, Any]:
    """Return which frames are read: ``trains`` and ``frames`` of the command line."""
    if frames is None:
        return {}
    texts: list[Any] = []
    trains = _selected(frames, texts)
    return ({"trains": trains} if trains is not None else {}) | ({"frames": texts} if texts else {})


def _selected(frames: Any, texts: list[Any]) -> Any:
    """Add what a selection is as texts; return its trains."""
    if getattr(frames, "text", ""):
        texts.append(frames.text)
    elif hasattr(frames, "manifest"):
        texts.append(_path(spelled(frames)))
    elif isinstance(frames, (list, tuple)) and not all(isinstance(one, (bool, np.bool_)) for one in frames):
        return _of_several(frames, texts)
    elif isinstance(frames, FrameSelection):
        for name in ("pulses", "cells"):
            if (which := getattr(frames, name)) is not None:
                texts.append(f"{name}={_ids(which)}")
        if any(getattr(frames, name) is not None for name in ("frames", "mask", "entries", "in_cells")):
            texts.append({UNSPELLED: "a selection of frames one by one: give the result that selects them"})
        own = None if frames.trains is None else _ids(frames.trains)
        rest = _of_several(frames.also, texts)
        return own if rest is None else rest if own is None else {UNSPELLED: "trains that are selected twice"}
    else:
        texts.append({UNSPELLED: "an array of booleans: give the result that selects, or where="})
    return None


def _of_several(several: Sequence[Any], texts: list[Any]) -> Any:
    found = [which for one in several if (which := _selected(one, texts)) is not None]
    return found[0] if len(found) == 1 else {UNSPELLED: "trains that are selected twice"} if found else None


def _ids(which: Any) -> Any:
    """Return ids as the command line has them."""
    if isinstance(which, First):
        return which.count
    if isinstance(which, slice):
        return _range(which)
    ids = np.atleast_1d(np.asarray(which)).tolist()
    return f"{ids[0]}:{ids[0] + 1}" if len(ids) == 1 else ",".join(map(str, ids))
