"""What a train of a stream is in files: sources and keys by the names that files have, modules apart, frames first.

Calibration sends the modules of a detector as one source, with axes in another order than in files, where a frame is
(slow scan, fast scan). Which axis is which is decided when a key comes for the first time, and said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..run import detectors

AXES = ("frame", "plane", "module", "ss", "fs")
FILE_ORDERS = (
    ("frame", "module", "ss", "fs"),
    ("module", "fs", "ss", "frame"),
    ("module", "frame", "ss", "fs"),
    ("module", "ss", "fs", "frame"),
    ("frame", "plane", "module", "ss", "fs"),
    ("frame", "module", "plane", "ss", "fs"),
    ("module", "frame", "plane", "ss", "fs"),
    ("module", "ss", "fs"),
    ("module", "fs", "ss"),
    ("plane", "module", "ss", "fs"),
    ("module", "plane", "ss", "fs"),
)
"""Orders of the axes of stacked modules, the first that fits counts: as EXtra-data stacks, as calibration sends, ..."""
PIXELS = {"AGIPD": (512, 128), "LPD": (256, 256), "DSSC": (128, 512), "JUNGFRAU": (512, 1024)}
"""Slow and fast scan of a module, by the beginning of the detector's kind."""
STACKED = r"(?P<name>[^/]+_DET_[^/]+)/(?P<by>DET|CAL|CORR|RAW)/(?P<what>APPEND\w*)(?::\w+)?"
OF_MODULE = {"raw": "{}/DET/{}CH0:xtdf", "corrected": "{}/CORR/{}CH0:output"}
"""What the modules of a stacked source are called in files."""
RAW = re.compile(r"([^/]+_DET_[^/]+)/DET/(\d+)CH0:xtdf")
NAME = re.compile(r"[A-Za-z0-9_\-.:@+ ]+(?:/[A-Za-z0-9_\-.:@+ ]+)*")
KEY = re.compile(r"[A-Za-z0-9_\-:@+ ]+(?:\.[A-Za-z0-9_\-:@+ ]+)*")
LONGEST = 200
"""Characters of a name."""
DEEPEST = 8
"""Axes of a value."""


class Unfit(ValueError):
    """What is in no file: a name that is none, values of another kind."""


@dataclass
class Group:
    """The keys of a source that have the same entries: values of some trains' entries, (entry, ...)."""

    entries: int
    values: dict[str, NDArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Order:
    """In which order the axes of the frames of a source are, and the shape that came first."""

    source: str
    key: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]


def said(orders: Iterable[Order]) -> list[str]:
    """Return orders in words: those of modules that have the same as one."""
    alike: dict[tuple[Any, ...], list[str]] = {}
    for one in orders:
        alike.setdefault((one.key, one.axes, one.shape), []).append(one.source)
    return [
        f"{sources[0]}{f' and {len(sources) - 1} more' if sources[1:] else ''}, {key}: ({', '.join(axes)}) = {shape}"
        for (key, axes, shape), sources in sorted(alike.items())
    ]


