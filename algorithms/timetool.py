"""TimeTool: where in a line, or in the rows of an image, the light changes: the arrival of X-rays against a laser."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, InputInfo, Output, Partial, PlanError, Result, RunInfo, Train

from ._azint_tables import loaded
from ._rois import interval

UNIT = "ps"


class TimeTool(Algorithm):
    """Edge in the light of each train: its place, height, width, and the time that it stands for.

    Parameters
    ----------
    line : Key or From
        A camera: lines (pixel,), or images (ss, fs), whose `rows` are added up.
    reference : array (pixel,), Result, path or number
        The light without X-rays: an array, a result of `Average` of such trains, or its path, a path of a .npy file; of
        images as the images are. A number, 1, where the light is the same everywhere.
    rows : (int, int), optional
        Rows of images, first and one past the last, that are used; all by default.
    window : (int, int), optional
        Pixels between which edges are looked for; all by default.
    width : int
        Pixels on either side of an edge whose means are compared; 20 by default.
    edge : {"falling", "rising"}
        Whether the light is less behind the edge, or more.
    template : array or path, optional
        Weights of pixels around an edge in place of the two means, which say themselves whether it falls or rises; the
        place is that of its pixel ``len // 2``.
    min_snr : float
        Edges that are less than this times the noise have no place; 5 by default.
    calibration : sequence of float, optional
        Coefficients c0, c1, ... of the time of an edge at pixel p, sum c_k p^k.
    unit : str
        Of this time; ps by default.

    Outputs
    -------
    position : float64, per line
        Pixel of the edge, between pixels: NaN where no edge is high enough, or its highest point is not in the window.
    amplitude : float64, per line
        Height of the edge, as a share of the reference: its highest value; of a template, the sum of products.
    snr : float64, per line
        The same over its noise; inf where there is none.
    fwhm : float64, per line
        Full width of this peak at half height, pixels.
    next : float64, per line
        Amplitude of the highest maximum more than 2 `width` away: a second edge, or how noise looks like one.
    time : float64, per line
        With `calibration`.

    Notes
    -----
    With r = line / reference - 1, an edge between pixels k - 1 and k has the amplitude (falling ones its negative)::

        a(k) = mean(r[k], ..., r[k + width - 1]) - mean(r[k - width], ..., r[k - 1])

    or, with a template t, sum_j t_j r[k - len(t) // 2 + j] [1]_. The place is that of the parabola through the highest
    a(k) and its neighbours, less half a pixel without a template. The noise is the median absolute deviation of all
    a(k) of the line, as a standard deviation. What makes a line brighter as a whole changes nothing but the amplitude.
    All in float64; pixels without reference (0, NaN) have no r, and no edge near them.

    References
    ----------
    .. [1] M. Harmand et al. (2013), Nature Photonics 7, 215-218.
    """

    reference: Any
    rows: Any
    window: Any
    width: int
    edge: str
    template: Any
    min_snr: float
    calibration: Any
    unit: str
    ALG_ID = "timetool"
    HELP = "edge in the light of a camera: arrival of X-rays against a laser"
    inputs = {"line": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        span: dict[str, Any] = {"type": int, "nargs": 2, "metavar": ("START", "STOP")}
        add("--reference", required=True, help="light without X-rays: a result of average, a .npy file, or 1")
        add("--rows", **span, help="rows of images that are added up; default all")
        add("--window", **span, help="pixels between which edges are looked for; default all")
        add("--width", type=int, default=20, help="pixels on either side that are compared")
        add("--edge", choices=("falling", "rising"), default="falling", help="less light behind it, or more")
        add("--template", help=".npy file of weights of pixels around an edge")
        add("--min-snr", type=float, default=5.0, help="edges lower than this times the noise have no place")
        add("--calibration", type=float, nargs="+", metavar="C", help="time = C0 + C1 p + C2 p^2 ...")
        add("--unit", default=UNIT, help="of this time")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if self.inputs["line"] is None:
            raise ValueError("timetool: give line=Key(source, key), a camera")
        self.rows, self.window = (interval("timetool", n, getattr(self, n)) for n in ("rows", "window"))
        try:
            self.reference = _loaded(self.reference)
        except (OSError, ValueError) as e:
            raise ValueError(f"timetool: reference={self.reference!r}: {e}") from e
        # Its values count, wherever they are from.
        self.options = {**self.options, "reference": self.reference}
        if self.width < 1 or not self.min_snr >= 0:
            raise ValueError(
                f"timetool: width={self.width}, min_snr={self.min_snr}: expected from 1, and from 0, on"
            )
        if self.template is not None:
            self._check_template()
        if self.calibration is None and self.unit != UNIT:
            raise ValueError(f"timetool: unit={self.unit!r} is that of the time: give calibration=, too")
        if self.calibration is not None:
            self.calibration = [float(c) for c in np.ravel(self.calibration)]
            if not self.calibration or not np.isfinite(self.calibration).all():
                raise ValueError(
                    f"timetool: calibration={self.calibration}: expected coefficients c0, c1, ..."
                )

    def _check_template(self) -> None:
        """Refuse what are no weights, and a way that these say themselves."""
        self.template = np.ascontiguousarray(loaded("timetool: template", self.template), np.float64)
        if self.template.ndim != 1 or not np.isfinite(self.template).all() or not self.template.any():
            raise ValueError("timetool: template=: expected weights of some pixels, (pixel,)")
        if self.edge != "falling":
            raise ValueError(f"timetool: edge={self.edge!r}: the weights of template= say which way it is")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        self._light(info["line"])
        one: dict[str, Any] = {"per": "line"}
        made = {
            "position": Output(unit="pixel", doc="place of the edge", **one),
            "amplitude": Output(doc="height of the edge, of the reference", **one),
            "snr": Output(doc="height of the edge over its noise", **one),
            "fwhm": Output(unit="pixel", doc="full width of the peak of heights at half maximum", **one),
            "next": Output(doc="height of the next edge", **one),
        }
        if self.calibration is not None:
            made["time"] = Output(unit=self.unit, doc="time of the edge", **one)
        return made

    def memory(self, info: RunInfo) -> int:
        return 6 * 8 * int(np.prod(info["line"].shape))

    def initialize(self, info: RunInfo) -> None:
        self._reference, self._shape = self._light(info["line"]), info["line"].shape[1:]
        self._sign = -1.0 if self.edge == "falling" else 1.0

    def process_train_data(self, train: Train, out: Partial) -> None:
        if "line" in train.missing:
            return
        lines = train["line"]
        there = np.reshape(train.valid("line"), (len(lines), -1)).any(axis=1)
        for entry in map(int, np.flatnonzero(there)):
            # Of what an algorithm made of images there is an axis of modules: one.
            image = lines[entry].reshape(self._shape)
            for name, value in self._edge(self._line(image)).items():
                out[name][entry] = value

    def _line(self, image: NDArray) -> NDArray:
        """Return the light of each pixel, its rows added up."""
        image = image.astype("f8")
        return (
            image if image.ndim == 1 else image[slice(*self.rows) if self.rows else slice(None)].sum(axis=0)
        )

    def _edge(self, line: NDArray) -> dict[str, float]:
        """Return what is known of the highest edge of a line."""
        from . import _timetool_kernels as kernels
        from ._waveform_kernels import middle

        heights = np.empty(len(line))
        r = line / self._reference - 1
        r[~np.isfinite(r)] = np.nan
        if self.template is None:
            kernels.steps(r, self.width, self._sign, heights)
        else:
            kernels.correlated(r, self.template, heights)
        first, stop = self.window or (0, len(line))
        place, height, fwhm, other = kernels.peak(heights, first, stop, 2 * self.width)
        _, noise = middle(heights)
        snr = height / noise if noise > 0 else np.inf * height if height > 0 else np.nan
        place = place - (self.template is None) / 2 if snr >= self.min_snr else np.nan
        found = {"position": place, "amplitude": height, "snr": snr, "fwhm": fwhm, "next": other}
        if self.calibration is not None:
            found["time"] = float(np.polynomial.polynomial.polyval(place, self.calibration))
        return found

    def _light(self, line: InputInfo) -> NDArray:
        """Return the reference of each pixel, NaN where there is no light, or refuse it."""
        shape = line.shape[1:]
        if line.kind == "frames" and len(line.modules) > 1:
            raise PlanError(
                f"timetool: {line.name} {line.key} has {len(line.modules)} modules; expected one camera"
            )
        if line.kind == "control" or len(shape) not in (1, 2) or line.dtype.kind not in "iuf":
            raise PlanError(
                f"timetool: {line.name} {line.key} has {line.dtype} values of shape {shape}; expected lines (pixel,) "
                "or images (ss, fs) of a camera, real numbers"
            )
        for name, span, size in (("rows", self.rows, shape[0]), ("window", self.window, shape[-1])):
            if span and (span[1] > size or (name == "rows" and len(shape) == 1)):
                raise PlanError(f"timetool: {name}={span}: {line.name} has {shape} pixels")
        longest = 2 * self.width if self.template is None else len(self.template)
        if longest > shape[-1]:
            what = f"width={self.width}" if self.template is None else f"template= of {longest} pixels"
            raise PlanError(f"timetool: {what}: lines of {line.name} have {shape[-1]} pixels")
        light = self.reference
        if light.ndim and (light.shape[-len(shape) :] != shape or light.size != np.prod(shape)):
            raise PlanError(
                f"timetool: reference= has shape {light.shape}; expected {shape}, as {line.name} has"
            )
        summed = self._line(np.broadcast_to(light, shape) if light.ndim == 0 else light.reshape(shape))
        if not (np.isfinite(summed) & (summed > 0)).any():
            raise PlanError("timetool: reference= has no light, a value above 0, in any pixel")
        return np.where(np.isfinite(summed) & (summed > 0), summed, np.nan)


def _loaded(given: Any) -> NDArray:
    """Return a reference, as it is or from a file or result, as float64."""
    import xarray as xr

    if isinstance(given, Result):
        given = given.dataset
    if isinstance(given, (str, os.PathLike)):
        try:
            given = float(given)  # type: ignore[arg-type]
        except (ValueError, TypeError):
            is_array = os.fspath(given).endswith(".npy")
            given = loaded("reference", given) if is_array else xr.open_zarr(given, chunks=None)
    if isinstance(given, xr.Dataset):
        means = [name for name in given.data_vars if str(name).rpartition(".")[2] == "mean"]
        if len(means) != 1:
            raise ValueError(f"has {len(means)} variables named mean; give the one that is meant")
        given = given[means[0]]
    return np.asarray(given, np.float64)
