"""What an algorithm makes: declared outputs, and a chunk's share of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..errors import kinds as arguments
from ..errors.kinds import FLAG, MAPPING, SIZES, TEXT, TEXTS, expect_all, maybe, several, shown
from ..errors.near import did_you_mean, listed
from .fitting import fitting
from .kinds import KINDS

if TYPE_CHECKING:
    from ..run.index import EntryIndex
    from .events import Events, EventView
    from .kinds import Kind

MERGE_RULES = ("sum", "min", "max", "custom")
STAGES = ("pass", "rows")
LAYOUT = "exdf"
"""Of outputs that are the layout of a device in EXDF files, and nowhere else."""
_KINDS = {
    "per": arguments.Kind(
        "a text, or a pair such as ('img', 'pixel')",
        lambda per: TEXT.fits(per) or (isinstance(per, tuple) and TEXTS.fits(per)),
    ),
    "shape": SIZES,
    "merge": TEXT,
    # Which texts can be names is said by the plan.
    "dims": arguments.Kind(TEXTS.words, several(lambda name: isinstance(name, str))),
    "coords": MAPPING,
    "unit": TEXT,
    "doc": TEXT,
    "store": arguments.Kind(
        f"{FLAG.words} or {LAYOUT!r}",
        lambda store: FLAG.fits(store) or (isinstance(store, str) and store == LAYOUT),
    ),
    "stage": TEXT,
    "exdf": maybe(
        arguments.Kind(
            "a source and a key", lambda pair: isinstance(pair, tuple) and len(pair) == 2 and TEXTS.fits(pair)
        )
    ),
}


@dataclass(frozen=True)
class Output:
    """One result of an algorithm: what it has a value for, and how shares are merged.

    Parameters
    ----------
    per : str or (str, "pixel")
        What there is one value (of `shape`) for:

        - ``"run"``: the whole run,
        - ``"train"``: each train,
        - ``"pixel"``: each pixel of the algorithm's first input,
        - an input alias: each entry of that input (each frame of a detector),
        - ``(alias, "pixel")``: each pixel of each entry, a whole image per frame; made for the algorithms
          after this one (`From`) and usually not stored,
        - ``"event"``: a variable number per train, added with ``out.<name>.append(rows)``.
    shape : tuple of int
        Shape of one value. For ``"pixel"`` it stands before the pixel axes: ``(cell, module, ss, fs)``.
    dtype : dtype
        Floats have NaN as the missing value. Integers and booleans have none: ``<variable>_valid`` says where there
        is a value. Integers take whole numbers of their range: other numbers that are assigned are an error.
    merge : {"sum", "min", "max", "custom"}
        How shares of chunks (and, per entry, of modules) become one. Arrays start at the rule's identity.
        ``"custom"`` starts at 0 and is left to `Algorithm.merge`.
    dims : tuple of str
        Names of the axes of `shape`.
    coords : mapping of str to array or (array, unit)
        Coordinates of these axes, by their names; further labels of an axis as (axis, array) or (axis, array, unit):
        ``dims=("variant",), coords={"snr": ("variant", [5, 6, 7])}``.
    unit, doc : str
        Stored as the attributes ``units`` and ``long_name``.
    store : bool or "exdf"
        False for what only `finalize`, `finalize_rows` or a later algorithm needs. ``"exdf"``: the layout of a device,
        in EXDF files alone: per train or entry, under a source that `exdf` says. Trains without a value have no entry
        in an instrument source, and 0 in a control source; rows of frames have train and pulse ids beside them. Where
        results go elsewhere, there is no such output: ``if "name" in out``.
    stage : {"pass", "rows"}
        When it is made: while the data are read, or of all rows of the run by `Algorithm.finalize_rows`; the latter
        per run, train or entry.
    exdf : (str, str), optional
        Source and key under which it stands in EXDF files: ``("SPB_EXP_AGIPD1M1/REDU/LITFRM:output", "data.nFrame")``
        of rows, in an index group of their own kind; without ``:output`` and a group for values per run and pixel, and
        of a control source per train. By default below a source of the algorithm.

    Notes
    -----
    Values per train, entry or image are missing (NaN; integers 0, and not valid) where nothing could be read, and
    where the hook returned without touching the output: ``out.<name>`` was neither assigned nor used in that train
    or block, nor in `finalize_chunk_processing`. What was touched counts as made, and starts at 0: an ``out.n += 0``
    is a count of zero. With ``merge="min"`` or ``"max"`` each row that is still at the rule's identity is
    missing, too (of floats, each value; of integers with 32 bits and more that are not at 0).
    """

    per: str | tuple[str, str] = "run"
    shape: tuple[int, ...] = ()
    dtype: DTypeLike = "f8"
    merge: str = "sum"
    dims: tuple[str, ...] = ()
    coords: Mapping[str, ArrayLike | tuple[Any, ...]] = field(default_factory=dict)
    unit: str = ""
    doc: str = ""
    store: bool | str = True
    stage: str = "pass"
    exdf: tuple[str, str] | None = None
    kind: str = field(init=False, repr=False, compare=False)
    """One of "run", "train", "pixel", "event", "entry", "image"."""

    def __post_init__(self) -> None:
        expect_all(_KINDS, vars(self), "Output: ")
        for name in ("shape", "dims"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _refuse_dtype(self.dtype)
        if self.merge not in MERGE_RULES:
            raise ValueError(f"Output(merge={self.merge!r}): expected one of {list(MERGE_RULES)}")
        if self.stage not in STAGES:
            raise ValueError(f"Output(stage={self.stage!r}): expected one of {list(STAGES)}")
        if self.dims and len(self.dims) != len(self.shape):
            raise ValueError(f"Output: {len(self.dims)} names {self.dims} for the axes of shape {self.shape}")
        if isinstance(self.per, tuple) and (len(self.per) != 2 or self.per[1] != "pixel"):
            raise ValueError(f'Output(per={self.per!r}): a pair must be ("<input alias>", "pixel")')
        object.__setattr__(self, "kind", self._kind())
        if self.layout and (self.kind not in ("train", "entry") or self.exdf is None):
            raise ValueError(
                f"Output(store={LAYOUT!r}): expected one per train or entry, and exdf=, its source and key"
            )

    def axis(self, name: str) -> str:
        """Return the axis that coordinates belong to: that of their name, or the one that they say."""
        given = self.coords[name]
        return str(given[0]) if name not in self.dims and isinstance(given, tuple) and given else name

    def coordinate(self, name: str) -> tuple[NDArray, str]:
        """Return the values and the unit of coordinates."""
        given: Any = self.coords[name]
        if self.axis(name) != name:
            given = given[1] if len(given) == 2 else given[1:]
        if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], str):
            return np.asarray(given[0]), given[1]
        return np.asarray(given), ""

    @property
    def layout(self) -> bool:
        """Whether it is the layout of a device, in EXDF files alone."""
        return self.store == LAYOUT

    @property
    def alias(self) -> str | None:
        """The input alias this output has a row per entry of, if any."""
        per = self.per[0] if isinstance(self.per, tuple) else self.per
        return None if per in ("run", "train", "pixel", "event") else per

    def _kind(self) -> str:
        if isinstance(self.per, tuple):
            return "image"
        return self.per if self.alias is None else "entry"


def _refuse_dtype(dtype: Any) -> None:
    try:
        fits = np.dtype(dtype).itemsize > 0
    # Whatever an object does that looks like a type.
    except Exception:  # noqa: BLE001
        fits = False
    if not fits:
        raise TypeError(f"Output: dtype={shown(dtype)}: expected a type of numpy, such as 'f4'")


def identity(dtype: DTypeLike, merge: str) -> Any:
    """Return the value that changes nothing when merged: 0, or the end of the dtype's range."""
    if merge not in ("min", "max"):
        return np.zeros((), dtype)[()]
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return np.inf if merge == "min" else -np.inf
    if kind.kind == "b":
        return merge == "min"
    return np.iinfo(kind).max if merge == "min" else np.iinfo(kind).min