class Mapper:
    """Makes of trains of a stream what files would have of them; the same for all trains of a stream.

    Parameters
    ----------
    names : mapping of str to str
        What sources are taken for: a name that files or calibration would use.
    axes : mapping of str to sequence of str
        Orders of the axes of the frames of a source, where those by default are not right; names of `AXES`.
    """

    def __init__(
        self, names: Mapping[str, str] | None = None, axes: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._names = dict(names or {})
        given = {source: tuple(order) for source, order in (axes or {}).items()}
        # By the name that is sent, or by the one that it is taken for.
        self._axes = {self._names.get(source, source): order for source, order in given.items()} | given
        self.unused = {*self._names, *given}
        """Sources of which something was said, and that have not come."""
        self.orders: dict[tuple[str, str], Order] = {}
        """Of the frames that came so far, by source and key."""
        self.refused: dict[str, str] = {}
        """Sources and keys that are left out, and why."""

    def is_detector(self, source: str) -> bool:
        """Return whether a source has frames of a detector."""
        return _stacked(self._names.get(source, source)) is not None or _module(source) is not None

    def train(self, data: Mapping[str, Mapping[str, Any]]) -> dict[str, Group]:
        """Return the values of a train, by source and group (``source/group``), or control source (``source``)."""
        out: dict[str, Group] = {}
        for source, values in data.items():
            name = self._names.get(source, source)
            if self.unused:
                self.unused -= {source, name}
            if (hit := RAW.fullmatch(source)) and _is_copy(
                values, data.get(OF_MODULE["corrected"].format(*hit.groups()))
            ):
                # The old name of a corrected module, by which servers of files send it a second time.
                continue
            try:
                for place, group in self._source(_named(name), values):
                    # The first one counts: two sources were given the same name, or a module came in a stack as well.
                    out.setdefault(place, group)
            except Unfit as e:
                self._refuse(source, "", e)
        return out

    def _refuse(self, source: str, key: str, why: object) -> None:
        if len(self.refused) < 1000:
            self.refused.setdefault(f"{source} {key}".strip(), str(why))

    def _source(self, source: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Group]]:
        """Yield the groups of a source."""
        if (stack := _stacked(source)) is not None:
            yield from self._modules(source, stack, values)
        elif (kind := _module(source)) is not None and kind.cells == "image.cellId":
            yield from self._instrument(source, self._framed(source, kind, values), values)
        elif ":" in source:
            yield from self._instrument(source, None, values)
        else:
            yield from self._control(source, values)

    def _instrument(
        self, source: str, frames: Group | None, values: Mapping[str, Any]
    ) -> Iterator[tuple[str, Group]]:
        """Yield the groups of an instrument source: each key but those of frames has one entry."""
        if frames is not None and frames.values:
            yield f"{source}/image", frames
        groups: dict[str, Group] = {}
        for key, value in values.items():
            group, _, rest = key.partition(".")
            if frames is not None and group == "image":
                continue
            if not rest or rest == "trainId":
                # A key without a dot has no group of its own in files, and train ids are written anyway.
                continue
            if (array := self._array(source, key, value)) is not None:
                groups.setdefault(group, Group(1)).values[key] = array[np.newaxis]
        yield from ((f"{source}/{group}", made) for group, made in groups.items())

    def _control(self, source: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Group]]:
        """Yield the values of a control source: keys end with ``.value``, as in EXtra-data."""
        made = Group(1)
        for key, value in values.items():
            if key.endswith(".timestamp"):
                continue
            name = key if key.endswith(".value") else f"{key}.value"
            if (array := self._array(source, name, value)) is not None:
                made.values[name] = array[np.newaxis]
        if made.values:
            yield source, made

    def _array(self, source: str, key: str, value: Any) -> NDArray | None:
        """Return a value as files have it, None for what they have no place for."""
        try:
            _named(key, KEY)
            return _numbers(value)
        except Unfit as e:
            self._refuse(source, key, e)
            return None

    # Frames ---------------------------------------------------------------------------------------

    def _framed(self, source: str, kind: detectors.Detector, values: Mapping[str, Any]) -> Group:
        """Return the frames of a single module."""
        arrays = self._ordered(source, kind, values, stacked=False)
        return Group(len(next(iter(arrays.values()), ())), arrays)

    def _ordered(
        self, source: str, kind: detectors.Detector, values: Mapping[str, Any], *, stacked: bool
    ) -> dict[str, NDArray]:
        """Return what there is of each frame, by key, all of as many frames."""
        arrays: dict[str, NDArray] = {}
        count = _frames(values)
        for key, value in values.items():
            if not key.startswith("image.") or key == "image.trainId":
                continue
            if (array := self._array(source, key, value)) is None:
                continue
            try:
                arrays[key] = self._in_order(source, key, array, kind, count, stacked=stacked)
            except Unfit as e:
                self._refuse(source, key, e)
        lengths = {key: array.shape[int(stacked)] for key, array in arrays.items()}
        frames = lengths.get("image.data", count if count is not None else max(lengths.values(), default=0))
        for key in [key for key, length in lengths.items() if length != frames]:
            self._refuse(source, key, f"of {lengths.pop(key)} frames, where there are {frames}")
            del arrays[key]
        return arrays

    def _modules(
        self, source: str, stack: tuple[str, detectors.Detector, str], values: Mapping[str, Any]
    ) -> Iterator[tuple[str, Group]]:
        """Yield the frames of each module of a stacked source."""
        name, kind, data = stack
        there = values.get("modulesPresent")
        arrays = self._ordered(source, kind, values, stacked=True)
        if not data:
            data = "corrected" if any(a.dtype.kind == "f" for a in arrays.values()) else "raw"
        for number in range(kind.modules if arrays else 0):
            if isinstance(there, (list, np.ndarray)) and len(there) == kind.modules and not there[number]:
                continue
            own = {key: array[number if len(array) > 1 else 0] for key, array in arrays.items()}
            module = OF_MODULE[data].format(name, kind.first + number)
            yield f"{module}/image", Group(len(next(iter(own.values()))), own)

    def _in_order(
        self,
        source: str,
        key: str,
        array: NDArray,
        kind: detectors.Detector,
        count: int | None,
        *,
        stacked: bool,
    ) -> NDArray:
        """Return frames in the order of files: (frame, [plane,] ss, fs), before which stacked ones have (module,).

        What each frame has one of, such as its memory cell, is (frame,) and (1, frame).
        """
        if array.ndim <= 2 and (count is None or array.size in (count, max(1, count))) and not _is_image(key):
            array = array.reshape(-1)
            return array[np.newaxis] if stacked else array
        order = self._order(source, key, array, kind, count, stacked=stacked)
        missing = [axis for axis in AXES if axis not in order and axis in ("frame", "module")]
        array = np.expand_dims(array, tuple(range(len(missing))))
        axes = (*missing, *order)
        wanted = [a for a in ("module", "frame", "plane", "ss", "fs") if a in axes]
        array = array.transpose([axes.index(a) for a in wanted])
        return array if stacked else array[0]

    def _order(
        self,
        source: str,
        key: str,
        array: NDArray,
        kind: detectors.Detector,
        count: int | None,
        *,
        stacked: bool,
    ) -> tuple[str, ...]:
        """Return the order of the axes: as it is given, as it was before, or the first that fits."""
        known = self.orders.get((source, key))
        if known is not None and _fits(known.axes, array.shape, kind, None):
            return known.axes
        given = self._axes.get(source)
        if given is not None:
            possible: Sequence[tuple[str, ...]] = [given, tuple(a for a in given if a != "frame")]
        elif stacked:
            possible = FILE_ORDERS
        else:
            possible = list(dict.fromkeys(tuple(a for a in o if a != "module") for o in FILE_ORDERS))
        fitting = [o for o in possible if _fits(o, array.shape, kind, count)]
        if not fitting:
            raise Unfit(f"shape {array.shape} fits no order of axes that is known, of {len(possible)}")
        pixels = next((p for name, p in PIXELS.items() if kind.kind.startswith(name)), None)
        exact = [o for o in fitting if _pixels(o, array.shape) == pixels]
        order = (exact or fitting)[0]
        self.orders[source, key] = Order(source, key, order, array.shape)
        return order


