"""What a change of frames does to what is made of them: PSNR, SSIM, sums, I(q), intensities of peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WINDOW = 7
"""Pixels of an edge of the windows of SSIM, as in scikit-image."""
PEAKS = 20
"""Brightest peaks of a frame that are compared."""
CLEAR = 5.0
"""Standard errors from which on there is something whose relative change says anything."""


def span_of(frames: NDArray) -> float:
    """Return the range that PSNR and SSIM refer to: from the 0.1 to the 99.9 percentile, without hot pixels."""
    finite = frames[np.isfinite(frames)]
    low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 0.0)
    return float(high - low)


def psnr(frames: NDArray, made: NDArray, span: float) -> float:
    """Return the peak signal-to-noise ratio in dB, ``20 log10(span / rms of the change)``; infinite without change."""
    finite = np.isfinite(frames)
    change = made[finite].astype(np.float64) - frames[finite]
    rms = float(np.sqrt(np.mean(change**2))) if change.size else 0.0
    if not rms:
        return float("inf")
    return 20 * float(np.log10(span / rms)) if span else float("-inf")


def ssim(frame: NDArray, made: NDArray, span: float) -> float:
    """Return the structural similarity of two images, of windows of 7 x 7 pixels; what is no number counts as 0.

    References
    ----------
    .. [1] Z. Wang et al. (2004), IEEE Trans. Image Process. 13, 600-612, with the sample covariance.
    """
    finite = np.isfinite(frame)
    x, y = (np.where(finite, one, 0).astype(np.float64) for one in (frame, made))
    if min(x.shape) < WINDOW or not span:
        return float("nan")
    n = WINDOW**2
    mx, my = box(x, WINDOW) / n, box(y, WINDOW) / n
    vx, vy, vxy = (
        (box(a * b, WINDOW) / n - ma * mb) * n / (n - 1)
        for a, b, ma, mb in ((x, x, mx, mx), (y, y, my, my), (x, y, mx, my))
    )
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    of = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(of.mean())


def box(image: NDArray, size: int) -> NDArray:
    """Return the sums of all windows within an image."""
    for axis in (0, 1):
        sums = np.cumsum(np.insert(image, 0, 0, axis=axis), axis=axis)
        upper, lower = [slice(None)] * 2, [slice(None)] * 2
        upper[axis], lower[axis] = slice(size, None), slice(None, -size)
        image = sums[tuple(upper)] - sums[tuple(lower)]
    return image


def sum_error(frames: NDArray, made: NDArray) -> float:
    """Return the largest change of the sum of a frame, (frame, ss, fs), relative to the sum of its absolute values."""
    axes = (-2, -1)
    before, after = (np.nansum(_finite(one), axis=axes, dtype=np.float64) for one in (frames, made))
    size = np.nansum(np.abs(_finite(frames)), axis=axes, dtype=np.float64)
    return float(np.max(np.abs(after - before) / np.where(size > 0, size, 1), initial=0.0))


def noise_of(frame: NDArray) -> float:
    """Return the standard deviation of a pixel, from differences of neighbours: slopes are no noise, nor are peaks."""
    across = np.abs(np.diff(frame.astype(np.float64), axis=-1))
    across = across[np.isfinite(across)]
    return 1.4826 * float(np.median(across)) / 2**0.5 if across.size else 0.0


def peak_error(frame: NDArray, made: NDArray) -> float:
    """Return the largest relative change of the 3 x 3 pixels around the brightest local maxima of a frame.

    NaN without any that is clearly above the noise: what is brightest in a dark frame is no peak.
    """
    x, y = (np.nan_to_num(_finite(one), nan=0.0).astype(np.float64) for one in (frame, made))
    if min(x.shape) < 3:
        return float("nan")
    inner = x[1:-1, 1:-1]
    around = [x[a : a + inner.shape[0], b : b + inner.shape[1]] for a in range(3) for b in range(3)]
    candidates = np.flatnonzero((inner >= np.max(around, axis=0)) & (inner > 0))
    brightest = candidates[np.argsort(inner.ravel()[candidates])[::-1][:PEAKS]]
    before, after = (box(one, 3).ravel()[brightest] for one in (x, y))
    # The sum of nine pixels varies by three times as much as one.
    there = before > CLEAR * 3 * noise_of(_finite(frame))
    return largest(np.abs(after - before)[there] / before[there])


def largest(errors: Sequence[float] | NDArray) -> float:
    """Return the largest error that is a number, NaN if none is."""
    known = np.asarray(errors)[~np.isnan(errors)]
    return float(known.max()) if known.size else float("nan")


class Rings:
    """Averages over rings of pixels around the beam.

    Parameters
    ----------
    positions : ndarray, (module, ss, fs, 3)
        Of pixels, in m, as `dxflow.geometry` has them.
    """

    def __init__(self, positions: NDArray, rings: int = 200) -> None:
        radius = np.hypot(positions[..., 0], positions[..., 1])
        largest = np.nanmax(radius)
        self.ring = np.nan_to_num(radius / largest * rings).astype(np.int64).clip(0, rings - 1)

    def average(self, frames: NDArray) -> NDArray:
        """Return I(q) of frames, (frame, module, ss, fs), all together; NaN where there are no pixels."""
        return self._sums(frames)[0]

    def _sums(self, frames: NDArray) -> tuple[NDArray, NDArray]:
        """Return averages, and their standard errors from how pixels of most rings vary: peaks in one are no noise."""
        # Modules that are missing, bad pixels and what a mask leaves out are in no ring.
        finite = np.isfinite(frames)
        ring, values = np.broadcast_to(self.ring, frames.shape)[finite], frames[finite].astype(np.float64)
        size = int(self.ring.max()) + 1
        counts = np.bincount(ring, minlength=size)
        n = np.where(counts > 0, counts, np.nan)
        mean = np.bincount(ring, values, size) / n
        variance = np.bincount(ring, (values - mean[ring]) ** 2, size) / n
        return mean, np.sqrt((np.nanmedian(variance) if counts.any() else 0.0) / n)

    def error(self, frames: NDArray, made: NDArray) -> float:
        """Return the largest relative change of I(q), where it is clearly not 0; NaN if it is nowhere.

        The change of a small one is relative to 1 % of the largest.
        """
        before, deviation = self._sums(frames)
        after = self.average(np.where(np.isfinite(frames), made, np.nan))
        clear = np.abs(before) > CLEAR * deviation
        size = np.maximum(np.abs(before), 0.01 * np.nanmax(np.abs(before), initial=0.0))
        return largest((np.abs(after - before) / size)[clear])


def _finite(values: NDArray) -> NDArray:
    return np.where(np.isfinite(values), values, np.nan) if values.dtype.kind == "f" else values
