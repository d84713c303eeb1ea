"""Calibrate: raw frames to keV or photons, without offset, common mode and bad pixels, for the algorithms after it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, Lack, ModuleBlock, Output, Partial, PlanError, RunInfo
from dxflow.errors.usage import text_of
from dxflow.run.badpixels import bits_of

from ._constants import EXPECTED, TOP, Constants, thresholds
from ._constants_given import kept, opened
from ._raw import STAGES, Reading, Recorded, cells_of, inputs_of, regions
from .subtract import positions

UNITS = ("ADU", "keV", "photons")
REGIONS = ("asic", "row", "column")
METHODS = ("median", "mean")
ENERGIES = 0.02, 200.0
"""keV that photons can have: a number in eV is told apart."""
SIGMAS = 5.0
"""Of the median noise of a module: pixels that are so far from 0 are dark, where nothing else is said."""


class Calibrate(Algorithm):
    """Calibrate raw frames: subtract offsets, tell gain stages apart, multiply by gains, take off common mode.

    Parameters
    ----------
    constants : Result, path, Dataset, mapping, or sequence of these
        Results of `Pedestal`, one for each gain stage, or a folder with their stores; a mapping of names to arrays
        (``offset``, and ``noise``, ``bad``, ``thresholds``, ``gain_level``, ``gain`` in ADU per keV, ``relative_gain``,
        which multiplies): ([[stage,] cell,] module, ss, fs), (module, ss, fs) or (ss, fs), or arrays with named axes;
        an axis of one memory cell is for all cells, ``bad`` without stages for all stages; an HDF5 file with datasets
        of these names; a `CalibrationData` of `extra.calibration` or a mapping of its constants: their files are read,
        no server is asked. A sequence: all of them together.
    stage : {"recorded", "high", "medium", "low"}
        "recorded": by the level of each pixel in the gain plane, above its threshold, or by the stage in the data;
        else all pixels are taken to be in that stage.
    unit : {"ADU", "keV", "photons"}
        keV and photons need the gain, as a constant or by `adu`, photons the `photon_energy`, too.
    adu : float, or one for each stage, optional
        ADU per keV; in place of the constant ``gain``.
    photon_energy : float, optional
        keV.
    common_mode : {"asic", "row", "column"}, or several of them, optional
        What moves together: ASICs; rows or columns of pixels of an ASIC. One after the other.
    method : {"median", "mean"}
        Of the dark pixels, which is what is subtracted.
    dark : float, optional
        ADU above or below the offset up to which a pixel is dark; by default five times the median noise of the
        module. It must be more than the common mode.
    least : float
        Share of the pixels of a region that must be dark, 0.1 by default; in others nothing is subtracted.
    bits : int, str or several of them, optional
        Bits of ``bad`` that make a pixel bad, as numbers or names; any by default.
    img : Frames or Key
        ``Frames(data="raw")`` by default.
    gain : Recorded
        Where the gain stage is recorded; follows `img`.

    Outputs
    -------
    img : float32, (frame, module, ss, fs)
        Read it with ``From("calibrate.img")``; not stored. NaN in masked and bad pixels, where a constant is NaN or
        there is none, and in gain stages that are none.
    stages : int32, (frame, stage)
        Pixels in each gain stage, all modules; bad ones included.
    bad : int32, (frame,)
        Pixels of all modules that are NaN in the first gain stage, as they are bad or a constant is; those that are
        masked aside, and modules and cells without constants, which are in the report.
    uncorrected : int32, (frame,)
        With `common_mode`: regions of all modules without enough dark pixels.

    Notes
    -----
    With x the value, s the gain stage of a pixel in memory cell c, and C the common mode of its region, of pixels in
    high gain alone::

        y = (x - offset[s, c] - C) relative_gain[s, c] / (gain[s, c] photon_energy)
        C = median or mean of x - offset[0, c] over good pixels in high gain with |x - offset[0, c]| <= dark

    in float32, integers before the subtraction. A level g is of stage 1 above the first threshold, of stage 2 above the
    second one, too; without ``thresholds`` they lie in the middle between the levels (``gain_level``) of two stages. A
    pixel whose levels are not in this order, or nearer than four times their noise (``gain_noise``), is bad, as one
    whose ``bad`` has a bit in this stage.

    Medians are exact: those of more than 256 pixels by a histogram, and the values in its middle bin.

    Constants are matched by gain stage, memory cell and module number. Each process keeps those of the modules that it
    works on: of three stages 28 bytes per pixel and cell, 20 where cells share the gain.

    References
    ----------
    .. [1] A. Allahgholi et al. (2019), J. Synchrotron Rad. 26, 74-82.
    .. [2] P. Schmidt et al. (2024), Turning European XFEL raw data into user data, Frontiers in Physics 11.
    """

    ALG_ID = "calibrate"
    HELP = "raw frames to ADU, keV or photons: offset, gain, common mode, bad pixels; for the algorithms after it"
    inputs = {"img": Frames(data="raw"), "gain": Recorded()}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--constants", required=True, help="Zarr store of dark, a folder of them, or an HDF5 file"
        )
        parser.add_argument(
            "--stage", choices=("recorded", *STAGES), default="recorded", help="gain stage of the pixels"
        )
        parser.add_argument("--unit", choices=UNITS, default="ADU", help="of what is made")
        parser.add_argument("--adu", type=float, nargs="+", help="ADU per keV, for each gain stage")
        parser.add_argument("--photon-energy", type=float, help="keV, for photons")
        parser.add_argument(
            "--common-mode",
            nargs="+",
            metavar="|".join(REGIONS),
            help="what moves together, one after the other",
        )
        parser.add_argument("--method", choices=METHODS, default="median", help="of the common mode")
        parser.add_argument("--dark", type=float, help="ADU around the offset within which a pixel is dark")
        parser.add_argument(
            "--least", type=float, default=0.1, help="share of dark pixels that common mode needs"
        )
        parser.add_argument("--bits", help="bits of bad pixels that count, by number or name; default: any")

    def configure(self, args: argparse.Namespace) -> None:
        self.constants = kept(args.constants)
        self.stage, self.unit, self.method = args.stage, args.unit, args.method
        self.adu = None if args.adu is None else np.atleast_1d(np.asarray(args.adu, "f8"))
        self.photon_energy, self.dark, self.least = args.photon_energy, args.dark, args.least
        modes = args.common_mode
        self.common_mode = (modes,) if isinstance(modes, str) else tuple(modes or ())
        self.bits = bits_of(args.bits)
        self.inputs = inputs_of(dict(self.inputs), Calibrate.inputs["gain"])
        if args.stage != "recorded":
            self.inputs.pop("gain", None)
        for wrong, said in self._checks():
            if wrong:
                raise ValueError(f"calibrate: {said}")

    def _checks(self) -> Iterator[tuple[bool, str]]:
        """Yield (wrong?, what is wrong) of the options."""
        yield self.constants is None, f"constants=None; expected {EXPECTED}"
        wrong = [mode for mode in self.common_mode if mode not in REGIONS]
        yield bool(wrong), f"common_mode={wrong}; expected some of {list(REGIONS)}"
        yield (
            self.adu is not None and not (np.isfinite(self.adu) & (self.adu != 0)).all(),
            f"adu={self.adu}; expected ADU per keV, not 0; below 0 where a stage counts down",
        )
        energy = self.photon_energy
        low, high = ENERGIES
        yield (
            energy is not None and not low <= energy <= high,
            f"photon_energy={energy}; expected keV, {low} to {high}",
        )
        yield self.unit == "photons" and energy is None, "photons need photon_energy=, keV"
        yield self.dark is not None and not self.dark > 0, f"dark={self.dark}; expected ADU, above 0"
        yield not 0 <= self.least <= 1, f"least={self.least}; expected a share of the pixels, 0 to 1"
        for option, wanted in self._idle():
            yield True, f"{option}= does nothing without {wanted}: leave it out, or say so"

    def _idle(self) -> Iterator[tuple[str, str]]:
        """Yield options that would do nothing, and what they need."""
        if self.adu is not None and self.unit == "ADU":
            yield "adu", "unit='keV' or 'photons'"
        if self.photon_energy is not None and self.unit != "photons":
            yield "photon_energy", "unit='photons'"
        if not self.common_mode and (self.dark is not None or self.method != METHODS[0]):
            yield "method" if self.dark is None else "dark", "common_mode="

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "options": {**self.options, "constants": ""}}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        reading, constants = self._opened(info)
        made = {
            "img": Output(
                per=("img", "pixel"), dtype="f4", store=False, unit=self.unit, doc="calibrated frames"
            ),
            "stages": Output(
                per="img",
                shape=(reading.stages,),
                dims=("stage",),
                coords={"stage": self._stages(reading)},
                dtype="i4",
                doc="pixels in each gain stage",
            ),
        }
        made["bad"] = Output(
            per="img", dtype="i4", doc="pixels that are bad in high gain, or have no constants"
        )
        if self.common_mode:
            self._check_dark(constants)
            made["uncorrected"] = Output(per="img", dtype="i4", doc="regions without enough dark pixels")
        return made

    def _opened(self, info: RunInfo) -> tuple[Reading, Constants]:
        """Return how frames are read, and the constants, not loaded."""
        reading, img = Reading.of(info, self.name), info["img"]
        reading = reading if self.stage == "recorded" else reading.fixed()
        try:
            constants = opened(self.constants, img)
            if self.stage != "recorded":
                constants = constants.of(self._stages(reading))
            constants.check(img, self._stages(reading), self.name)
        except (OSError, KeyError, ValueError) as e:
            if isinstance(e, PlanError):
                raise
            raise PlanError(f"{self.name}: {text_of(e)}") from e
        self._check_gain(reading, constants)
        return reading, constants

    def _stages(self, reading: Reading) -> list[int]:
        """Return the gain stages that pixels can be in."""
        return list(range(reading.stages)) if self.stage == "recorded" else [STAGES.index(self.stage)]

    def _check_gain(self, reading: Reading, constants: Constants) -> None:
        stages = self._stages(reading)
        if reading.gain == "plane" and not {"thresholds", "gain_level"} & set(constants.tables):
            raise PlanError(
                f"{self.name}: the gain stage is a level, and the constants have neither thresholds nor gain_level: "
                "give them, or stage='high' if no pixel has switched"
            )
        if self.adu is not None and len(self.adu) not in (1, len(stages)):
            raise PlanError(
                f"{self.name}: adu= has {len(self.adu)} numbers; expected one for each of {len(stages)} stages"
            )
        if self.adu is not None and len(self.adu) < len(stages) and "relative_gain" not in constants.tables:
            raise PlanError(
                f"{self.name}: adu= has one number for {len(stages)} gain stages; expected one for each"
            )
        needed = self.unit != "ADU" and self.adu is None
        if needed and "gain" not in constants.tables:
            raise PlanError(
                f"{self.name}: {self.unit} need the gain: adu=, ADU per keV, or the constant gain"
            )
        for name in {"relative_gain", "gain"} & set(constants.tables):
            lacks = [s for s in stages if s not in constants.stages(name)]
            if lacks and (needed or name != "gain"):
                raise PlanError(
                    f"{self.name}: pixels can be in the gain stages {stages} (0 is high gain), and the constants have "
                    f"no {name} of {lacks}: give one for each stage"
                )

    def _check_dark(self, constants: Constants) -> None:
        if self.dark is None and "noise" not in constants.tables:
            raise PlanError(
                f"{self.name}: the constants have no noise: say with dark= up to how many ADU a pixel is dark"
            )

    def memory(self, info: RunInfo) -> int:
        reading, constants = self._opened(info)
        pixels, cells = int(np.prod(info["img"].shape[1:])), len(cells_of(info["img"]))
        stages = len(self._stages(reading))
        tables = (("offset", 4 * stages), ("gain", 4 * stages), ("thresholds", 2 * stages))
        each = sum(
            size * (1 if name == "gain" and self._shared(constants) else cells) for name, size in tables
        )
        return len(info.here) * pixels * each + constants.most(len(info["img"].modules))

    @staticmethod
    def _shared(constants: Constants) -> bool:
        return constants.shared("gain") and constants.shared("relative_gain")

    def lacks(self, info: RunInfo) -> list[Lack]:
        return list(self._opened(info)[1].lacks(info["img"]))

    def initialize_modules(self, info: RunInfo) -> None:
        reading, constants = self._opened(info)
        img = info["img"]
        self._first, self._shape = info.here.start, tuple(img.shape[1:])
        self._how, self._codes = reading.how, np.array(reading.codes, np.int64)
        known = constants.cells(img)
        self._cells = np.intersect1d(cells_of(img), known) if len(img.cells) else cells_of(img)
        self._tables = [self._of_module(constants, img.modules[n], img, reading) for n in info.here]
        self._bad = [
            np.isnan(offset[:1] * factor[:1])[0].sum(axis=1) for offset, _, factor, _ in self._tables
        ]
        kinds = [regions(mode, self._shape, reading.asic, img) for mode in self.common_mode]
        self._cuts = np.cumsum([0, *map(len, kinds)], dtype=np.int64)
        self._regions = np.concatenate(kinds) if kinds else np.zeros((0, 4), np.int64)

    def _of_module(
        self, constants: Constants, number: int, img: InputInfo, reading: Reading
    ) -> tuple[NDArray, NDArray, NDArray, np.float32]:
        """Return offsets, thresholds and factors of a module, (stage, cell, pixel), and what is dark."""
        stages, pixels = self._stages(reading), int(np.prod(self._shape))
        if not constants.has(number, img):
            none = np.full((len(stages), 1, pixels), np.nan, "f4")
            return none, np.zeros((1, 1, pixels), "u2"), none, np.float32(0)

        def load(name: str) -> dict[int, NDArray]:
            return constants.load(name, number, img, self._cells)

        offset = stacked([load("offset")[stage] for stage in stages])
        for place, stage in enumerate(stages):
            if (bad := load("bad").get(stage)) is not None:
                wrong = (bad if self.bits is None else bad & np.uint64(self.bits)) != 0
                offset = _at_least(offset, len(wrong))
                offset[place][np.broadcast_to(wrong, offset[place].shape)] = np.nan
        limits = np.full((1, 1, pixels), TOP, "u2")
        if reading.gain == "plane":
            limits, wrong = thresholds(
                load("thresholds"), load("gain_level"), len(stages), load("gain_noise")
            )
            self._refuse(wrong, offset, number, "levels of the gain stages are not in order, or not apart")
            offset = _at_least(offset, wrong.shape[0])
            offset[:, np.broadcast_to(wrong, offset.shape[1:])] = np.nan
        dark = np.float32(self._dark(load("noise").get(stages[0])))
        factor = self._factor(load("gain"), load("relative_gain"), stages, pixels)
        self._refuse(np.isnan(factor[0]), offset, number, "gains are 0 or no numbers")
        return offset, limits, factor, dark

    def _refuse(self, wrong: NDArray, offset: NDArray, number: int, why: str) -> None:
        """Raise if a constant leaves no pixel of a module that has offsets."""
        if wrong.all() and np.isfinite(offset).all(axis=0).any():
            raise ValueError(
                f"{self.name}: no pixel of module {number} can be calibrated, as all {why}: are these constants of the "
                "right runs?"
            )

    def _dark(self, noise: NDArray | None) -> float:
        """Return the ADU up to which a pixel is dark: 0, none is, where there is no noise."""
        if self.dark is not None or noise is None:
            return self.dark or 0.0
        known = noise[np.isfinite(noise)]
        return SIGMAS * float(np.median(known)) if len(known) else 0.0

    def _factor(
        self, gain: dict[int, NDArray], relative: dict[int, NDArray], stages: list[int], pixels: int
    ) -> NDArray:
        """Return what values above the offset are multiplied by, (stage, cell, pixel)."""
        out = []
        for place, stage in enumerate(stages):
            factor: NDArray = np.ones((1, pixels))
            if relative:
                factor = factor * relative.get(stage, np.nan)
            if self.unit != "ADU":
                adu = gain.get(stage, np.nan) if self.adu is None else self.adu[min(place, len(self.adu) - 1)]
                with np.errstate(divide="ignore"):
                    factor = factor / adu
            if self.unit == "photons":
                factor = factor / self.photon_energy
            out.append(np.where(factor == 0, np.nan, factor))
        return stacked(out)

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from . import _calibrate_kernels as kernels

        n = len(block)
        offset, limits, factor, dark = self._tables[block.module - self._first]
        frames = np.ascontiguousarray(block["img"]).reshape(n, -1)
        gains = np.ascontiguousarray(block["gain"]).reshape(n, -1) if self._how[2] else frames
        target = np.reshape(out.img, (n, -1), copy=False)
        tables = offset, limits, factor, self._how, self._codes
        good = block.valid("img") if block.masked("img") else np.zeros((0, frames.shape[1]), bool)
        which = self._which(block)
        bad = self._bad[block.module - self._first]
        out.bad += np.where(which < 0, 0, bad[which % len(bad)])
        given = frames, gains, np.ascontiguousarray(good).reshape(-1, frames.shape[1]), which, *tables
        if self.common_mode:
            kernels.without_common_mode(
                *given,
                *(self._shape, self._regions, self._cuts, dark, float(self.least), self.method == "median"),
                *(target, out.stages, out.uncorrected),
            )
        else:
            kernels.calibrate(*given, target, out.stages)

    def _which(self, block: ModuleBlock) -> NDArray:
        """Return the position of each frame's memory cell, -1 where there is none."""
        if block.cell_ids is None:
            return np.zeros(len(block), np.int64)
        return positions(self._cells, block.cell_ids).astype(np.int64)


def stacked(tables: list[NDArray]) -> NDArray:
    """Return tables (cell, pixel) of gain stages as one, float32, (stage, cell, pixel); NaN what is no number."""
    shape = np.broadcast_shapes(*(table.shape for table in tables))
    out = np.stack([np.broadcast_to(table, shape) for table in tables]).astype("f4")
    out[~np.isfinite(out)] = np.nan
    return out


def _at_least(table: NDArray, cells: int) -> NDArray:
    """Return a table (stage, cell, pixel) with so many cells, or the one that has them already."""
    if table.shape[1] >= cells:
        return table
    return np.repeat(table, cells, axis=1)
