"""The mask of some frames of a run: which it is, whether it fits them, and in words why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.near import listed, nearest
from .badpixels import AUTO, MaskArray, bits_of, is_file, read
from .fileindex import Stored
from .findings import Faults
from .locate import Location, found, keys_of, led_to

if TYPE_CHECKING:
    from extra_data import DataCollection

    from .detectors import Found


MISSING = "missing mask"
"""Cause of faults and losses: the data are there, and their mask is not."""


@dataclass(frozen=True, eq=False)
class BoundMask:
    """Which pixels of an input are bad, and what they become.

    Parameters
    ----------
    said : str
        In words: "mask image.mask".
    location : Location or None
        Of the mask of each frame.
    bits : int
        Bits of it that make a pixel bad.
    fill : number or None
        What a bad pixel becomes; None leaves it as it is.
    key : str
        Of the run, that of `location`.
    packed : ndarray of uint8, (module, cell, byte), or None
        Bad pixels that are the same in all frames (of a cell), eight to a byte.
    cells : ndarray or None
        Numbers of the cells of `packed`; None: one mask for all.
    digest : str
        Of `packed`.
    strip : slice or None
        The slow-scan rows of `packed` that are read; None for all.
    """

    said: str
    location: Location | None
    bits: int
    fill: Any
    key: str = ""
    packed: NDArray | None = None
    cells: NDArray | None = None
    digest: str = ""
    strip: slice | None = None

    @property
    def kept(self) -> bool:
        """Whether what is valid is kept beside the values, since these do not say it."""
        return self.fill is None or self.fill == self.fill

    @property
    def only_told(self) -> bool:
        """Whether bad pixels keep their values, as integers do: only `valid` tells them."""
        return self.fill is None

    def what(self) -> tuple[Any, ...]:
        """Return what identifies it."""
        datasets = self.location.datasets if self.location else ()
        return datasets, self.bits, repr(self.fill), self.digest


@dataclass(frozen=True, eq=False)
class Frame:
    """What a mask must fit: frames of some modules, by number, of a detector of the run or of a camera (None)."""

    name: str
    key: str
    at: Location
    modules: Sequence[int]
    sources: Sequence[str]
    trains: NDArray
    cells: NDArray | None = None
    found: Found | None = None

    @property
    def first(self) -> int:
        """Number of the detector's first module."""
        return self.found.detector.first if self.found else 0

    def own(self, key: str) -> str:
        """Return the detector's own name of a key such as ``image.mask``."""
        return self.found.detector.keys.get(key, key) if self.found else key


@dataclass
class Asked:
    """What is asked for, taken apart: at most one key, any arrays, words for them, why there is none by default."""

    keys: list[str] = field(default_factory=list)
    arrays: list[MaskArray] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    why: str = "none is wanted"

    def said(self, bits: int | None) -> str:
        """Return it in words."""
        if not self.words:
            return f"no mask: {self.why}"
        return f"mask {' and '.join(self.words)}" + ("" if bits is None else f", bits {bits:#x}")


def bind(
    mask: Any, bits: Any, fill: float | None, run: DataCollection, to: Frame, faults: Faults
) -> tuple[BoundMask | None, str]:
    """Return the mask of some frames, and in words which it is, or why there is none.

    Raises
    ------
    ValueError, KeyError
        If it does not fit; the message has both shapes.
    """
    asked, bits = _asked(mask, run, to), bits_of(bits)
    said = asked.said(bits)
    if not asked.words:
        return None, said
    location = _location(run, asked.keys[0], to, faults) if asked.keys else None
    bad, cells = _static(asked.arrays, bits, to)
    wanted = _bits(bits, location, asked)
    bound = BoundMask(said, location, wanted, _fill(fill, to), "".join(asked.keys), cells=cells)
    if bad is None:
        return bound, said
    if bad.size and bad.all():
        raise ValueError(f"{said} leaves no pixel of {to.name}")
    digest = hashlib.sha256(repr((bad.shape, cells)).encode() + bad.tobytes()).hexdigest()[:16]
    return replace(bound, packed=np.packbits(bad, axis=-1), digest=digest), said


def _asked(mask: Any, run: DataCollection, to: Frame) -> Asked:
    """Take apart what is asked for."""
    asked = Asked()
    for part in mask if isinstance(mask, tuple) else (mask,):
        if part == AUTO and (why := _none_by_default(run, to)):
            asked.why = why
        elif part == AUTO or (isinstance(part, str) and not is_file(part)):
            asked.keys.append(to.own("image.mask" if part == AUTO else part))
        elif part is not None:
            asked.arrays.append(read(part) if isinstance(part, str) else part)
            what = part if isinstance(part, str) else "array"
            asked.words.append(f"{what} ({asked.arrays[-1].digest[:8]})")
    asked.keys = list(dict.fromkeys(asked.keys))
    if len(asked.keys) > 1:
        raise ValueError(f"mask={mask!r}: expected at most one key of the run, and arrays or files")
    asked.words = asked.keys + asked.words
    return asked


