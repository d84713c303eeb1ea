"""What a table has of a run: keys that are asked for, or every scalar and small vector, each with its rate and name."""

from __future__ import annotations

import keyword
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Key
from ..declare.labelled import TRAIN_DATA
from ..errors.near import listed
from ..reader.faults import ReadFault
from ..run import detectors
from ..run.findings import Faults
from ..run.locate import found as found_in
from ..run.losses import Loss
from .beam import blocks
from .joining import with_nothing
from .rows import PULSE, TRAIN

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..reader.files import Files
    from ..run.bound import BoundInput
    from ..run.fileindex import Stored
    from ..run.open import OpenedRun

SMALL = 64
"""Values of a vector that is found by itself; larger ones are left out unless they are asked for."""
LEFT_OUT = "left out"
TEXT = 32
"""Bytes of a text, about."""
_OWN = re.compile(r"Sa(\d)\w*TD$")
"""Keys of the gas monitor with a list of the pulses of one undulator: ``data.intensitySa1TD``."""
_GENERIC = re.compile(r"\d+|.|DOOCS|MAIN|OUTPUT", re.IGNORECASE)
"""Members of names that say nothing of what a device is."""


@dataclass(frozen=True, eq=False)
class Found:
    """A variable of a table: where its values are in the run, and how they are joined.

    `rate` is "pulse" (a list with an entry per pulse) or "train"; `sase` the undulator whose pulses a list has, None
    for all that its monitor sees; `asked` whether somebody named it.
    """

    name: str
    bound: BoundInput
    rate: str
    unit: str = ""
    doc: str = ""
    sase: int | None = None
    asked: bool = False

    @property
    def source(self) -> str:
        """Source and key, as the run has them."""
        return self.bound.title

    def nbytes(self, rows: int, trains: int) -> int:
        """Return the bytes of its values in a table."""
        each = self.bound.dtype.itemsize if self.bound.dtype.kind != "O" else TEXT
        if self.rate == PULSE:
            return rows * each
        return trains * each * math.prod(self.bound.location.shape)

    def attrs(self, rate: str | None = None) -> dict[str, str]:
        """Return what is said beside the values."""
        said = {"units": self.unit or self.bound.location.unit, "long_name": self.doc, "source": self.source}
        return {k: v for k, v in said.items() if v} | {"rate": rate or self.rate}

    def read(
        self, run: DataCollection, faults: Faults, files: Files | None = None
    ) -> tuple[NDArray, NDArray]:
        """Return the value of each train, (train, ...), and which there are, (train,)."""
        if self.bound.dtype.kind in "OS":
            return _texts(run, self.bound)
        return with_nothing(*per_train(self.bound, faults, files))


def per_train(bound: BoundInput, faults: Faults, files: Files | None = None) -> tuple[NDArray, NDArray]:
    """Return the only entry of each train, (train, ...), and where there is one."""
    parts = [*blocks(bound, faults, files)]
    values, there = (np.concatenate([part[n] for part in parts]) for n in (1, 2))
    return values, there


def _texts(run: DataCollection, bound: BoundInput) -> tuple[NDArray, NDArray]:
    """Return the texts of a device, such as its state, as EXtra-data reads them."""
    data, trains = run[bound.name, bound.key], bound.index.train_ids
    read = [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in data.ndarray()]
    ids = (data.train_id_coordinates().astype(np.int64) + bound.declared.offset).astype(np.uint64)
    out, there = np.zeros(len(trains), f"U{max(map(len, read), default=1) or 1}"), np.isin(trains, ids)
    out[there] = np.array(read, out.dtype)[np.searchsorted(ids, trains[there])]
    return out, there


def found(name: str, source: str, key: str, opened: OpenedRun, faults: Faults, **said: Any) -> Found:
    """Return a key as a variable.

    Raises
    ------
    KeyError, ValueError
        If the run has no such key, or it has several entries per train.
    """
    bound = Key(source, key, said.pop("offset", 0)).bind(opened.run, opened.train_ids, faults)
    return _found(name, bound, **said)


