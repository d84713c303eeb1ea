"""What an algorithm reads: declared inputs, and what they are in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..errors.kinds import OF_FRAMES, TEXT, WHOLE, different, expect, expect_all
from ..errors.near import listed, no_source, other_images, written
from ..run import ahead, badpixels, detectors, masks, regions
from ..run.bound import BoundInput
from ..run.findings import Faults
from ..run.frameids import aligned, frame_index
from ..run.index import plain
from ..run.locate import locate
from ..run.regions import Regions

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.file import RunFile


IMAGES = ("image.data", "data.adc")
"""Keys of what detectors see."""


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
    modules : sequence of int, result or labelled array, optional
        Module numbers; all by default. Nothing is read of others. Of an earlier result: its output ``modules``, or an
        array of numbers, or one that says of each module, by its coordinate, whether it is read.
    data : {"corrected", "raw"}, optional
        Corrected where there is corrected data, by default.
    plane : str
        Of raw data with several planes: ``"data"`` or ``"gain"``.
    mask : str, array, path, several of these, or None
        Which pixels are bad. ``"auto"`` (the default) is the run's own mask, ``image.mask``, for corrected images,
        and none for raw data and other keys. None uses all pixels. Else another key of the run, an array or a
        result's ``mask``, ([cell,] module, ss, fs) of bool (True is bad) or integers (bits), or a file:
        ``"bad.npy"``, ``"bad.h5:/entry/mask"``, ``"bad.zarr:name.mask"``. ``mask=["auto", "beamstop.npy"]``: bad in
        any of them. Arrays have all modules of the detector, by number, or those of `modules`, in their order.
    bits : int, str or sequence of them, optional
        Mask bits that make a pixel bad, as numbers or by their names at EuXFEL (``"NOISE_OUT_OF_THRESHOLD"``); any
        bit by default.
    fill : float, optional
        What bad pixels become as they are read: NaN by default. Integers have no NaN and stay as they are unless
        this is given; ``block.valid(alias)`` says which are good in any case.
    roi : (slice, slice), result or array, optional
        Slow-scan and fast-scan pixels to read of each module, such as ``np.s_[100:200, :]``. Nothing else is read. Of
        an earlier result: its output ``roi``, a table with the columns module, ss0, ss1, fs0, fs1 (half-open), or its
        ``mask``, (module, ss, fs). Frames of all modules have one shape: what is read of each is the one region that
        holds those of all modules that are read.
    align : {"outer", "inner", "strict"}
        Where modules have different frames: take all and fill what is missing, take those that all modules have,
        or refuse.
    offset : int
        What the detector recorded for train t belongs to train t + offset.
    """

    key: str = "image.data"
    detector: str | None = None
    modules: Any = None
    data: str | None = None
    plane: str = "data"
    mask: Any = badpixels.AUTO
    bits: Any = None
    fill: float | None = None
    roi: Any = None
    align: str = "outer"
    offset: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.roi, (tuple, slice, Regions, type(None))):
            object.__setattr__(self, "roi", Regions.of(self.roi))
        object.__setattr__(self, "detector", _whose(self))
        object.__setattr__(self, "modules", regions.modules_of(self.modules))
        expect_all(OF_FRAMES, vars(self), "Frames: ")
        if self.modules is not None:
            object.__setattr__(self, "modules", different(self.modules))
        object.__setattr__(self, "mask", badpixels.given(self.mask))
        badpixels.bits_of(self.bits)
        _check_align(self.align)

    def __hash__(self) -> int:
        # Slices cannot be hashed before Python 3.12.
        return hash(repr(self))

    def __repr__(self) -> str:
        return written(self)

    def narrowed(self, **asked: Any) -> Frames:
        """Return the same of another detector, or of some modules."""
        return replace(self, **asked)

    def with_mask(self, mask: Any, bits: Any) -> Frames:
        """Return the same frames with the mask of the pass, where nothing else is said and they are images."""
        if self.mask != badpixels.AUTO:
            return self
        if self.key not in IMAGES:
            return self
        return replace(self, mask=mask, bits=bits if self.bits is None else self.bits)

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the detector, its modules and its frames in a run."""
        found = self.find(run)
        kind = found.detector
        key = kind.keys.get(self.key, self.key)
        wanted = self.modules or (self._expected(found) if faults.whole else sorted(found.sources))
        detectors.refuse_impossible(wanted, found)
        if not any(m in found.sources for m in wanted):
            raise KeyError(f"{self}: {found.name} has modules {sorted(found.sources)}, not {list(wanted)}")
        sources = tuple(found.sources.get(m, "") for m in wanted)
        faults.modules = {**faults.modules, **{s: m for m, s in found.sources.items()}}
        lacking = [m for m in wanted if m not in found.sources]
        faults.missing_modules(found.name, lacking, _unknown(run, found) if lacking else ())
        at = locate(
            run,
            sources,
            key,
            trains,
            faults,
            planes=kind.planes,
            plane=self.plane,
            strips=kind.strips,
            roi=self.roi.around(wanted, found.name, kind.first)
            if isinstance(self.roi, Regions)
            else self.roi,
            offset=self.offset,
        )
        if isinstance(self.roi, Regions):
            self.roi.check(found.name, at.stored)
        index = frame_index(run, kind, trains, at, faults)
        frame = masks.Frame(found.name, key, at, wanted, sources, trains, index.cell_ids, found)
        mask, said = masks.bind(self.mask, self.bits, self.fill, run, frame, faults)
        return BoundInput(
            declared=self,
            name=found.name,
            key=key,
            kind="frames",
            modules=tuple(wanted),
            location=at,
            index=aligned(index, self.align, found.name, wanted, at, faults),
            mask=mask,
            masked=said,
            raw=found.data == "raw",
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        return ahead.of_frames(access, self)

    def means(self, found: detectors.Found) -> bool:
        """Return whether it is a detector that was asked for."""
        return self.detector in (None, found.name, found.detector.kind) and self.data in (None, found.data)

    def find(self, run: DataCollection) -> detectors.Found:
        """Return the detector meant, or say which there are."""
        found = detectors.find(run.instrument_sources - set(run.legacy_sources))
        fits = [f for f in found if self.means(f)]
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
        As in EXtra-data: ``Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")``. An alias of the run that is
        read (``run.alias``) is a source, or alone a source with its key: ``Key("xgm-energy")``. Sources of the sections
        REDUCTION and ERRATA have the names that ``run.auxiliary`` shows.
    offset : int
        What the source recorded for train t belongs to train t + offset.
    """

    source: str
    key: str = ""
    offset: int = 0

    def __post_init__(self) -> None:
        expect_all({"source": TEXT, "key": TEXT, "offset": WHOLE}, vars(self), "Key: ")

    def bind(self, run: DataCollection, trains: NDArray, faults: Faults) -> BoundInput:
        """Find the key in a run."""
        source, key = self._named(run)
        at = locate(run, (source,), key, trains, faults, offset=self.offset)
        return BoundInput(
            declared=self,
            name=source,
            key=key,
            kind="control" if source in run.control_sources else "key",
            modules=(0,),
            location=at,
            index=plain(trains, at.count[0]),
        )

    def look_ahead(self, access: RunFile) -> bool:
        """Ask of a file what `bind` will ask of it; return whether all answers are kept."""
        return self.source not in access.all_sources or ahead.of_key(access, self.source, self.key)

    def _named(self, run: DataCollection) -> tuple[str, str]:
        """Return the source and key of a run that are meant."""
        source, key = self.source, self.key
        if source not in run.all_sources and source in run.alias:
            found = run.alias[source]
            source, key = found.source, key or getattr(found, "key", "")
        source = run.legacy_sources.get(source, source)
        if source not in run.all_sources and source not in run.auxiliary:
            raise KeyError(no_source(run, source))
        if not key:
            keys = (run if source in run.all_sources else run.auxiliary)[source].keys()
            raise ValueError(f"Key({self.source!r}): which key? There are: {listed(keys)}")
        return source, key


