"""Kernels of rounding: loops of which several values are done at a time, on pieces that stay in the cache."""

from __future__ import annotations

import numpy as np
from numba import njit

PIECE = 4096
LANES = 64
"""Values that are rounded side by side, each with a largest change of its own: so the loop is vectorised."""


@njit(cache=True, nogil=True, error_model="numpy")
def rounded(values, bits, out, out_bits, errors, huge, turn, drop):  # type: ignore[no-untyped-def]
    """Write floats that need fewer bits, and the largest change of each frame.

    What is no number, or would become infinite, stays as it is.

    Parameters
    ----------
    values, out : ndarray of floats, (frame, pixel)
    bits, out_bits : ndarray of unsigned integers, (frame, pixel)
        The same memory.
    errors : ndarray of float64, (frame,)
    huge, turn : float
        Of the type of the values. Below `turn` values become multiples of a step, a power of two: `huge`, which has
        only multiples of the step above it, is so many steps as the mantissa has values; 0: they stay as they are.
    drop : int
        Bits of the mantissa that are dropped from `turn` on.
    """
    worst = np.empty(LANES, out.dtype)
    for frame in range(len(values)):
        worst[:] = 0
        # Absolute bounds alone leave nothing to the bits.
        for a in range(0, values.shape[1] if drop else 0, PIECE):
            b = min(a + PIECE, values.shape[1])
            _of_bits(bits[frame, a:b], out_bits[frame, a:b], drop)
            _of_step(values[frame, a:b], out[frame, a:b], worst, huge, turn)
        if drop == 0:
            _multiples(values[frame], out[frame], worst, huge)
        errors[frame] = worst.max()


@njit(cache=True, nogil=True, error_model="numpy")
def _multiples(values, out, worst, huge):  # type: ignore[no-untyped-def]
    """Round to multiples of a step, of two the even one; note the largest changes of finite values."""
    whole = len(values) // LANES * LANES
    for a in range(0, whole, LANES):
        x, y = values[a : a + LANES], out[a : a + LANES]
        for k in range(LANES):
            y[k] = _multiple(x[k], huge)
            worst[k] = _larger(abs(y[k] - x[k]), worst[k])
    for p in range(whole, len(values)):
        out[p] = _multiple(values[p], huge)
        worst[0] = _larger(abs(out[p] - values[p]), worst[0])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def _multiple(x, huge):  # type: ignore[no-untyped-def]
    """Return the nearest multiple of a step, of two the even one."""
    shift = np.copysign(huge, x)
    return (x + shift) - shift if abs(x) < huge else x


@njit(cache=True, nogil=True, inline="always")
def _larger(change, worst):  # type: ignore[no-untyped-def]
    """Return the larger one; of what is no number, the other."""
    return change if change > worst else worst


@njit(cache=True, nogil=True)
def _of_bits(bits, out, drop):  # type: ignore[no-untyped-def]
    """Round to the nearest with fewer bits in the mantissa, of two the even one."""
    one, four = bits.dtype.type(1), bits.itemsize == 4
    sign = one << bits.dtype.type(31 if four else 63)
    infinite = sign - (one << bits.dtype.type(23 if four else 52))
    gone = bits.dtype.type(drop)
    kept = ~((one << gone) - one)
    below = ((one << gone) >> one) - one if drop else one - one
    # Without any bit left, the one that is not stored, and odd, decides; without one dropped, none does.
    always = one if drop == (23 if four else 52) else one - one
    mask = one if drop else one - one
    for p in range(len(bits)):
        u = bits[p]
        near = (u + below + (((u >> gone) & mask) | always)) & kept
        out[p] = near if (near & ~sign) < infinite and (u & ~sign) < infinite else u


@njit(cache=True, nogil=True, error_model="numpy")
def _of_step(values, out, worst, huge, turn):  # type: ignore[no-untyped-def]
    """Round small values to multiples of a step; note the largest changes of finite values."""
    whole = len(values) // LANES * LANES
    for a in range(0, whole, LANES):
        x, y = values[a : a + LANES], out[a : a + LANES]
        for k in range(LANES):
            y[k] = _multiple(x[k], huge) if abs(x[k]) < turn else y[k]
            worst[k] = _larger(abs(y[k] - x[k]), worst[k])
    for p in range(whole, len(values)):
        out[p] = _multiple(values[p], huge) if abs(values[p]) < turn else out[p]
        worst[0] = _larger(abs(out[p] - values[p]), worst[0])


@njit(cache=True, nogil=True, error_model="numpy")
def compared(values, made, absolute, relative):  # type: ignore[no-untyped-def]
    """Return the largest change of a finite value, and how many were changed by more than allowed.

    Parameters
    ----------
    values, made : ndarray of floats, (pixel,)
    absolute, relative : float
        The larger of ``absolute`` and ``relative * abs(value)`` is allowed, with the error of this product.
    """
    worst, wrong = 0.0, 0
    share = relative * (1 + 1e-12)
    for p in range(len(values)):
        x, y = np.float64(values[p]), np.float64(made[p])
        change = abs(y - x)
        if change <= max(absolute, share * abs(x)) and abs(x) < np.inf:
            worst = max(worst, change)
        elif not (x == y or (x != x and y != y)):
            wrong += 1
            worst = max(worst, change) if change < np.inf else worst
    return worst, wrong
