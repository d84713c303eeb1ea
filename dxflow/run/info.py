"""What algorithms are told of a run and of its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import by_alias


@dataclass(frozen=True, eq=False, repr=False)
class InputInfo:
    """What an algorithm may know of one of its inputs before anything is read.

    `shape` is (module, ss, fs) for frames and (1, ...) for keys; `modules` are module numbers;
    `pulses` and `cells` the sorted ids that occur in the (selected) frames; `roi` the slow-scan and
    fast-scan pixels that are read of each module, None for all; `data` is "raw" or "corrected" of detectors;
    `values` are the different ones of `Labels`, sorted: the groups of a result; `facts` what devices say of it, such
    as the clock of `FrameClock`; `entries` are the sorted numbers in their trains of the (selected) frames without
    pulse ids; `dims` and `coords` of an earlier output are those that it declares.
    """

    name: str
    key: str
    kind: str
    modules: tuple[int, ...]
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype
    unit: str
    frames: int
    max_per_train: int
    pulses: NDArray
    cells: NDArray
    roi: tuple[slice, slice] | None = None
    data: str = ""
    values: NDArray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    entries: NDArray = field(default_factory=lambda: np.zeros(0, np.uint32))
    dims: tuple[str, ...] = ()
    coords: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<{self.name} {self.key}: {self.frames} of {shape} {self.dtype}, up to {self.max_per_train} per train>"


@dataclass(frozen=True, eq=False, repr=False)
class RunInfo:
    """What an algorithm may know of the run: ``info["img"]`` describes the input with that alias.

    `here` are the positions of the modules (of the first input) that tables are made of: in `Algorithm.memory`, the
    most that a worker has at a time; in `Algorithm.initialize_modules`, those that it works on now; else all.

    Where train ids decide chunks (``chunk="64 trains"``), what was made of one is used when the run has more
    trains: nothing but `finalize` and `finalize_rows` may depend on `train_ids`, or on the number of frames.
    """

    path: str
    train_ids: NDArray
    inputs: Mapping[str, InputInfo] = field(default_factory=dict)
    here: range = range(0)

    def of_modules(self, modules: slice) -> RunInfo:
        """Return what is known where only some modules are worked on."""
        return replace(self, here=range(len(self.first_input.modules))[modules])

    def __getitem__(self, alias: str) -> InputInfo:
        return by_alias(self.inputs, alias)

    def __repr__(self) -> str:
        inputs = "".join(f"\n  {alias} = {what!r}" for alias, what in self.inputs.items())
        return f"<RunInfo of {self.path}: {len(self.train_ids)} trains>{inputs}"

    @property
    def first_input(self) -> InputInfo:
        """The input whose pixels ``per="pixel"`` means."""
        return next(iter(self.inputs.values()))
