"""The contrast that makes a histogram of photons most likely, from how the likelihood rises at some contrasts.

That rise adds up over frames, and is a smooth function: a polynomial through some points, in the logarithm of
1 + `photons` * contrast, is it within rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

POINTS = 32
HIGHEST = 2.0
"""Contrast that is looked at; what is more is no speckle."""


class Likelihood:
    """Likelihoods of histograms with a last bin, as functions of x from -1 to 1.

    Parameters
    ----------
    last : int
        Photons of the last bin: contrast is looked at from -1 / (2 last).
    """

    def __init__(self, last: int) -> None:
        self._last, low, high = last, np.log(0.5), np.log1p(last * HIGHEST)
        self._middle, self._half = (high + low) / 2, (high - low) / 2
        angles = np.pi * (np.arange(POINTS) + 0.5) / POINTS
        self._x = -np.cos(angles)
        order = np.arange(POINTS)[:, None]
        self._series = np.where(order > 0, 2, 1) / POINTS * np.cos(order * (np.pi - angles))
        self.betas = self._beta(self._x)

    def _beta(self, x: NDArray) -> NDArray:
        return np.expm1(self._middle + self._half * x) / self._last

    def best(self, rises: NDArray) -> tuple[NDArray, NDArray]:
        """Return the contrasts of the largest likelihood and their x, (row,): NaN where there is none in the range.

        Parameters
        ----------
        rises : ndarray, (row, beta)
            How likelihoods rise at `betas`.
        """
        from ._contrast_kernels import halved

        series = self._of(rises)
        falls = (rises[:, :-1] > 0) & (rises[:, 1:] <= 0)
        first = falls.argmax(axis=1)
        x = np.where(falls.any(axis=1), halved(series, self._x[first], self._x[first + 1]), np.nan)
        return self._beta(x), x

    def error(self, rises: NDArray, squares: NDArray, x: NDArray) -> NDArray:
        """Return standard errors of contrasts at x, (row,): of independent parts, of whose rises there are squares.

        Parameters
        ----------
        rises, squares : ndarray, (row, beta)
            Sums over parts of how likelihoods rise, and of the square of that.
        """
        slopes = np.polynomial.chebyshev.chebder(self._of(rises), axis=0)
        slope = np.polynomial.chebyshev.chebval(x, slopes, tensor=False)
        spread = np.polynomial.chebyshev.chebval(x, self._of(squares), tensor=False)
        per_x = self._half * np.exp(self._middle + self._half * x) / self._last
        return np.sqrt(np.maximum(spread, 0)) * per_x / np.abs(slope)

    def _of(self, values: NDArray) -> NDArray:
        """Return the series of Chebyshev polynomials that have these values, (order, row)."""
        # Not by BLAS: the same bits everywhere.
        return np.einsum("jg,rg->jr", self._series, values)