def _none_by_default(run: DataCollection, to: Frame) -> str:
    """Return why these frames have no mask unless one is asked for; "" where they have one."""
    if to.found is None or to.key != to.own("image.data"):
        return f"{to.key} is not the image of a detector"
    if to.at.dtype.kind not in "fc" and to.found.data != "corrected":
        return "raw data"
    if any(f.has_source_key(s, to.own("image.mask")) for s in to.sources if s for f in run[s].files):
        return ""
    return "this run has none"


def _fill(fill: float | None, to: Frame) -> Any:
    """Return what bad pixels become: NaN if they can, unchanged otherwise, unless it was said."""
    dtype = to.at.dtype
    if fill is None:
        return np.nan if dtype.kind in "fc" else None
    if dtype.kind not in "fc" and not np.can_cast(np.min_scalar_type(fill), dtype):
        raise ValueError(
            f"fill={fill}: frames of {dtype} cannot hold it; give fill=0 or another integer, or none: "
            "block.valid(alias) says which pixels are good"
        )
    return fill


def _bits(bits: int | None, location: Location | None, asked: Asked) -> int:
    """Return the bits of the mask of each frame that count: all by default, those of signed masks included."""
    kinds = [np.dtype(location.dtype)] if location else []
    kinds += [a.values.dtype for a in asked.arrays if a.values.dtype.kind != "b"]
    every = max((2 ** (8 * k.itemsize) - 1 for k in kinds), default=0)
    if bits is not None and kinds and not bits & every:
        raise ValueError(
            f"bits={bits:#x}: none of them is in {asked.said(None)}, which has {every.bit_length()} bits"
        )
    return every if bits is None else bits & every


# Masks of the run -----------------------------------------------------------------------------------


def _location(run: DataCollection, key: str, to: Frame, faults: Faults) -> Location:
    """Return where the mask of each frame is: beside the frames, row by row, or nowhere where it does not fit."""
    data = [found(run, s, key, faults, MISSING) for s in to.sources]
    kinds = [(one.dtype, one.entry) for module in data for one in module]
    if not kinds:
        raise KeyError(_no_mask(run, key, [s for s in to.sources if s]))
    dtype, entry = max(kinds, key=kinds.count)
    at = _beside(key, dtype, entry, to)
    for module, stored in enumerate(data):
        _check_files(stored, module, at, entry, to, faults)
    more = tuple(led_to(data, at.files))
    files = next(one.access.files for module in data for one in module)
    return replace(
        at,
        datasets=tuple(d[0].path if d else "" for d in data),
        files=at.files + more,
        stats=at.stats + tuple(files.seen(f) for f in more),
    )


def _no_mask(run: DataCollection, key: str, sources: Sequence[str]) -> str:
    """Return that modules have no such mask, and what was perhaps meant."""
    keys = keys_of(run, sources[0]) if sources else set()
    meant = nearest(key, {*keys, AUTO, "none"})
    hint = f" Did you mean {'mask=None' if meant == 'none' else repr(meant)}?" if meant else ""
    return (
        f"no key {key!r} in {listed(sources, 3)}.{hint} Keys there: {listed(keys)}; mask=None uses the frames "
        "without one"
    )


def _beside(key: str, dtype: np.dtype, entry: tuple[int, ...], to: Frame) -> Location:
    """Return the place of the frames as that of their mask, checked by shape."""
    frames = to.at.per_entry
    usual = to.at.stored if frames == 1 else (frames, *to.at.stored)
    want = (frames, *to.at.stored[1:]) if to.found and to.found.detector.strips else usual
    one = frames == 1 and entry == (1, *to.at.stored)
    if (entry != want and not one) or dtype.kind not in "ui":
        raise ValueError(
            f"{key} is {dtype} {entry}: not a mask for frames of {want} ({to.name} {to.key}); expected integers of "
            "that shape, another mask=, or mask=None"
        )
    return replace(to.at, file=to.at.file.copy(), dtype=dtype, plane=None, unit="")


