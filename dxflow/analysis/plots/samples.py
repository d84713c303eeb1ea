"""Samples: the values that are drawn, with name, unit and which of them there are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xarray import DataArray


@dataclass(frozen=True, eq=False)
class Sample:
    """Values with what is to be said of them; `there` is False where one is missing, of the shape of the values.

    Durations are in seconds.
    """

    name: str
    values: NDArray
    there: NDArray
    unit: str = ""
    doc: str = ""
    counted: str = "values"

    def __post_init__(self) -> None:
        # Matplotlib has no axes of durations.
        if self.values.dtype.kind == "m":
            object.__setattr__(self, "values", self.values / np.timedelta64(1, "s"))
            object.__setattr__(self, "unit", "s")

    @property
    def numbers(self) -> NDArray:
        """The values as float64, times as nanoseconds; NaN where there is none.

        Raises
        ------
        TypeError
            If they are texts.
        """
        if self.values.dtype.kind not in "biufM":
            raise TypeError(f"{self.name!r} is {self.values.dtype}; expected numbers, booleans or times")
        values = self.values.astype("i8") if self.values.dtype.kind == "M" else self.values
        return np.where(self.there, values, np.nan)

    def back(self, numbers: NDArray) -> NDArray:
        """Return numbers as what the values are: times again."""
        if self.values.dtype.kind != "M":
            return numbers
        return np.round(numbers).astype("i8").astype(self.values.dtype)

    def chosen(self, keep: NDArray) -> Sample:
        """Return some rows."""
        return replace(self, values=self.values[keep], there=self.there[keep])


def of_array(array: DataArray, valid: DataArray | None = None, counted: str = "values") -> Sample:
    """Return the values of an array of a dataset; `valid` says where integers and booleans have one."""
    values = array.values
    if values.dtype.kind == "O":
        values = values.astype("U")
    there = ~np.isnan(values) if values.dtype.kind in "fc" else np.ones(values.shape, bool)
    there = ~np.isnat(values) if values.dtype.kind in "mM" else there
    if valid is not None:
        said = valid.values
        there = there & said.reshape(said.shape + (1,) * (there.ndim - said.ndim))
    attrs = array.attrs
    return Sample(
        str(array.name), values, there, str(attrs.get("units", "")), str(attrs.get("long_name", "")), counted
    )
