"""Regions of interest: rectangles of pixels of some modules, by name, and pixels that are left out."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Frames, InputInfo, ModuleBlock, PlanError

from ._azint_tables import loaded, of_modules
from .litframes import usable

Bounds = tuple[int, int] | None
"""The first row or column of a region and the one after the last; None for all."""
AXES = ("modules", "ss", "fs")


@dataclass(frozen=True)
class Asked:
    """A region as it is asked for: "" is the name of the only one; None is all.

    `own` has the bounds (ss, fs) of each module in place of the others.
    """

    name: str = ""
    modules: tuple[int, ...] | None = None
    ss: Bounds = None
    fs: Bounds = None
    own: Mapping[int, tuple[Bounds, Bounds]] | None = None


@dataclass(frozen=True)
class Roi:
    """A region of a run: the bounds (ss, fs) of each of its modules, by number."""

    name: str
    bounds: Mapping[int, tuple[tuple[int, int], tuple[int, int]]]

    @property
    def modules(self) -> list[int]:
        """Module numbers, rising."""
        return sorted(self.bounds)

    @property
    def first(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The bounds of the first module."""
        return self.bounds[self.modules[0]]

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along ss and fs, of the first module."""
        ss, fs = self.first
        return ss[1] - ss[0], fs[1] - fs[0]

    @property
    def same(self) -> bool:
        """Whether it has the same pixels of each module."""
        return len(set(self.bounds.values())) == 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which regions there are."""
    add_one(parser)
    parser.add_argument(
        "--roi",
        dest="rois",
        nargs="+",
        action="append",
        metavar=("NAME", "FIRST STOP"),
        help="a region with a name: first and stop of fs, of ss and fs, or of modules, ss and fs; may be repeated",
    )


