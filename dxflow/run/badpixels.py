"""Bad pixels as they are asked for: the run's mask, a key, arrays, files; and which bits of them count."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.openhdf5 import open_hdf5
from ..errors.kinds import TEXT, WHOLE, Kind, either, expect, flat, several
from ..errors.usage import text_of

AUTO = "auto"
FILE = r"(.+\.(?:npy|h5|hdf5|cxi|nxs|nc|zarr)/?)(?::(.+))?"
"""What tells a file, and what of it, from a key."""
BITS = (
    "OFFSET_OUT_OF_THRESHOLD",
    "NOISE_OUT_OF_THRESHOLD",
    "OFFSET_NOISE_EVAL_ERROR",
    "NO_DARK_DATA",
    "CI_GAIN_OF_OF_THRESHOLD",
    "CI_LINEAR_DEVIATION",
    "CI_EVAL_ERROR",
    "FF_GAIN_EVAL_ERROR",
    "FF_GAIN_DEVIATION",
    "FF_NO_ENTRIES",
    "CI2_EVAL_ERROR",
    "VALUE_IS_NAN",
    "VALUE_OUT_OF_RANGE",
    "GAIN_THRESHOLDING_ERROR",
    "DATA_STD_IS_ZERO",
    "ASIC_STD_BELOW_NOISE",
    "INTERPOLATED",
    "NOISY_ADC",
    "OVERSCAN",
    "NON_SENSITIVE",
    "NON_LIN_RESPONSE_REGION",
    "WRONG_GAIN_VALUE",
    "NON_STANDARD_SIZE",
)
"""Names of the bits of ``image.mask`` at EuXFEL, from bit 0 on, as the facility writes them."""
BITS_GIVEN = Kind("numbers or names of mask bits, or None", several(either(WHOLE, TEXT).fits))
EXPECTED = "expected bool (True is bad) or integers (bits), ([cell,] module, ss, fs)"


@dataclass(frozen=True, eq=False)
class MaskArray:
    """A mask that was given as an array, with the numbers of modules and cells that it came with, if any."""

    values: NDArray
    modules: NDArray | None = None
    cells: NDArray | None = None
    digest: str = field(init=False)
    """What identifies its content."""

    @classmethod
    def of(cls, what: Any) -> MaskArray:
        """Return a mask from an array, a DataArray, or a result that has one."""
        if isinstance(what, MaskArray):
            return what
        if hasattr(what, "dataset") or hasattr(what, "data_vars"):
            what = _variable(getattr(what, "dataset", what), None)
        labels = {d: np.asarray(what.coords[d]) for d in getattr(what, "dims", ()) if d in what.coords}
        values = flat(what, "mask=", EXPECTED)
        if values.dtype.kind not in "biu" or values.ndim not in (2, 3, 4):
            raise ValueError(f"the mask is {values.dtype} {values.shape}; {EXPECTED}")
        return cls(values, _labels(labels, "module"), _labels(labels, "cell"))

    def __post_init__(self) -> None:
        h = hashlib.sha256()
        for a in (self.values, self.modules, self.cells):
            if a is not None:
                h.update(str((a.dtype, a.shape)).encode() + np.ascontiguousarray(a).tobytes())
        object.__setattr__(self, "digest", h.hexdigest()[:16])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MaskArray) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{self.values.dtype} {' x '.join(map(str, self.values.shape))} {self.digest}>"


def given(mask: Any) -> Any:
    """Return a mask as `Frames` keeps it: None, "auto", a key, a path, a `MaskArray`, or several of them."""
    if mask is None or isinstance(mask, str):
        return mask
    if isinstance(mask, os.PathLike):
        return os.fspath(mask)
    if isinstance(mask, (list, tuple)) and any(isinstance(m, (str, os.PathLike, MaskArray)) for m in mask):
        return tuple(given(m) for m in mask)
    return MaskArray.of(mask)


def bits_of(bits: Any) -> int | None:
    """Return mask bits as a number: they may be a number, names, or several of them.

    Raises
    ------
    ValueError
        If there is no such name; the message has those there are.
    """
    if bits is None or isinstance(bits, (int, np.integer)):
        return None if bits is None else int(bits)
    if isinstance(bits, str):
        names = [b.strip() for b in re.split(r"[,|]", bits)]
        return _union(_bit(name) for name in names)
    expect(BITS_GIVEN, bits, "bits=")
    return _union(bits_of(b) or 0 for b in bits)


def _bit(name: str) -> int:
    if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", name):
        return int(name, 0)
    # The facility's own name of this bit has a slip in it.
    named = {**{n: 1 << i for i, n in enumerate(BITS)}, "CI_GAIN_OUT_OF_THRESHOLD": 1 << 4}
    if name not in named:
        raise ValueError(
            f"no mask bit is named {name!r}; expected a number such as 0x1f, or {', '.join(BITS)}"
        )
    return named[name]


def _union(bits: Iterable[int]) -> int:
    out = 0
    for bit in bits:
        out |= bit
    return out


# Files and results --------------------------------------------------------------------------------


def is_file(mask: Any) -> bool:
    """Return whether a mask is the name of a file, rather than a key or "auto"."""
    return isinstance(mask, str) and re.fullmatch(FILE, mask) is not None


def read(text: str) -> MaskArray:
    """Return the mask that is in a file: ``bad.npy``, ``bad.h5:/entry/mask``, ``bad.zarr:name.mask``.

    Raises
    ------
    ValueError
        If there is no such file or nothing in it that could be a mask.
    """
    match = re.fullmatch(FILE, text)
    assert match
    path, inside = match[1], match[2]
    if not os.path.exists(path):
        raise ValueError(f"mask {text}: there is no such file")
    try:
        return MaskArray.of(_content(path, inside))
    except (OSError, KeyError, ValueError) as e:
        raise ValueError(f"mask {text}: {text_of(e)}") from e


def _content(path: str, inside: str | None) -> Any:
    if path.endswith(".npy"):
        return np.load(path, allow_pickle=False)
    if path.rstrip("/").endswith(".zarr"):
        import xarray as xr

        return _variable(xr.open_zarr(path, chunks=None), inside)
    return _hdf5(path, inside)


def _hdf5(path: str, inside: str | None) -> NDArray:

    with open_hdf5(path) as file:
        have: list[str] = []
        file.visititems(lambda name, item: have.append(f"/{name}") if _fit(item) else None)
        if inside is None and len(have) != 1 or inside is not None and not _fit(file.get(inside)):
            raise ValueError(f"no mask at {inside!r}; write {path}:/DATASET with one of {have or 'none'}")
        return file[inside or have[0]][()]


def _variable(dataset: Any, name: str | None) -> Any:
    """Return the variable that is the mask: the one asked for, or the only one that can be it."""
    have = [str(v) for v in dataset.data_vars if _fit(dataset[v])]
    named = [v for v in have if v.split(".")[-1] == "mask"]
    fits = [name] if name in have else [] if name else named if len(named) == 1 else have
    if len(fits) != 1:
        raise ValueError(
            f"no mask {name or ''}; variables that could be one: {have or 'none'}; write FILE:NAME"
        )
    return dataset[fits[0]]


def _fit(item: Any) -> bool:
    """Return whether something stored could be a mask."""
    return hasattr(item, "dtype") and item.dtype.kind in "biu" and len(item.shape) in (2, 3, 4)


def _labels(labels: Mapping[str, NDArray], axis: str) -> NDArray | None:
    """Return the numbers along an axis that is named module or cell, however a result calls it."""
    return next((v for k, v in labels.items() if str(k).split(".")[-1].startswith(axis)), None)
