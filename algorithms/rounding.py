"""Round: floats that need fewer bits, within a bound that is said: they compress several times better."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo
from dxflow.codecs.rounding import rounded, steps

from .litframes import usable


class Round(Algorithm):
    """Round floats so that they need fewer bits of their mantissa.

    Parameters
    ----------
    absolute : float, optional
        What a value may be changed by, in the unit of the data.
    relative : float, optional
        What a value may be changed by as a share of itself, at most 0.5. With both, the larger change is allowed:
        ``max(absolute, relative * abs(x))``.
    store : bool
        Whether the images are kept in the result; by default they are for the algorithms after it,
        ``From("rounding.img")``.
    img : Frames, Key or From
        Floats, ``Frames("image.data")`` by default.

    Outputs
    -------
    img : of the type of the input, (frame, module, ss, fs)
        NaN and infinite values stay as they are, as does what would become infinite.
    error : float64, (frame,)
        The largest change of a pixel of the frame, unit of the data.

    Notes
    -----
    The step is a power of two, ``2**floor(log2(2 * absolute))``, or ``2**-n`` of the power of two below the value, with
    the least n of which ``2**-(n + 1) <= relative``; of two neighbours that are as near, the even one is taken. So are
    `errb_round(x, mnbits=n, abspw=...)` of EXtra-redu 1.1 and Zender (2016), doi:10.5194/gmd-9-3199-2016; unlike the
    former, values far below the step become 0. A step of 2 to 4 standard deviations of the noise changes averages
    by next to nothing, since the rounding of one frame does not know that of another.
    """

    ALG_ID = "rounding"
    HELP = "floats with fewer bits, within a bound: they compress better"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--absolute", type=float, help="largest change, in the unit of the data")
        parser.add_argument("--relative", type=float, help="largest change as a share of the value")
        parser.add_argument("--store", action="store_true", help="keep the images in the result")

    def configure(self, args: argparse.Namespace) -> None:
        self.absolute, self.relative, self.store = args.absolute, args.relative, args.store
        steps(self.absolute, self.relative, np.dtype("f4"))

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        if img.dtype.kind != "f" or img.dtype.itemsize < 4:
            raise PlanError(
                f"rounding: {img.name} {img.key} is {img.dtype}; expected float32 or float64: integers are kept"
            )
        return {
            "img": Output(
                per=("img", "pixel"), dtype=img.dtype, store=self.store, unit=img.unit, doc="rounded frames"
            ),
            "error": Output(per="img", merge="max", unit=img.unit, doc="largest change of a pixel"),
        }

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        flat = usable(block).reshape(len(block), -1)
        into = np.reshape(out.img, flat.shape, copy=False)
        out.error = rounded(flat, self.absolute, self.relative, into)
