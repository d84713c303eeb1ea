"""Angular correlations: how intensities at two angles around the beam go together, frame by frame."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Frames, ModuleBlock, Output, Partial, RunInfo

from ._moments import ratio
from .azint import AzimuthalIntegration


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
        delta = {"delta": (np.arange(len(chi)) * 360 / len(chi), "degree")}
        order = {"n": (np.arange(len(chi) // 2 + 1), "")}
        axes: dict[str, Any] = {"shape": (len(q[0]), len(chi)), "store": False}
        out = {name: Output(per="img", **axes) for name in ("numerator", "denominator")}
        out["train"] = Output(per="img", dtype="i8", merge="max", store=False)
        out["count"] = Output(dtype="i8", shape=axes["shape"], store=False)
        for name, what in (("correlation", "frames"), ("cross", "pairs of neighbouring frames")):
            out[name] = _output(rings | delta, doc=f"angular correlation, mean over {what}")
            out[f"{name}_frames"] = _output(rings | delta, dtype="i8", doc=f"{what} with a value")
        out["coefficients"] = _output(rings | order, doc="Fourier coefficients of correlation minus cross")
        return out

    def memory(self, info: RunInfo) -> int:
        # Transforms and products of a pair of frames.
        return super().memory(info) + 8 * 8 * self.nbins * self.nchi * (self.nbins if self.pairs else 1)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        super().process_module_data(block, out)
        out.train = block.train_ids

    def finalize_chunk_processing(self, out: Partial) -> None:
        add(out, out.numerator, out.denominator, out.train, self.pairs)

    def finalize(self, totals: Partial) -> None:
        for name in ("correlation", "cross"):
            totals[name] = ratio(totals[name], totals[f"{name}_frames"])
        totals.coefficients = coefficients(totals.correlation - totals.cross)


def _output(axes: dict[str, Any], **options: Any) -> Output:
    return Output(shape=tuple(len(v) for v, _ in axes.values()), dims=tuple(axes), coords=axes, **options)


def add(into: Any, sums: NDArray, weights: NDArray, trains: NDArray, pairs: bool) -> None:
    """Add the correlations of frames, (frame, q, chi), each with itself and with the next of its train."""
    before, train = None, None
    for total, weight, number in zip(sums, weights, trains, strict=True):
        if not weight.any():
            continue
        ring = _Rings(total, weight)
        ring.add(ring, into.correlation, into.correlation_frames, pairs)
        if before is not None and number == train:
            before.add(ring, into.cross, into.cross_frames, pairs)
        before, train = ring, number


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
