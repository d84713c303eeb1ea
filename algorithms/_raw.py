"""What raw data say of gain: the input that has it, and how its numbers are read; pixels that move together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Frames, InputInfo, ModuleBlock, PlanError
from dxflow.run import detectors

if TYPE_CHECKING:
    from extra_data import DataCollection

    from dxflow.run.bound import BoundInput
    from dxflow.run.findings import Faults

STAGES = ("high", "medium", "low")
"""Names of the gain stages, in the order in which they follow each other as a pixel sees more light."""
WHERE: dict[str, dict[str, Any]] = {"plane": {"plane": "gain"}, "key": {"key": "image.gain"}}
"""Of where a detector records its gain stage: what is read. Elsewhere it is the frames themselves, read once."""


@dataclass(frozen=True, repr=False)
class Recorded(Frames):
    """Where raw data of a detector have the gain stage of each pixel: a plane, a dataset, or bits of the values."""

    data: str | None = "raw"

    __hash__ = Frames.__hash__

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find it in a run."""
        where: dict[str, Any] = WHERE.get(self.find(run).detector.readout.gain, {})
        return super(Recorded, replace(self, mask=None, **where) if where else self).bind(run, trains, faults)


def inputs_of(inputs: dict[str, Any], usual: Any) -> dict[str, Any]:
    """Return inputs whose gain is that of the frames that are read; without it where they are of no detector."""
    img = inputs["img"]
    if inputs["gain"] is not usual:
        return inputs
    if not isinstance(img, Frames):
        return {alias: what for alias, what in inputs.items() if alias != "gain"}
    same = {
        name: getattr(img, name) for name in ("detector", "modules", "mask", "bits", "roi", "align", "offset")
    }
    return {**inputs, "gain": Recorded(**same)} if img != Frames(data="raw") else inputs


@dataclass(frozen=True)
class Reading:
    """How the numbers of raw frames are read.

    Parameters
    ----------
    gain : str
        As of `dxflow.run.detectors.Readout`.
    value : int
        Bits of a word that are the value.
    shift : int
        Bits of a recorded word below the gain stage.
    codes : tuple of int
        What is recorded for each stage.
    asic : (int, int)
        Pixels of an ASIC, (ss, fs).
    """

    gain: str
    value: int
    shift: int
    codes: tuple[int, ...]
    asic: tuple[int, int]

    @classmethod
    def of(cls, info: Any, name: str) -> Reading:
        """Return how the frames of an algorithm are read; refuse what are no raw frames."""
        img = info["img"]
        _check(img, name)
        kind = detectors.of(img.sources)
        own = kind.readout if kind else detectors.Readout()
        asic = own.asic or img.shape[1:]
        bits = own.bits if own.gain == "bits" else 16
        return cls(own.gain, 2**bits - 1, bits % 16, own.codes, (int(asic[0]), int(asic[1])))

    @property
    def stages(self) -> int:
        """How many gain stages there are."""
        return len(self.codes)

    @property
    def coded(self) -> bool:
        """Whether the stage of a pixel is recorded as a number."""
        return self.gain in ("bits", "key")

    @property
    def how(self) -> tuple[int, int, int]:
        """For kernels: bits of the value, bits below the stage, and what is recorded: 1 a stage, 2 a level, 0 none."""
        return self.value, self.shift, 2 if self.gain == "plane" else int(self.coded)

    def fixed(self) -> Reading:
        """Return how frames are read whose pixels are all in one stage, whatever is recorded."""
        return replace(self, gain="", codes=(0,))


def _check(img: InputInfo, name: str) -> None:
    if img.data == "corrected":
        raise PlanError(
            f"{name}: {img.name} {img.key} is corrected data; expected raw data, Frames(data='raw')"
        )
    if img.dtype not in (np.uint8, np.uint16) or len(img.shape) != 3:
        raise PlanError(
            f"{name}: {img.name} {img.key} is {img.dtype} {img.shape[1:]}; expected frames of uint16, as a detector "
            "stores them"
        )


def cells_of(img: InputInfo) -> NDArray:
    """Return the memory cells of frames; one, 0, where they have none."""
    return img.cells if len(img.cells) else np.zeros(1, np.uint32)


def slots(known: NDArray, block: ModuleBlock) -> NDArray:
    """Return the position of each frame's memory cell among the known, sorted ones."""
    if block.cell_ids is None:
        return np.zeros(len(block), np.int64)
    return np.searchsorted(known, block.cell_ids)


def regions(mode: str, shape: tuple[int, ...], asic: tuple[int, int], img: InputInfo) -> NDArray:
    """Return the regions that move together, (region, 4): first and last row and column, of what is read."""
    first = [part.start for part in img.roi] if img.roi else [0, 0]
    rows, columns = (_edges(n, start, size) for n, start, size in zip(shape, first, asic, strict=True))
    if mode == "row":
        rows = np.arange(shape[0] + 1)
    if mode == "column":
        columns = np.arange(shape[1] + 1)
    pairs = [(a, b, c, d) for a, b in _pairs(rows) for c, d in _pairs(columns)]
    return np.array(pairs, np.int64)


def _edges(pixels: int, start: int, size: int) -> NDArray:
    """Return where ASICs begin and end along an axis of which pixels from `start` on are read."""
    inner = [e - start for e in range(0, start + pixels, size) if e > start]
    return np.array([0, *inner, pixels])


def _pairs(edges: NDArray) -> list[tuple[int, int]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
