"""Error bars of darks and of what is calibrated with them: how far off they are, in their own errors.

``python -m campaign.darks --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile

import numpy as np

import dxflow
from campaign.widths import main
from dxflow import Frames, From
from dxflow.algorithms.average import Average
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.dark import Pedestal
from dxflow.simulate import Electronics, Flat, make_run

SIZE = {"detector": "AGIPD500K", "data": "raw", "modules": 1, "module_shape": (8, 8), "pulses": 2}
PHOTONS, LEVEL = 20.0, 9.3
DARK, LIT = 40, 30
"""Trains."""


def pulls(seed):
    """Return by how many standard errors offset, noise, and photons after calibration are off, for a set of runs."""
    with tempfile.TemporaryDirectory(prefix="darks-") as folder:
        run = {"seed": seed, "bad_pixels": 0, "devices": (), "energy_spread": 0, **SIZE}
        fixed = Electronics(stage="high")
        dark = make_run(f"{folder}/d", trains=DARK, signal=Flat(0), electronics=fixed, **run)
        lit = make_run(f"{folder}/r", trains=LIT, signal=Flat(PHOTONS), electronics=fixed, **run)
        img = Frames(data="raw", modules=(0,))
        found = dxflow.reduce(dark.path, Pedestal(img=img), f"{folder}/dark.zarr", cluster="here", quiet=True)
        data = found.dataset.isel(stage=0, module=0).load()
        gain = {"gain": lit.gain_adu[:1, None].astype("f8") / LEVEL}
        made = Calibrate(
            constants=[found, gain], stage="high", unit="photons", photon_energy=LEVEL, bits=0, img=img
        )
        chain = [made, Average(img=From("calibrate.img"), per="cell")]
        mean = dxflow.reduce(lit.path, chain, cluster="here", quiet=True).dataset.isel(module=0).load()
    error = data["dark.noise"] / np.sqrt(data["dark.count"])
    offset = (data["dark.offset"] - dark.offset[0, :, 0]) / error
    # Values are whole numbers.
    planted = np.sqrt(dark.noise_adu[0] ** 2 + 1 / 12)
    noise = (data["dark.noise"] - planted) / (planted / np.sqrt(2 * (DARK - 1)))
    ours = np.hypot(np.sqrt(mean["average.variance"] / LIT), error / gain["gain"][0, 0, 0] / LEVEL)
    photons = (mean["average.mean"] - PHOTONS) / ours
    return [np.ravel(one) for one in (offset, noise, photons)]


def gathered(seeds):
    """Return the pulls of several sets of runs: of offsets, of noise, and of photons."""
    return [np.concatenate(each) for each in zip(*map(pulls, seeds), strict=True)]


def judged(seeds):
    """Return the pulls of several sets."""
    return zip(("offset", "noise", "photons"), gathered(seeds), strict=True)


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