def untouched(values: NDArray, merge: str) -> NDArray:
    """Return where values are still at the identity of "min" or "max", and cannot be measured ones."""
    value, kind = identity(values.dtype, merge), values.dtype.kind
    if (
        merge not in ("min", "max")
        or kind not in "fiu"
        or (kind != "f" and (values.itemsize < 4 or not value))
    ):
        return np.zeros(values.shape, bool)
    return values == value


def merge_into(into: NDArray, other: NDArray, rule: str) -> None:
    """Merge `other` into `into` in place by one of the rules "sum", "min", "max".

    NaN wins in "min" and "max", as in numpy, so that a lost value is not hidden.
    """
    if rule == "sum":
        np.add(into, other, out=into) if into.dtype.kind != "b" else np.logical_or(into, other, out=into)
    elif rule == "min":
        np.minimum(into, other, out=into)
    else:
        np.maximum(into, other, out=into)


@dataclass(frozen=True)
class BoundOutput:
    """An `Output` after binding: whose it is, and the sizes that are known in the plan.

    `name` is ``<algorithm>.<output>``; `index` what its rows follow, if it has any;
    `pixels` the (module, ss, fs) shape of the algorithm's first input, module count first.
    """

    algorithm: str
    key: str
    output: Output
    index: EntryIndex | None
    pixels: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name in the result, ``<algorithm>.<output>``."""
        return f"{self.algorithm}.{self.key}"

    @property
    def kind(self) -> Kind:
        """What it has one value for."""
        return KINDS[self.output.kind]

    @property
    def transient(self) -> bool:
        """Whether it lives only while its block or train is worked on."""
        return self.output.kind == "image" and not self.output.store

    @property
    def whole_run(self) -> bool:
        """Whether chunks share one array of it (and merge), rather than each having rows of its own."""
        return self.kind.whole_run

    @property
    def keeps_rows(self) -> bool:
        """Whether each chunk keeps rows of its own of it, per frame, train or event."""
        return not self.whole_run and not self.transient

    @property
    def says_valid(self) -> bool:
        """Whether the result needs to say where it has a value: integers have no NaN."""
        return np.dtype(self.output.dtype).kind not in "fc" and self.output.kind in (
            "entry",
            "image",
            "train",
        )

    def array(self, rows: int, trains: int, modules: int) -> NDArray:
        """Return a fresh array at the identity, for a chunk of so many rows, trains and modules."""
        shape, out = self.shape(rows, trains, modules), self.output
        value = identity(out.dtype, out.merge)
        return np.full(shape, value, out.dtype) if value else np.zeros(shape, out.dtype)

    def shape(self, rows: int, trains: int, modules: int) -> tuple[int, ...]:
        """Return the shape of the array of a chunk of so many rows, trains and modules."""
        return self.kind.shape(self.output.shape, self.pixels, rows, trains, modules)


def valid_name(bound: BoundOutput) -> str:
    """Return the name of the variable that says where an output has a value."""
    return f"{bound.name}_valid"


class Partial:
    """A chunk's share of one algorithm's outputs, or the part of it that belongs to a train or a block.

    Outputs are attributes and items: ``out.intensity += x``, ``out["intensity"][:] = x``. Assigning
    writes into the array that is there; an array of another shape is refused by numpy's broadcasting, numbers that
    an integer output cannot hold with what to do; only NaN leaves an integer output as it is: it has no value then.

    What trains, blocks or modules share (in `Algorithm.process_module_data` all but images, in
    `Algorithm.process_train_data` outputs of the run) is added to: ``out.total = x`` would drop what others added and
    is an error, while ``out.total = out.total + x`` is none. With ``merge="min"`` or ``"max"``, assigning applies the
    rule.

    Parameters
    ----------
    arrays : mapping of str to ndarray, Events or EventView
    shared : mapping of str to str, optional
        The merge rule of the outputs that others write to as well.
    """

    __slots__ = ("_arrays", "_shared", "_touched")
    _arrays: dict[str, Any]
    _shared: Mapping[str, str]
    _touched: set[str]

    def __init__(
        self, arrays: Mapping[str, NDArray | Events | EventView], shared: Mapping[str, str] | None = None
    ) -> None:
        object.__setattr__(self, "_arrays", dict(arrays))
        object.__setattr__(self, "_shared", shared or {})
        object.__setattr__(self, "_touched", set())

    def __getattr__(self, name: str) -> Any:
        try:
            found = object.__getattribute__(self, "_arrays")[name]
        except KeyError:
            raise AttributeError(
                f"no output named {name!r} was declared.{did_you_mean(name, self._arrays)} "
                f"Declared: {listed(self._arrays)}"
            ) from None
        self._touched.add(name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        known = name in self._touched
        current = getattr(self, name)
        if value is current:
            return
        if not isinstance(current, np.ndarray):
            raise TypeError(f"out.{name} holds events: add some with out.{name}.append(rows)")
        if current.dtype.kind in "iub" and _nothing(value):
            if not known:
                self._touched.discard(name)
            return
        rule, values = self._shared.get(name, ""), fitting(name, value, current.dtype)
        if rule in ("min", "max"):
            merge_into(current, values, rule)
        elif rule == "sum" and not known:
            raise ValueError(_overwrites(name, current.dtype))
        else:
            current[...] = values

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def items(self) -> Mapping[str, Any]:
        """Return the arrays by output name, read-only."""
        self._touched.update(self._arrays)
        return MappingProxyType(self._arrays)

    def __reduce__(self) -> tuple:
        return type(self), (self._arrays, dict(self._shared))

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}: {getattr(v, 'shape', '?')}" for k, v in self._arrays.items())
        return f"Partial({inside})"


def touched(out: Partial) -> set[str]:
    """Return the names of the outputs that were assigned or used."""
    return out._touched


def _nothing(value: Any) -> bool:
    """Return whether a value is NaN all over: of integers, that there is none."""
    made = np.asarray(value)
    return made.dtype.kind == "f" and bool(np.isnan(made).all())


def _overwrites(name: str, dtype: np.dtype) -> str:
    """Return what is wrong with an assignment to what others add to, and what to write."""
    add = "|=" if dtype.kind == "b" else "+="
    return (
        f"out.{name} = ... would drop what other modules, blocks or trains added: write out.{name} {add} ... to add to "
        f'it. If each of them has the same value, or the largest is meant, declare Output(merge="max")'
    )
