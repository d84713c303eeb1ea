"""Signal: where on the detector something is: ASICs that are lit, regions of interest, modules."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo, geometry
from dxflow.run import detectors

from . import _signal_regions as regions
from . import _signal_statistics as statistics
from ._azint_tables import fitting
from ._signal_statistics import NOTHING, STEP
from .litframes import bounds, level, usable

if TYPE_CHECKING:
    from xarray import Dataset

log = logging.getLogger(__name__)

FEWEST = 8
"""Frames of a run: of fewer no background is known."""
TILE = (64, 64)
"""Pixels that are taken together where no ASICs are known, or they are smaller."""


class Signal(Algorithm):
    """Find where on the detector something is: ASICs, modules and boxes around them.

    Parameters
    ----------
    threshold : float, optional
        A pixel above this is lit, below minus this dim; 0.7 photons of corrected data by default.
    snr : float
        Standard deviations of the background that a frame of an ASIC must be above it to be lit; 4 by default.
    fraction : float
        The background of an ASIC is the median over frames, unless more than this share of its pixels is lit in that:
        0.02 by default. What is always there at that strength is signal, not background. 1: the median in any case.
    rate : float
        Share of runs without signal in which any ASIC of the detector is marked; 0.01 by default.
    min_occupancy : float
        Share of the frames in which an ASIC must be lit, 0.002 by default.
    opening, closing : int
        An ASIC with fewer neighbours (of 8) with signal is dropped: 0 by default, none is; one with at least so many
        joins: 5 by default, 0 for none.
    min_asics : int
        What hangs together has so many ASICs at least; 1 by default.
    margin : int
        Pixels around boxes, 8 by default.
    asic : (int, int), optional
        Rows and columns of pixels of an ASIC; by default as the detector has them, 64 64 of cameras; small
        ones (LPD) side by side are taken together, up to 4096 pixels. Smaller ones find smaller regions.
    geometry : path, array or object, optional
        As of `AzimuthalIntegration`; by default the file that lies in the directory of the run. Without one, nothing
        hangs together across modules.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.
    lit : PulseKey or Labels, optional
        Which frames had X-rays: ``Labels(result, "litfrm.lit")``. The others are the background then.

    Outputs
    -------
    mask : bool, (module, ss, fs)
        True where signal is.
    modules : bool, (module,)
        Those with signal, for ``Frames(modules=result["signal.modules"])``.
    asics, significant : bool, (module, asic)
        ASICs with signal, counted row by row; those that are by themselves, before opening and closing. Coordinates
        ``asic_ss`` and ``asic_fs``: the first row and column of each in what is read of a module.
    occupancy : float64, (module, asic)
        Share of the frames in which an ASIC is lit; NaN where it has none, or no background is known.
    frames : int64, (module, asic)
        Frames that this is a share of.
    background, width : float64, (module, asic)
        Median and standard deviation of the excess without signal, see the notes.
    unclear : bool, (module, asic)
        ASICs that are not marked, but in half of their frames have far more lit pixels than others: weak signal that
        is always there, or hot pixels. A smaller `fraction` marks them.
    roi : int64, (box, 6)
        Boxes around what hangs together, in each module: module number, first row, one past the last, first column,
        one past the last, number of the region; -1 in rows that are not used.

    Notes
    -----
    The excess of an ASIC in a frame is ``sqrt(lit + 3/8) - sqrt(dim + 3/8)``: noise makes as many dim pixels as lit
    ones, whatever its size, and the square roots of such numbers vary by as much whatever they are, by sqrt(1/2)
    together. If both numbers are unusual, and pixels are not as far from each other as photons are, the mean of the
    ASIC is subtracted and they are counted again: an ASIC that jumps as a whole has no signal.

    A frame is lit if its excess is `snr` widths above the background. Noise makes as many unusually dark frames as
    unusually bright ones, so the dark ones of all ASICs say how often an ASIC would be lit by chance; it has signal if
    it is lit so much more often that this is expected of any ASIC in a share `rate` of runs. Trains count, of 8 and
    more: what happens in one may have one cause.

    Rows: 1 byte per frame and ASIC, 0.27 GB for AGIPD-1M with a million frames.
    """

    threshold: float | None
    snr: float
    fraction: float
    rate: float
    min_occupancy: float
    opening: int
    closing: int
    min_asics: int
    margin: int
    asic: tuple[int, int] | None
    geometry: Any
    ALG_ID = "signal"
    HELP = "where on the detector something is: mask, regions, modules"
    inputs = {"img": Frames("image.data"), "lit": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--threshold", type=float, help="a pixel above this is lit; default 0.7 photons")
        add("--snr", type=float, default=4.0, help="widths of the background that a lit frame is above it")
        add("--fraction", type=float, default=0.02, help="share of lit pixels that is no background")
        add("--rate", type=float, default=0.01, help="share of dark runs in which anything is marked")
        add("--min-occupancy", type=float, default=0.002, help="share of frames in which an ASIC is lit")
        add("--opening", type=int, default=0, help="drop ASICs with fewer neighbours that have signal")
        add("--closing", type=int, default=5, help="add ASICs with as many neighbours that have; 0: none")
        add("--min-asics", type=int, default=1, help="of a region")
        add("--margin", type=int, default=8, help="pixels around regions")
        add("--asic", type=int, nargs=2, metavar=("SS", "FS"), help="pixels; default: as the detector has")
        add("--geometry", help=".geom, .h5, .poni or .npy file with the pixel positions; default: the run's")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = {alias: what for alias, what in self.inputs.items() if what is not None}
        for name, low, high in (
            ("threshold", 0, np.inf),
            ("snr", 1, np.inf),
            ("fraction", 0, 1),
            ("rate", 1e-12, 1),
            ("min_occupancy", 0, 1),
            ("opening", 0, 8),
            ("closing", 0, 8),
            ("min_asics", 1, np.inf),
            ("margin", 0, np.inf),
        ):
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"signal: {name}={value!r}; expected a number from {low:g} to {high:g}")
        if self.asic is not None and min(self.asic) < 1:
            raise ValueError(f"signal: asic={self.asic!r}; expected rows and columns of pixels")

    # On the client ------------------------------------------------------------------------------

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        self._check(info)
        self._points(info)
        grid, modules = self._grid(img), len(img.modules)
        numbers: dict[str, Any] = {"module": np.array(img.modules)}
        corners = np.array([grid.box(asic)[::2] for asic in range(grid.count)]).T
        places = {name: ("asic", first) for name, first in zip(("asic_ss", "asic_fs"), corners, strict=True)}
        of_asics: dict[str, Any] = {
            "shape": (modules, grid.count),
            "dims": ("module", "asic"),
            "coords": numbers | places,
        }
        final: dict[str, Any] = {"stage": "rows", **of_asics}
        kept: dict[str, Any] = {"store": False, **of_asics}
        pixels: dict[str, Any] = {"shape": img.shape, "dims": ("module", "ss", "fs"), "coords": numbers}
        at = f"{level(self.threshold):g} {img.unit}".strip()
        return {
            "excess": Output(per="img", dtype="i1", merge="max", **kept),
            "dim": Output(per="train", dtype="i8", **kept),
            "good": Output(per="train", dtype="i4", merge="max", **kept),
            **(
                {"shone": Output(per="img", dtype="i1", merge="max", store=False)}
                if "lit" in self.inputs
                else {}
            ),
            "mask": Output(stage="rows", dtype="?", doc="signal is there", **pixels),
            "modules": Output(
                stage="rows", dtype="?", shape=(modules,), dims=("module",), coords=numbers, doc="with signal"
            ),
            "asics": Output(dtype="?", doc="with signal", **final),
            "significant": Output(dtype="?", doc="with signal by itself", **final),
            "occupancy": Output(
                doc=f"share of frames with more pixels above {at} than the background", **final
            ),
            "frames": Output(dtype="i8", doc="frames that this is a share of", **final),
            "background": Output(doc="excess of lit pixels without signal, square roots", **final),
            "width": Output(doc="its standard deviation", **final),
            "unclear": Output(dtype="?", doc="not marked, but with far more background than others", **final),
            "roi": Output(
                stage="rows",
                dtype="i8",
                shape=(modules * grid.count, len(regions.COLUMNS)),
                dims=("box", "side"),
                doc=", ".join(regions.COLUMNS),
            ),
        }

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        # What lies beside the run counts as if it had been given.
        return {} if self.geometry is not None else {"geometry": self._geometry(info)}

    def memory(self, info: RunInfo) -> int:
        count = len(info["img"].modules) * self._grid(info["img"]).count
        return 32 * int(np.prod(info["img"].shape)) + 16 * count * count

    # On the worker ------------------------------------------------------------------------------

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        self._cut, self._numbers = self._grid(img), img.modules
        self._start = tuple(axis.start for axis in img.roi or (slice(0, 0), slice(0, 0)))
        points = self._points(info)
        self._near = (
            regions.within_modules(self._cut, len(img.modules))
            if points is None
            else regions.assembled(self._cut, points)
        )

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._signal_kernels import count_asics

        frames, cut = usable(block), self._cut
        threshold = level(self.threshold)
        codes = np.full((len(block), cut.count), NOTHING, np.int8)
        dim, good = np.zeros((2, cut.count), np.int32)
        count_asics(frames, cut.ss, cut.fs, bounds(threshold, frames.dtype), threshold, codes, dim, good)
        np.maximum(out.excess[:, block.module], codes, out=out.excess[:, block.module])
        out.dim[block.module] += dim
        np.maximum(out.good[block.module], good, out=out.good[block.module])
        if "lit" in self.inputs:
            out.shone = np.where(block.valid("lit"), block["lit"] != 0, -1).astype("i1")

    def finalize_rows(self, rows: Dataset, out: Partial) -> None:
        codes = rows["excess"].values.reshape(len(rows["excess"]), -1)
        codes[~rows["excess_valid"].values.reshape(codes.shape[0], -1).any(axis=1)] = NOTHING
        shone = rows["shone"].values if "shone" in rows else None
        seen = np.ones(len(codes), bool) if shone is None else shone == 1
        there = np.maximum((codes > NOTHING).sum(axis=0), 1)
        dim = rows["dim"].values.sum(axis=0).reshape(-1) / there
        good = np.maximum(rows["good"].values, 0).max(axis=0).reshape(-1)
        most = (
            np.full(len(dim), np.inf) if shone is not None else statistics.highest(self.fraction, dim, good)
        )
        quiet = None if shone is None else shone == 0
        ground = statistics.background(codes, quiet)
        limits = statistics.Limits(self.snr, self.rate, self.min_occupancy)
        found = statistics.judge(codes, rows["train_id"].values, seen, quiet, ground, most, limits)
        self._leave(found, ground, out)

    def _leave(self, found: statistics.Lit, ground: statistics.Background, out: Partial) -> None:
        """Fill in what comes out."""
        kept = regions.tidied(found.significant, self._near, self.opening, self.closing) & (found.frames > 0)
        label = regions.large(regions.components(kept, self._near), self.min_asics)
        of_asics = {
            "asics": label >= 0,
            "significant": found.significant,
            "occupancy": found.occupancy,
            "frames": found.frames,
            "background": ground.middle / STEP,
            "width": ground.width / STEP,
            "unclear": found.unclear & (label < 0),
        }
        for name, values in of_asics.items():
            out[name][:] = values.reshape(out[name].shape)
        out.modules[:] = out.asics.any(axis=1)
        out.mask[:] = self._cut.pixels(out.asics)
        boxes = regions.boxes(label, self._cut, self._numbers, self.margin, self._start)
        out.roi[:] = -1
        out.roi[: len(boxes)] = boxes

    # What does not fit ------------------------------------------------------------------------------

    def _check(self, info: RunInfo) -> None:
        img = info["img"]
        if img.dtype.kind not in "fiu" or (self.threshold is None and img.dtype.kind != "f"):
            raise PlanError(
                f"signal: {img.name} {img.key} is {img.dtype}: give threshold=, in its unit, or read corrected data"
            )
        if len(img.shape) != 3:
            raise PlanError(f"signal: {img.name} {img.key} has shape {img.shape}; expected images")
        if 0 < img.frames < FEWEST:
            raise PlanError(
                f"signal: {img.frames} frames of {img.name} are too few to know its background; expected {FEWEST}"
            )
        if "lit" in self.inputs and info["lit"].kind != "pulses":
            raise PlanError(
                f"signal: lit is {info['lit'].name} {info['lit'].key}, not one value per frame: "
                'Labels(result, "litfrm.lit") or PulseKey(...)'
            )

    def _grid(self, img: InputInfo) -> regions.Grid:
        kind = detectors.of(img.sources)
        ss, fs = self.asic or (kind and kind.readout.asic) or TILE
        while self.asic is None and ss * fs < TILE[0] * TILE[1]:
            fs *= 2
        return regions.Grid.of(img.shape[1:], (ss, fs), img.roi)

    def _geometry(self, info: RunInfo) -> Any:
        """Return what was given, what lies beside the run and fits it, or None."""
        if self.geometry is not None:
            return self.geometry
        try:
            found = geometry.beside(info.path)
        except ValueError:
            return None
        try:
            fitting("geometry", geometry.across(found), info["img"])
        except (ValueError, OSError) as e:
            log.warning("signal: nothing hangs together across modules, since %s is left out: %s", found, e)
            return None
        return found

    def _points(self, info: RunInfo) -> NDArray | None:
        """Return the positions of the pixels that are read, (module, ss, fs, 3), or say what does not fit."""
        given = self._geometry(info)
        if given is None:
            return None
        try:
            return fitting("geometry", geometry.across(given), info["img"])
        except (ValueError, OSError) as e:
            raise PlanError(f"signal: {e}") from e
