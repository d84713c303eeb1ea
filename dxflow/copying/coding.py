"""Which pixels of a copy are stored with a codec: those of its detectors that codec and bound fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..codecs.bounds import Bound
from ..codecs.frames import Encoding
from ..codecs.table import DEFAULT, codec_of
from ..disk.openhdf5 import open_hdf5
from ..errors import PlanError
from ..run import detectors
from .coded import changeable
from .pixels import Step
from .tasks import FileTask


@dataclass(frozen=True)
class Coding:
    """How pixels are stored.

    Parameters
    ----------
    words : str
        In words; "" if they stay as they are.
    files : mapping of str to (mapping of str to Encoding)
        By file and path of the dataset.
    notes : tuple of str
        What is to be known of it.
    facts : mapping
        What was asked for, as JSON values.
    """

    words: str = ""
    files: Mapping[str, Mapping[str, Encoding]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def coding(
    accesses: Sequence[Any], found: Sequence[detectors.Found], codec: str | None, bound: Any
) -> Coding:
    """Return what `codec` and `round` of a copy mean for its files.

    Raises
    ------
    PlanError
        If there is no such codec, it is not installed, or nothing fits it.
    """
    limit = Bound.of(bound)
    if codec is None and limit is None:
        return Coding()
    wanted = Encoding(codec or DEFAULT, limit)
    codec_of(wanted.codec).check(limit)
    kinds: Counter[str] = Counter()
    files = {access.filename: _of_file(access, found, wanted, codec, kinds) for access in accesses}
    said = f"codec={wanted.codec!r}" + (f", round={str(limit)!r}" if limit else "")
    if not any(files.values()):
        there = ", ".join(f"{n} datasets of {kind}" for kind, n in sorted(kinds.items())) or "no detector"
        raise PlanError(
            f"{said}: pixels of this copy that would be changed: none; there are {there}. Only floats (float32, "
            "float64) are rounded; integers may be stored with a codec that needs no bound, such as 'bitshuffle+zstd'"
        )
    facts = {"codec": wanted.codec} | ({"round": str(limit)} if limit else {})
    return Coding(wanted.words, files, tuple(_notes(wanted, kinds)), facts)


def _of_file(
    access: Any, found: Sequence[detectors.Found], wanted: Encoding, codec: str | None, kinds: Counter[str]
) -> dict[str, Encoding]:
    """Return how the pixels in a file are stored, by path; count those whose values stay as they are by type."""
    out: dict[str, Encoding] = {}
    for one in found:
        key = one.detector.keys.get("image.data", "image.data").replace(".", "/")
        for source in access.instrument_sources & set(one.sources.values()):
            path = f"INSTRUMENT/{source}/{key}"
            dataset = access.file.get(path)
            if not isinstance(dataset, h5py.Dataset) or not dataset.shape or dataset.ndim < 2:
                continue
            if changeable(dataset.dtype):
                out[path] = wanted
                continue
            kinds[str(dataset.dtype)] += 1
            if codec and not wanted.how.bounded:
                out[path] = Encoding(wanted.codec)
    return out


def _notes(wanted: Encoding, kinds: Counter[str]) -> list[str]:
    """Return what a user is to know before."""
    notes = [wanted.how.note] if wanted.how.note else []
    if wanted.bound and kinds:
        kept = ", ".join(f"{n} datasets of {kind}" for kind, n in sorted(kinds.items()))
        notes.append(f"not rounded, as they are no floats of 32 or 64 bits: pixels in {kept}")
    return notes


def refuse_nan(stored: Coding, filled: Mapping[str, Mapping[str, Sequence[Step]]]) -> None:
    """Refuse codecs that cannot hold NaN where pixels become that: all frames would be stored without them.

    Raises
    ------
    PlanError
    """
    for name, steps in filled.items():
        for path, encoding in stored.files.get(name, {}).items():
            values = [getattr(step, "value", 0.0) for step in steps.get(path, ())]
            if encoding.how.lossy and np.isnan(values).any():
                raise PlanError(
                    f"codec={encoding.codec!r} cannot hold NaN, which pixels outside of the region become: every "
                    "frame would be stored without it. Give outside=0 (--outside 0), or another codec"
                )


def found_in(folder: Path, tasks: Sequence[FileTask]) -> dict[str, Any]:
    """Return what the files of a copy say of how their pixels were stored, all together."""
    errors, fallen = [0.0], 0
    for task in tasks:
        if not any(one.bound for one in task.coded.values()):
            continue
        with open_hdf5(folder / task.name) as file:
            for path in task.coded:
                said = file[path].attrs if path in file else {}
                errors.append(float(said.get("largest_error", 0.0)))
                fallen += int(said.get("frames_without_loss", 0))
    return {"largest_error": float(np.max(errors)), "frames_without_loss": fallen}