def _check_files(
    stored: Sequence[Stored], module: int, at: Location, entry: tuple[int, ...], to: Frame, faults: Faults
) -> None:
    """Note the files in which a module has no mask for its frames, and leave these trains without one."""
    files = {one.file: one for one in stored}
    for number in np.unique(at.file[module][at.file[module] >= 0]):
        without, one = at.file[module] == number, files.get(at.files[number])
        if one is not None:
            detail = f"{one.path} is {one.dtype} {one.entry}; expected {at.dtype} {('rows', *entry)}"
            if (one.dtype, one.entry) == (at.dtype, entry):
                without &= (at.first + at.count)[module] > one.rows
                detail = f"{one.path} has {one.rows} rows, fewer than there are frames"
            if without.any():
                faults.add(MISSING, one.file, one.source, detail, to.trains[without])
        # Of a file without the mask it is said already.
        at.file[module, without] = -1


# Masks that are given -------------------------------------------------------------------------------


def _static(arrays: list[MaskArray], bits: int | None, to: Frame) -> tuple[NDArray | None, NDArray | None]:
    """Return the bad pixels of all arrays together, (module, cell, pixel), and the cells that the middle axis is."""
    if not arrays:
        return None, None
    cells = _cells(to) if any(a.values.ndim == 4 for a in arrays) else None
    bad = [_fitted(a, _is_bad(a.values, bits), cells, to) for a in arrays]
    shape = (len(to.modules), 1 if cells is None else len(cells), int(np.prod(to.at.shape)))
    return np.logical_or.reduce(bad).reshape(shape), cells


def _is_bad(values: NDArray, bits: int | None) -> NDArray:
    """Return which values mean bad, bool."""
    if values.dtype.kind == "b" or bits is None:
        return values != 0
    unsigned = values.view(values.dtype.str.replace("i", "u"))
    return (unsigned & unsigned.dtype.type(bits & np.iinfo(unsigned.dtype).max)) != 0


def _cells(to: Frame) -> NDArray:
    """Return the memory cells of the frames, sorted."""
    if to.cells is None:
        raise ValueError(f"the mask has memory cells, {to.name} {to.key} has none; expected (module, ss, fs)")
    return np.unique(to.cells)


def _with_modules(bad: NDArray, to: Frame) -> NDArray:
    """Return a mask of two axes with one of modules: it may hold them one below the other, as CrystFEL's do."""
    if bad.ndim > 2:
        return bad
    ss = to.at.stored[0] if to.at.stored else 1
    return bad[None] if bad.shape[0] % ss else bad.reshape(-1, ss, bad.shape[1])


def _region(bad: NDArray, to: Frame) -> NDArray:
    """Return the pixels that are read of a mask of whole modules, or of just these pixels."""
    if bad.shape[-2:] == to.at.stored and to.at.roi is not None:
        return bad[..., to.at.roi[0], to.at.roi[1]]
    if bad.shape[-2:] != to.at.shape:
        raise _unfit(bad.shape, to)
    return bad


def _unfit(shape: tuple[int, ...], to: Frame) -> ValueError:
    axes = "(module, ss, fs)" if len(shape) < 4 else "(cell, module, ss, fs)"
    return ValueError(
        f"the mask has {axes} = {shape}; expected {(len(to.modules), *to.at.stored)} for modules "
        f"{list(to.modules)} of {to.name}, or all modules of the detector"
    )


def _rows(array: MaskArray, shape: tuple[int, ...], to: Frame) -> NDArray:
    """Return where the modules that are read are in a mask: by number, or in the order of ``modules=`` of some."""
    numbers, n = np.asarray(to.modules), shape[-3]
    if array.modules is not None:
        if lacking := sorted(set(to.modules) - set(array.modules.tolist())):
            raise ValueError(f"the mask has no modules {lacking}; it has {array.modules.tolist()}")
        return np.array([array.modules.tolist().index(m) for m in to.modules])
    all_of_them = sorted(to.modules) == list(range(to.first, to.first + n))
    if n == len(numbers) and not all_of_them:
        return np.arange(n)
    if n <= numbers.max() - to.first:
        raise _unfit(shape, to)
    return numbers - to.first


def _fitted(array: MaskArray, bad: NDArray, cells: NDArray | None, to: Frame) -> NDArray:
    """Return bad pixels as (module, cell or 1, ss, fs), for the modules, cells and pixels that are read."""
    bad = _region(_with_modules(bad, to), to)
    bad = np.take(bad, _rows(array, bad.shape, to), axis=-3)
    if cells is None or bad.ndim == 3:
        return bad[:, None]
    known = np.arange(len(bad)) if array.cells is None else array.cells
    if lacking := sorted(set(cells.tolist()) - set(known.tolist())):
        raise ValueError(
            f"the mask has no memory cells {lacking[:8]} of {to.name}; it has {len(known)} cells"
        )
    order = np.argsort(known)
    return bad[order[np.searchsorted(known, cells, sorter=order)]].swapaxes(0, 1)