def add_one(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say which region there is."""
    add = parser.add_argument
    for axis, what in (("ss", "rows (slow scan)"), ("fs", "columns (fast scan)")):
        words = f"{what} FIRST to STOP - 1; default all"
        add(f"--{axis}", type=int, nargs=2, metavar=("FIRST", "STOP"), help=words)
    add("--modules", type=int, nargs="+", help="module numbers; default all")
    add(
        "--roi-mask",
        dest="mask",
        help=".npy file, (module, ss, fs): pixels that are not used are True, beside those masked",
    )


def asked(who: str, args: argparse.Namespace) -> list[Asked]:
    """Return the regions that are asked for, checked as far as that can be without a run."""
    modules = numbers(args.modules)
    ss, fs = interval(who, "ss", args.ss), interval(who, "fs", args.fs)
    if getattr(args, "rois", None) is None:
        return [Asked(modules=modules, ss=ss, fs=fs)]
    if modules or ss or fs:
        raise ValueError(f"{who}: rois= says it for each region; leave out modules=, ss= and fs=")
    pairs = list(args.rois.items()) if isinstance(args.rois, Mapping) else [(r[0], r[1:]) for r in args.rois]
    names = [str(name) for name, _ in pairs]
    if not pairs or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"{who}: rois={args.rois!r}; expected a name of its own for each region")
    return [_named(who, str(name), bounds) for name, bounds in pairs]


def axis(placed: Sequence[Any]) -> dict[str, Any]:
    """Return the coordinate of an axis of regions, none of one that has no name."""
    return {"roi": np.array([one.name for one in placed])} if placed[0].name else {}


def numbers(given: Any) -> tuple[int, ...] | None:
    """Return module numbers as `Frames` takes them."""
    one: Any = [given] if isinstance(given, (int, np.integer)) else given
    return Frames(modules=one).modules


def _named(who: str, name: str, bounds: Any) -> Asked:
    """Return the region of some bounds: of fs, of ss and fs, or of modules, ss and fs."""
    try:
        rows = _pairs(bounds)
    except (TypeError, ValueError):
        rows = []
    if not 1 <= len(rows) <= 3:
        raise ValueError(
            f"{who}: rois: {name!r} is {bounds!r}; expected (first, stop), or None for all, of fs, of ss and fs, or of "
            "modules, ss and fs, whole numbers"
        )
    of: dict[str, Any] = dict(zip(AXES[-len(rows) :], rows, strict=True))
    modules = interval(who, f"{name}: modules", of.pop("modules", None))
    ss, fs = (interval(who, f"{name}: {axis}", of.get(axis)) for axis in AXES[1:])
    return Asked(name, None if modules is None else tuple(range(*modules)), ss, fs)


def _pairs(bounds: Any) -> list[Any]:
    """Return bounds as pairs: they may be one after the other, as on a command line."""
    listed = bounds.tolist() if isinstance(bounds, np.ndarray) else list(bounds)
    if not any(isinstance(b, (list, tuple, np.ndarray, type(None))) for b in listed):
        listed = [listed[k : k + 2] for k in range(0, len(listed), 2)]
    return [None if pair is None else (_whole(pair[0]), _whole(pair[1])) for pair in listed if _two(pair)]


def _two(pair: Any) -> bool:
    if pair is not None and len(pair) != 2:
        raise ValueError(pair)
    return True


def _whole(number: Any) -> int:
    if isinstance(number, (str, int, np.integer)):
        return int(number)
    raise ValueError(number)


def interval(who: str, name: str, value: Sequence[int] | None) -> tuple[int, int] | None:
    """Return the first and the end of a range, checked as far as it can be without a run."""
    if value is None:
        return None
    first, stop = (int(v) for v in value)
    if not 0 <= first < stop:
        raise ValueError(f"{who}: {name}={(first, stop)}; expected the first and the one after the last")
    return first, stop


def window(who: str, name: str, given: Any) -> tuple[float, float]:
    """Return the values that count as they are, from the first to the last: of one number, from that on."""
    if given is None:
        return -np.inf, np.inf
    try:
        values = [float(v) for v in np.atleast_1d(given)]
    except (TypeError, ValueError):
        values = []
    low, high = (*values, np.inf)[:2] if 1 <= len(values) <= 2 else (np.nan, np.nan)
    if not low < high:
        raise ValueError(f"{who}: {name}={given!r}; expected a number, or two that rise")
    return low, high


def placed(who: str, regions: Sequence[Asked], img: InputInfo) -> list[Roi]:
    """Return the regions of what is read; refuse those outside the frames, and modules that are not read."""
    if len(img.shape) not in (2, 3) or img.dtype.kind not in "fiub":
        raise PlanError(
            f"{who}: {img.name} {img.key} has values of shape {img.shape[1:]}, {img.dtype}; expected real numbers, "
            "(ss, fs)"
        )
    shape = (1, img.shape[1]) if len(img.shape) == 2 else img.shape[1:]
    return [_placed(who, one, img, shape) for one in regions]


def _placed(who: str, one: Asked, img: InputInfo, shape: tuple[int, ...]) -> Roi:
    modules = one.modules or tuple(img.modules)
    own = one.own or dict.fromkeys(modules, (one.ss, one.fs))
    for bounds in own.values():
        for name, pair, size in zip(AXES[1:], bounds, shape, strict=True):
            if pair and pair[1] > size:
                raise PlanError(f"{who}: {name}={pair} ends outside the frames of {img.name}: it has {size}")
    if unknown := sorted(set(own) - set(img.modules)):
        raise PlanError(f"{who}: modules {unknown} are not read of {img.name}; it has {list(img.modules)}")
    rows, columns = shape
    return Roi(one.name, {m: (ss or (0, rows), fs or (0, columns)) for m, (ss, fs) in own.items()})


def left_out(who: str, given: Any, img: InputInfo) -> NDArray:
    """Return the pixels that are not used, (module, ss, fs) bool, of those that are read; (module, 0, 0): none."""
    if given is None:
        return np.zeros((len(img.modules), 0, 0), bool)
    bad = np.ascontiguousarray(of_pixels(who, "mask", given, img, "b"))
    if bad.all():
        raise PlanError(f"{who}: mask= leaves no pixel of {img.name}: True is a pixel that is not used")
    return bad


def of_pixels(who: str, what: str, given: Any, img: InputInfo, kinds: str = "fiu") -> NDArray:
    """Return a number of each pixel that is read, (module, ss, fs), of an array, which may be of one module for all."""
    try:
        array: Any = loaded(what, given)
        if not hasattr(array, "dims"):
            array = np.atleast_2d(np.asarray(array))
        if array.dtype.kind not in kinds:
            words = "bool, True where a pixel is not used (bits: != 0, 1 where used: == 0)"
            words = words if kinds == "b" else "numbers"
            raise ValueError(f"{what} is {array.dtype} {array.shape}; expected {words}, (module, ss, fs)")
        whole = img if len(img.shape) == 3 else _with_rows(img)
        if array.ndim == 2 and array.shape == whole.shape[1:]:
            return np.broadcast_to(np.asarray(array), whole.shape)
        return of_modules(what, array, whole)
    except (ValueError, OSError) as e:
        raise PlanError(f"{who}: {e}") from e


def _with_rows(img: InputInfo) -> InputInfo:
    return replace(img, shape=(img.shape[0], 1, img.shape[1]))


def frames_of(block: ModuleBlock) -> NDArray:
    """Return the frames of a block, (frame, ss, fs), NaN where a pixel is masked and its value does not say so."""
    frames = usable(block)
    return frames[:, None] if frames.ndim == 2 else frames


def cut(array: NDArray, ss: tuple[int, int], fs: tuple[int, int]) -> NDArray:
    """Return the rows and columns of a region, the last two axes; nothing of what has none."""
    return array[..., slice(*ss), slice(*fs)]
