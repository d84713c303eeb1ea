"""What of modules lies outside of a region: 0 or NaN in a copy, so that compression makes nothing of it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from ..run.detectors import Found
from ..run.regions import Inside
from . import record
from .pixels import Step

METHOD = "REGION"
"""Of the record in files: ``REGION_REDUCTION/<source>``."""
FILLED = ("image.data", "image.gain")
"""What is filled of a frame: masks stay, since they say which pixels are bad."""
MEANING = {
    "reductionRatio": "pixels of a frame inside the region / all of them",
    "wasReduced": "1: pixels of the train outside of the region were replaced",
}


@dataclass(frozen=True, eq=False)
class Outside:
    """A step that replaces pixels.

    Parameters
    ----------
    inside : ndarray of bool, (ss, fs)
        Pixels that stay.
    value : float
        What others become.
    said : mapping
        Values that the record has beside these.
    """

    inside: NDArray
    value: float
    said: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, block: NDArray) -> NDArray:
        """Return the block with pixels outside replaced."""
        np.copyto(block, block.dtype.type(self.value), where=~self.inside)
        return block

    @property
    def token(self) -> bytes:
        """What tells it from any other step."""
        return (
            b"outside" + repr((self.value, self.inside.shape)).encode() + np.packbits(self.inside).tobytes()
        )

    @property
    def facts(self) -> Mapping[str, Any]:
        """What is said of it beside the dataset."""
        return {"outside": self.value, "pixels_inside": int(self.inside.sum())}

    def json(self, *, said_in_file: bool) -> dict[str, Any]:
        """Return what the manifest says of it; the pixels, only if the file has no section for it."""
        facts = {**self.facts, "pixels": self.inside.size, "outside": str(self.value)}
        if said_in_file:
            return facts
        packed = base64.b64encode(zlib.compress(np.packbits(self.inside).tobytes())).decode()
        return facts | {"shape": list(self.inside.shape), "inside": packed}


@dataclass(frozen=True)
class Filling:
    """What is replaced in a copy.

    Parameters
    ----------
    files : mapping of str to (mapping of str to tuple of Step)
        By file and path of the dataset.
    pixels : mapping of str to (int, int)
        By detector, pixels of the modules that are kept, and those of them inside.
    facts : mapping
        What was asked for, as JSON values.
    """

    files: Mapping[str, Mapping[str, tuple[Step, ...]]] = field(default_factory=dict)
    pixels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def filling(accesses: Sequence[Any], found: Sequence[Found], region: Any, outside: float | None) -> Filling:
    """Return what `region` and `outside` of a copy mean for its files.

    Raises
    ------
    PlanError
        If the region is of another detector or shape, lacks modules, is empty, or pixels cannot be NaN.
    """
    if region is None:
        if outside is not None:
            raise PlanError(f"outside={outside}: outside of what? Give region=, a result with signal.mask")
        return Filling()
    if outside is not None and not (outside == 0 or np.isnan(outside)):
        raise PlanError(f"outside={outside}: expected 0, nan, or None: NaN for floats and 0 for integers")
    try:
        inside = Inside.of(region)
        return _Filler(inside, outside, _named(region, inside)).filling(accesses, _meant(inside, found))
    except (TypeError, ValueError) as e:
        raise PlanError(f"region=: {e}".replace("region=: roi=: ", "region=: ")) from e


def _meant(inside: Inside, found: Sequence[Found]) -> list[Found]:
    """Return the detectors that a region is of."""
    meant = [f for f in found if inside.detector in ("", f.name)]
    names = sorted({f.name for f in found})
    if not meant:
        raise ValueError(
            f"these pixels are of {inside.detector or 'a detector'}, and what is copied has {names or 'no detector'}: "
            "give a result of one of these"
        )
    if len({f.name for f in meant}) > 1:
        raise ValueError(f"it does not say of which detector it is: say it with detector=, one of {names}")
    return meant


def _named(region: Any, inside: Inside) -> str:
    """Return in one line which region it is."""
    content = [(m, p.shape, p.tobytes()) for m, p in sorted(inside.pixels.items())]
    digest = hashlib.sha256(repr((content, inside.regions)).encode()).hexdigest()[:16]
    path = getattr(region, "path", None) or getattr(region, "encoding", {}).get("source", "")
    return f"{path} sha256 {digest}".strip()


@dataclass(frozen=True, eq=False)
class _Filler:
    """Finds what is to be replaced, file by file."""

    inside: Inside
    outside: float | None
    name: str

    def filling(self, accesses: Sequence[Any], found: Sequence[Found]) -> Filling:
        """Return what is replaced in all files."""
        files: dict[str, dict[str, tuple[Step, ...]]] = {}
        pixels: dict[str, dict[int, tuple[int, int]]] = {}
        for one in found:
            mine = pixels.setdefault(f"{one.name} ({one.data})", {})
            for access in accesses:
                for path, module, dataset in _datasets(access, one):
                    step = self._step(dataset, module, one, image=path.endswith(_path(one, FILLED[0])))
                    if not step.inside.all():
                        files.setdefault(access.filename, {})[path] = (step,)
                    mine[module] = step.inside.size, int(step.inside.sum())
        sums = {label: tuple(map(sum, zip(*of.values(), strict=True))) for label, of in pixels.items() if of}
        if not any(n for _, n in sums.values()):
            have = {f.name: sorted(f.sources) for f in found}
            raise ValueError(
                f"no pixel of the modules that are copied is inside: nothing would be left of {have}; copy other "
                "modules, or look whether there is signal at all"
            )
        value = "nan for floats, 0 for integers" if self.outside is None else str(self.outside)
        return Filling(files, sums, {"region": self.name, "outside": value})  # type: ignore[arg-type]

    def _step(self, dataset: h5py.Dataset, module: int, found: Found, *, image: bool) -> Outside:
        """Return what is done to a dataset."""
        floats = dataset.dtype.kind == "f"
        if image and not floats and self.outside is not None and np.isnan(self.outside):
            raise ValueError(
                f"outside=nan: {found.name} ({found.data}) has {dataset.dtype}, which has no NaN: give outside=0"
            )
        value = (np.nan if self.outside is None else self.outside) if floats and image else 0.0
        inside = self.inside.within(module, dataset.shape[-2:], found.name, found.detector.first)
        return Outside(inside, value, {"parameters.region": self.name, "module": module})


def _datasets(access: Any, found: Found) -> Iterator[tuple[str, int, h5py.Dataset]]:
    """Yield (path, module, dataset) of what is filled in a file."""
    for module, source in found.sources.items():
        if source in access.instrument_sources:
            for key in FILLED:
                path = f"INSTRUMENT/{source}/{_path(found, key)}"
                dataset = access.file.get(path)
                if isinstance(dataset, h5py.Dataset) and dataset.ndim >= 3 and dataset.dtype.kind in "iuf":
                    yield path, module, dataset


def _path(found: Found, key: str) -> str:
    return found.detector.keys.get(key, key).replace(".", "/")


# In files -----------------------------------------------------------------------------------------


def write_record(original: h5py.File, made: h5py.File, steps: Mapping[str, Sequence[Step]]) -> None:
    """Say in the section REDUCTION which pixels are inside, if the version of the file allows it."""
    if not record.can_hold(record.version_of(original)):
        return
    groups: dict[str, dict[str, Outside]] = {}
    for path, several in steps.items():
        for step in several:
            if isinstance(step, Outside) and path in made:
                name, _, key = path.removeprefix("INSTRUMENT/").rpartition("/")
                groups.setdefault(name, {})[key] = step
    for name, of in groups.items():
        _write(made, name, of)


def _write(made: h5py.File, name: str, steps: Mapping[str, Outside]) -> None:
    """Write the record of an index group ``source/group``."""
    source, _, group = name.rpartition("/")
    there = record.free_name(made, f"{METHOD}_REDUCTION/{source}")
    counts = made[f"INDEX/{name}/count"][:]
    record.index(made, f"INDEX/{there}/{group}", len(counts))
    for key, step in steps.items():
        replaced = (counts > 0) & (not step.inside.all())
        share = np.full(len(counts), step.inside.mean())
        for fact, values in (("reductionRatio", share), ("wasReduced", replaced.astype(np.uint8))):
            dataset = made.create_dataset(f"REDUCTION/{there}/{group}/{key}/{fact}", data=values)
            dataset.attrs["description"] = MEANING[fact]
    # The image is the first of them.
    step = next(iter(steps.values()))
    said = {**step.facts, "pixels": step.inside.size, **step.said, "software": record.software()}
    record.parameters(made, there, METHOD, said)
    pixels = f"RUN/{there}/inside"
    made.create_dataset(f"{pixels}/value", data=step.inside[None].astype(np.uint8), compression="gzip")
    made[f"{pixels}/timestamp"] = made[f"RUN/{there}/method/timestamp"][:]
    record.list_source(made, f"REDUCTION/{there}/{group}")
