"""DS: the declaration of a dataset, and what it is once names and sizes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..hdf5.errors import ExdfError
from .file import holds, refusal
from .units import described


@dataclass(frozen=True)
class DS:
    """A dataset of a `FileWriter`.

    Parameters
    ----------
    source : str
        ``"@alias"``, or a source's name; ``"DOM/TYPE/MEM:channel"`` is an instrument source with any number of
        entries per train, ``"DOM/TYPE/MEM"`` a control source with one value per train. ``{det_name}`` in it
        is replaced by the parameter of that name.
    key : str
        With dots between its parts. Of an instrument source the first part is the index group: keys of one group
        have the same number of entries in a train.
    shape : tuple of int or str
        Of one entry; a str is the name of a parameter.
    dtype : dtype or str
        ``str`` only together with `run`.
    unit, doc : str
        Written as the attributes of Karabo for units and descriptions.
    chunk : int or tuple of int, optional
        Entries compressed together, or the shape of a chunk, entries first; about 1 MiB by default.
    compressed : bool
        By shuffle and gzip.
    attributes : mapping of str to str or number
    run : bool
        Has one value for the whole run, which is in RUN only.

    Examples
    --------
    >>> DS("@res", "azimuthal.intensity", ("nbins",), float, unit="photon")  # doctest: +SKIP
    """

    source: str
    key: str
    shape: Sequence[int | str] = ()
    dtype: DTypeLike = float
    unit: str = ""
    doc: str = ""
    chunk: int | tuple[int, ...] | None = None
    compressed: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    run: bool = False


@dataclass(frozen=True)
class Declared:
    """A dataset with all names and sizes."""

    name: str
    """By which data are given."""
    source: str
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    ds: DS

    @property
    def instrument(self) -> bool:
        """Whether it has any number of entries per train."""
        return ":" in self.source

    @property
    def group(self) -> str:
        """Index group of an instrument key."""
        return self.key.partition(".")[0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Unit, description and others."""
        return described(self.ds.unit, self.ds.doc, **self.ds.attributes)

    def error(self, problem: str, train: int | None = None) -> ExdfError:
        """Return an error about this key."""
        return ExdfError(problem, self.source, f"{self.key} ({self.name})", train)


def declared(
    datasets: Mapping[str, DS], aliases: Mapping[str, str], parameters: Mapping[str, Any]
) -> dict[str, Declared]:
    """Return datasets with parameters put in.

    Raises
    ------
    TypeError
        For a parameter that is missing, or that nothing uses.
    ExdfError
        For an alias that there is not, a key used twice, or what the format cannot hold.
    """
    used: set[str] = set()
    out = {name: _declared(name, ds, aliases, _Used(parameters, used)) for name, ds in datasets.items()}
    if unused := sorted(set(parameters) - used):
        raise TypeError(
            f"no dataset uses the parameters {unused}; used: {sorted(used)}. Options of FileWriter are named in its "
            "documentation"
        )
    seen: dict[tuple[str, str], str] = {}
    for one in out.values():
        other = seen.setdefault((one.source, one.key), one.name)
        if other != one.name:
            raise one.error(f"{other!r} is the same key of the same source")
    return out


class _Used:
    """Parameters, and which of them were asked for."""

    def __init__(self, values: Mapping[str, Any], used: set[str]) -> None:
        self._values, self._used = values, used

    def get(self, parameter: str, dataset: str) -> Any:
        self._used.add(parameter)
        if parameter not in self._values:
            raise TypeError(
                f"dataset {dataset!r} needs the parameter {parameter!r}; given: {sorted(self._values)}"
            )
        return self._values[parameter]


def _declared(name: str, ds: DS, aliases: Mapping[str, str], parameters: _Used) -> Declared:
    """Return one dataset with parameters put in, checked."""
    source = _source(name, ds, aliases, parameters)
    shape = tuple(int(parameters.get(n, name) if isinstance(n, str) else n) for n in ds.shape)
    one = Declared(name, source, ds.key, shape, np.dtype(ds.dtype), ds)
    check(one)
    return one


def _source(name: str, ds: DS, aliases: Mapping[str, str], parameters: _Used) -> str:
    """Return the name of a source, aliases and parameters replaced."""
    text = ds.source
    if text.startswith("@"):
        if text[1:] not in aliases:
            raise ExdfError(
                f"dataset {name!r}: no alias {text!r}; there are {sorted('@' + a for a in aliases)}"
            )
        text = aliases[text[1:]]
    fields = [f for _, f, _, _ in Formatter().parse(text) if f is not None]
    return text.format(**{f: parameters.get(f, name) for f in fields})


def check(one: Declared) -> None:
    """Refuse what cannot be in a file.

    Raises
    ------
    ExdfError
    """
    if any(not part for part in one.key.split(".")) or "/" in one.key:
        raise one.error("a key is words with dots between them, such as 'data.intensity'")
    if any(n < 0 for n in one.shape):
        raise one.error(f"shape {one.shape}: lengths cannot be negative")
    if one.instrument and one.ds.run:
        raise one.error("values of the whole run belong to control sources, without ':' in their name")
    if one.instrument and "." not in one.key:
        raise one.error(
            "a key of an instrument source needs an index group before it, such as 'data.intensity'"
        )
    if one.instrument and one.key == f"{one.group}.trainId":
        raise one.error("train IDs are written by themselves; leave this dataset out")
    text = one.dtype.kind == "U" and one.ds.run and not one.shape
    if not text and not holds(one.dtype):
        raise one.error(refusal(one.dtype))
