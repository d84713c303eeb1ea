"""Integrating: what fast sources saw while a slow detector exposed each of its frames."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dxflow import Algorithm, Labels, Output, Partial, PlanError, RunInfo, Train

from .difference import axes_of, values_of

if TYPE_CHECKING:
    from xarray import Dataset


class Integrating(Algorithm):
    """Sum and mean of a fast value over the trains of each exposure of a slow detector.

    Parameters
    ----------
    slow : Key
        Any key of the slow detector: where a train has an entry of it, an exposure ends with that train.
    of : Key, PulseKey or From
        What is added up: numbers or arrays per pulse, frame or train, such as ``From("azint.intensity")``.
    trains : int, optional
        Trains of an exposure; by default it begins after the one before.

    Outputs
    -------
    sum, mean : float64, per exposure, shape of a value
        Over all values of the exposure that are finite; NaN where there is none.
    count : int64, per exposure, shape of a value
        Of these values.
    first, last : int64, per exposure
        Its train ids.
    seen, expected : int64, per exposure
        Trains of the exposure that have a value, and all that it has by its train ids; `seen` is less where trains are
        lost, before the run, or not selected. Nobody knows when the first exposure began, unless `trains` says so: its
        `expected` is 0.

    Notes
    -----
    An exposure that ends with train t is the trains after the one with which the last exposure ended, up to t, or with
    `trains` n those from t - n + 1 to t. Each value belongs to the exposures that its train is in: exposures that
    overlap share it. A slow detector that is late by some trains is put right by ``Key(..., offset=-2)``.
    """

    trains: int | None
    ALG_ID = "integrating"
    HELP = "sums of a fast value over the exposures of a slow detector"
    WHOLE_FRAMES = True
    inputs = {"of": None, "slow": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--trains", type=int, help="trains of an exposure; default since the one before")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if lacking := [alias for alias in self.inputs if self.inputs[alias] is None]:
            raise ValueError(f"integrating: give {' and '.join(f'{alias}=' for alias in lacking)}")
        if isinstance(self.inputs["of"], Labels):
            raise ValueError(
                "integrating: of= is Labels, which are of the frames of another input: give what they are made of, a "
                "Key, a PulseKey, or From an algorithm of the pass"
            )
        if self.trains is not None and self.trains < 1:
            raise ValueError(f"integrating: trains={self.trains}: expected 1 or more")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        of, slow = info["of"], info["slow"]
        if slow.max_per_train > 1:
            raise PlanError(
                f"integrating: {slow.name} has up to {slow.max_per_train} frames per train; expected a slow detector, "
                "with one at most"
            )
        if of.dtype.kind not in "fiub":
            raise PlanError(f"integrating: {of.name} {of.key} is {of.dtype}; expected real numbers")
        if slow.kind == "control":
            raise PlanError(
                f"integrating: {slow.name} {slow.key} has a value in each train, and no frames: expected a key of an "
                "instrument source as slow="
            )
        if of.kind == "frames":
            raise PlanError(
                f"integrating: {of.name} {of.key} has images, (module, ss, fs); expected numbers or lines, such "
                'as From("roi.sum")'
            )
        shape = axes_of(of)
        value: dict[str, Any] = {"per": "train", **shape}
        # Of each frame of the slow detector: it ends exposures in trains in which there is nothing to add up, too.
        ends: dict[str, Any] = {"per": "slow", "stage": "rows"}
        whole = {"dtype": "i8", **ends}
        return {
            "part": Output(store=False, **value),
            "n": Output(store=False, dtype="i8", **value),
            "ends": Output(store=False, per="slow", dtype="?"),
            "sum": Output(unit=of.unit, doc="sum over the exposure", **shape, **ends),
            "mean": Output(unit=of.unit, doc="mean over the exposure", **shape, **ends),
            "count": Output(doc="values of the exposure", **shape, **whole),
            "first": Output(doc="first train of the exposure", **whole),
            "last": Output(doc="last train of the exposure", **whole),
            "seen": Output(doc="trains of the exposure with a value", **whole),
            "expected": Output(doc="trains of the exposure; 0 where it is not known when it began", **whole),
        }

    def memory(self, info: RunInfo) -> int:
        return 4 * 8 * info["of"].max_per_train * int(np.prod(info["of"].shape[1:], dtype=int))

    def initialize(self, info: RunInfo) -> None:
        self._shape = info["of"].shape[1:]

    def process_train_data(self, train: Train, out: Partial) -> None:
        if "of" in train.missing:
            return
        values = values_of(train, "of").reshape(-1, *self._shape)
        finite = np.isfinite(values)
        out.part += np.where(finite, values, 0).sum(axis=0)
        out.n += finite.sum(axis=0)

    def finalize_rows(self, rows: Dataset, out: Partial) -> None:
        # Where `of` has just as many entries in the same trains, both have one axis.
        last = rows["slow_train_id" if "slow_train_id" in rows.coords else "train_id"]
        ids, ends = (trains.values.astype(np.int64) for trains in (rows["train"], last))
        n, part = np.maximum(rows["n"].values, 0), np.nan_to_num(rows["part"].values)
        seen = n.reshape(len(ids), -1).any(axis=1)
        for row, end in enumerate(ends):
            first = end - self.trains + 1 if self.trains else ends[row - 1] + 1 if row else None
            exposed = slice(*np.searchsorted(ids, [ids[0] if first is None else first, end + 1]))
            count, total = n[exposed].sum(axis=0), part[exposed].sum(axis=0)
            out["sum"][row] = np.where(count > 0, total, np.nan)
            out["mean"][row] = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
            out["count"][row], out["seen"][row] = count, np.count_nonzero(seen[exposed])
            out["first"][row], out["last"][row] = ids[0] if first is None else first, end
            out["expected"][row] = 0 if first is None else end - first + 1
