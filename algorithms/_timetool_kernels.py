"""Kernels of `timetool`: steps in lines, as the difference of the means on both sides, or by a template."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def steps(line, width, sign, out):  # type: ignore[no-untyped-def]
    """Write by how much the mean of `width` pixels from each on is above that of as many before; NaN where one is."""
    n = len(line)
    out[:] = np.nan
    for k in range(width, n - width + 1):
        before, after = 0.0, 0.0
        for j in range(width):
            before += line[k - 1 - j]
            after += line[k + j]
        out[k] = sign * (after - before) / width


@njit(cache=True, nogil=True)
def correlated(line, template, out):  # type: ignore[no-untyped-def]
    """Write the sum of products of a template with the pixels around each; NaN where it does not fit, or one is."""
    n, m = len(line), len(template)
    out[:] = np.nan
    for k in range(m // 2, n - m + m // 2 + 1):
        total = 0.0
        for j in range(m):
            total += template[j] * line[k - m // 2 + j]
        out[k] = total


@njit(cache=True, nogil=True)
def peak(values, first, stop, apart):  # type: ignore[no-untyped-def]
    """Return place, height and full width at half height of the highest value, and the next maximum apart from it.

    The place is that of the parabola through the value and its neighbours; NaN where these are missing, or higher: the
    maximum is outside then.
    """
    top, best = -1, -np.inf
    for k in range(max(first, 0), min(stop, len(values))):
        if values[k] > best:
            top, best = k, values[k]
    if top < 0:
        return np.nan, np.nan, np.nan, np.nan
    other = np.nan
    for k in range(max(first, 1), min(stop, len(values) - 1)):
        high = values[k] >= values[k - 1] and values[k] >= values[k + 1]
        if abs(k - top) > apart and high and not values[k] <= other:
            other = values[k]
    place = np.float64(top)
    if 0 < top < len(values) - 1:
        a, c = values[top - 1], values[top + 1]
        bend = a - 2 * best + c
        if a <= best and c <= best:
            place += (a - c) / (2 * bend) if bend < 0 else 0.0
        else:
            place = np.nan
    else:
        place = np.nan
    return place, best, _half(values, top, 1) + _half(values, top, -1), other


@njit(cache=True, nogil=True)
def _half(values, top, way):  # type: ignore[no-untyped-def]
    """Return how far from its top a peak has half of its height, to one side; NaN if it never comes down to it."""
    k = top
    if not values[top] > 0:
        return np.nan
    while 0 <= k + way < len(values):
        if values[k + way] != values[k + way]:
            return np.nan
        if values[k + way] < values[top] / 2:
            return abs(k - top) + (values[k] - values[top] / 2) / (values[k] - values[k + way])
        k += way
    return np.nan
