"""Kernels of `calibrate`: raw frames to calibrated ones, with or without common mode.

A tile of pixels is worked on at a time. Where all of its pixels are in high gain, as nearly always, the tables of the
other stages are not touched: reading tables is most of the work.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ._common_kernels import common_mode

TILE = 256
"""Pixels."""


@njit(cache=True, nogil=True)
def calibrate(frames, gains, valid, slots, offset, thresholds, factor, how, codes, out, counts):  # type: ignore[no-untyped-def]
    """Write (value - offset) * factor of the gain stage of each pixel.

    Parameters
    ----------
    frames, gains : ndarray of unsigned integers, (frame, pixel)
    valid : ndarray of bool, (frame, pixel)
        Of no frames where all are.
    slots : ndarray of int, (frame,)
        Memory cell in the tables, -1 where it is not there.
    offset, factor : ndarray of float32, (stage, cell, pixel)
        One cell is for all. NaN where a pixel is bad.
    thresholds : ndarray of uint16, (stage - 1, cell, pixel)
    how : (int, int, int)
        Bits of the value, bits below the gain stage, and what `gains` is: 1 a stage, 2 a level, 0 nothing.
    codes : ndarray of int64, (stage,)
    out : ndarray of float32, (frame, pixel)
    counts : ndarray of int32, (frame, stage)
        Pixels in each stage; these are added.
    """
    mask, shift, kind = how
    for i in range(len(frames)):
        if slots[i] < 0:
            out[i] = np.nan
            continue
        c, f = _cell(offset, slots[i]), _cell(factor, slots[i])
        t = _cell(thresholds, slots[i])
        for lo in range(0, out.shape[1], TILE):
            hi = min(lo + TILE, out.shape[1])
            x, y = frames[i, lo:hi], out[i, lo:hi]
            if kind == 1 and _coded(gains[i, lo:hi], shift, codes[0]):
                _by_code(
                    x,
                    gains[i, lo:hi],
                    mask,
                    shift,
                    codes,
                    offset[:, c, lo:hi],
                    factor[:, f, lo:hi],
                    y,
                    counts[i],
                )
            elif kind == 2 and _switched(gains[i, lo:hi], thresholds[0, t, lo:hi]):
                limits = thresholds[:, t, lo:hi]
                _by_level(
                    x, gains[i, lo:hi], mask, limits, offset[:, c, lo:hi], factor[:, f, lo:hi], y, counts[i]
                )
            else:
                _high(x, mask, offset[0, c, lo:hi], factor[0, f, lo:hi], y)
                counts[i, 0] += hi - lo
        if len(valid):
            _strike(out[i], valid[i])


@njit(cache=True, nogil=True)
def _strike(out, valid):  # type: ignore[no-untyped-def]
    for p in range(len(out)):
        out[p] = out[p] if valid[p] else np.float32(np.nan)


@njit(cache=True, nogil=True)
def _cell(table, slot):  # type: ignore[no-untyped-def]
    return slot if table.shape[1] > 1 else 0


@njit(cache=True, nogil=True)
def _switched(level, limit):  # type: ignore[no-untyped-def]
    any_of_them = np.int32(0)
    for p in range(len(level)):
        any_of_them |= np.int32(level[p] > limit[p])
    return any_of_them > 0


@njit(cache=True, nogil=True)
def _coded(words, shift, high):  # type: ignore[no-untyped-def]
    any_of_them = np.int32(0)
    for p in range(len(words)):
        any_of_them |= np.int32((np.int32(words[p]) >> np.int32(shift)) != np.int32(high))
    return any_of_them > 0


@njit(cache=True, nogil=True)
def _high(x, mask, offset, factor, out):  # type: ignore[no-untyped-def]
    for p in range(len(out)):
        out[p] = (np.float32(np.int32(x[p]) & np.int32(mask)) - offset[p]) * factor[p]


@njit(cache=True, nogil=True)
def _by_level(x, level, mask, limits, offset, factor, out, counts):  # type: ignore[no-untyped-def]
    for p in range(len(out)):
        stage = 0
        for limit in limits:
            stage += int(level[p] > limit[p])
        out[p] = (np.float32(np.int32(x[p]) & np.int32(mask)) - offset[stage, p]) * factor[stage, p]
        counts[stage] += 1


@njit(cache=True, nogil=True)
def _by_code(x, words, mask, shift, codes, offset, factor, out, counts):  # type: ignore[no-untyped-def]
    for p in range(len(out)):
        code, stage = np.int64(words[p]) >> np.int64(shift), -1
        for s in range(len(codes)):
            if codes[s] == code:
                stage = s
        if stage < 0:
            # A stage that there is not is no number.
            out[p] = np.nan
            continue
        out[p] = (np.float32(np.int32(x[p]) & np.int32(mask)) - offset[stage, p]) * factor[stage, p]
        counts[stage] += 1


@njit(cache=True, nogil=True)
def without_common_mode(  # type: ignore[no-untyped-def]
    frames,
    gains,
    valid,
    slots,
    offset,
    thresholds,
    factor,
    how,
    codes,
    shape,
    regions,
    cuts,
    limit,
    least,
    median,
    out,
    counts,
    lacking,
):
    """Write calibrated frames without their common mode; parameters as of `calibrate` and `common_mode`.

    Parameters
    ----------
    regions : ndarray of int64, (region, 4)
        Of all kinds, one kind behind the other.
    cuts : ndarray of int64, (kind + 1,)
        Where each kind begins, and the last one ends.
    lacking : ndarray of int32, (frame,)
        Regions without enough dark pixels; these are added.
    """
    pixels = out.shape[1]
    stages, ones = np.empty(pixels, np.uint8), np.ones(TILE, np.float32)
    mask, shift, kind = how
    for i in range(len(frames)):
        if slots[i] < 0:
            out[i] = np.nan
            continue
        c, f, t = _cell(offset, slots[i]), _cell(factor, slots[i]), _cell(thresholds, slots[i])
        for lo in range(0, pixels, TILE):
            hi = min(lo + TILE, pixels)
            _high(frames[i, lo:hi], mask, offset[0, c, lo:hi], ones[: hi - lo], out[i, lo:hi])
            stages[lo:hi] = 0
            if kind == 2 and _switched(gains[i, lo:hi], thresholds[0, t, lo:hi]):
                _stages_of_level(gains[i, lo:hi], thresholds[:, t, lo:hi], stages[lo:hi])
            elif kind == 1 and _coded(gains[i, lo:hi], shift, codes[0]):
                _stages_of_code(gains[i, lo:hi], shift, codes, stages[lo:hi])
        if len(valid):
            _strike(out[i], valid[i])
        for k in range(len(cuts) - 1):
            lacking[i] += common_mode(
                out[i].reshape(shape),
                stages.reshape(shape),
                regions[cuts[k] : cuts[k + 1]],
                limit,
                least,
                median,
            )
        _finish(frames[i], stages, mask, offset[:, c], factor[:, f], out[i], counts[i])
        if len(valid):
            _strike(out[i], valid[i])


@njit(cache=True, nogil=True)
def _stages_of_level(level, limits, stages):  # type: ignore[no-untyped-def]
    for limit in limits:
        for p in range(len(stages)):
            stages[p] += np.uint8(level[p] > limit[p])


@njit(cache=True, nogil=True)
def _stages_of_code(words, shift, codes, stages):  # type: ignore[no-untyped-def]
    for p in range(len(stages)):
        stages[p] = 255
        for s in range(len(codes)):
            if codes[s] == np.int64(words[p]) >> np.int64(shift):
                stages[p] = s


@njit(cache=True, nogil=True)
def _finish(x, stages, mask, offset, factor, out, counts):  # type: ignore[no-untyped-def]
    """Multiply pixels in high gain by their factor, and make the others anew."""
    for lo in range(0, len(out), TILE):
        hi, others = min(lo + TILE, len(out)), np.int32(0)
        for p in range(lo, hi):
            out[p] *= factor[0, p]
            others |= np.int32(stages[p])
        if others == 0:
            counts[0] += hi - lo
            continue
        for p in range(lo, hi):
            s = stages[p]
            if s == 255:
                out[p] = np.nan
                continue
            counts[s] += 1
            if s > 0:
                out[p] = (np.float32(np.int32(x[p]) & np.int32(mask)) - offset[s, p]) * factor[s, p]
