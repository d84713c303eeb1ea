"""Kernels of cubes: the bins that rows are in, and sums of their values by bin."""

from __future__ import annotations

import math

from numba import njit


@njit(cache=True, nogil=True)
def find(values, lo, hi, discrete, out):  # type: ignore[no-untyped-def]
    """Find the bin of each value: -1 below all, -2 above all or in between, -3 of what is no number.

    Parameters
    ----------
    values : ndarray of float64, (row,)
    lo, hi : ndarray of float64, (bin,)
        Ends of bins, in order.
    discrete : bool
        Whether all bins hold their upper end, not only the last.
    out : ndarray of int32, (row,)
    """
    last = len(lo) - 1
    b = 0
    for i in range(len(values)):
        v = values[i]
        if v != v:
            out[i] = -3
        elif v < lo[0]:
            out[i] = -1
        elif v > hi[last]:
            out[i] = -2
        else:
            # The bin of the row before, mostly.
            if not (lo[b] <= v and (b == last or v < lo[b + 1])):
                b, end = 0, last + 1
                while end - b > 1:
                    middle = (b + end) // 2
                    if lo[middle] <= v:
                        b = middle
                    else:
                        end = middle
            inside = v < hi[b] or (v == hi[b] and (discrete or b == last))
            out[i] = b if inside else -2


@njit(cache=True, nogil=True)
def combine(index, size, flat, outside):  # type: ignore[no-untyped-def]
    """Add an axis of so many bins to the flat bins of rows, and count what is outside of it.

    Parameters
    ----------
    index : ndarray of int32, (row,)
        What `find` found.
    flat : ndarray of int64, (row,)
        -1 of rows that are outside of an axis, -2 of those that are not selected.
    outside : ndarray of int64, (3,)
        Rows that are selected and below, above or missing.
    """
    for i in range(len(index)):
        if flat[i] > -2:
            b = index[i]
            if b < 0:
                outside[-b - 1] += 1
                flat[i] = -1
            elif flat[i] >= 0:
                flat[i] = flat[i] * size + b


@njit(cache=True, nogil=True)
def once(flat, train, last, out):  # type: ignore[no-untyped-def]
    """Mark the first row of each train in each bin; rows of a train follow each other.

    Parameters
    ----------
    train : ndarray of int64, (row,)
        Number of its train, -1 of none.
    last : ndarray of int64, (bin,)
        The train before, of each bin: -1 to begin with.
    out : ndarray of bool, (row,)
    """
    for i in range(len(flat)):
        b, t = flat[i], train[i]
        out[i] = b >= 0 and t >= 0 and last[b] != t
        if out[i]:
            last[b] = t


@njit(cache=True, nogil=True)
def add(flat, x, n, shift, mean, squares):  # type: ignore[no-untyped-def]
    """Add rows to count, mean and squared deviations of their bins (Welford); what is not finite is skipped.

    Means are from the first value of each bin, `shift`: far from 0 no digits are lost.

    Parameters
    ----------
    flat : ndarray of int64, (row,)
        Bins, below 0 of rows that are in none.
    x : ndarray of float64, (row, value)
    n, shift, mean, squares : ndarray, (bin * value,)
    """
    width = x.shape[1]
    for i in range(len(flat)):
        if flat[i] >= 0:
            first = flat[i] * width
            for k in range(width):
                v, at = x[i, k], first + k
                if v - v == 0.0:
                    if n[at] == 0:
                        shift[at] = v
                    d = (v - shift[at]) - mean[at]
                    n[at] += 1
                    step = d / n[at]
                    mean[at] += step
                    squares[at] += d * (d - step)


@njit(cache=True, nogil=True)
def add_pairs(flat, y, x, w, n, weight, squares, pairs, mean_y, mean_x):  # type: ignore[no-untyped-def]
    """Add rows to the sums of their bins of what is divided, y, and by what, x, with weights (West).

    Parameters
    ----------
    flat : ndarray of int64, (row,)
    y : ndarray of float64, (row, value)
    x, w : ndarray of float64, (row,)
        Rows where x is not above 0, or w is not, are skipped.
    n, weight, squares, pairs, mean_y, mean_x : ndarray, (bin * value,)
        Count, sum of weights, of their squares, of the products of all pairs of them, and means.
    """
    width = y.shape[1]
    for i in range(len(flat)):
        if flat[i] >= 0 and x[i] > 0.0 and w[i] > 0.0 and x[i] < math.inf:
            first = flat[i] * width
            for k in range(width):
                v, at = y[i, k], first + k
                if v - v == 0.0:
                    n[at] += 1
                    squares[at] += w[i] * w[i]
                    pairs[at] += w[i] * weight[at]
                    weight[at] += w[i]
                    step = w[i] / weight[at]
                    mean_y[at] += (v - mean_y[at]) * step
                    mean_x[at] += (x[i] - mean_x[at]) * step


@njit(cache=True, nogil=True)
def add_residuals(flat, y, x, w, ratio, out):  # type: ignore[no-untyped-def]
    """Add the weighted squares of y - ratio x of rows to their bins; of the same rows as `add_pairs`."""
    width = y.shape[1]
    for i in range(len(flat)):
        if flat[i] >= 0 and x[i] > 0.0 and w[i] > 0.0 and x[i] < math.inf:
            first = flat[i] * width
            for k in range(width):
                at = first + k
                d = y[i, k] - ratio[at] * x[i]
                if d - d == 0.0:
                    out[at] += w[i] * d * d
