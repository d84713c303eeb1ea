"""Kernel of `contrast`: photons of each frame into counts of its regions."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST = 2.0**20
"""Photons of a pixel, beyond which only faults are: squares of a frame still fit 64 bits."""
NEAR = 1e-3
"""Of k beta, below which series have more digits than logarithms."""
SMALL = 1e-4
"""Share of pixels in the last bin, below which it is added up term by term."""
HALVINGS = 50


@njit(cache=True, nogil=True)
def count(frames, numbers, photon, histogram, pixels, total, squares):  # type: ignore[no-untyped-def]
    """Add to the counts of each frame and region; NaN and infinities go to none.

    Parameters
    ----------
    frames : ndarray, (frame, pixel)
    numbers : ndarray of int32, (pixel,)
        Regions from 1, 0 is none.
    photon : float
        Value of a photon.
    histogram : ndarray of int32, (frame, region, photons)
        Pixels with so many photons; the last has more, too.
    pixels, total, squares : ndarray of int64, (frame, region)
        Good pixels, their photons, and the sum of the squares of these.
    """
    last = histogram.shape[2] - 1
    for f in range(len(frames)):
        row = frames[f]
        for p in range(len(row)):
            q = numbers[p] - 1
            x = np.float64(row[p])
            if q < 0 or not np.isfinite(x):
                continue
            k = np.int64(min(max(np.floor(x / photon + 0.5), 0.0), MOST))
            histogram[f, q, min(k, last)] += 1
            pixels[f, q] += 1
            total[f, q] += k
            squares[f, q] += k * k


@njit(cache=True, nogil=True)
def score(histogram, means, betas, out):  # type: ignore[no-untyped-def]
    """Fill in by how much the log-likelihood of each row rises with beta; rows that say nothing stay.

    Parameters
    ----------
    histogram : ndarray of int, (row, photons)
        The last bin has more, too.
    means : ndarray of float64, (row,)
        Photons per pixel; rows say nothing without any, and where most pixels are in the last bin.
    betas : ndarray of float64, (beta,)
    out : ndarray of float64, (row, beta)
    """
    last = histogram.shape[1] - 1
    for row in range(len(histogram)):
        k = means[row]
        if not 0 < k < last:
            continue
        for at in range(len(betas)):
            beta = betas[at]
            # P(n), how the logarithm of it rises, and both up to here: from P(n) follows P(n + 1).
            p, rise = _dark(k, beta)
            below, risen, total = 0.0, 0.0, 0.5 * k / (1 + k * beta)
            for n in range(last):
                total += histogram[row, n] * rise
                below += p
                risen += p * rise
                p *= k * (1 + n * beta) / ((n + 1) * (1 + k * beta))
                rise += n / (1 + n * beta) - k / (1 + k * beta)
            if histogram[row, last] > 0:
                share, more = 1 - below, -risen
                if share < SMALL:
                    share, more = _rest(last, p, rise, k, beta)
                total += histogram[row, last] * more / share
            out[row, at] = total


@njit(cache=True, nogil=True)
def _dark(k, beta):  # type: ignore[no-untyped-def]
    """Return P(0) and how its logarithm rises with beta."""
    y = k * beta
    if abs(y) < NEAR:
        exponent = k * (1 - y * (1 / 2 - y * (1 / 3 - y * (1 / 4 - y / 5))))
        return np.exp(-exponent), k * k * (1 / 2 - y * (2 / 3 - y * (3 / 4 - y * (4 / 5 - y * 5 / 6))))
    log = np.log1p(y)
    return np.exp(-log / beta), (log - y / (1 + y)) / beta**2


@njit(cache=True, nogil=True)
def _rest(n, p, rise, k, beta):  # type: ignore[no-untyped-def]
    """Return the sum of P from n on and how it rises, from those of n."""
    share, more = 0.0, 0.0
    while p > 1e-17 * share and 1 + n * beta > 0:
        share += p
        more += p * rise
        p *= k * (1 + n * beta) / ((n + 1) * (1 + k * beta))
        rise += n / (1 + n * beta) - k / (1 + k * beta)
        n += 1
    return share, more


@njit(cache=True, nogil=True)
def halved(series, low, high):  # type: ignore[no-untyped-def]
    """Return where series of Chebyshev polynomials, (order, row), fall through 0, (row,), each between two x."""
    out = (low + high) / 2
    for row in range(series.shape[1]):
        first, last = low[row], high[row]
        for _ in range(HALVINGS):
            x = (first + last) / 2
            a, b = 0.0, 0.0
            for order in range(len(series) - 1, 0, -1):
                a, b = series[order, row] + 2 * x * a - b, a
            if series[0, row] + x * a - b > 0:
                first = x
            else:
                last = x
        out[row] = (first + last) / 2
    return out
