"""What an algorithm reads: declared inputs, and what they are in a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from . import detectors
from .frameids import aligned, frame_index
from .index import EntryIndex, plain
from .locate import Faults, Location, locate
from .near import by_alias, no_source, other_images, written

if TYPE_CHECKING:
    from extra_data import DataCollection


@dataclass(frozen=True, repr=False)
class Frames:
    """Frames of a multi-module detector, aligned over modules by train and pulse.

    Parameters
    ----------
    key : str
        ``"image.data"``, ``"image.mask"``, ``"image.gain"``. Detectors with other names for these
        (JUNGFRAU: ``data.adc``) take these names too.
    detector : str, optional
        Name in the run, such as ``"SPB_DET_AGIPD1M-1"``; needed where there are several.
    modules : sequence of int, optional
        Module numbers; all by default. Nothing is read of others.
    data : {"corrected", "raw"}, optional
        Corrected where there is corrected data, by default.
    plane : str
        Of raw data with several planes: ``"data"`` or ``"gain"``.
    mask : str, optional
        Key of a mask, such as ``"image.mask"``: pixels with one of `bits` become `fill` as they are read.
    bits : int, optional
        Mask bits that make a pixel bad; any bit by default.
    fill : float
        What bad pixels become; NaN needs floats.
    roi : (slice, slice), optional
        Slow-scan and fast-scan pixels to read of each module, such as ``np.s_[100:200, :]``. Nothing else is read.
    align : {"outer", "inner", "strict"}
        Where modules have different frames: take all and fill what is missing, take those that all modules have,
        or refuse.
    offset : int
        What the detector recorded for train t belongs to train t + offset.
    """

    key: str = "image.data"
    detector: str | None = None
    modules: tuple[int, ...] | None = None
    data: str | None = None
    plane: str = "data"
    mask: str | None = None
    bits: int | None = None
    fill: float = np.nan
    roi: tuple[slice, slice] | None = None
    align: str = "outer"
    offset: int = 0

    def __post_init__(self) -> None:
        if self.modules is not None:
            object.__setattr__(self, "modules", _module_numbers(self.modules))
        _check_align(self.align)

    def __hash__(self) -> int:
        # Slices cannot be hashed before Python 3.12.
        return hash(repr(self))

    def __repr__(self) -> str:
        return written(self)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the detector, its modules and its frames in a run."""
        found = self._find(run)
        kind = found.detector
        key = kind.keys.get(self.key, self.key)
        wanted = self.modules or (self._expected(found) if faults.whole else sorted(found.sources))
        if not any(m in found.sources for m in wanted):
            raise KeyError(f"{self}: {found.name} has modules {sorted(found.sources)}, not {list(wanted)}")
        sources = tuple(found.sources.get(m, "") for m in wanted)
        faults.modules = {**faults.modules, **{s: m for m, s in found.sources.items()}}
        faults.missing_modules(found.name, [m for m in wanted if m not in found.sources])
        at = locate(
            run,
            sources,
            key,
            trains,
            faults,
            planes=kind.planes,
            plane=self.plane,
            roi=self.roi,
            offset=self.offset,
        )
        index = frame_index(run, kind, trains, at, faults)
        return BoundInput(
            declared=self,
            name=found.name,
            key=key,
            kind="frames",
            modules=tuple(wanted),
            location=at,
            index=aligned(index, self.align, found.name, wanted, at, faults),
            raw=found.data == "raw",
            mask=self._bind_mask(run, kind, sources, trains, at, faults),
        )

    def _bind_mask(
        self,
        run: DataCollection,
        kind: detectors.Detector,
        sources: Sequence[str],
        trains: NDArray,
        at: Location,
        faults: Faults,
    ) -> BoundMask | None:
        """Find the mask, and check that it fits the data."""
        if self.mask is None:
            return None
        key = kind.keys.get(self.mask, self.mask)
        mask = locate(
            run,
            sources,
            key,
            trains,
            faults,
            planes=kind.planes,
            plane=self.plane,
            roi=self.roi,
            offset=self.offset,
        )
        fits = (mask.shape, mask.per_entry) == (at.shape, at.per_entry)
        if not fits or mask.dtype.kind not in "ui":
            raise ValueError(f"{key} is {mask.dtype} {mask.shape}: not a mask for frames of {at.shape}")
        if at.dtype.kind not in "fc" and not np.can_cast(np.min_scalar_type(self.fill), at.dtype):
            raise ValueError(
                f"fill={self.fill}: frames of {at.dtype} cannot hold it; give fill=0 or another integer"
            )
        return BoundMask(mask, _bits(self.bits, mask.dtype, key), self.fill)

    def _find(self, run: DataCollection) -> detectors.Found:
        """Return the detector meant, or say which there are."""
        found = detectors.find(run.instrument_sources - set(run.legacy_sources))
        fits = [
            f
            for f in found
            if self.detector in (None, f.name, f.detector.kind) and self.data in (None, f.data)
        ]
        names = {f.name for f in fits}
        if len(names) == 1:
            return fits[0]
        have = sorted({f"{f.name} ({f.data})" for f in found}) or "none"
        what = f"several detectors fit: {sorted(names)}" if fits else "no such detector"
        images = other_images(run, {source for f in found for source in f.sources.values()})
        raise KeyError(
            f"{self}: {what}. Detectors in this run: {have}. Say which with detector=, data={images}"
        )

    @staticmethod
    def _expected(found: detectors.Found) -> Sequence[int]:
        """Return the numbers of all modules that the detector should have."""
        first, count = found.detector.first, found.detector.modules
        return range(first, first + count) if count else sorted(found.sources)


