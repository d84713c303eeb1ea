"""Data that users give, as values of the rows of a table: by their ids, or by their number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from ..declare.labelled import NAMES, of_array
from ..errors.kinds import shown
from ..run.index import EntryIndex
from .rows import PULSE, RUN, TRAIN, Rows
from .saved import texts


def aligned(name: str, what: Any, rows: Rows) -> tuple[Column, str]:
    """Return values and where they are, both (row, ...), and of what there is one each: pulse, train or run.

    Parameters
    ----------
    name : str
        What errors call it.
    what : array or DataArray
        With coordinates ``train_id`` (and ``pulse_id``) by which it is joined, or one value for each row, each train,
        or for the run.
    rows : Rows

    Raises
    ------
    TypeError
        If they are neither numbers, booleans, times nor texts.
    ValueError
        If there are fewer or more values than rows, or none belongs to a row.
    """
    if what is None or hasattr(what, "data_vars"):
        raise TypeError(f"{name} is {shown(what)}: expected an expression, an array or a DataArray")
    ids = hasattr(what, "coords") and any(one in what.coords for one in NAMES["train_id"])
    column, rate = _by_ids(what, rows) if ids else _by_number(name, what, rows)
    if column.values.dtype.kind not in "biufcMU":
        raise TypeError(f"{name} is {column.values.dtype}; expected numbers, booleans, times or texts")
    return column, rate


def _by_number(name: str, what: Any, rows: Rows) -> tuple[Column, str]:
    masked = ~np.ma.getmaskarray(what) if isinstance(what, np.ma.MaskedArray) else True
    values = np.asarray(what)
    if values.dtype.kind in "OS":
        values = texts(name, values)
    pulses, trains = len(rows), len(rows.trains)
    # As many trains as rows: values of rows, if there are any.
    rates = {trains: TRAIN, **({pulses: PULSE} if pulses or not trains else {})}
    rate = rates.get(len(values)) if values.ndim else RUN
    if rate is None:
        raise ValueError(
            f"{name} has {len(values)} values; expected one for each of {pulses} rows, or of {trains} trains, or a "
            "DataArray with coordinates train_id and pulse_id, to be joined by"
        )
    return Column(values, np.broadcast_to(masked, values.shape) & ~_nan(values)), rate


def _by_ids(what: Any, rows: Rows) -> tuple[Column, str]:
    """Join values by train and pulse, or by train."""
    rows.refuse_disorder()
    labelled = of_array(what).labelled
    of_trains = len(labelled.ids) == 1 and len(rows.trains) > 0
    found = labelled.to(_index(rows.trains, None) if of_trains else _index(rows.train_ids, rows.pulse_ids))
    there = found.there.reshape(-1, *(1,) * (found.values.ndim - 1)) & ~_nan(found.values)
    return Column(found.values, there), TRAIN if of_trains else PULSE


def _index(train_ids: NDArray, pulse_ids: NDArray | None) -> EntryIndex:
    trains, counts = np.unique(train_ids, return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return EntryIndex(trains, offsets, np.zeros((1, len(train_ids)), np.int32), pulse_ids)


def _nan(values: NDArray) -> NDArray:
    """Return where values are none by themselves."""
    return values != values  # noqa: PLR0124 - of NaN and NaT
