"""An algorithm that says which frames it was given: the checksum of each module's share."""

import sys
import zlib

import numpy as np

from dxflow import Algorithm, Frames, Output


def meanwhile():
    """Do what is to happen to a run while it is read; a trial gives another function."""


class Finger(Algorithm):
    """CRC-32 of each frame of each module, and whether it was there."""

    ALG_ID = "finger"
    HELP = "checksums of frames"
    inputs = {"img": Frames("image.data", mask=None)}

    def outputs(self, info):
        modules = info["img"].shape[0]
        each = {"per": "img", "shape": (modules,), "dims": ("panel",)}
        return {"crc": Output(dtype="i8", **each), "ok": Output(dtype="i4", **each)}

    def process_train_data(self, train, out):
        # dxflow loads this file under a name of its own.
        if "campaign.finger" in sys.modules:
            sys.modules["campaign.finger"].meanwhile()
        images, valid = train["img"], train.valid("img")
        sums = np.zeros(images.shape[:2], "i8")
        for frame, module in np.argwhere(valid):
            sums[frame, module] = zlib.crc32(np.ascontiguousarray(images[frame, module]).tobytes())
        out.crc = sums
        out.ok = valid.astype("i4")