@dataclass(frozen=True)
class Key:
    """One key of any source: XGM, motor, camera, digitizer.

    An instrument source has a number of entries per train: ``train[alias]`` is (entry, ...). A control
    source has one value per train: ``train[alias]`` is that value, without an entry axis. Given to an
    algorithm in place of `Frames`, the entries of a camera are its frames and the camera is one module.

    Parameters
    ----------
    source, key : str
        As in EXtra-data: ``Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")``.
    offset : int
        What the source recorded for train t belongs to train t + offset.
    """

    source: str
    key: str
    offset: int = 0

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the key in a run."""
        source = run.legacy_sources.get(self.source, self.source)
        if source not in run.all_sources:
            raise KeyError(no_source(run, source))
        at = locate(run, (source,), self.key, trains, faults, offset=self.offset)
        return BoundInput(
            declared=self,
            name=source,
            key=self.key,
            kind="control" if source in run.control_sources else "key",
            modules=(0,),
            location=at,
            index=plain(trains, at.count[0]),
        )


@dataclass(frozen=True)
class From:
    """An output of an earlier algorithm in the same pass, of the same train.

    Parameters
    ----------
    output : str
        ``"<algorithm name>.<output>"``, such as ``"subtract.img"``.
    """

    output: str


@dataclass(frozen=True, eq=False)
class BoundMask:
    """Where a mask is, the bits that make a pixel bad, and what such a pixel becomes."""

    location: Location
    bits: int
    fill: float


@dataclass(frozen=True, eq=False)
class BoundInput:
    """An input after binding: where it is in the files, and which entries it has.

    `kind` is "frames" (multi-module detector), "key" (instrument source), "control", or "pulses" (`PulseKey`).
    """

    declared: Input
    name: str
    key: str
    kind: str
    modules: tuple[int, ...]
    location: Location
    index: EntryIndex
    mask: BoundMask | None = None
    parts: tuple[BoundInput, ...] = ()
    """Inputs that it is made of, where it is not read as it is."""
    reference: int = 0
    """Of a `PulseKey`: pulse id of the frame that the first pulse of a train falls into."""
    raw: bool = False
    """Whether it is raw data of a detector."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(module, ss, fs), or (1, ...) for a key."""
        return (len(self.modules), *self.location.shape)

    @property
    def dtype(self) -> np.dtype:
        """Of the values."""
        return self.location.dtype

    @property
    def frame_bytes(self) -> int:
        """Bytes of one entry of one module."""
        return int(np.prod(self.location.shape, dtype=np.int64)) * self.dtype.itemsize

    def info(self) -> InputInfo:
        """Return what algorithms are told of it."""
        index = self.index
        return InputInfo(
            name=self.name,
            key=self.key,
            kind=self.kind,
            modules=self.modules,
            sources=self.location.sources,
            shape=self.shape,
            dtype=self.dtype,
            unit=self.location.unit,
            frames=len(index),
            max_per_train=int(index.counts.max(initial=0)),
            pulses=np.unique(index.pulse_ids) if index.pulse_ids is not None else np.zeros(0, np.uint32),
            cells=np.unique(index.cell_ids) if index.cell_ids is not None else np.zeros(0, np.uint32),
            roi=self.location.roi,
        )


class Input(Protocol):
    """The seam for other kinds of input: anything that binds to a run."""

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find it in a run; faults that can be masked go to `faults`, others are raised."""


@dataclass(frozen=True, eq=False)
class InputInfo:
    """What an algorithm may know of one of its inputs before anything is read.

    `shape` is (module, ss, fs) for frames and (1, ...) for keys; `modules` are module numbers;
    `pulses` and `cells` the sorted ids that occur in the (selected) frames; `roi` the slow-scan and
    fast-scan pixels that are read of each module, None for all.
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


@dataclass(frozen=True, eq=False)
class RunInfo:
    """What an algorithm may know of the run: ``info["img"]`` describes the input with that alias."""

    path: str
    train_ids: NDArray
    inputs: Mapping[str, InputInfo] = field(default_factory=dict)

    def __getitem__(self, alias: str) -> InputInfo:
        return by_alias(self.inputs, alias)

    @property
    def first_input(self) -> InputInfo:
        """The input whose pixels ``per="pixel"`` means."""
        return next(iter(self.inputs.values()))


def _bits(bits: int | None, dtype: np.dtype, key: str) -> int:
    """Return the bits of a mask that make a pixel bad: all of them by default, the sign of signed values, too."""
    every = 2 ** (8 * dtype.itemsize) - 1
    if bits is None:
        return every
    if not 0 < bits <= every:
        raise ValueError(f"bits={bits:#x}: {key} is {dtype}, which has bits 0x1 to {every:#x}")
    return bits


def _module_numbers(modules: Iterable[int]) -> tuple[int, ...]:
    """Return module numbers as a tuple; refuse none, and one twice."""
    numbers = tuple(int(m) for m in modules)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"Frames: modules={numbers}: expected different module numbers, or None for all modules"
        )
    return numbers


def _check_align(align: str) -> None:
    if align not in ("outer", "inner", "strict"):
        raise ValueError(f"align={align!r}: expected 'outer', 'inner' or 'strict'")
