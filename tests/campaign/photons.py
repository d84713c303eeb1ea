"""Counts of photons: of simulated runs of few photons, how far off they are from what is expected and what was drawn.

``python -m campaign.photons --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile

import numpy as np

import dxflow
from campaign.widths import main
from dxflow import Frames
from dxflow.algorithms.droplets import Droplets
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.photonstats import PhotonStatistics
from dxflow.algorithms.roi import RoiSum
from dxflow.simulate import Flat, make_run

PHOTONS, NOISE, FRAMES, SIDE = 0.004, 0.05, 32, 64
"""Per pixel: so few that one in a hundred touches another."""
FAR = {"photons - drawn": 0.0, "droplets - drawn": 0.15}
"""How far the mean may be from the photons that were drawn, in standard deviations of their number: those whose
charge is shared lose some of it at the edge of the module, 0.4 % so much that they do not count."""
FIRST = Frames(modules=[0])
CHARGE = 0.3
"""Of a photon's cloud, in pixels, where it is shared."""


def reduced(seed, charge, chain, noise=NOISE):
    """Return a run's results, and the photons that are expected in all of its pixels."""
    with tempfile.TemporaryDirectory(prefix="photons-") as folder:
        size = {"detector": "AGIPD500K", "modules": 1, "module_shape": (SIDE, SIDE), "devices": ()}
        shown = {
            "signal": Flat(PHOTONS),
            "noise": noise,
            "charge": charge,
            "bad_pixels": 0,
            "energy_spread": 0,
        }
        truth = make_run(f"{folder}/r", trains=2, pulses=FRAMES // 2, seed=seed, **size, **shown)
        data = dxflow.reduce(truth.path, chain, cluster="here", quiet=True).dataset
    return data, truth.expected[:1].sum() * FRAMES


def pulls(seed):
    """Return by how many standard errors counts are off, for a run: in pixels, of P(1), in droplets."""
    labels = np.ones((1, SIDE, SIDE), int)
    data, planted = reduced(seed, 0, [Photonise(img=FIRST), PhotonStatistics(labels=labels, most=2)])
    pixels = FRAMES * SIDE**2
    p = PHOTONS * np.exp(-PHOTONS)
    one = float(data["photonstats.probability"][0, 1])
    shared, _ = reduced(seed, CHARGE, Droplets(threshold=0.3, low=0.2, gain=1.0, img=FIRST))
    # Without noise pixels hold the photons that were drawn: they are drawn first.
    drawn = float(np.nansum(reduced(seed, 0, RoiSum(img=FIRST), noise=0)[0]["roi.sum"]))
    found = {"photons": data["photons.total"], "droplets": shared["droplets.n_photons"]}
    off = {f"{name} - drawn": (int(n.sum()) - drawn) / np.sqrt(planted) for name, n in found.items()}
    return {
        "photons": (int(data["photons.total"].sum()) - planted) / np.sqrt(planted),
        "P(1)": (one - p) / np.sqrt(p * (1 - p) / pixels),
        **off,
    }


def gathered(seeds):
    """Return the pulls of several runs, by what was counted."""
    each = [pulls(seed) for seed in seeds]
    return {what: np.array([one[what] for one in each]) for what in each[0]}


def judged(seeds):
    """Yield the pulls of several runs whose widths count, and fail where photons are not those that were drawn."""
    for what, off in gathered(seeds).items():
        if what not in FAR:
            yield what, off
            continue
        said = f"{what}: {off.mean():+.3f} standard deviations on average, at most {FAR[what]}"
        if abs(off.mean()) > FAR[what]:
            raise SystemExit(said)
        sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
