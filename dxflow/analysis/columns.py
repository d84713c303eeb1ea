"""Columns: the values of a variable, and which of them there are, read once and kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..errors.near import did_you_mean, listed
from .rows import PULSE, RUN, TRAIN, Rows

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

VALID = "_valid"
"""What follows the name of integers and booleans in that of the variable that says where they have a value."""
EVENT, OFFSET = "_event", "_offset"
"""What follows the name of values of events in that of their axis, and of where those of each train begin."""


class Columns:
    """The variables of a table as arrays.

    Parameters
    ----------
    data : xarray.Dataset
        Of the table.
    rows : Rows
    """

    def __init__(self, data: Dataset, rows: Rows) -> None:
        self._data, self._rows = data, rows
        self._kept: dict[tuple[str, str], Column] = {}
        self.gone: dict[str, str] = {}
        """By name, what is to be said of variables that are not to be used."""

    def renew(self, data: Dataset, name: str) -> None:
        """Take a dataset of the same rows in which a variable was added, changed or removed."""
        self._data = data
        self._kept = {key: column for key, column in self._kept.items() if key[0] != name}
        self.gone.pop(name, None)

    @property
    def names(self) -> list[str]:
        """Names of variables, without those that say where others have a value."""
        data = self._data
        return [
            name
            for name in map(str, data.data_vars)
            if not (name.endswith(VALID) and name.removesuffix(VALID) in data)
        ]

    def array(self, name: str) -> DataArray:
        """Return a variable, or a coordinate, as it is in the dataset.

        Raises
        ------
        KeyError
            If there is none; the message says which there are.
        """
        if name in self.gone:
            raise KeyError(self.gone[name])
        if name not in self._data.variables:
            raise KeyError(
                f"no variable {name!r}.{did_you_mean(name, self.names)} There are: {listed(self.names)}"
            )
        return self._data[name]

    def rate(self, name: str) -> str:
        """Return "pulse", "train" or "run": of what a variable has a value each."""
        dims = self.array(name).dims
        return str(dims[0]) if dims and dims[0] in (PULSE, TRAIN) else RUN

    def column(self, name: str, at: str | None = None) -> Column:
        """Return the values of a variable and where there is one, both (row, ...), of the same shape.

        Parameters
        ----------
        at : {"pulse", "train", "run"}, optional
            Of what there is a row each: values per train are repeated for all pulses of a train, those of the run
            for all. By default as they are.

        Raises
        ------
        ValueError
            If values per pulse are asked for by train.
        """
        own = self.rate(name)
        at = at or own
        if (name, at) not in self._kept:
            self._kept[name, at] = self._read(name) if at == own else self._spread(name, own, at)
        return self._kept[name, at]

    def holds(self, name: str) -> bool:
        """Return whether a variable is in memory."""
        return any(key[0] == name for key in self._kept)

    def keep(self, name: str, column: Column) -> None:
        """Have values at hand that are in no file."""
        self._kept[name, self.rate(name)] = column

    def _read(self, name: str) -> Column:
        values = self.array(name).values
        if values.dtype.kind == "O":
            values = values.astype("U")
        there = _there(values)
        if (valid := there_is(self._data, f"{name}{VALID}")) is not None:
            said = valid.values
            there = there & said.reshape(said.shape + (1,) * (values.ndim - said.ndim))
        return Column(values, there)

    def _spread(self, name: str, own: str, at: str) -> Column:
        """Return values of trains, or of the run, for each row or train."""
        if own == PULSE:
            raise ValueError(f"{name!r} has a value per pulse; expected one per {at}")
        found = self.column(name)
        if own == RUN:
            shape = (len(self._rows) if at == PULSE else len(self._rows.trains), *found.values.shape)
            return Column(np.broadcast_to(found.values, shape), np.broadcast_to(found.there, shape))
        if at == RUN:
            raise ValueError(f"{name!r} has a value per train; expected one of the run")
        return self._rows.of_trains(found)


def there_is(data: Dataset, name: str, other: Any = None) -> Any:
    """Return a variable of a dataset, if it is there, or another.

    `Dataset.get` takes ``roi.sum_valid`` for an attribute of an axis ``roi``, and fails.
    """
    return data[name] if name in data.variables else other


def _there(values: NDArray) -> NDArray:
    """Return where values are not missing by themselves: NaN, NaT."""
    if values.dtype.kind in "fc":
        return ~np.isnan(values)
    if values.dtype.kind in "mM":
        return ~np.isnat(values)
    return np.ones(values.shape, bool)
