"""Error bars of correlations: of simulated speckle and rings, how far off they are, in their own errors.

``python -m campaign.speckle --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile
from types import SimpleNamespace

import numpy as np
from scipy.optimize import curve_fit

import dxflow
from campaign.widths import main
from dxflow.algorithms import xcca
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.g2 import G2
from dxflow.simulate import Speckle, make_run

MODES, TAU = 2, 2.0
SIGNAL = Speckle(modes=MODES, photons=0.6, decorrelation=TAU)
TRAINS, PULSES = 24, 6
SIZE = {"detector": "AGIPD500K", "module_shape": (12, 16), "trains": TRAINS, "pulses": PULSES}
NCHI, PHOTONS, ORDER, PART = 36, 40.0, 4, 0.4
"""Of rings: bins, photons in each, and the order and size of the wave around the beam."""


def of_speckle(seed):
    """Return by how many standard errors contrast by variance and by photons, and the decay of g2, are off."""
    with tempfile.TemporaryDirectory(prefix="speckle-") as folder:
        truth = make_run(
            f"{folder}/r", signal=SIGNAL, noise=0.0, energy_spread=0.3, seed=seed, devices=(), **SIZE
        )
        labels = np.ones(truth.positions.shape[:3], int)
        both = [G2(labels=labels), Contrast(labels=labels)]
        data = dxflow.reduce(truth.path, both, cluster="here", quiet=True).dataset
    contrast = (data["contrast.contrast"].values - 1 / MODES) / data["contrast.error"].values
    tau, error = decay(data["lag"].values[1:], data["g2.g2"].values[:, 0, 1:])
    return {"variance": contrast[0], "photons": contrast[1], "decay": [(tau - TAU) / error]}


def decay(lag, trains):
    """Return the time constant of trains, (train, lag), and its error from what it is without each of them.

    Lags of a train are of the same frames: their errors are not independent. All weigh alike: weights that are from the
    spread of the same trains have an error of their own, which makes that of tau a tenth larger than this says.
    """

    def tau(some):
        found, _ = curve_fit(
            lambda x, contrast, tau: contrast * np.exp(-2 * x / tau),
            lag,
            some.mean(axis=0) - 1,
            (1 / MODES, TAU),
        )
        return found[1]

    without = [tau(np.delete(trains, t, axis=0)) for t in range(len(trains))]
    return tau(trains), np.sqrt((len(trains) - 1) * np.var(without))


def of_rings(seed):
    """Return the same of the Fourier coefficient that a ring with a wave of any phase has, behind a wrong flat."""
    random, chi = np.random.default_rng(seed), 2 * np.pi * np.arange(NCHI) / NCHI
    phases = random.random((TRAINS * PULSES, 1, 1)) * 2 * np.pi
    images = random.poisson(PHOTONS * (1 + PART * np.cos(ORDER * chi - phases)) * (1 + 0.3 * np.cos(2 * chi)))
    sizes = {"correlation": NCHI, "cross": NCHI, "coefficients": NCHI // 2 + 1}
    sums = {f"{name}_moments": np.zeros((len(xcca.MOMENTS), 1, n)) for name, n in sizes.items()}
    for name in ("correlation", "cross"):
        sums |= {name: np.zeros((1, NCHI)), f"{name}_frames": np.zeros((1, NCHI), int)}
    weights = np.ones(images.shape)
    xcca.add(sums, images.astype(float), weights, np.repeat(np.arange(TRAINS), PULSES), False)
    totals = Totals(sums)
    xcca.AngularCorrelation.finalize(SimpleNamespace(), totals)
    # Counts go together with themselves.
    planted = PART**2 / 4 + 1 / PHOTONS / NCHI
    return (totals.coefficients[:, ORDER] - planted) / totals.coefficients_error[:, ORDER]


class Totals(SimpleNamespace):
    """Sums by name, as `finalize` finds them."""

    def __init__(self, sums):
        super().__init__(**sums)

    def __getitem__(self, name):
        return getattr(self, name)

    def __setitem__(self, name, value):
        setattr(self, name, value)


def gathered(seeds):
    """Return the pulls of several runs, by what they are of."""
    each = [of_speckle(seed) | {"coefficient": of_rings(seed)} for seed in seeds]
    return {name: np.concatenate([one[name] for one in each]) for name in each[0]}


def judged(seeds):
    """Return the pulls of several runs."""
    return gathered(seeds).items()


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
