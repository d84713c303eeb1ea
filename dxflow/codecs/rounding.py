"""Floats rounded within a bound, so that they need fewer bits."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGEST = 2.0**100
"""A bound above that is no bound of values of detectors, and steps of it would not be finite."""


def rounded(values: NDArray, absolute: float | None, relative: float | None, out: NDArray) -> NDArray:
    """Round floats, and return the largest change of each row, (row,) float64.

    Parameters
    ----------
    values : ndarray of float32 or float64, (row, value)
        Contiguous.
    absolute, relative : float, optional
        Largest change, in the unit of the data; as a share of the value, at most 0.5. With both, the larger is allowed.
    out : ndarray
        Where to; not where they are, as they are compared.

    Raises
    ------
    ValueError
        If no bound is given, or one that is none.
    """
    from .kernels import rounded as kernel

    unsigned = f"u{values.itemsize}"
    errors = np.zeros(len(values))
    kernel(
        values,
        values.view(unsigned),
        out,
        out.view(unsigned),
        errors,
        *steps(absolute, relative, values.dtype),
    )
    return errors


def steps(absolute: float | None, relative: float | None, dtype: DTypeLike) -> tuple[NDArray, NDArray, int]:
    """Return where values have the steps of an absolute bound only, from where the relative one counts, bits dropped.

    Raises
    ------
    ValueError
        If no bound is given, or one that is none.
    """
    if absolute is None and relative is None:
        raise ValueError("rounding: expected absolute= or relative=, the largest change, or both")
    if absolute is not None and not 0 < absolute <= LARGEST:
        raise ValueError(
            f"rounding: absolute={absolute!r}: expected a number above 0, in the unit of the data"
        )
    if relative is not None and not 0 < relative <= 0.5:
        raise ValueError(
            f"rounding: relative={relative!r}: expected a share of the value, above 0 and at most 0.5"
        )
    mantissa, kind = np.finfo(dtype).nmant, cast("Any", np.dtype(dtype).type)
    step = 0.0 if absolute is None else 2.0 ** math.floor(math.log2(2 * absolute))
    if relative is None:
        return kind(step * 2.0**mantissa), kind(np.inf), 0
    # frexp: relative is at least 2**(power - 1).
    kept = min(mantissa, max(0, -math.frexp(relative)[1]))
    return kind(step * 2.0**mantissa), kind(step * 2.0**kept), mantissa - kept
