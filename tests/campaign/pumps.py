"""Error bars of differences: of simulated runs with a pump, how far off they are from what was planted, in errors.

``python -m campaign.pumps --runs 200`` prints the table and fails where it is not as it must be.
"""

import sys
import tempfile

import numpy as np

import dxflow
from campaign.widths import main
from dxflow import Key, Labels, PulseKey
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.difference import Difference
from dxflow.simulate import PowderRings, Scan, make_run

XGM = PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")
DELAY = Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value")
PUMPS = {
    "pulses": {
        "train": {},
        "train, over I0": {"i0": XGM},
        "train, each over I0": {"i0": XGM, "normalise": "each"},
        "pooled": {"pairing": "pooled"},
        "pooled, over I0": {"i0": XGM, "pairing": "pooled"},
    },
    "trains": {
        "neighbour": {"pairing": "neighbour"},
        "neighbour, over I0": {"i0": XGM, "pairing": "neighbour"},
    },
}
"""Which frames are pumped, and how these are compared."""
SIGNAL, MOVED = PowderRings(photons=(4.0, 3.0, 2.0, 1.0)), PowderRings(photons=(3.6, 3.2, 2.2, 0.9))
SIZE = {"detector": "AGIPD500K", "module_shape": (16, 16), "energy_spread": 0.15, "noise": 0.3}
TRAINS = {"pulses": {"trains": 48, "pulses": 4}, "trains": {"trains": 120, "pulses": 2}}
"""Of few trains, or pairs of them, errors are too uncertain themselves: pulls are wider than 1 by that alone."""
NBINS = 8


def pulls(pump, seed):
    """Return by how many standard errors differences and relative ones are off, by what is compared, for a run."""
    with tempfile.TemporaryDirectory(prefix="pumps-") as folder:
        delay = Scan(-1.0, 1.0, steps=2, onset=-0.5, rise=0.3)
        truth = make_run(
            f"{folder}/r",
            signal=SIGNAL,
            pump_signal=MOVED,
            pump=pump,
            scan=delay,
            seed=seed,
            **SIZE,
            **TRAINS[pump],
        )
        chain = [AzimuthalIntegration(nbins=NBINS, solid_angle=False)]
        chain += [
            Difference(name=f"d{n}", by=Labels(DELAY), **given)
            for n, given in enumerate(PUMPS[pump].values())
        ]
        data = dxflow.reduce(truth.path, chain, cluster="here").dataset
        off, on = planted(truth, delay, data)
    found = {}
    for n, (what, given) in enumerate(PUMPS[pump].items()):
        scale = truth.pulse_energy if "i0" in given else 1.0
        one = {
            name: data[f"d{n}.{name}"].values
            for name in ("difference", "error", "relative", "relative_error")
        }
        found[what] = np.stack(
            [
                (one["difference"] * scale - (on - off)) / (one["error"] * scale),
                (one["relative"] - (on / off - 1)) / one["relative_error"],
            ]
        )
    return found


def planted(truth, delay, data):
    """Return what bins of q have without and with pump at each delay, (delay, q)."""
    good, step = ~truth.bad_pixels, np.diff(data["q"].values)[0]
    edges = np.append(data["q"].values - step / 2, data["q"].values[-1] + step / 2)
    number, plain, pumped = (
        np.histogram(truth.q()[good], edges, weights=w)[0]
        for w in (None, truth.expected[good], truth.expected_pump[good])
    )
    effect = delay.effect(data["actualPosition"].values)[:, None]
    off, most = plain / number, pumped / number
    return np.broadcast_to(off, (len(effect), NBINS)), off + effect * (most - off)


def gathered(pump, seeds):
    """Return the pulls of several runs, by what is compared: of differences, and of relative ones."""
    each = [pulls(pump, seed) for seed in seeds]
    return {what: np.concatenate([one[what] for one in each], axis=1) for what in each[0]}


def judged(seeds):
    """Yield the pulls of several runs, by pairing and by what they are of."""
    for pump in PUMPS:
        for what, both in gathered(pump, seeds).items():
            for kind, off in zip(("difference", "relative"), both, strict=True):
                yield f"{what} {kind}", off


if __name__ == "__main__":
    sys.exit(main(__doc__, judged))
