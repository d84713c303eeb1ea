"""Kernels on the traces of digitizers: level and noise, integrals, hits by constant fraction, fits of a template."""

from __future__ import annotations

import numpy as np
from numba import njit

MAD = 1.482602218505602
"""Median absolute deviation of a normal distribution -> its standard deviation."""
MOST = 2**17
"""Range of integers that are counted one by one."""
STEPS = 12
"""Of the fit of a template, at most."""


@njit(cache=True, nogil=True)
def level(trace, start, stop):  # type: ignore[no-untyped-def]
    """Return mean and standard deviation of some samples, of those that are not NaN."""
    n, total = 0, 0.0
    for i in range(start, stop):
        x = np.float64(trace[i])
        if x == x:
            n += 1
            total += x
    if n == 0:
        return np.nan, np.nan
    mean, squares = total / n, 0.0
    for i in range(start, stop):
        x = np.float64(trace[i])
        if x == x:
            squares += (x - mean) ** 2
    return mean, np.sqrt(squares / (n - 1)) if n > 1 else np.nan


@njit(cache=True, nogil=True)
def middle(trace):  # type: ignore[no-untyped-def]
    """Return the median of a trace, and the standard deviation that its median absolute deviation stands for."""
    values = np.empty(len(trace))
    n = 0
    for i in range(len(trace)):
        x = np.float64(trace[i])
        if x == x:
            values[n] = x
            n += 1
    if n == 0:
        return np.nan, np.nan
    median = np.median(values[:n])
    for i in range(n):
        values[i] = abs(values[i] - median)
    return median, MAD * np.median(values[:n])


@njit(cache=True, nogil=True)
def middle_of_integers(trace):  # type: ignore[no-untyped-def]
    """Return what `middle` does of integers that are near each other, by counting how often each occurs."""
    low, high = np.int64(trace[0]), np.int64(trace[0])
    for i in range(len(trace)):
        low, high = min(low, np.int64(trace[i])), max(high, np.int64(trace[i]))
    if high - low > MOST:
        return middle(trace)
    counts = np.zeros(high - low + 1, np.int64)
    for i in range(len(trace)):
        counts[np.int64(trace[i]) - low] += 1
    twice = _twice_median(counts, len(trace))
    # A median may lie between two integers: distances are counted in halves.
    off = np.zeros(2 * len(counts) + 1, np.int64)
    for value in range(len(counts)):
        off[abs(2 * value - twice)] += counts[value]
    return low + twice / 2, MAD * _twice_median(off, len(trace)) / 4


@njit(cache=True, nogil=True)
def _twice_median(counts, n):  # type: ignore[no-untyped-def]
    """Return the sum of the two values in the middle of n, of which `counts` of each are there."""
    value, below = 0, counts[0]
    while below <= (n - 1) // 2:
        value += 1
        below += counts[value]
    first = value
    while below <= n // 2:
        value += 1
        below += counts[value]
    return first + value


@njit(cache=True, nogil=True)
def windows(trace, starts, stops, background, base, sign, integral, height):  # type: ignore[no-untyped-def]
    """Add up the samples of each window above the base, or above the mean of its background window.

    Parameters
    ----------
    trace : ndarray, (sample,)
    starts, stops : ndarray of int64, (pulse,)
    background : ndarray of int64, (pulse, 2), or (0, 2)
        Windows of the background.
    base, sign : float
    integral, height : ndarray of float64, (pulse,)
        Overwritten; NaN where a sample is.
    """
    for pulse in range(len(starts)):
        under = base
        if len(background):
            under = level(trace, background[pulse, 0], background[pulse, 1])[0]
        total, highest = 0.0, -np.inf
        for i in range(starts[pulse], stops[pulse]):
            x = sign * (np.float64(trace[i]) - under)
            total += x
            if x > highest or x != x:
                highest = x
        integral[pulse], height[pulse] = total, total if total != total else highest


@njit(cache=True, nogil=True)
def hits(trace, base, sign, threshold, fraction, delay, dead, found):  # type: ignore[no-untyped-def]
    """Find stretches above a threshold; return how many there are, written or not.

    Parameters
    ----------
    trace : ndarray, (sample,)
    base, sign, threshold : float
        Samples are looked at as sign * (x - base).
    fraction, delay : float, int
        See `Waveform`; no delay is 0.
    dead : int
        Samples below the threshold by which two hits are apart, at least.
    found : ndarray of float64, (n, 4)
        time, height, area, samples of the first n hits.
    """
    n, i, size, begin = 0, 0, len(trace), 0
    while i < size:
        if not sign * (np.float64(trace[i]) - base) > threshold:
            i += 1
            continue
        start, last, top, area = i, i, i, 0.0
        highest = -np.inf
        while i < size and i - last <= dead + 1:
            x = sign * (np.float64(trace[i]) - base)
            if x > threshold:
                last = i
                if x > highest:
                    highest, top = x, i
            i += 1
        for j in range(start, last + 1):
            x = sign * (np.float64(trace[j]) - base)
            area += x if x == x else 0.0
        if n < len(found):
            if delay > 0:
                time = _crossing(trace, base, sign, fraction, delay, start, last)
            else:
                time = _edge(trace, base, sign, fraction * highest, top, begin)
            found[n, 0], found[n, 1], found[n, 2], found[n, 3] = time, highest, area, last - start + 1
        n += 1
        i = begin = last + 1
    return n