def _found(name: str, bound: BoundInput, **said: Any) -> Found:
    """Return what is at some place as a variable."""
    per = said.pop("per", "")
    most = int(bound.index.counts.max(initial=0))
    if most > 1:
        raise ValueError(
            f"{bound.title} has up to {most} entries per train; expected one, or a list with a value for each pulse. "
            "Let an algorithm read it, or take it as frames"
        )
    lists = len(bound.location.shape) == 1 and bound.kind != "control" and bound.dtype.kind in "iuf"
    if per == PULSE and not lists:
        shape = bound.location.shape
        raise ValueError(
            f"{bound.title} has shape {shape} in each train; a list with a value per pulse has one axis"
        )
    per_pulse = per == PULSE or (not per and lists and bound.key.endswith(TRAIN_DATA))
    own = _OWN.search(bound.key)
    return Found(name, bound, PULSE if per_pulse else TRAIN, sase=int(own[1]) if own else None, **said)


def everything(
    opened: OpenedRun, small: int = SMALL, without: Sequence[str] = (), taken: Iterable[str] = ()
) -> tuple[list[Found], list[Loss]]:
    """Return every scalar, small vector and list per pulse of a run by name, and what was left out.

    Parameters
    ----------
    small : int
        Values that a vector may have in a train.
    without : sequence of str
        Patterns of ``SOURCE KEY`` that are left out: ``"*TIMESERVER*"``.
    taken : iterable of str
        Names that are given already.
    """
    left: dict[tuple[str, str], list[str]] = {}
    kept: list[Found] = []
    faults: list[Loss] = []
    bound_like = _Alike(opened)
    for source, key in _keys(opened.run):
        if any(fnmatchcase(f"{source} {key}", p) or fnmatchcase(source, p) for p in without):
            continue
        why, own = "", Faults(trains=opened.train_ids, suspect=opened.faults.suspect)
        try:
            one = _found("", bound_like.of(source, key, own))
            why = _too_much(one, small)
        except ValueError as e:
            why = "several entries per train" if "entries per train" in str(e) else "it cannot be read"
        except KeyError:
            why = "it cannot be read"
        faults += [*own.losses, *own.notes]
        if why:
            left.setdefault((source, why), []).append(key)
        else:
            kept.append(one)
    names = short([(f.bound.name, f.bound.key) for f in kept], taken)
    return [replace(f, name=n) for f, n in zip(kept, names, strict=True)], [*faults, *left_out(left)]


def left_out(keys: Mapping[tuple[str, str], list[str]]) -> list[Loss]:
    """Return what is left out, by source and why, as losses."""
    return [Loss(LEFT_OUT, source=s, detail=f"{why}: {listed(names)}") for (s, why), names in keys.items()]


class _Alike:
    """Binds keys of a source one after the other: the index of a source is looked at once, not for each of its keys."""

    def __init__(self, opened: OpenedRun) -> None:
        self._opened = opened
        self._of: tuple[str, str] = "", ""
        self._like: tuple[BoundInput, list[Stored]] | None = None

    def of(self, source: str, key: str, faults: Faults) -> BoundInput:
        """Return where the values of a key are."""
        control = source in self._opened.run.control_sources
        group = source, "" if control else key.partition(".")[0]
        if group != self._of:
            self._of, self._like = group, None
        if self._like is not None and (made := self._another(*self._like, key, faults)) is not None:
            return made
        bound = Key(source, key).bind(self._opened.run, self._opened.train_ids, faults)
        self._like = bound, found_in(self._opened.run, source, key, Faults())
        return bound

    def _another(self, bound: BoundInput, known: list[Stored], key: str, faults: Faults) -> BoundInput | None:
        """Return where another key of the same source is, None where its datasets are not as those of the first."""
        stored = found_in(self._opened.run, bound.name, key, faults)
        alike = len({(one.dtype, one.entry, one.path) for one in stored}) == 1
        if not alike or any(one.others for one in stored):
            return None
        if [(one.file, one.rows) for one in stored] != [(one.file, one.rows) for one in known]:
            return None
        one = stored[0]
        at = replace(
            bound.location,
            datasets=(one.path,),
            shape=one.entry,
            stored=one.entry,
            dtype=one.dtype,
            unit=one.unit,
        )
        return replace(bound, declared=Key(bound.name, key), key=key, location=at)


def _too_much(one: Found, small: int) -> str:
    """Return why a key is no scalar or small vector, or ""."""
    shape, kind = one.bound.location.shape, one.bound.dtype.kind
    if one.rate == PULSE:
        return ""
    if kind not in "iufbOS" or (kind in "OS" and (shape or one.bound.kind != "control")):
        return f"values of type {one.bound.dtype}"
    if math.prod(shape) > small:
        return f"more than {small} values per train"
    return "" if (one.bound.location.count > 0).any() else "no values in any train"


