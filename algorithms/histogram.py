"""Histogram: how many pixels of a region have which value, or how many photons, per frame or of the run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo

from . import _groups as groups
from . import _rois as rois
from ._azint_tables import loaded

PER = ("frame", "run")
BESIDE = {
    "below": "pixels below the first edge",
    "above": "pixels above the last edge",
    "missing": "pixels that are NaN or masked",
}


class Histogram(Algorithm):
    """Count the pixels of regions by their value.

    Parameters
    ----------
    edges : sequence of float, array or path, optional
        Rising edges of the bins, or an ``.npy`` file of them; or `bins` and `range`.
    bins : int
        Equally wide bins, 100 by default.
    range : (float, float), optional
        First and last edge of them, in the unit of the data.
    per : {"frame", "run"}
        A histogram of each frame (the default), or of all frames.
    photon : float, optional
        Signal of one photon: photons are counted, floor(x / photon + 1/2), no fewer than 0; edges are
        in photons.
    ss, fs, modules, rois
        Region, or several by name, as of `RoiSum`; all pixels by default.
    mask : path or array, (module, ss, fs) or (ss, fs), optional
        Pixels that are not looked at are True, beside those that are masked in the data.
    by : Labels, From or what `Labels` takes, optional
        With ``per="run"``: a histogram of each group of frames with the same label.
    groups : sequence, optional
        Values of the label, one group each; all by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default; ``From("photons.img")`` has photons that neighbours share, too.

    Outputs
    -------
    counts : int64 of the run, int32 of frames, ([frame or group,] [roi,] value)
        Pixels in each bin. A bin holds its lower edge, the last one its upper edge, too.
    below, above : same type, ([frame or group,] [roi])
        Pixels beyond the edges, infinite ones as well.
    missing : same
        Pixels that are NaN or masked in the data.
    ungrouped : bool, (frame,)
        With `by`: frames of no group.

    Coordinates ``value``, the middles of the bins, ``value_low`` and ``value_high``, their edges.

    Notes
    -----
    Counts, below, above and missing add up to the pixels of the modules that have the frame: nothing is left out.
    Counts are exact: they do not depend on the order of frames.
    """

    edges: Any
    bins: int
    range: Any
    per: str
    photon: float | None
    mask: Any
    groups: Any
    ALG_ID = "histogram"
    HELP = "how many pixels of regions have which value, or how many photons, per frame or of the run"
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--edges", nargs="+", help="rising edges of the bins, or an .npy file")
        add("--bins", type=int, default=100, help="equally wide bins; default 100")
        add("--range", type=float, nargs=2, metavar=("FIRST", "LAST"), help="edges of these")
        add("--per", choices=PER, default="frame", help="a histogram of each frame, or of the run")
        add("--photon", type=float, help="signal of one photon: photons are counted")
        rois.add_arguments(parser)
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = groups.joined(self.inputs, args.groups)
        self._asked = rois.asked("histogram", args)
        self._edges = _edges(self.edges, self.bins, self.range)
        if self.photon is not None and not 0 < self.photon < np.inf:
            raise ValueError(f"histogram: photon={self.photon}; expected what one photon makes, above 0")
        if self.per == "frame" and "by" in self.inputs:
            raise ValueError("histogram: by= makes groups of frames: give per='run', too")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        placed = rois.placed("histogram", self._asked, img)
        rois.left_out("histogram", self.mask, img)
        coords = rois.axis(placed)
        unit = "photons" if self.photon else img.unit
        low, high = self._edges[:-1], self._edges[1:]
        bins: dict[str, Any] = {
            "value": ((low + high) / 2, unit),
            "value_low": ("value", low, unit),
            "value_high": ("value", high, unit),
        }
        made = {"counts": self._output(info, coords | bins, "pixels in each bin")}
        made |= {name: self._output(info, coords, doc) for name, doc in BESIDE.items()}
        return made | ({"ungrouped": groups.ungrouped()} if "by" in self.inputs else {})

    def _output(self, info: RunInfo, coords: dict[str, Any], doc: str) -> Output:
        """Return an output with an axis of regions, of bins, of both or of none."""
        dims = tuple(name for name in ("roi", "value") if name in coords)
        sizes = {"roi": len(self._asked), "value": len(self._edges) - 1}
        shape = tuple(sizes[name] for name in dims)
        if self.per == "frame":
            return Output(per="img", dtype="i4", shape=shape, dims=dims, coords=coords, doc=doc)
        found = self._of(info)
        axes = found.axes(shape, dims, coords) if found else {"shape": shape, "dims": dims, "coords": coords}
        return Output(dtype="i8", doc=doc, **axes)

    def _of(self, info: RunInfo) -> groups.Groups | None:
        each = 8 * len(self._asked) * (len(self._edges) + 2)
        return groups.of(self, info, each)

    def memory(self, info: RunInfo) -> int:
        return int(np.prod(info["img"].shape)) if self.mask is not None else 0

    def initialize(self, info: RunInfo) -> None:
        from ._histogram_kernels import lookup

        self._rois = rois.placed("histogram", self._asked, info["img"])
        self._bad = rois.left_out("histogram", self.mask, info["img"])
        self._groups = self._of(info)
        self._lookup = lookup(self._edges)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._histogram_kernels import fill

        n, number = len(block), block.module_number
        at, rows = self._rows(block, out)
        table = np.zeros((rows, len(self._rois), len(self._edges) - 1 + len(BESIDE)), np.int64)
        here = [(k, one) for k, one in enumerate(self._rois) if number in one.bounds]
        frames = rois.frames_of(block) if here else np.empty((n, 0, 0))
        for k, one in here:
            bounds, photon = one.bounds[number], self.photon or 0.0
            fill(frames, self._bad[block.module], *bounds, self._edges, self._lookup, photon, at, k, table)
        bins = len(self._edges) - 1
        parts = {"counts": table[..., :bins]}
        parts |= {name: table[..., bins + k] for k, name in enumerate(BESIDE)}
        for name, found in parts.items():
            out[name] += found.reshape(out[name].shape).astype(out[name].dtype)

    def _rows(self, block: ModuleBlock, out: Partial) -> tuple[NDArray, int]:
        """Return the row of the table that each frame counts in, and how many rows it has."""
        if self.per == "frame":
            return np.arange(len(block)), len(block)
        if self._groups is None:
            return np.zeros(len(block), np.int64), 1
        slots = self._groups.slots(block)
        out.ungrouped |= slots < 0
        return slots, len(self._groups)


def _edges(given: Any, bins: int, limits: Any) -> NDArray:
    """Return rising edges of bins, float64."""
    if (given is None) == (limits is None):
        raise ValueError("histogram: expected one of edges=, and range= with bins=")
    if given is None:
        first, last = (float(v) for v in limits)
        if not (first < last and np.isfinite([first, last]).all()) or bins < 1:
            raise ValueError(
                f"histogram: bins={bins}, range={tuple(limits)}; expected a positive number, and two that rise"
            )
        return np.linspace(first, last, bins + 1)
    try:
        one = given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given
        edges = np.array(loaded("edges", one), "f8")
    except (ValueError, TypeError) as e:
        raise PlanError(f"histogram: edges={given!r}: expected numbers, or an .npy file of them: {e}") from e
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
        raise ValueError(f"histogram: edges={given!r}; expected two or more numbers that rise")
    return edges
