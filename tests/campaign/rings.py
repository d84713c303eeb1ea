"""Error bars of azimuthal integration: of simulated runs with powder rings, how far off it is, in its own errors.

``python -m campaign.rings --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile

import numpy as np

import dxflow
from campaign.widths import main
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.simulate import PowderRings, make_run

NBINS = 80
SIGNAL = PowderRings(photons=(6.0, 5.0, 4.0, 3.0))
KINDS = {"poisson": 0.0, "azimuthal": 0.3}
"""Errors, and the noise of pixels: counts know of none."""
FRAMES = 16
FEWEST = 30
"""Pixels of all frames in a bin that is looked at."""


def pulls(kind, seed):
    """Return by how many standard errors bins in q, bins in q and chi, and places of rings are off, for a run."""
    with tempfile.TemporaryDirectory(prefix="rings-") as folder:
        size = {
            "detector": "AGIPD500K",
            "trains": 2,
            "pulses": FRAMES // 2,
            "module_shape": (24, 24),
            "devices": (),
        }
        truth = make_run(f"{folder}/r", signal=SIGNAL, energy_spread=0, noise=KINDS[kind], seed=seed, **size)
        shared = {"errors": kind, "per": "run", "solid_angle": False}
        both = [
            AzimuthalIntegration(nbins=NBINS, **shared),
            AzimuthalIntegration(nbins=NBINS // 2, nchi=6, name="image", **shared),
        ]
        data = dxflow.reduce(truth.path, both, cluster="here").dataset
    off, image = (of_bins(data, name, truth) for name in ("azint", "image"))
    return off, image, of_rings(data, truth)


def of_bins(data, name, truth):
    """Return (mean - mean of what is expected) / error of each bin."""
    mean, error, count = (data[f"{name}.{what}"].values for what in ("mean", "mean_error", "count"))
    x, y, _ = np.moveaxis(truth.positions, -1, 0)
    places = [truth.q(), np.degrees(np.arctan2(y, x))][: mean.ndim]
    good = ~truth.bad_pixels
    edges = [edges_of(data[axis].values) for axis in data[f"{name}.mean"].dims]
    total, number = (
        np.histogramdd([p[good] for p in places], edges, weights=w)[0] for w in (truth.expected[good], None)
    )
    some = count >= FEWEST
    # Pixels beside an edge by a rounding may be in another bin.
    same = some & (number * FRAMES == count)
    return ((mean - total / np.maximum(number, 1)) / error)[same]


def edges_of(centres):
    step = centres[1] - centres[0]
    return np.append(centres - step / 2, centres[-1] + step / 2)


def of_rings(data, truth):
    """Return (place - planted place) / error of each ring: a Gaussian on a straight line, fitted to bins.

    The model is averaged over the pixels of each bin, few and large, as the data are.
    """
    q, mean, error = data["q"].values, data["azint.mean"].values, data["azint.mean_error"].values
    pixels, edges = truth.q()[~truth.bad_pixels], edges_of(data["q"].values)
    number = np.histogram(pixels, edges)[0]
    out = []
    for planted, height in zip(SIGNAL.q, SIGNAL.photons, strict=True):
        near = (np.abs(q - planted) < 3 * SIGNAL.width) & np.isfinite(error)

        def binned(values, near=near):
            return (np.histogram(pixels, edges, weights=values)[0] / np.maximum(number, 1))[near]

        found = np.array([planted, height, 0.0, 0.0])
        for _ in range(6):
            t = (pixels - found[0]) / SIGNAL.width
            bell = np.exp(-0.5 * t**2)
            slopes = [found[1] * bell * t / SIGNAL.width, bell, np.ones(len(t)), pixels - planted]
            design = np.stack([binned(s) for s in slopes], axis=1) / error[near][:, None]
            model = binned(found[1] * bell + found[2] + found[3] * (pixels - planted))
            found = found + np.linalg.lstsq(design, (mean[near] - model) / error[near], rcond=None)[0]
        out.append((found[0] - planted) / np.sqrt(np.linalg.inv(design.T @ design)[0, 0]))
    return np.array(out)


def gathered(kind, seeds):
    """Return the pulls of several runs: of bins in q, of bins in q and chi, and of rings."""
    return [np.concatenate(each) for each in zip(*(pulls(kind, seed) for seed in seeds), strict=True)]


def judged(seeds):
    """Yield the pulls of several runs, by errors and by what they are of."""
    for kind in KINDS:
        for what, off in zip(("q", "q and chi", "rings"), gathered(kind, seeds), strict=True):
            yield f"{kind} {what}", off


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
