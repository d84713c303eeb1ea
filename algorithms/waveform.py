"""Waveform: level, integrals, hits and fitted pulses of the traces of a digitizer."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, InputInfo, Output, Partial, PlanError, RunInfo, Train

from ._azint_tables import loaded
from ._rois import interval

COLUMNS = ("time", "height", "area", "samples")
FIRST_HITS = 256
"""There is room for, before hits are counted."""
ROUNDING = 12**-0.5
"""Standard deviation that rounding to integers makes."""
ALONE = (
    ("pulses", ("period",)),
    ("threshold or sigma", ("fraction", "delay", "dead")),
    ("template", ("search",)),
)
"""Options, and those that are nothing without them."""


class Waveform(Algorithm):
    """What is in the traces of a digitizer: their level, integrals of pulses, hits, fits of a template or of a basis.

    Times are samples from the start of a trace; x is the trace less its baseline, with its sign turned where
    ``polarity="negative"``.

    Parameters
    ----------
    trace : Key
        A source with one trace per entry: ``Key("SCS_UTC1_ADQ/ADC/1:network", "digitizers.channel_1_A.raw.samples")``.
    baseline : (int, int), optional
        Samples, first and one past the last, whose mean is the baseline; by default it is the median of all samples,
        which is right where pulses are in less than half of them.
    polarity : {"positive", "negative"}
        Which way pulses go.
    window : (int, int), optional
        Samples of the first pulse: its integral and height are taken, and the template or the basis fitted.
    background : (int, int), optional
        Samples whose mean is subtracted from the first pulse in place of the baseline, for its integral and height.
    pulses, period : int, float
        How many pulses there are, and samples from one to the next: the windows move by multiples, rounded.
    threshold, sigma : float, optional
        Hits are where x is above this, in the unit of the trace or in standard deviations of its noise; one of the two,
        neither for no hits. The noise of integers counts as no less than that of rounding, ``1 / sqrt(12)``.
    fraction : float
        Of the height: a hit is at the time at which its leading edge reaches this share; 0.5 by default.
    delay : int
        With one, samples: the time is where ``fraction x(t) - x(t - delay)`` falls through 0, less the delay, as
        analogue discriminators have it. By default (0) the edge is looked up.
    dead : int
        Samples below the threshold, at most, that do not part two hits; 0 by default: one parts them.
    template : array or path, (sample,), optional
        A pulse as long as `window`, going up: ``a T(t - s) + b`` is fitted to each.
    search : int
        Shifts of the template that are tried, samples to either side; 5 by default.
    basis : array or path, (k, sample), optional
        Vectors as long as `window`, as of a singular value decomposition: each pulse is a sum of them. Pulses whose
        windows overlap are fitted together.
    limits : (float, float), optional
        Lowest and highest value of the digitizer; those of its integers by default.

    Outputs
    -------
    baseline, noise : float64, per trace
        Level, and standard deviation of the samples of the baseline: by the median absolute deviation where it is the
        median. NaN where there is no sample.
    saturated, missing : int32, per trace
        Samples at the limits, and samples that are NaN.
    integral, height : float64, per trace, (pulse,)
        Sum and largest value of x in each window; with `window`. NaN where a sample is NaN.
    hits : float64, (hit, 4)
        time, height, area (sum of x from its first to its last sample above the threshold), samples between; with
        `threshold` or `sigma`. The time is NaN where the edge is not in the trace, or before the end of the last hit.
        A hit lasts until x was not above the threshold for more than `dead` samples.
    n_hits : int32, per trace
    amplitude, shift, rest : float64, per trace, (pulse,)
        a and s of the fit, and the standard deviation of what remains; with `template`. NaN where no pulse goes the
        right way, or the best shift is more than a sample beyond `search`.
    coefficients : float64, per trace, (pulse, k); basis_rest : float64, per trace
        Of each vector, and the standard deviation of what remains; with `basis`.

    Notes
    -----
    Integrals and fits are float64, whatever the trace is. The fit is by least squares in a, b and s: the best whole
    shift first, then Gauss-Newton, with the template a cubic between its samples [2]_. Coefficients are those of
    least squares by the pseudoinverse.

    References
    ----------
    .. [1] D. A. Gedcke, W. J. McDonald (1967), Nucl. Instrum. Methods 55, 377-380: constant fraction.
    .. [2] E. Catmull, R. Rom (1974), Computer Aided Geometric Design, 317-326.
    """

    baseline: Any
    polarity: str
    window: Any
    background: Any
    pulses: int
    period: float
    threshold: float | None
    sigma: float | None
    fraction: float
    delay: int
    dead: int
    template: Any
    search: int
    basis: Any
    limits: Any
    ALG_ID = "waveform"
    HELP = "baseline, integrals, hits and fits of the traces of a digitizer"
    inputs = {"trace": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        span: dict[str, Any] = {"type": int, "nargs": 2, "metavar": ("START", "STOP")}
        add("--baseline", **span, help="samples whose mean is the baseline; default the median of all")
        add("--polarity", choices=("positive", "negative"), default="positive", help="which way pulses go")
        add("--window", **span, help="samples of the first pulse")
        add("--background", **span, help="samples whose mean is subtracted from the first pulse")
        add("--pulses", type=int, default=1, help="how many pulses")
        add("--period", type=float, default=0.0, help="samples from one pulse to the next")
        add("--threshold", type=float, help="hits are above this, in the unit of the trace")
        add("--sigma", type=float, help="hits are above this many standard deviations of the noise")
        add("--fraction", type=float, default=0.5, help="share of the height at which a hit is")
        add("--delay", type=int, default=0, help="samples, of a constant-fraction discriminator")
        add("--dead", type=int, default=0, help="samples below the threshold that part two hits")
        add("--template", metavar="FILE.npy", help="a pulse as long as the window")
        add("--search", type=int, default=5, help="shifts of the template that are tried, samples")
        add("--basis", metavar="FILE.npy", help="vectors as long as the window, (k, sample)")
        add("--limits", type=float, nargs=2, help="lowest and highest value of the digitizer")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if self.inputs["trace"] is None:
            raise ValueError("waveform: give trace=Key(source, key), a digitizer")
        for name in ("baseline", "window", "background"):
            setattr(self, name, interval("waveform", name, getattr(self, name)))
        for name in ("template", "basis"):
            setattr(self, name, loaded(f"waveform: {name}", getattr(self, name)))
        self.limits = None if self.limits is None else tuple(map(float, self.limits))
        self._check_options()
        self._check_alone()
        size = self.window[1] - self.window[0] if self.window else 0
        if self.template is not None:
            self.template = _fitting("template", self.template, (size,))
            if not np.ptp(self.template) > 0:
                raise ValueError("waveform: template= is the same everywhere: no shift can be told")
        if self.basis is not None:
            self.basis = _fitting("basis", self.basis, (len(self.basis), size))
            if np.linalg.matrix_rank(self.basis) < len(self.basis):
                raise ValueError("waveform: basis= has vectors that are sums of others")

    def _check_options(self) -> None:
        """Refuse options that make no sense, or none together."""
        both = self.threshold is not None and self.sigma is not None
        level = self.sigma if self.threshold is None else self.threshold
        needs = [n for n in ("background", "template", "basis") if getattr(self, n) is not None]
        one = self.baseline is not None and self.baseline[1] - self.baseline[0] < 2
        limits = (0, 1) if self.limits is None else self.limits
        for wrong, said in (
            (both, "threshold= and sigma= both say where hits are: give one"),
            (
                level is not None and not 0 < level < np.inf,
                f"hits are above a positive threshold, not {level}",
            ),
            (self.sigma is not None and one, "sigma= needs a noise: baseline= of two samples or more"),
            (len(limits) != 2 or not limits[0] < limits[1], f"limits={limits}: expected two that rise"),
            (not 0 < self.fraction < 1, f"fraction={self.fraction}: expected a number between 0 and 1"),
            (min(self.delay, self.dead, self.search) < 0, "delay=, dead= and search= are samples from 0"),
            (bool(needs) and self.window is None, f"{', '.join(needs)}= needs window="),
            (self.window is None and self.pulses > 1, "pulses= needs window=, that of the first pulse"),
            (self.pulses < 1, f"pulses={self.pulses}: expected 1 or more"),
            (self.pulses > 1 and not self.period >= 1, "pulses= needs period=, samples from one to the next"),
            (self.template is not None and np.ndim(self.template) != 1, "template= is one pulse, (sample,)"),
            (self.basis is not None and np.ndim(self.basis) != 2, "basis= is vectors, (k, sample)"),
        ):
            if wrong:
                raise ValueError(f"waveform: {said}")

    def _check_alone(self) -> None:
        """Refuse options that do nothing without others."""
        there = self.pulses > 1, self._hits, self.template is not None
        usual = argparse.ArgumentParser()
        self.add_arguments(usual)
        for (needed, names), is_there in zip(ALONE, there, strict=True):
            if given := [n for n in names if not is_there and getattr(self, n) != usual.get_default(n)]:
                raise ValueError(f"waveform: {given[0]}= does nothing without {needed}=")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        trace = info["trace"]
        self._check(trace)
        one: dict[str, Any] = {"per": "trace", "unit": trace.unit}
        count: dict[str, Any] = {"per": "trace", "dtype": "i4"}
        axis: dict[str, Any] = {
            "shape": (self.pulses,),
            "dims": ("pulse",),
            "coords": {"pulse": np.arange(self.pulses)},
        }
        samples = f"{trace.unit} sample".strip()
        made = {
            "baseline": Output(doc="baseline", **one),
            "noise": Output(doc="standard deviation of the baseline", **one),
            "saturated": Output(doc="samples at the limits of the digitizer", **count),
            "missing": Output(doc="samples that are NaN", **count),
        }
        if self.window:
            made["integral"] = Output(per="trace", unit=samples, doc="sum above the baseline", **axis)
            made["height"] = Output(doc="highest value above the baseline", **one, **axis)
        if self._hits:
            made["hits"] = Output(per="event", shape=(4,), dims=("hit",), doc=", ".join(COLUMNS))
            made["n_hits"] = Output(doc="hits", **count)
        if self.template is not None:
            made["amplitude"] = Output(doc="amplitude of the template", **one, **axis)
            made["shift"] = Output(per="trace", unit="sample", doc="shift of the template", **axis)
            made["rest"] = Output(doc="standard deviation of what remains", **one, **axis)
        if self.basis is not None:
            shape, dims = (self.pulses, len(self.basis)), ("pulse", "vector")
            made["coefficients"] = Output(
                shape=shape, dims=dims, coords=axis["coords"], doc="of the basis", **one
            )
            made["basis_rest"] = Output(doc="standard deviation of what remains", **one)
        return made

    @property
    def _hits(self) -> bool:
        return self.threshold is not None or self.sigma is not None

    def _check(self, trace: InputInfo) -> None:
        """Refuse what are no traces, and windows beyond their ends."""
        if trace.kind != "key" or len(trace.shape) != 2 or trace.dtype.kind not in "iuf":
            raise PlanError(
                f"waveform: {trace.name} {trace.key} is {trace.dtype} of shape {trace.shape[1:]}; expected "
                "traces of an instrument source, real numbers (sample,)"
            )
        size = trace.shape[1]
        if self.delay >= size:
            raise PlanError(f"waveform: delay={self.delay}: the traces of {trace.name} have {size} samples")
        later = round((self.pulses - 1) * self.period)
        for name, moved in (("baseline", 0), ("window", later), ("background", later)):
            if (span := getattr(self, name)) and span[1] + moved > size:
                of = f" and {self.pulses} pulses" if moved else ""
                raise PlanError(
                    f"waveform: {name}={span}{of} end at sample {span[1] + moved}; the traces of {trace.name} "
                    f"have {size}"
                )

    def memory(self, info: RunInfo) -> int:
        wide = 0 if self.basis is None else 3 * self._blocks()[1] * self._together * len(self.basis) * 8
        return int(info["trace"].shape[1]) * 24 + FIRST_HITS * 32 + wide

    @property
    def _moves(self) -> NDArray[np.int64]:
        """Samples by which the window of each pulse lies behind the first."""
        return np.rint(np.arange(self.pulses) * self.period).astype(np.int64)

    @property
    def _together(self) -> int:
        """Pulses that are fitted together: all where windows overlap, else each alone."""
        size = self.window[1] - self.window[0]
        return self.pulses if (np.diff(self._moves) < size).any() else 1

    def _blocks(self) -> tuple[NDArray[np.int64], int]:
        """Return where samples that are fitted together start, and how many these are."""
        moves = self._moves[:: self._together]
        return self.window[0] + moves, int(self.window[1] - self.window[0] + self._moves[self._together - 1])

    def initialize(self, info: RunInfo) -> None:
        dtype = info["trace"].dtype
        given = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (-np.inf, np.inf)
        # What is infinite is at no limit of a digitizer.
        self._limits = tuple(float(x) for x in self.limits or given)
        self._sign = 1.0 if self.polarity == "positive" else -1.0
        moves = self._moves
        self._starts = moves + self.window[0] if self.window else moves[:0]
        self._stops = moves + self.window[1] if self.window else moves[:0]
        under = moves[:, None] + np.array(self.background) if self.background else np.zeros((0, 2))
        self._under = np.ascontiguousarray(under, np.int64)
        if self.basis is not None:
            self._design = self._designed()
            self._solve = np.linalg.pinv(self._design)

    def _designed(self) -> NDArray:
        """Return what the vectors of pulses that are fitted together make of their coefficients."""
        k, size = self.basis.shape
        design = np.zeros((self._blocks()[1], self._together * k))
        for pulse, move in enumerate(self._moves[: self._together]):
            design[move : move + size, pulse * k : (pulse + 1) * k] = self.basis.T
        return design

    def process_train_data(self, train: Train, out: Partial) -> None:
        if "trace" in train.missing:
            return
        there = train.valid("trace")
        for entry in map(int, np.flatnonzero(there)):
            self._one(np.ascontiguousarray(train["trace"][entry]), entry, out)

    def _one(self, trace: NDArray, entry: int, out: Partial) -> None:
        """Write what is in one trace."""
        from . import _waveform_kernels as kernels

        # Differences of the longest integers may be none of these.
        near = trace.dtype.kind != "f" and trace.dtype.itemsize <= 4
        middle = kernels.middle_of_integers if near else kernels.middle
        base, noise = kernels.level(trace, *self.baseline) if self.baseline else middle(trace)
        out.baseline[entry], out.noise[entry] = base, noise
        out.saturated[entry], out.missing[entry] = kernels.saturated(trace, *self._limits)
        if self.window:
            kernels.windows(
                trace,
                self._starts,
                self._stops,
                self._under,
                base,
                self._sign,
                out.integral[entry],
                out.height[entry],
            )
        if self._hits:
            found = self._found(trace, base, noise)
            out.n_hits[entry] = len(found)
            out.hits.append(found, frames=np.full(len(found), entry))
        if self.template is not None:
            fitted = np.empty((self.pulses, 3))
            for pulse in range(self.pulses):
                window = trace[self._starts[pulse] : self._stops[pulse]]
                kernels.fit_template(window, self.template, base, self._sign, self.search, fitted[pulse])
            out.amplitude[entry], out["shift"][entry], out.rest[entry] = fitted.T
        if self.basis is not None:
            self._project(trace, base, entry, out)

    def _found(self, trace: NDArray, base: float, noise: float) -> NDArray:
        """Return the hits of a trace, (hit, 4)."""
        from ._waveform_kernels import hits

        noise = noise if trace.dtype.kind == "f" else max(noise, ROUNDING)
        threshold = self.sigma * noise if self.threshold is None else self.threshold  # type: ignore[operator]
        how = base, self._sign, threshold, self.fraction, self.delay, self.dead
        found = np.empty((FIRST_HITS, len(COLUMNS)))
        if (n := hits(trace, *how, found)) > len(found):
            found = np.empty((n, len(COLUMNS)))
            hits(trace, *how, found)
        return found[:n]

    def _project(self, trace: NDArray, base: float, entry: int, out: Partial) -> None:
        """Write the coefficients of the basis in one trace."""
        starts, size = self._blocks()
        y = self._sign * (trace[starts[:, None] + np.arange(size)].astype("f8") - base)
        # Not by BLAS: the same bits everywhere.
        found = np.einsum("cs,bs->bc", self._solve, y)
        rest = y - np.einsum("sc,bc->bs", self._design, found)
        free = rest.size - found.size
        out.coefficients[entry] = found.reshape(self.pulses, -1)
        out.basis_rest[entry] = np.sqrt((rest**2).sum() / free) if free > 0 else np.nan


def _fitting(name: str, given: Any, shape: tuple[int, ...]) -> NDArray:
    """Return an array of this shape, finite, or raise."""
    values = np.ascontiguousarray(given, np.float64)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(
            f"waveform: {name}= has shape {values.shape}; expected {shape}, finite, as many samples as window= has"
        )
    return values
