"""Two-time correlation of speckle, train by train: each pulse with each other one, in regions of pixels."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from . import _regions as regions
from ._moments import add, finish, ratio
from .litframes import usable

SLOT = 288 / 1300
"""Microseconds from one pulse id to the next at the European XFEL: 288 periods of its 1.3 GHz."""


STATE = 28
"""Bytes per pair of frames and group."""


class TwoTime(Algorithm):
    """Correlate the frames of each train, pixel by pixel, in regions.

    Parameters
    ----------
    labels : path or ndarray of int, optional
        The region of each pixel, (module, ss, fs), 0 for none: an array or an ``.npy`` file, of all modules of the
        detector, or of those that are read.
    q : floats, optional
        In place of `labels`, edges of bins of momentum transfer, 1/angstrom, or pairs (low, high) that do not overlap.
    geometry, distance, energy, wavelength : optional
        Of `q`; as of `AzimuthalIntegration`.
    period : float, optional
        Microseconds from one pulse id to the next, 288/1300 by default, as at the European XFEL. Of data without pulse
        ids, from one recorded frame to the next, whichever are read.
    groups : list, optional
        Values of `by` that make a group each, in this order; by default all, sorted.
    img : Frames or From
        ``Frames("image.data")`` by default.
    by : Labels, DataArray, path or Result, optional
        A label of each train or frame: trains are averaged, over those with each of its values, in place of `c`.

    Outputs
    -------
    c : float32, (train, q, t1, t2)
        C(t1, t2). NaN where a train has no such frame, a region no good pixel, or the mean of a frame is not above 0.
    mean, variance, error : float64, trains : int32, (group, q, t1, t2)
        With `by`: mean of C over trains, their variance, the standard error of the mean from that, and how many trains
        there are. Of labels per frame a train has the pairs of which both frames are of the group.
    ungrouped : bool, (frame,)
        Frames of no group: without a label, or of one that `groups` leaves out; with `by`.
    intensity : float64, (train, q, t1)
        Mean of the good pixels of each frame, unit of the data.
    pixels : int64, (train, q)
        Good pixels: in a region, and finite in all frames of the train. 0 of a region of which nothing was read.

    Coordinates: ``q``, centres of the bins, 1/angstrom, or the numbers of the regions; ``t1`` and ``t2``, microseconds
    from pulse id 0.

    Notes
    -----
    In each region [1]_ ::

        C(t1, t2) = <I(t1) I(t2)> / (<I(t1)> <I(t2)>)

    where <> is the mean over its pixels: frames count alike, however bright their pulse was. On the diagonal is photon
    noise, too: of counts, C(t, t) = 1 + contrast + 1 / <I(t)>.

    A pixel that is NaN, masked or infinite in one frame of a train is left out of all of them. Where a module lacks
    frames, or has no good pixel in them, all three means of a pair are over the pixels that both frames have.

    Time is that of pulse ids: what was not recorded, or not read, such as dark cells, leaves no gap and no lag.
    ``frames=`` of the pass selects the frames.

    Products are those of a matrix with itself, in float32 on one thread; of data with few photons, of those pixels
    that are not 0, to the same bits for counts, and within 1e-6 for others. Which it is follows from the train of
    the module alone. The last bits of numbers that are no counts depend on BLAS and processor.

    A matrix has 4 bytes per pair of frames: with 352 frames and 10 regions they are 5 MB per train, or, with `by`,
    35 MB per group.

    References
    ----------
    .. [1] A. Madsen et al. (2010), New J. Phys. 12, 055001.
    """

    ALG_ID = "twotime"
    HELP = "two-time correlation of the frames of each train, in regions of pixels (XPCS)"
    WHOLE_TRAINS = True
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]
    groups: Any
    labels: Any
    q: Any
    geometry: Any
    period: float | None

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        regions.add_arguments(parser)
        parser.add_argument("--period", type=float, help="microseconds between pulse ids; default 288/1300")
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = groups.joined(self.inputs, args.groups)
        regions.check(self.ALG_ID, args)
        if self.period is not None and not 0 < self.period < np.inf:
            raise ValueError(f"{self.ALG_ID}: period={self.period}; expected microseconds between pulse ids")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        found, times = regions.made(self.ALG_ID, self, info), self._times(info["img"])
        n, t, own = len(found), len(times), self._groups_of(info, found)
        out = {**self._results(info["img"], found, times, own), **_sums(info["img"], n, t)}
        if own is not None:
            out["slots"] = Output(per="train", shape=(t,), dtype="i4", merge="max", store=False)
            out["ungrouped"] = groups.ungrouped()
        return out

    def _groups_of(self, info: RunInfo, found: regions.Regions) -> groups.Groups | None:
        state = STATE * len(found) * len(pulses(info["img"])) ** 2
        return groups.of(self, info, state)

    def _results(
        self, img: InputInfo, found: regions.Regions, times: NDArray, own: groups.Groups | None
    ) -> dict[str, Output]:
        """Return what is stored."""
        made = {"c": matrices(found, times)} if own is None else _of_groups(matrices(found, times), own)
        return {**made, **self._of_trains(img, found, times)}

    def _of_trains(self, img: InputInfo, found: regions.Regions, times: NDArray) -> dict[str, Output]:
        """Return what is stored of each train beside correlations."""
        n, t = len(found), len(times)
        q, at = {"q": found.coordinate}, (times, "us")
        one: dict[str, Any] = {"shape": (n, t), "dims": ("q", "t1"), "coords": {**q, "t1": at}}
        return {
            "intensity": Output(per="train", unit=img.unit, doc="mean of the good pixels", **one),
            "pixels": Output(
                per="train", shape=(n,), dtype="i8", dims=("q",), coords=q, doc="good pixels of the train"
            ),
        }

    def _times(self, img: InputInfo) -> NDArray:
        """Return the times of the frames that trains may have, microseconds."""
        if img.max_per_train < 2:
            raise PlanError(
                f"{self.ALG_ID}: {img.name} has {img.max_per_train} frame per train; expected several"
            )
        if not len(img.pulses) and self.period is None:
            raise PlanError(
                f"{self.ALG_ID}: frames of {img.name} have no pulse ids: give period=, microseconds between frames"
            )
        return pulses(img) * self._step

    @property
    def _step(self) -> float:
        """Microseconds between pulse ids."""
        return SLOT if self.period is None else float(self.period)

    def memory(self, info: RunInfo) -> int:
        from ._products import memory

        img = info["img"]
        pixels, most = int(np.prod(img.shape[1:])), len(pulses(img))
        # Masked integers become floats.
        copy = 0 if img.dtype.kind == "f" else img.max_per_train * pixels * 4
        # Ranks and order; positions of the geometry and some arrays of their size, while regions are made.
        return img.shape[0] * pixels * (4 + 4 + 3 * 24) + memory(most, pixels) + copy

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        from ._blas import facts

        return {**facts(), **regions.depends(self, info)}

    def hints(self, info: RunInfo) -> list[str]:
        return regions.hints(self.ALG_ID, self, info)

    def initialize(self, info: RunInfo) -> None:
        from ._products import Pixels, Products

        img, found = info["img"], regions.made(self.ALG_ID, self, info)
        self._pixels = [Pixels.of(numbers, len(found)) for numbers in found.numbers]
        self._products = Products(img.max_per_train, max(len(own.order) for own in self._pixels))
        self._pulses, self._groups = pulses(img), self._groups_of(info, found)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._twotime_kernels import seen

        pixels, module = self._pixels[block.module], block.module
        frames = usable(block).reshape(len(block), -1)
        there = block.valid("img").reshape(len(block), -1).any(axis=1)
        rows = np.flatnonzero(there & seen(frames, pixels.order))
        slots = None if self._groups is None else self._groups.slots(block)
        if slots is not None:
            out.ungrouped |= there & (slots < 0)
        if not len(rows):
            return
        ids = block.entry_ids if block.pulse_ids is None else block.pulse_ids
        at = np.searchsorted(self._pulses, np.asarray(ids, np.int64)[rows])
        if slots is not None:
            out.slots[at] = slots[rows]
        self._products.add(frames, rows, at, pixels, out.products, out.sums[:, module], out.counts[:, module])

    def finalize_chunk_processing(self, out: Partial) -> None:
        for at in np.ndindex(out.pixels.shape):
            sums, counts = out.sums[at], out.counts[at]
            own = [] if self._groups is None else list(_pairs(out.slots[at[0]]))
            self._finish(out, at, *means(out.products[at], sums, counts), own)
            out.intensity[at] = ratio(sums.sum(axis=0), counts.sum(axis=0))
            out.pixels[at] = counts.max(axis=1).sum()

    def _finish(
        self, out: Partial, at: tuple[int, ...], products: NDArray, first: NDArray, own: list
    ) -> None:
        """Make results of the means of a train and region; add to those of its groups, (slot, pairs)."""
        c = normalised(products, first)
        if self._groups is None:
            out.c[at] = c
        for slot, pairs in own:
            known = pairs & np.isfinite(c)
            n, mean, squares = (x[slot, at[1]] for x in _trains(out))
            add(n, mean, squares, known, np.where(known, c, 0.0), np.zeros(c.shape))

    def merge(self, into: Partial, other: Partial) -> None:
        super().merge(into, other)
        if "variance" in into:
            add(*_trains(into), *_trains(other))

    def finalize(self, totals: Partial) -> None:
        if "variance" in totals:
            totals.error = finish(*_trains(totals))


def _trains(out: Partial) -> tuple[NDArray, NDArray, NDArray]:
    """Return count, mean and squared deviations of the trains of groups."""
    return out.trains, out.mean, out.variance


def _pairs(slots: NDArray) -> Iterator[tuple[int, NDArray]]:
    """Yield the groups of a train, and which pairs of frames each has, (t, t)."""
    for slot in np.unique(slots[slots >= 0]):
        yield int(slot), (slots == slot)[:, None] & (slots == slot)


def normalised(products: NDArray, first: NDArray) -> NDArray:
    """Return C of means over pixels, (t, t); NaN where one of the frames has no intensity."""
    return ratio(products, np.where((first > 0) & (first.T > 0), first * first.T, 0.0))


def pulses(img: InputInfo) -> NDArray:
    """Return the pulse ids that frames may have, their numbers in the train where there are none."""
    return (img.pulses if len(img.pulses) else img.entries).astype(np.int64)


def _sums(img: InputInfo, n: int, t: int) -> dict[str, Output]:
    """Return what adds up over modules: products, and of each module sums and good pixels of frames."""
    own: dict[str, Any] = {"per": "train", "shape": (n, len(img.modules), t), "store": False}
    return {
        "products": Output(per="train", shape=(n, t, t), store=False),
        "sums": Output(**own),
        "counts": Output(dtype="i8", **own),
    }


def matrices(found: regions.Regions, times: NDArray) -> Output:
    """Return the output of matrices, which says how large they are."""
    shape = (len(found), len(times), len(times))
    at = (times, "us")
    return Output(
        per="train",
        shape=shape,
        dtype="f4",
        dims=("q", "t1", "t2"),
        coords={"q": found.coordinate, "t1": at, "t2": at},
        doc=f"two-time correlation, {np.prod(shape) * 4 / 1e6:.3g} MB per train",
    )


def _of_groups(one: Output, own: groups.Groups) -> dict[str, Output]:
    """Return the outputs of groups, of that of a train."""
    axes = own.axes(one.shape, one.dims, one.coords) | {"merge": "custom"}
    return {
        "mean": Output(doc="two-time correlation, mean of trains", **axes),
        "variance": Output(doc="variance of trains", **axes),
        "error": Output(doc="standard error of the mean", **axes),
        "trains": Output(dtype="i4", doc="trains with such a pair", **axes),
    }


def means(products: NDArray, sums: NDArray, counts: NDArray) -> tuple[NDArray, NDArray]:
    """Return means over the pixels that both frames of a pair have, (t, t): of products, and of the first frame.

    Parameters
    ----------
    products : ndarray, (t, t)
    sums, counts : ndarray, (module, t)
    """
    there = (counts > 0).astype(float)
    # Not by BLAS: the same bits everywhere.
    pixels = np.einsum("mt,mu->tu", counts.astype(float), there)
    return ratio(products, pixels), ratio(np.einsum("mt,mu->tu", sums, there), pixels)
