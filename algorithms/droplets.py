"""Droplets: connected pixels that photons made together, where and how much, and the photons in them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, ModuleBlock, Output, Partial, PlanError, RunInfo

from ._azint_tables import of_modules
from .litframes import refuse_others, usable
from .photons import Scratch, refuse_raw

COLUMNS = ("module", "ss", "fs", "sum", "pixels", "highest")
PHOTONS = ("module", "ss", "fs", "photons")


class Droplets(Algorithm):
    """Find droplets, and the photons in them.

    Parameters
    ----------
    threshold : float
        A droplet has a pixel above this.
    low : float, optional
        All of its pixels are above this, and touch each other at their sides; half of `threshold` by default.
    noise : path or ndarray, optional
        Noise of each pixel, (module, ss, fs), an array or an ``.npy`` file: both thresholds are in its units. By
        default they are in the unit of the data. Of a result of `Pedestal`, which has it for each gain stage and memory
        cell: ``dark.dataset["dark.noise"].sel(stage=0).median("cell")``.
    min_sum, max_sum : float, optional
        Droplets whose sum is below the first or not below the second are left out.
    gain : float, optional
        Signal of one photon: droplets are split into photons.
    most : int
        Droplets with more photons than this are not split, but counted: bright signal has no photons to tell apart,
        and its time grows with pixels times photons. 1000 by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default; `Calibrate` or `Subtract` first for raw data: ``From("subtract.img")``.

    Outputs
    -------
    droplets : float32, (event, 6)
        Module number; ss and fs of the centre of mass, in the module, pixels; sum, number of pixels, highest pixel.
    n_droplets : int32, (frame,)
    n_all : int32, (frame,)
        Also those without a pixel above `threshold`, or whose sum is left out.
    photons : float32, (event, 4)
        With `gain`: module number, ss and fs of each photon, in fractions of pixels, and how many its droplet has.
    n_photons : int32, (frame,)
        With `gain`: how many of these.
    n_unsplit : int32, (frame,)
        With `gain`: droplets with more than `most`, whose photons are in neither.

    Notes
    -----
    A droplet with the sum S has floor(S / gain + 1/2) photons. They are placed one after the other [1]_: the brightest
    pixel gives up to one photon, its brightest neighbour in the droplet what is lacking, and the photon is between them
    in proportion to what each gave. A droplet ends at the edges of its module. Pixels that are masked, NaN or infinite
    belong to none.

    References
    ----------
    .. [1] S. O. Hruszkewycz et al. (2012), Phys. Rev. Lett. 109, 185502, and its supplement: droplets and greedy guess.
    """

    threshold: float
    low: float | None
    noise: Any
    min_sum: float | None
    max_sum: float | None
    gain: float | None
    most: int
    ALG_ID = "droplets"
    HELP = "droplets of photons: position, size and sum, and the photons in them"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--threshold", type=float, required=True, help="a pixel of each droplet is above this")
        add("--low", type=float, help="all its pixels are above this; default half of --threshold")
        add("--noise", help=".npy file, (module, ss, fs): thresholds are in its units")
        add("--min-sum", type=float, help="leave out droplets with less")
        add("--max-sum", type=float, help="leave out droplets with as much or more")
        add("--gain", type=float, help="signal of one photon: split droplets into photons")
        add("--most", type=int, default=1000, help="do not split droplets of more photons; default 1000")

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        if not 0 < self._low <= self.threshold < np.inf:
            raise ValueError(
                f"droplets: threshold={self.threshold}, low={self._low}; expected 0 < low <= threshold"
            )
        if self.gain is not None and not 0 < self.gain < np.inf:
            raise ValueError(f"droplets: gain={self.gain}; expected the signal of one photon, above 0")
        if self.most < 1:
            raise ValueError(f"droplets: most={self.most}; expected a positive number of photons")
        if not self._sums[0] < self._sums[1]:
            raise ValueError(f"droplets: min_sum={self.min_sum} is not below max_sum={self.max_sum}")

    @property
    def _low(self) -> float:
        return self.threshold / 2 if self.low is None else self.low

    @property
    def _sums(self) -> tuple[float, float]:
        return (
            -np.inf if self.min_sum is None else self.min_sum,
            np.inf if self.max_sum is None else self.max_sum,
        )

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("droplets", img)
        refuse_raw("droplets", self, img, "threshold")
        self._scales(img)
        n: dict[str, Any] = {"per": "img", "dtype": "i4"}
        split = {
            "photons": _rows(PHOTONS, "column_of_photon"),
            "n_photons": Output(doc="photons in droplets", **n),
            "n_unsplit": Output(doc=f"droplets of more than {self.most} photons", **n),
        }
        return {
            "droplets": _rows(COLUMNS, "column"),
            "n_droplets": Output(doc="droplets", **n),
            "n_all": Output(doc="also those that are left out", **n),
            **(split if self.gain else {}),
        }

    def memory(self, info: RunInfo) -> int:
        return int(np.prod(info["img"].shape[1:])) * (1 + 5 * 8 + 2 * 8) + int(np.prod(info["img"].shape)) * 8

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        pixels = int(np.prod(img.shape[1:]))
        self._noise = self._scales(img)
        # Between two droplets there is a pixel at least.
        most = pixels // 2 + 1
        self._scratch = Scratch(
            np.zeros(pixels, bool),
            np.empty(pixels, np.int64),
            np.empty((most, 5)),
            np.empty(pixels, np.int64),
            np.empty(most + 1, np.int64),
        )
        self._left = Scratch(np.empty(pixels))
        self._first = np.array([axis.start for axis in img.roi or (slice(0, 0), slice(0, 0))])

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        number = block.module_number
        for frame, image in enumerate(usable(block)):
            found, which, total = self._droplets(image, block.module)
            out.n_droplets[frame] += self._append(out.droplets, number, frame, found)
            out.n_all[frame] += total
            if self.gain:
                photons, lost = self._photons(image, found[:, 2], which)
                out.n_photons[frame] += self._append(out.photons, number, frame, photons)
                out.n_unsplit[frame] += lost

    def _append(self, events: Any, module: int, frame: int, found: NDArray) -> int:
        """Append rows that begin with ss and fs in what is read, and return how many they are."""
        rows = np.column_stack([np.full(len(found), module), found])
        rows[:, 1:3] += self._first
        events.append(rows, frames=np.full(len(rows), frame))
        return len(rows)

    def _droplets(self, image: NDArray, module: int) -> tuple[NDArray, NDArray, int]:
        """Return the droplets of an image, their numbers, and how many there were with those left out."""
        from ._photon_kernels import droplets

        noise = self._noise[module] if len(self._noise) else np.zeros((0, 0))
        high, low = float(self.threshold), float(self._low)
        n, total = droplets(image, high, low, noise, *self._scratch.arrays)
        found, (least, most) = self._scratch.arrays[2][:n], self._sums
        keep = np.flatnonzero((found[:, 2] >= least) & (found[:, 2] < most))
        return found[keep], keep, total

    def _photons(self, image: NDArray, sums: NDArray, which: NDArray) -> tuple[NDArray, int]:
        """Return ss, fs and how many their droplet has, of photons; and how many droplets have too many."""
        from ._photon_kernels import split

        *_, members, starts = self._scratch.arrays
        (left,) = self._left.arrays
        n = np.floor(sums / self.gain + 0.5).astype(np.int64)
        few = n <= self.most
        out = np.empty((n[few].sum(), 3))
        split(image, members, starts, which[few], n[few], float(self.gain or 1), left, out)
        return out, int((~few).sum())

    def _scales(self, img: InputInfo) -> NDArray:
        """Return the noise of the pixels that are read, or say what does not fit; nothing of thresholds in the unit."""
        if self.noise is None:
            return np.zeros((0, 0, 0))
        try:
            noise = of_modules("noise", self.noise, img).astype("f8")
        except (ValueError, OSError) as e:
            raise PlanError(f"droplets: {e}") from e
        if not (noise > 0).any():
            raise PlanError(f"droplets: noise is above 0 in no pixel of {img.name}: none can be in a droplet")
        # Pixels without noise, or of which it is not known, are in no droplet.
        return np.where(noise > 0, noise, np.nan)


def _rows(columns: tuple[str, ...], axis: str) -> Output:
    coords = {axis: np.array(columns)}
    return Output(
        per="event", dtype="f4", shape=(len(columns),), dims=(axis,), coords=coords, doc=", ".join(columns)
    )
