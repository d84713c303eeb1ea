"""Table: the small data of a run, a row for each pulse and train, and what can be done with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import Columns
from .rows import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xarray import Dataset

    from ..declare.condition import Column


class Table:
    """The small data of one run or of several.

    Parameters
    ----------
    data : xarray.Dataset
        Rows are (pulse, ...) with ``train_id`` and ``pulse_id``, sorted by them, each there once; trains are
        (train, ...) with ``train``; values of the run have neither. Floats are NaN where missing, integers and
        booleans are where ``<name>_valid`` says so.
    path : path, optional
        Where it is kept.
    about : dict, optional
        How it was made.

    Raises
    ------
    ValueError
        If rows or trains have no ids.
    """

    def __init__(
        self, data: Dataset, path: str | Path | None = None, about: dict[str, Any] | None = None
    ) -> None:
        self.data = data
        """All of it, labelled and lazy."""
        self.path = None if path is None else Path(path)
        self.about = dict(about or {})
        self.rows = Rows.of(data)
        """Which train and pulse each row is of."""
        self.columns = Columns(data, self.rows)

    @property
    def names(self) -> list[str]:
        """Names of all variables."""
        return self.columns.names

    def rate(self, name: str) -> str:
        """Return "pulse", "train" or "run": of what a variable has a value each."""
        return self.columns.rate(name)

    def column(self, name: str, at: str | None = None) -> Column:
        """Return the values of a variable and where there is one, both (row, ...); see `Columns.column`."""
        return self.columns.column(name, at)

    def mask(self, where: Any = None) -> NDArray[np.bool_]:
        """Return for which rows a condition holds, (pulse,); for all without one. What is missing never passes.

        Parameters
        ----------
        where : str or array of bool, optional
            ``"xgm > 800 & lit"``, or a value for each row.
        """
        from ..declare.condition import Condition, holds

        keep = np.ones(len(self.rows), bool)
        if where is None:
            return keep
        if not isinstance(where, str):
            return keep & np.asarray(where)
        for cut in Condition(where).cuts():
            keep &= holds(cut, lambda name: self.column(name, at="pulse"))[0]
        return keep
