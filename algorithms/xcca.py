"""Angular correlations: how intensities at two angles around the beam go together, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Frames, ModuleBlock, Output, Partial, RunInfo

from ._azint_sums import scatter
from ._moments import ratio
from .azint import AzimuthalIntegration

NAMES = ("correlation", "cross", "coefficients")
MOMENTS = ("frames", "trains", "squares", "products", "norms")
"""Sums over trains of: frames n, 1 if there are some, y^2, y n and n^2 of the sum y over frames."""


class AngularCorrelation(AzimuthalIntegration):
    """Correlate the intensities on a ring with those on the same or another ring, at an angle to them.

    Parameters
    ----------
    nbins, nchi : int
        Bins of q and of chi in the images in q and chi that are correlated; 50 and 360 by default.
    pairs : bool
        Also between different q; False by default. That is `nbins` times as much.
    geometry, distance, energy, wavelength, unit, qrange, polarization, solid_angle, flat, dark, weights, img
        As of `AzimuthalIntegration`.

    Outputs
    -------
    correlation, cross : float64, (q, [q2,] delta)
        Mean over frames of C(q, q2, delta), and over pairs of neighbouring frames of a train, in which only what all
        frames share goes together: gaps of the detector, a flat that is not right. NaN where there is none.
    coefficients : float64, (q, [q2,] n)
        Of `correlation` minus `cross`: mean over delta times cos(n delta), n from 0 to nchi / 2. NaN where the
        difference is at some delta.
    correlation_error, cross_error, coefficients_error : float64, as these
        Standard errors from the spread of trains; NaN of less than two that have a value, of coefficients at all delta.
    correlation_frames, cross_frames : int64, as `correlation`
        Frames, and pairs of frames, that have a value.

    Coordinates ``q`` (or ``2theta``, ``r``): bin centres; ``delta`` in degrees; ``n``.

    Notes
    -----
    With W = 1 in bins that have a valid pixel and else 0, of each frame::

        C(q, q2, delta) = S / N / (m(q) m(q2)) - 1,   m(q) = sum I W / sum W
        S = sum I(q, chi) W(q, chi) I(q2, chi + delta) W(q2, chi + delta),   N = the same of W alone

    sums over chi, by FFT in float64 [1]_ [2]_. Rings of which the mean is not above 0 leave the averages; those of
    frames without X-rays may be just above: read lit frames, ``frames=lit``. Counted photons go together with
    themselves: C at delta = 0 of a ring has 1 / photons of a bin more, the coefficients that over `nchi`. A sample of
    particles with random orientation, I = m (1 + a cos(n (chi - chi0))), has the coefficient a^2 / 4 at n.

    Errors take trains to be independent, not frames; trains weigh by their frames.

    References
    ----------
    .. [1] P. Wochner et al. (2009), PNAS 106, 11511-11514.
    .. [2] R. P. Kurta, M. Altarelli, I. A. Vartanyants (2016), Adv. Chem. Phys. 161, 1-39.
    """

    ALG_ID = "xcca"
    HELP = "angular correlations of frames, on rings of equal q and between them"
    inputs = {"img": Frames("image.data")}
    pairs: bool

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        cls.add_pixels(parser)
        parser.add_argument("--nbins", type=int, default=50, help="bins of q; default 50")
        parser.add_argument("--nchi", type=int, default=360, help="bins of chi; default 360")
        parser.add_argument("--pairs", action="store_true", help="also between different q")

    def configure(self, args: argparse.Namespace) -> None:
        self.pairs = bool(args.pairs)
        if args.nchi is None or args.nchi < 2:
            raise ValueError(f"xcca: nchi={args.nchi}; expected 2 or more")
        given = {"chirange": None, "errors": None, "per": "frame"}
        super().configure(argparse.Namespace(**vars(args), **given))

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        q, (chi, _) = self._table(info).axes.values()
        rings = {self.unit: q, **({f"{self.unit}2": q} if self.pairs else {})}
        delta: dict[str, Any] = {"delta": (np.arange(len(chi)) * 360 / len(chi), "degree")}
        order: dict[str, Any] = {"n": (np.arange(len(chi) // 2 + 1), "")}
        axes: dict[str, Any] = {"shape": (len(q[0]), len(chi)), "store": False}
        out = {name: Output(per="img", **axes) for name in ("numerator", "denominator")}
        out["train"] = Output(per="img", dtype="i8", merge="max", store=False)
        out["count"] = Output(dtype="i8", shape=axes["shape"], store=False)
        for name, what in (("correlation", "frames"), ("cross", "pairs of neighbouring frames")):
            out[name] = _output(rings | delta, doc=f"angular correlation, mean over {what}")
            out[f"{name}_frames"] = _output(rings | delta, dtype="i8", doc=f"{what} with a value")
        out["coefficients"] = _output(rings | order, doc="Fourier coefficients of correlation minus cross")
        for name, last in zip(NAMES, (delta, delta, order), strict=True):
            error = _output(rings | last, doc="standard error, from the spread of trains")
            moments = Output(shape=(len(MOMENTS), *error.shape), store=False)
            out |= {f"{name}_error": error, f"{name}_moments": moments}
        return out

    def memory(self, info: RunInfo) -> int:
        # Sums of a train, transforms and products of a pair of frames, moments.
        return super().memory(info) + 20 * 8 * self.nbins * self.nchi * (self.nbins if self.pairs else 1)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        super().process_module_data(block, out)
        out.train = block.train_ids

    def finalize_chunk_processing(self, out: Partial) -> None:
        add(out, out.numerator, out.denominator, out.train, self.pairs)

    def finalize(self, totals: Partial) -> None:
        for name in NAMES[:2]:
            totals[name] = ratio(totals[name], totals[f"{name}_frames"])
        totals.coefficients = coefficients(totals.correlation - totals.cross)
        for name in NAMES:
            frames, trains, *moments = totals[f"{name}_moments"]
            totals[f"{name}_error"] = ratio(np.sqrt(scatter(trains, totals[name], *moments)), frames)


def _output(axes: dict[str, Any], **options: Any) -> Output:
    return Output(shape=tuple(len(v) for v, _ in axes.values()), dims=tuple(axes), coords=axes, **options)


def add(into: Any, sums: NDArray, weights: NDArray, trains: NDArray, pairs: bool) -> None:
    """Add the correlations of frames, (frame, q, chi), each with itself and with the next of its train."""
    lit = weights.any(axis=(1, 2))
    for train in np.unique(trains[lit]):
        own = np.flatnonzero(lit & (trains == train))
        one = _of_train(sums[own], weights[own], into["correlation"].shape, pairs)
        differences = []
        for name, (total, frames) in zip(NAMES, one, strict=False):
            into[name] += total
            into[f"{name}_frames"] += frames
            _add_moments(into[f"{name}_moments"], total, frames)
            differences.append(ratio(total, frames))
        found, frames = coefficients(differences[0] - differences[1]), one[0][1].max(axis=-1, keepdims=True)
        frames = np.where(np.isnan(found), 0, frames)
        _add_moments(into["coefficients_moments"], np.where(frames > 0, found, 0.0) * frames, frames)


def _add_moments(into: NDArray, total: NDArray, frames: NDArray) -> None:
    """Add a train to the sums that errors are made of."""
    for to, what in zip(into, (frames, frames > 0, total**2, total * frames, frames**2), strict=True):
        to += what


def _of_train(
    sums: NDArray, weights: NDArray, shape: tuple[int, ...], pairs: bool
) -> tuple[tuple[NDArray, NDArray], ...]:
    """Return sums over the frames of a train, and of how many, of frames with themselves and with the next one."""
    own, cross = ((np.zeros(shape), np.zeros(shape, np.int64)) for _ in range(2))
    before = None
    for total, weight in zip(sums, weights, strict=True):
        ring = _Rings(total, weight)
        ring.add(ring, *own, pairs)
        if before is not None:
            before.add(ring, *cross, pairs)
        before = ring
    return own, cross


class _Rings:
    """The rings of a frame, transformed."""

    def __init__(self, total: NDArray, weight: NDArray) -> None:
        there = weight != 0
        values = np.where(there, ratio(total, weight), 0.0)
        self.mean = ratio(values.sum(axis=-1), there.sum(axis=-1))
        self.size = values.shape[-1]
        self.values, self.there = np.fft.rfft(values), np.fft.rfft(there.astype(float))

    def add(self, other: _Rings, into: NDArray, frames: NDArray, pairs: bool) -> None:
        """Add the correlation with another frame."""
        first = np.s_[:, None] if pairs else np.s_[:]

        def product(a: NDArray, b: NDArray) -> NDArray:
            return np.fft.irfft(a.conj()[first] * b, self.size)

        number = np.rint(product(self.there, other.there))
        mean = (self.mean[first] * other.mean)[..., None]
        dark = (self.mean[first] > 0) & (other.mean > 0)
        good = (number > 0) & dark[..., None]
        scale = np.where(good, number * mean, 1.0)
        into += np.where(good, product(self.values, other.values) / scale - 1, 0.0)
        frames += good


def coefficients(correlation: NDArray) -> NDArray:
    """Return the mean over delta, the last axis, times cos(n delta), for each n."""
    return np.asarray(np.fft.rfft(correlation).real / correlation.shape[-1])
