"""Ask of a file, while it is open, what a plan will want to know of it: so each is opened once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..reader.extents import array
from ..reader.faults import ReadFault
from . import badpixels, detectors
from .fileindex import Stored, first_and_count, path_of_trains, stored_in
from .findings import Faults

if TYPE_CHECKING:
    from .file import RunFile

IDS = 8
"""Bytes of an id."""


def declared(algorithms: Sequence[Any], mask: Any) -> list[Any]:
    """Return what algorithms declare that they read, each once, as far as it is known before they are checked."""
    given = [inputs for a in algorithms if isinstance(inputs := getattr(a, "inputs", None), Mapping)]
    found = [one for inputs in given for one in inputs.values() if hasattr(one, "look_ahead")]
    if mask is None or isinstance(mask, str):
        found = [one.with_mask(mask, None) if hasattr(one, "with_mask") else one for one in found]
    return list({repr(one): one for one in found}.values())


def ask(access: RunFile, inputs: Sequence[Any]) -> None:
    """Ask what the inputs of a pass need; files that have answered all are closed, a plan may have thousands.

    Nothing is said of what is wrong with the file: faults are not kept, so they are met again by who needs it.
    """
    done = [_ask(access, one) for one in inputs]
    if all(done):
        access.files.release(access.filename)


def _ask(access: RunFile, one: Any) -> bool:
    try:
        return bool(one.look_ahead(access))
    except ReadFault:
        return False


def of_frames(access: RunFile, frames: Any) -> bool:
    """Ask for the indexes of modules, the ids of frames, and the form of these and their mask."""
    kept = [
        _of_module(access, source, found.detector, _keys(frames, found))
        for found in detectors_of(access.instrument_sources.difference(access.legacy_sources))
        if frames.means(found)
        for module, source in found.sources.items()
        if frames.modules is None or module in frames.modules
    ]
    return all(kept)


def _keys(frames: Any, found: detectors.Found) -> list[str]:
    """Return the keys of a detector that are read: of frames, and of their mask if it is in the run."""
    own, mask = found.detector.keys, frames.mask
    if mask == badpixels.AUTO:
        mask = "" if found.data == "raw" else "image.mask"
    wanted = [frames.key, *([mask] if isinstance(mask, str) and not badpixels.is_file(mask) else [])]
    return [own.get(k, k) for k in wanted if k]


def _of_module(access: RunFile, source: str, kind: detectors.Detector, keys: Sequence[str]) -> bool:
    """Ask for the index of a module, the ids of its frames, and the form of keys; return whether all is kept."""
    found = [one for key in keys if (one := stored_in(access, source, key, Faults())) and one.there]
    if not found:
        return True
    first_and_count(found[0])
    return _ask_ids(found[0], [kind.pulses, kind.cells])


def of_key(access: RunFile, source: str, key: str) -> bool:
    """Ask for the index of a source; return whether all is kept."""
    one = stored_in(access, source, key, Faults())
    if one is None or not one.there:
        return True
    first_and_count(one)
    return not one.group or _ask_ids(one, [])


def _ask_ids(one: Stored, keys: Sequence[str]) -> bool:
    """Read what is said of each entry, unless it is more than is kept."""
    access, frames = one.access, one.entry[0] if len(one.entry) == 3 else 1
    paths = [f"/INSTRUMENT/{one.source}/{key.replace('.', '/')}" for key in keys if key]
    if IDS * one.rows * (1 + frames * len(paths)) > access.files.room(access.filename):
        return False
    for path in (path_of_trains(one), *paths):
        if access.has_dataset(path):
            array(access.files, access.filename, path, filled=path not in paths)
    return True


@lru_cache(maxsize=256)
def detectors_of(sources: frozenset[str]) -> list[detectors.Found]:
    """Return the detectors among the sources of a file; the files of a module have the same."""
    return detectors.find(sources)
