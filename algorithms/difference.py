"""Difference: of frames or trains with and without a pump, of any output or key, with its error."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, From, InputInfo, Key, Labels, Output, Partial, PlanError, RunInfo, Train

from . import _groups as groups
from ._difference_sums import OFF, ON, Paired, Pooled, Rows

PAIRINGS = ("train", "neighbour", "pooled")
NORMS = ("sums", "each")
LABELS = ("on", "by")
"""Inputs that are known when planning."""
WITHIN = {
    "train": "a train: for trains that are pumped in turn, give pairing='neighbour'",
    "neighbour": "a stretch of trains: give stretch=",
    "pooled": "the run",
}


class Difference(Algorithm):
    """Mean of what is pumped minus mean of what is not: of frames or trains, of numbers, spectra or curves.

    Parameters
    ----------
    pairing : {"train", "neighbour", "pooled"}
        Pumped frames minus the others of the same train, then the mean of trains (the default): what drifts from train
        to train cancels. Or of the same stretch of trains, where whole trains are pumped in turn. Or the mean of all
        pumped frames minus that of all others.
    stretch : int, optional
        How many train ids a stretch of "neighbour" has: 2 by default, trains 2 k and 2 k + 1.
    normalise : {"sums", "each"}
        With `i0`: the sum of x over the sum of I0 of the frames that are averaged (the default), or each frame by its
        own I0 first.
    min_i0 : float
        Frames whose I0 is not above this are left out, and counted; 0 by default.
    groups : list, optional
        Values of `by` that make a group each, in this order; by default all, sorted.
    x : From, Key, PulseKey, Labels or Frames
        What is compared, one value or array per frame or per train: ``From("azint.intensity")`` by default. Of images,
        sums in float64 of all pixels are in memory; pooled, `Average` with ``by=`` is faster.
    on : Labels, or what they take, or From
        Which frames or trains are pumped: booleans, 0 and 1, or "on" and "off". By default `Labels.pumped`: what the
        decoder of pulse patterns says of frames with X-rays.
    i0 : PulseKey, Key, From or Labels, optional
        What x is divided by, one number per frame or train.
    by : Labels, or what they take, or From, optional
        A label of each frame or train, such as the delay: one difference for each of its values.

    Outputs
    -------
    difference, error : float64, ([group,] ...)
        With the axes of x, in its unit, or that over the unit of `i0`; NaN where there is none, and no error of one
        pair.
    on, off, on_error, off_error : float64, same shape
        What is subtracted from what: difference = on - off.
    relative, relative_error : float64, same shape
        (on - off) / off.
    frames_on, frames_off : int64, same shape
        Frames (or trains, of values per train) in them: those with a value.
    trains, unpaired : int64, same shape
        Trains (or stretches) in which there are both, and those left out since they have only one; but for "pooled".
    unlabelled, left_out, ungrouped : int64
        Frames of which it is not known whether they are pumped, whose I0 is missing or too small, that are of no group.

    With `by`, the axis of groups has the name of the label ("group" if it has none) and its values as coordinate.

    Notes
    -----
    R = sum x / sum I0 of the n frames of a kind, with I0 = 1 if none is given. "pooled": D = R_on - R_off and
    var(D) = var(R_on) + var(R_off), with [1]_::

        var(R) = n / (n - 1) sum (x - R I0)^2 / (sum I0)^2

    "train", "neighbour": D_t = R_on - R_off of each train or stretch that has both, D their mean and var(D) their
    variance over their number: trains count alike, and what their frames have in common is in the error.

    The ratio of sums is the default since the mean of x / I0 is another quantity, which weak shots dominate.

    The error of (on - off) / off is that of on / off, with the covariance of both over trains.

    What is not finite counts as missing, element by element.

    References
    ----------
    .. [1] W. G. Cochran (1977), Sampling Techniques, 3rd edition, section 2.11.
    """

    pairing: str
    stretch: int | None
    normalise: str
    min_i0: float | None
    groups: Any
    ALG_ID = "difference"
    HELP = "pumped minus unpumped frames or trains of any output, with its error"
    inputs = {"x": From("azint.intensity"), "on": None, "i0": None, "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--pairing", choices=PAIRINGS, default="train", help="what is subtracted from what; default train"
        )
        add("--stretch", type=int, help="train ids of a stretch, with --pairing neighbour; default 2")
        add(
            "--normalise",
            choices=NORMS,
            default="sums",
            help="ratio of sums, or frame by frame; default sums",
        )
        add("--min-i0", type=float, help="frames must have more incoming intensity; default 0")
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if self.stretch is not None and (self.pairing != "neighbour" or self.stretch < 1):
            raise ValueError(
                f"difference: stretch={self.stretch}; expected train ids of a stretch, with pairing='neighbour'"
            )
        if self.min_i0 is not None and not 0 <= self.min_i0 < np.inf:
            raise ValueError(f"difference: min_i0={self.min_i0}; expected a number from 0")
        if self.inputs["i0"] is None and (self.min_i0 is not None or self.normalise != "sums"):
            raise ValueError("difference: min_i0= and normalise= are about i0=; expected i0=, too")
        given = self.inputs | ({"on": Labels.pumped()} if self.inputs["on"] is None else {})
        own = {alias: _input(alias, what) for alias, what in given.items() if what is not None}
        # The first one has the frames, which labels are joined to.
        self.inputs = dict(sorted(own.items(), key=lambda item: isinstance(item[1], Labels)))
        together = (self.stretch or 2) if self.pairing == "neighbour" else 1
        self._how = Pooled() if self.pairing == "pooled" else Paired(together)

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        self._check(info)
        x, found = info["x"], self._groups_of(info)
        named = axes_of(x)
        whole: dict[str, Any] = named if found is None else found.axes(**named)
        if found is not None:
            whole["coords"] = whole["coords"] | {found.name: (found.values, info["by"].unit)}
        over = info["i0"].unit if "i0" in self.inputs else ""
        unit = f"{x.unit or 1}/{over}" if over else x.unit
        made = {"on": "pumped", "off": "not pumped", "difference": "pumped minus not pumped"}
        values = {name: Output(unit=unit, doc=doc, **whole) for name, doc in made.items()}
        errors = {n: f"standard error of {n.removesuffix('_error')}" for n in ("on_error", "off_error")}
        errors["error"] = "standard error of the difference"
        values |= {name: Output(unit=unit, doc=doc, **whole) for name, doc in errors.items()}
        values["relative"] = Output(doc="difference over what is not pumped", **whole)
        values["relative_error"] = Output(doc="its standard error", **whole)
        counts = {name: Output(dtype="i8", doc=doc, **whole) for name, doc in self._how.counts.items()}
        single = {name: Output(dtype="i8", doc=doc) for name, doc in COUNTED.items()}
        return values | counts | single | self._how.state((self._count(found), *named["shape"]))

    def _count(self, found: groups.Groups | None) -> int:
        return 1 if found is None else len(found)

    def _groups_of(self, info: RunInfo) -> groups.Groups | None:
        size = int(np.prod(axes_of(info["x"])["shape"]))
        return groups.of(self, info, 30 * 8 * size)

    def _check(self, info: RunInfo) -> None:
        """Refuse what cannot be compared."""
        x, on = info["x"], info["on"]
        if x.dtype.kind not in "fiub":
            raise PlanError(f"difference: x is {x.name} {x.key}, {x.dtype}; expected real numbers")
        for alias in ("on", "i0"):
            if alias in self.inputs and info[alias].shape not in ((), (1,)):
                raise PlanError(
                    f"difference: {alias} is {info[alias].name} {info[alias].key} with values of shape "
                    f"{info[alias].shape}; expected one for each frame or train"
                )
        others = [
            alias for alias in ("on", "i0", "by") if alias in self.inputs and info[alias].kind != "control"
        ]
        if x.kind == "control" and others:
            raise PlanError(
                f"difference: x, {x.name} {x.key}, has one value per train, and {others[0]} one for each frame: give a "
                "value per train"
            )
        self._check_flags(on)
        if self.pairing == "train" and "control" in (on.kind, x.kind):
            what = "on" if on.kind == "control" else "x"
            raise PlanError(
                f"difference: {what}= has one value per train, and no train has both kinds: give pairing='neighbour', "
                "which takes trains that follow each other, or 'pooled'"
            )

    def _check_flags(self, on: InputInfo) -> None:
        if on.values is None:
            return
        said = ", ".join(map(str, on.values[: groups.FEW].tolist())) or "nothing"
        if not all(str(value).lower() in groups.FLAGS or value in (0, 1) for value in on.values.tolist()):
            raise PlanError(
                f"difference: on= {on.name} {on.key} is {said}; expected booleans, 0 and 1, or 'on' and 'off'"
            )
        if len(set(pumped(on.values).tolist())) < 2:
            raise PlanError(
                f"difference: on= {on.name} {on.key} is {said} for all {on.frames} frames or trains that are read: "
                "there is nothing to compare"
            )

    def initialize(self, info: RunInfo) -> None:
        self._groups, self._single = self._groups_of(info), len(axes_of(info["x"])["shape"])

    def process_train_data(self, train: Train, out: Partial) -> None:
        y = values_of(train, "x")
        y = y[None] if y.ndim == self._single else y
        n = len(y)
        i0 = np.broadcast_to(np.ravel(values_of(train, "i0")), n) if "i0" in self.inputs else np.ones(n)
        known = np.broadcast_to(np.ravel(train.valid("on")), n)
        flags = np.broadcast_to(np.ravel(pumped(np.asarray(train["on"]))), n)
        slots = np.broadcast_to(0 if self._groups is None else self._groups.slots(train), n)
        bright = np.isfinite(i0)
        bright[bright] = i0[bright] > (self.min_i0 or 0)
        out.unlabelled += (~known).sum()
        out.ungrouped += (known & (slots < 0)).sum()
        out.left_out += (known & (slots >= 0) & ~bright).sum()
        used = known & (slots >= 0) & bright
        y, i0 = y[used], i0[used].reshape(-1, *(1,) * self._single)
        if self.normalise == "each":
            y, i0 = y / i0, np.ones(i0.shape)
        self._how.add(out, train.id, Rows(y, i0, np.where(flags[used], ON, OFF), slots[used]))

    def merge(self, into: Partial, other: Partial) -> None:
        super().merge(into, other)
        self._how.merge(into, other)

    def finalize(self, totals: Partial) -> None:
        for name, values in self._how.finish(totals).items():
            totals[name][...] = values.reshape(totals[name].shape)
        if np.isnan(totals.difference).all():
            some = f"; {int(totals.unpaired.max())} have one kind only" if "unpaired" in totals else ""
            warnings.warn(
                f"{self.name}: all is NaN: nothing is pumped and not pumped within {WITHIN[self.pairing]}{some}; "
                f"unlabelled {int(totals.unlabelled)}, left out {int(totals.left_out)} frames",
                stacklevel=1,
            )


COUNTED = {
    "unlabelled": "frames of which it is not known whether they are pumped",
    "left_out": "frames whose incoming intensity is missing or too small",
    "ungrouped": "frames of no group",
}


def pumped(values: NDArray) -> NDArray:
    """Return which labels mean that the pump was on."""
    if values.dtype.kind in "SU":
        return np.isin(np.char.lower(values.astype(str)), [text for text, on in groups.FLAGS.items() if on])
    return np.asarray(values == 1)


def axes_of(x: InputInfo) -> dict[str, Any]:
    """Return shape, dims and coords of one value of an input."""
    shape = x.shape if x.kind == "frames" else x.shape[1:]
    if x.kind == "frames":
        return {"shape": shape, "dims": ("module", "ss", "fs"), "coords": {"module": np.asarray(x.modules)}}
    if x.dims:
        return {"shape": shape, "dims": x.dims, "coords": dict(x.coords)}
    return {"shape": shape, "dims": tuple(f"x{n}" for n in range(len(shape))), "coords": {}}


def _input(alias: str, what: Any) -> Any:
    """Return an input; what can only be labels, as such, and a key of I0, which may have a list of pulses."""
    known = alias in LABELS or (alias == "i0" and isinstance(what, Key))
    if isinstance(what, (Labels, From)) or (hasattr(what, "bind") and not known):
        return what
    return Labels(what)


def values_of(train: Train, alias: str) -> NDArray:
    """Return the values of a train in float64, NaN where there are none."""
    values, there = np.asarray(train[alias], "f8"), np.asarray(train.valid(alias))
    return np.where(there.reshape(there.shape + (1,) * (values.ndim - there.ndim)), values, np.nan)