def _keys(run: DataCollection) -> Iterator[tuple[str, str]]:
    """Yield sources and keys of devices: all but detectors and older names of sources."""
    modules = detectors.find(run.instrument_sources - set(run.legacy_sources))
    of_detectors = {source for one in modules for source in one.sources.values()}
    for source in sorted(run.all_sources - set(run.legacy_sources) - of_detectors):
        if any(source.startswith((f"{one.name}/DET/", f"{one.name}/CORR/")) for one in modules):
            continue
        for key in sorted(run[source].keys(inc_timestamps=False)):
            if key.rpartition(".")[2] not in ("trainId", "timestamp"):
                yield source, key


def constant(values: NDArray, there: NDArray) -> bool:
    """Return whether a value is there in all trains, always the same."""
    if not len(values) or not there.all():
        return False
    first = values[:1]
    same = (values == first) | ((values != values) & (first != first))  # noqa: PLR0124 - of NaN
    return bool(np.all(same))


def times(opened: OpenedRun) -> NDArray:
    """Return the time of each train, (train,) datetime64; NaT where no file says it."""
    trains = opened.train_ids
    out = np.full(len(trains), np.iinfo("i8").min, "i8")
    for access in opened.run.files:
        if (out != np.iinfo("i8").min).all():
            break
        # A label is no reason to have no table.
        with suppress(ReadFault):
            if access.has_dataset("INDEX/timestamp"):
                stamps = access.index("INDEX/timestamp")[: len(access.all_train_ids)]
                _, here, there = np.intersect1d(trains, access.train_ids, return_indices=True)
                said = stamps[access.all_train_ids != 0][there].astype("i8")
                out[here[said > 0]] = said[said > 0]
    return out.astype("M8[ns]")


# Names --------------------------------------------------------------------------------------------


def short(keys: Sequence[tuple[str, str]], taken: Iterable[str] = ()) -> list[str]:
    """Return a name for each source and key: short, and no two the same; dotted, made of parts of the source."""
    devices = _devices({source.partition(":")[0] for source, _ in keys})
    ends = {key: _dotted(re.sub(r"^data\.|\.value$", "", key)) for _, key in keys}
    plain = [f"{devices[source.partition(':')[0]]}.{ends[key]}" for source, key in keys]
    times, used, out = Counter(plain), set(taken), []
    for (source, key), name in zip(keys, plain, strict=True):
        device, _, channel = source.partition(":")
        if (times[name] > 1 or name in used) and channel:
            name = f"{devices[device]}.{_dotted(channel)}.{ends[key]}"
        if name in used:
            name = next(n for i in range(2, len(keys) + 3) if (n := f"{name}_{i}") not in used)
        used.add(name)
        out.append(name)
    return out


def _devices(names: Iterable[str]) -> dict[str, str]:
    """Return what each device is called: by its member or type if that is enough, else by more of its name."""
    left, made = {name: _spellings(name) for name in sorted(names)}, dict[str, str]()
    for level in range(3):
        times = Counter(spelled[level] for spelled in left.values())
        chosen = {
            n: s[level] for n, s in left.items() if times[s[level]] == 1 and s[level] not in made.values()
        }
        made |= chosen
        left = {n: s for n, s in left.items() if n not in chosen}
    return made | {name: _dotted(name.replace("/", ".")) for name in left}


def _spellings(device: str) -> tuple[str, str, str]:
    """Return what a device may be called, short names first."""
    parts = [part for part in device.split("/") if part] or ["_"]
    member, kind = parts[-1], parts[-2] if len(parts) > 1 else parts[-1]
    first = kind if _GENERIC.fullmatch(member) else member
    return tuple(_dotted(s).lower() for s in (first, f"{kind}.{member}", ".".join(parts)))  # type: ignore[return-value]


def _dotted(text: str) -> str:
    """Return a text as identifiers with dots between them."""
    parts = [re.sub(r"\W", "_", part, flags=re.ASCII) for part in text.split(".") if part]
    return (
        ".".join(f"_{p}" if p[0].isdigit() else f"{p}_" if keyword.iskeyword(p) else p for p in parts) or "_"
    )