@dataclass(frozen=True)
class From:
    """An output of an earlier algorithm in the same pass, of the same train.

    Parameters
    ----------
    output : str
        ``"<algorithm name>.<output>"``, such as ``"subtract.img"``; just ``"subtract"`` is the frames that it makes.
    """

    output: str

    def __post_init__(self) -> None:
        expect(TEXT, self.output, "From: output=")


def _unknown(run: DataCollection, found: detectors.Found) -> list[str]:
    """Return sources under the name of a detector, and of the kind of its modules, that are none of them."""
    one = next(iter(found.sources.values()))
    kind, ending = one.split("/")[1], one.rpartition(":")[2]
    known = set(found.sources.values()) | set(run.legacy_sources)
    return [
        s
        for s in run.instrument_sources - known
        if s.startswith(f"{found.name}/{kind}/") and s.endswith(f":{ending}")
    ]


def _whose(frames: Frames) -> str | None:
    """Return the detector that is meant: that of the results from which modules and regions come, if they say one."""
    if not isinstance(frames.detector, (str, type(None))):
        # It is refused with all other options.
        return frames.detector
    said = {regions.detector_of(frames.modules), getattr(frames.roi, "detector", "")} - {""}
    kinds = {None, *(d.kind for d in detectors.known())}
    meant = said if frames.detector in kinds else said | {frames.detector}
    if len(meant) > 1:
        raise ValueError(
            f"Frames: modules= and roi= are of {' and '.join(sorted(said))}, detector={frames.detector!r}: expected "
            "results of the detector that is read"
        )
    return next(iter(meant), frames.detector)


def _check_align(align: str) -> None:
    if align not in ("outer", "inner", "strict"):
        raise ValueError(f"align={align!r}: expected 'outer', 'inner' or 'strict'")
