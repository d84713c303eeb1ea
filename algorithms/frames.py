"""Frames: the images themselves, of the frames that are selected."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, RunInfo


class KeepFrames(Algorithm):
    """Keep the images of all frames that are read: select them with ``frames=`` or ``where=``.

    Parameters
    ----------
    img : Frames, Key or From
        ``Frames("image.data")`` by default; ``Frames(data="raw")``, ``From("calibrate.img")``.

    Outputs
    -------
    img : dtype of the data, (frame, module, ss, fs)
        As they were read. Floats are NaN where a pixel is masked; integers keep their values there, and ``img_valid``
        says of which modules there is a frame.

    Notes
    -----
    These are as large as what is read: 4 MB for a frame of AGIPD-1M in float32.
    """

    ALG_ID = "frames"
    HELP = "the images themselves, of the frames that are selected"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        kind = np.dtype("u1") if img.dtype == bool else img.dtype
        return {"img": Output(per=("img", "pixel"), dtype=kind, unit=img.unit, doc="images")}

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        out.img[...] = block["img"]