def _is_image(key: str) -> bool:
    return key in ("image.data", "image.mask", "image.gain")


def _fits(
    order: tuple[str, ...], shape: tuple[int, ...], kind: detectors.Detector, count: int | None
) -> bool:
    """Return whether an array may have its axes in an order."""
    if len(order) != len(shape):
        return False
    size = dict(zip(order, shape, strict=True))
    if kind.modules and size.get("module", kind.modules) != kind.modules:
        return False
    if "plane" in size and size["plane"] != max(kind.planes.values(), default=0) + 1:
        return False
    return count is None or size.get("frame", 1) == count


def _pixels(order: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, int]:
    size = dict(zip(order, shape, strict=True))
    return size["ss"], size["fs"]


def _frames(values: Mapping[str, Any]) -> int | None:
    """Return how many frames a source has in a train, by the ids of these; None where it has none."""
    for key in ("image.cellId", "image.pulseId", "image.trainId"):
        value = values.get(key)
        if isinstance(value, (np.ndarray, np.integer, int, list)):
            return int(np.size(value))
    return None


def _is_copy(values: Mapping[str, Any], of: Mapping[str, Any] | None) -> bool:
    """Return whether a module has what another source has: the same keys, and the same first frame."""
    if of is None or values.keys() != of.keys() or "image.data" not in of:
        return False
    one, other = values["image.data"], of["image.data"]
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray):
        return False
    alike = one.dtype == other.dtype and one.shape == other.shape and one.dtype.kind == "f"
    return alike and one[:1].tobytes() == other[:1].tobytes()


@lru_cache(maxsize=4096)
def _stacked(source: str) -> tuple[str, detectors.Detector, str] | None:
    """Return detector, kind and data ("raw", "corrected", or "" if that is not said) of a source of all modules."""
    hit = re.fullmatch(STACKED, source)
    if not hit:
        return None
    found = detectors.find([OF_MODULE["raw"].format(hit["name"], 0)])
    if not found or not found[0].detector.modules:
        return None
    data = {"APPEND_RAW": "raw", "APPEND_CORRECTED": "corrected"}.get(hit["what"], "")
    return hit["name"], found[0].detector, data


@lru_cache(maxsize=4096)
def _module(source: str) -> detectors.Detector | None:
    """Return the kind of detector that a source is a module of."""
    return next((f.detector for f in detectors.find([source])), None)


def _named(name: str, pattern: re.Pattern[str] = NAME) -> str:
    """Return a name that files may have.

    Raises
    ------
    Unfit
    """
    if (
        len(name) > LONGEST
        or not pattern.fullmatch(name)
        or {".", ".."} & {*name.replace(":", "/").split("/")}
    ):
        raise Unfit(f"{name[:40]!r} is no name of a source or key")
    return name


def _numbers(value: Any) -> NDArray:
    """Return a number, or an array of numbers, of a kind that files have.

    Raises
    ------
    Unfit
    """
    if not isinstance(value, (bool, int, float, np.number, np.bool_, np.ndarray, list)):
        raise Unfit(f"a value of type {type(value).__name__}")
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as e:
        raise Unfit(f"no array of numbers ({e})") from e
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8 or array.ndim > DEEPEST:
        raise Unfit(f"values of {array.dtype} {array.shape}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)
