"""Labels: a value for each frame or train that an algorithm reads, known before the pass begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from ..errors.kinds import PATH, TEXT, Kind, expect, maybe, shown
from ..errors.near import did_you_mean, listed
from ..run.bound import BoundInput
from ..run.index import EntryIndex, plain
from ..run.joined import Joined, Labelled
from ..run.locate import nowhere
from ..run.variants import refuse_several, variable
from .components import OFFERS, energies, kind_of, of_component
from .inputs import Key
from .labelled import Asked, Pattern, Values, of_array, with_ids
from .pumped import Pumped
from .steps import Bins, Steps

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from xarray import DataArray, Dataset


T = TypeVar("T", Labelled, Joined)


def _holds(values: Any) -> bool:
    """Return whether something can be a source of values."""
    known = ("dataset", "data_vars", "coords", "bind")
    return (
        PATH.fits(values)
        or isinstance(values, Pattern)
        or any(hasattr(values, name) for name in known)
        or bool(kind_of(values))
    )


VALUES = Kind(
    "a path of a result, a Result, an xarray.Dataset or an xarray.DataArray, a Key or PulseKey, an array with "
    f"train_ids=, or one of EXtra's {', '.join(OFFERS)}",
    _holds,
)


class Labels:
    """A value for each frame or train that is read: of the run, of an earlier result, or of any labelled array.

    They are joined when the run is planned, by train and pulse id to the frames of the algorithm's first input (by
    memory cell where there are no pulse ids, by entry where there is neither), or by train alone if they have a value
    per train. ``train[alias]`` is (pulse, ...) and ``block[alias]`` (frame, ...); of values per train, ``train[alias]``
    is that of the train. What has no value is missing: NaN of floats; integers, booleans and texts are 0, False or ""
    there, and ``valid(alias)`` says where they have a value. Values of what is not read do not matter.

    Parameters
    ----------
    values : Key, PulseKey, path, Result, xarray.Dataset, xarray.DataArray, array or component of EXtra
        A `Key` with a value per train (a motor), or a `PulseKey` with one per frame: read when planning. A `Key` of
        lists with a value for each pulse (``...TD`` of an XGM) is taken as `PulseKey`. A result or
        labelled array has coordinates ``train_id`` (or ``train``) and, for values per frame, ``pulse_id``,
        ``cell_id`` or ``entry_id``, as results have them. Other arrays need `train_ids`. Of ``extra.components``: a
        Scan (the position of each step), XrayPulses (which frames see a pulse), PumpProbePulses (which of these are
        pumped) and XGM (energies), whose first X-ray pulse of a train falls into the first frame.
    name : str, optional
        Of the variable: ``"litframes.lit"``. Needed unless the result has one only, or selects frames by one.
    train_ids, pulse_ids : array of int, (label,), optional
        Of an array without coordinates.

    Examples
    --------
    >>> lit = dxflow.reduce(run, LitFrames())
    >>> dxflow.reduce(run, Mine(lit=Labels(lit, "litframes.n_lit")))
    >>> dxflow.reduce(run, Mine(x=Labels(Key("SPB_SAMPLE/MOTOR/X", "actualPosition")).steps(0.01, settle=5)))
    """

    def __init__(
        self,
        values: Any,
        name: str | None = None,
        *,
        train_ids: ArrayLike | None = None,
        pulse_ids: ArrayLike | None = None,
    ) -> None:
        if train_ids is not None:
            values = with_ids(values, train_ids, pulse_ids)
        elif isinstance(values, (np.ndarray, list, tuple)):
            raise TypeError(
                f"Labels: {shown(values)} does not say of which trains: give train_ids=, and pulse_ids= of frames, or "
                "an xarray.DataArray with these coordinates"
            )
        values = energies(values) if kind_of(values) == "XGM" else values
        expect(VALUES, values, "Labels: ")
        expect(maybe(TEXT), name, "Labels: name=")
        self.values, self.name = values, name
        self.cut: Steps | Bins | None = None
        """What is made of the values."""
        self.said = ""
        """Where the values are from, if that is said in other words."""

    @classmethod
    def pattern(cls, pattern: Sequence[Any], over: Any = None) -> Self:
        """Return labels that follow each other in every train: ``Labels.pattern(["on", "off"])``.

        Parameters
        ----------
        pattern : sequence of bool, number or str
            Of the first frame that counts in a train, of the second, and so on, again and again.
        over : Labels, or what they take, optional
            Booleans: only frames where it is true count, such as the lit ones; others have no label. By default all
            frames of the train count, also those that are not read.
        """
        return cls(Pattern(pattern, over if over is None or isinstance(over, Labels) else cls(over)))

    @classmethod
    def pumped(cls, source: str | None = None, shift: int = 0, **clock: Any) -> Self:
        """Return labels that say which frames with X-rays saw the pump-probe laser, too; others have no label.

        Parameters
        ----------
        source : str, optional
            Decoder of pulse patterns, with ``laser.nPulses`` and ``laser.pulseIds``; by default that of the instrument,
            or the only one.
        shift : int
            Slots (of 222 ns) from a laser pulse to the X-ray pulse that comes with it.
        **clock
            `sase`, `frames`, `offset`, `reference_frame`, `exposure` and `stride`, as of `PulseKey`: by default, the
            first X-ray pulse of a train is in the first frame.
        """
        return cls(Pumped(source, shift, **clock))

    def steps(self, tolerance: float, settle: int = 0, least: int = 2, to: float | None = None) -> Self:
        """Return labels that are the positions at which a motor rests; trains in between have none.

        Trains in a row whose values are within `tolerance` of each other are a step; the longest are found first.
        Steps whose means are within the tolerance of each other are at one position, the mean of their trains. A train
        without a value has no label and ends no step.

        Parameters
        ----------
        tolerance : float
            In the unit of the values.
        settle : int
            Trains that are left out after each move.
        least : int
            Steps of fewer trains than that, after settling, are left out.
        to : float, optional
            Positions are rounded to multiples of it.
        """
        return self._cut(Steps(tolerance, settle, least, to))

    def bins(self, edges: int | Sequence[float], quantiles: bool = False) -> Self:
        """Return labels that are the middles of the ranges in which values are; those outside have none.

        Parameters
        ----------
        edges : int or sequence of float
            Of ranges that hold their lower edge, the last one also its upper. Or how many there are between the
            least and the largest of the values of what is read.
        quantiles : bool
            So many ranges that hold equally many values, rather than equally wide ones.
        """
        return self._cut(Bins(edges, quantiles))

    def _cut(self, cut: Steps | Bins) -> Self:
        if self.cut is not None:
            raise ValueError(f"{self!r} are cut already: expected values to make steps or bins of")
        made = type(self)(self.values, self.name)
        made.cut, made.said = cut, self.said
        return made

    def __repr__(self) -> str:
        cut = "" if self.cut is None else f".{self.cut}".replace(".Steps", ".steps").replace(".Bins", ".bins")
        return f"Labels({self.source}{f', {self.name!r}' if self.name and not self.said else ''}){cut}"

    def __getstate__(self) -> dict[str, Any]:
        # Workers get the values as they are joined.
        return {"values": self.source, "name": self.name, "cut": self.cut, "said": self.said}

    @property
    def source(self) -> str:
        """Where the values are from, in words."""
        if self.said:
            return self.said
        if isinstance(self.values, Key) and not self.values.offset:
            return f"{self.values.source} {self.values.key}".strip()
        if hasattr(self.values, "bind") or isinstance(self.values, Pattern):
            return str(self.values)
        return str(self.path or f"<{type(self.values).__name__}>")

    @property
    def of_result(self) -> bool:
        """Whether they are of a result, or a dataset, that may have several outputs."""
        return PATH.fits(self.values) or any(hasattr(self.values, name) for name in ("dataset", "data_vars"))

    def outputs(self, asked: Asked) -> list[str]:
        """Return the names of the outputs of the result that they are of."""
        return [str(name) for name in self._dataset(asked).data_vars if not str(name).endswith("_valid")]

    @property
    def path(self) -> Any:
        """The result that the values are from, as far as they say so."""
        if isinstance(self.values, Pattern):
            return getattr(self.values.over, "path", None)
        if PATH.fits(self.values):
            return self.values
        return getattr(self.values, "path", None) or getattr(self.values, "encoding", {}).get("source")

    def fingerprint_value(self) -> dict[str, Any]:
        """Return what identifies it: values count as they are joined, wherever they are from."""
        return {"Labels": {"name": self.name} if self.name else {}}

    def join(self, index: EntryIndex, asked: Asked) -> BoundInput:
        """Return the value of each row of an index, or of each of its trains.

        Parameters
        ----------
        index : EntryIndex
            Of the frames that they belong to.
        asked : Asked
            The run that these are of.

        Raises
        ------
        KeyError, ValueError
            If there is no such variable, or it cannot be joined.
        """
        found = self._values(index, asked)
        labelled, said = found.labelled, ""
        if self.cut is not None and labelled.values.dtype.kind not in "iuf":
            raise ValueError(
                f"{self!r}: {found.title} is {labelled.values.dtype}; steps and bins are of numbers"
            )
        if self.cut is not None and labelled.values.ndim > 1:
            shape = labelled.values.shape[1:]
            raise ValueError(
                f"{self!r}: {found.title} has shape {shape} each; steps and bins are of single numbers"
            )
        if isinstance(self.cut, Steps):
            self._refuse_frames(labelled, found.title)
            labelled, said = self._made(self.cut.of, labelled)
        per_train, read = len(labelled.ids) == 1, index.counts > 0
        index = plain(index.train_ids, np.ones(len(index.train_ids), np.int64)) if per_train else index
        # Trains of which nothing is read make no groups.
        joined = labelled.to(index, read if per_train else None)
        if isinstance(self.cut, Bins):
            joined, said = self._made(self.cut.of, joined)
        return BoundInput(
            declared=self,
            name=found.source or self.source,
            key=found.title,
            kind="control" if per_train else "pulses",
            modules=(0,),
            location=nowhere(index, joined.values.shape[1:], joined.values.dtype, found.unit),
            index=index,
            masked=_said(joined, int(read.sum()) if per_train else len(joined.there))
            + (f" ({said})" if said else ""),
            joined=joined,
        )

    def _refuse_frames(self, labelled: Labelled, title: str) -> None:
        """Refuse steps of what differs from frame to frame."""
        if len(labelled.ids) > 1:
            ids = listed(labelled.ids)
            raise ValueError(f"{self!r}: {title} has {ids}; steps are of values per train, bins of any")

    def _made(self, of: Callable[[T], tuple[T, str]], values: T) -> tuple[T, str]:
        """Return what is made of values; errors say of which."""
        try:
            return of(values)
        except ValueError as e:
            raise ValueError(f"{self!r}: {e}") from e

    def _values(self, index: EntryIndex, asked: Asked) -> Values:
        """Return the values with their ids, wherever they are from."""
        if isinstance(self.values, Pattern):
            return self.values.of(asked.every(index), asked)
        if hasattr(self.values, "bind"):
            if self.name is not None:
                raise ValueError(
                    f"{self!r}: name= is of a variable of a result, and this is an input of the run"
                )
            return asked.read(self.values)
        if kind_of(self.values):
            return of_component(self.values, asked.every(index))
        return of_array(*self._variable(asked))

    def _variable(self, asked: Asked) -> tuple[DataArray, DataArray | None]:
        """Return the variable, and the one that says where it has a value, if there is one."""
        if hasattr(self.values, "coords") and not hasattr(self.values, "data_vars"):
            if self.name is not None:
                raise ValueError(f"{self!r}: name= is of a variable, and this is an array already")
            refuse_several(self.values, f"{self!r}: {self.values.name or 'the array'}")
            return self.values, None
        found = self._dataset(asked)
        name = self.name or self._only(found)
        if "." not in name and name not in found:
            # An algorithm, or one of its variants, is what it selects frames by.
            keys = {one.rpartition(".")[2] for one in str(found.attrs.get("selection", "")).split(", ")}
            name = next(
                (f"{name}.{k}" for k in sorted(keys) if variable(found, f"{name}.{k}") is not None), name
            )
        if (array := variable(found, name)) is None:
            there = sorted(map(str, found.data_vars))
            raise KeyError(
                f"{self!r}: there is no {name!r}.{did_you_mean(name, there)} There are: {listed(there)}"
            )
        return array, variable(found, f"{name}_valid")

    def _dataset(self, asked: Asked) -> Dataset:
        if not PATH.fits(self.values):
            return getattr(self.values, "dataset", self.values)
        try:
            return asked.opened(Path(self.values))
        except (OSError, TypeError) as e:
            raise ValueError(f"{self!r}: {e}") from e

    def _only(self, found: Dataset) -> str:
        """Return the variable that is meant where none is named: that which selects frames, or the only output."""
        names = [str(name) for name in found.data_vars if not str(name).endswith("_valid")]
        # What a result says beside its outputs has no algorithm in its name.
        names = [name for name in names if "." in name] or names
        chosen = str(found.attrs.get("selection", ""))
        names = chosen.split(", ") if chosen else names
        if len(names) != 1:
            raise ValueError(f"{self!r}: which variable? name= one of {listed(names)}")
        return names[0]


def _said(joined: Joined, read: int) -> str:
    """Say how values were joined, and how many there are of what is read."""
    what = "trains" if len(joined.by) == 1 else "frames"
    by = " and ".join(name.removesuffix("_id") for name in joined.by)
    return f"joined by {by}: {int(joined.there.sum())} of {read} {what} have a value"
