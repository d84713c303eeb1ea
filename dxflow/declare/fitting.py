"""Values that an output can hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fitting(name: str, values: ArrayLike, dtype: np.dtype) -> NDArray:
    """Return values that are assigned to an output as an array; refuse what an integer or bool of it cannot hold.

    Raises
    ------
    ValueError
    """
    if np.ma.is_masked(values):
        values = np.ma.filled(values.astype(np.result_type(values, "f4")), np.nan)  # type: ignore[union-attr]
    given = np.asarray(values)
    if dtype.kind not in "iub" or np.can_cast(given.dtype, dtype):
        return given
    with np.errstate(invalid="ignore"):
        made = given.real.astype(dtype)
    if (wrong := given[made != given]).size:
        raise ValueError(
            f"out.{name} is {dtype}, which cannot hold {wrong[0]}: round it (np.rint) and keep it in range, compare it "
            'for a bool, or declare a float, Output(dtype="f8"); NaN is a missing value of floats only'
        )
    return made
