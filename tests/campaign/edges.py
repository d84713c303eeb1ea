"""Error bars of absorption: of simulated scans over an edge, how far off it is, in its own errors.

``python -m campaign.edges --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile

import numpy as np
from scipy.optimize import curve_fit

import dxflow
from campaign.widths import main
from dxflow import Frames, Key, PulseKey
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.xas import Xas
from dxflow.simulate import Flat, Scan, make_run

SCAN = Scan(7.0, 8.0, steps=11, edge=7.45, width=0.05, jump=4.0)
PULSES, PHOTONS = 16, 0.5
STEPS = np.linspace(SCAN.start, SCAN.stop, SCAN.steps)


def pulls(seed):
    """Return by how many standard errors each mu is off, and the place of the edge, for a run."""
    with tempfile.TemporaryDirectory(prefix="edges-") as folder:
        size = {"detector": "AGIPD500K", "module_shape": (12, 12), "trains": 2 * SCAN.steps, "pulses": PULSES}
        truth = make_run(
            f"{folder}/r",
            signal=Flat(PHOTONS),
            scan=SCAN,
            energy_spread=0.3,
            bad_pixels=0,
            seed=seed,
            devices=("xgm", "motor", "timeserver"),
            **size,
        )
        chain = [
            Spectrum(img=Frames(modules=[0])),
            Xas(
                i0=PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD"),
                energy=Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"),
                steps=STEPS,
            ),
        ]
        data = dxflow.reduce(truth.path, chain, cluster="here", quiet=True).dataset
    mu, error = data["xas.mu"].values, data["xas.error"].values
    planted = 144 * PHOTONS / 1000
    best, spread = curve_fit(model, STEPS, mu, (7.4, planted), error, absolute_sigma=True)
    return (mu - planted * SCAN.response(STEPS)) / error, (best[0] - SCAN.edge) / np.sqrt(spread[0, 0])


def model(energy, at, base):
    return base * (1 + SCAN.jump * (0.5 + np.arctan((energy - at) / SCAN.width) / np.pi))


def judged(seeds):
    """Yield the pulls of several runs."""
    each, edges = zip(*(pulls(seed) for seed in seeds), strict=True)
    yield "mu", np.concatenate(each)
    yield "edge", np.array(edges)


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