@njit(cache=True, nogil=True)
def _edge(trace, base, sign, wanted, top, begin):  # type: ignore[no-untyped-def]
    """Return where a trace last rose to a value before its top, between samples; NaN if not since `begin`."""
    after = sign * (np.float64(trace[top]) - base)
    for i in range(top - 1, begin - 1, -1):
        before = sign * (np.float64(trace[i]) - base)
        if before != before:
            return np.nan
        if before < wanted:
            return i + (wanted - before) / (after - before)
        after = before
    return np.nan


@njit(cache=True, nogil=True)
def _crossing(trace, base, sign, fraction, delay, start, last):  # type: ignore[no-untyped-def]
    """Return where ``fraction x(t) - x(t - delay)`` falls through 0, less the delay; NaN if it does not."""
    before, armed = np.nan, False
    for i in range(max(start, delay), min(last + delay + 1, len(trace))):
        now = fraction * sign * (np.float64(trace[i]) - base) - sign * (np.float64(trace[i - delay]) - base)
        if now != now:
            return np.nan
        if armed and now <= 0:
            return i - 1 + before / (before - now) - delay
        armed = armed or now > 0
        before = now
    return np.nan


@njit(cache=True, nogil=True)
def saturated(trace, low, high):  # type: ignore[no-untyped-def]
    """Return how many samples are at the limits of the digitizer or beyond, and how many are NaN."""
    n, lost = 0, 0
    for i in range(len(trace)):
        x = np.float64(trace[i])
        n += x <= low or x >= high
        lost += x != x
    return n, lost


# A template that is the same all over the window divides by 0: that is no fit, and no error.
@njit(cache=True, nogil=True, error_model="numpy")
def fit_template(window, template, base, sign, search, out):  # type: ignore[no-untyped-def]
    """Fit ``a T(t - s) + b`` to a window by least squares: the best shift of whole samples, then Gauss-Newton.

    Parameters
    ----------
    window : ndarray, (sample,)
    template : ndarray of float64, (sample,)
        As long as the window; between samples a cubic, beyond its ends its end values.
    base, sign : float
        Samples are looked at as sign * (x - base).
    search : int
        Shifts of -search to search samples are tried.
    out : ndarray of float64, (3,)
        Amplitude a, shift s, standard deviation of what remains; NaN where there is no such fit.
    """
    n = len(window)
    out[:] = np.nan
    y = np.empty(n)
    for i in range(n):
        y[i] = sign * (np.float64(window[i]) - base)
        if y[i] != y[i]:
            return
    shape, slope = np.empty(n), np.empty(n)
    shift, least = 0.0, np.inf
    for whole in range(-search, search + 1):
        _shifted(template, np.float64(whole), shape, slope)
        a, _, rest = _line(y, shape)
        if a > 0 and rest < least:
            shift, least = np.float64(whole), rest
    if least == np.inf:
        return
    for _ in range(STEPS):
        _shifted(template, shift, shape, slope)
        a, b, _ = _line(y, shape)
        # Of a T(t - s) + b, the change of s by least squares, with a and b free as well.
        s_tt, s_dd, s_td, s_rd, m_t, m_d = 0.0, 0.0, 0.0, 0.0, shape.mean(), slope.mean()
        for i in range(n):
            t, d, r = shape[i] - m_t, slope[i] - m_d, y[i] - a * shape[i] - b
            s_tt += t * t
            s_dd += d * d
            s_td += t * d
            s_rd += r * d
        free = s_dd - s_td * s_td / s_tt
        if not free > 0:
            return
        change = -s_rd / (a * free)
        if not abs(change) < n:
            return
        shift += change
        if abs(shift) > search + 1:
            return
        if abs(change) < 1e-9 * n:
            break
    _shifted(template, shift, shape, slope)
    a, b, rest = _line(y, shape)
    if a > 0:
        out[0], out[1], out[2] = a, shift, np.sqrt(rest / (n - 3)) if n > 3 else np.nan


@njit(cache=True, nogil=True)
def _line(y, shape):  # type: ignore[no-untyped-def]
    """Return a and b of the best ``a shape + b``, and the sum of squares that remains."""
    m_y, m_t, s_tt, s_ty = y.mean(), shape.mean(), 0.0, 0.0
    for i in range(len(y)):
        s_tt += (shape[i] - m_t) ** 2
        s_ty += (shape[i] - m_t) * (y[i] - m_y)
    a = s_ty / s_tt if s_tt > 0 else 0.0
    b, rest = m_y - a * m_t, 0.0
    for i in range(len(y)):
        rest += (y[i] - a * shape[i] - b) ** 2
    return a, b, rest


@njit(cache=True, nogil=True)
def _shifted(template, shift, shape, slope):  # type: ignore[no-untyped-def]
    """Write the template later by `shift` samples, and its slope: cubics through four samples (Catmull and Rom)."""
    last = len(template) - 1
    for i in range(len(shape)):
        at = i - shift
        k = np.int64(np.floor(at))
        u = at - k
        p0, p1 = template[min(max(k - 1, 0), last)], template[min(max(k, 0), last)]
        p2, p3 = template[min(max(k + 1, 0), last)], template[min(max(k + 2, 0), last)]
        c1, c2, c3 = (p2 - p0) / 2, p0 - 2.5 * p1 + 2 * p2 - 0.5 * p3, (p3 - p0) / 2 + 1.5 * (p1 - p2)
        shape[i] = p1 + u * (c1 + u * (c2 + u * c3))
        slope[i] = c1 + u * (2 * c2 + 3 * u * c3)
