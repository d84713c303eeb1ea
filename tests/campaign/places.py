"""Where signal is: how often planted ASICs are found, and how often noise alone marks any, over many simulated runs.

``python -m campaign.places --runs 100`` prints the table and fails where it is not as it must be.
"""

import argparse
import sys
from types import SimpleNamespace

import numpy as np
import xarray as xr

from dxflow import Partial
from dxflow.algorithms.signal import Signal

MODULES, ASICS, SIDE = 16, (8, 2), 12
SHAPE = (MODULES, ASICS[0] * SIDE, ASICS[1] * SIDE)


def noise(rng, frames, width=0.3):
    return rng.standard_normal((frames, *SHAPE), dtype="f4") * np.float32(width)


def per_asic(values):
    """Return values of ASICs, (frame, module, row, column), for each pixel."""
    return np.repeat(np.repeat(values, SIDE, axis=2), SIDE, axis=3).astype("f4")


def of_asics(rng, frames, share):
    """Return some ASICs of some frames, (frame, module, row, column) bool."""
    return rng.random((frames, MODULES, *ASICS)) < share


def tails(rng, frames):
    return (rng.standard_t(3, (frames, *SHAPE)) * 0.2).astype("f4")


def counts(rng, frames, mean=0.004):
    """Whole numbers, no noise: a photon counter with dark counts."""
    return rng.poisson(mean, (frames, *SHAPE)).astype("f4")


def common(rng, frames):
    """All pixels of an ASIC wander together, slowly."""
    steps = rng.standard_normal((frames, MODULES, *ASICS)) * 0.1
    for n in range(1, frames):
        steps[n] += 0.9 * steps[n - 1]
    return noise(rng, frames) + per_asic(steps)


def jumps(rng, frames, share=0.02):
    """Whole ASICs jump up by 0.3 to 20 photons, some frames on end."""
    begins = of_asics(rng, frames, share / 3)
    for _ in range(2):
        begins[1:] |= begins[:-1] & (rng.random(begins[1:].shape) < 0.7)
    return noise(rng, frames) + per_asic(begins * np.exp(rng.uniform(-1.2, 3, begins.shape)))


def module_jumps(rng, frames):
    up = (rng.random((frames, MODULES)) < 0.03)[..., None, None] * rng.uniform(0.3, 10, (frames, 1, 1, 1))
    return noise(rng, frames) + up.astype("f4")


def loud(rng, frames):
    """The noise of whole ASICs is several times as large, some frames."""
    return noise(rng, frames) * (1 + 3 * per_asic(of_asics(rng, frames, 0.03)))


def skewed(rng, frames):
    return ((rng.gamma(2, 1, (frames, *SHAPE)) - 2) * 0.2).astype("f4")


def hot(rng, frames):
    """Hot pixels of which no mask knows."""
    return np.where(rng.random(SHAPE) < 0.003, np.float32(50), noise(rng, frames))


def uneven(rng, frames):
    """The noise of each ASIC, and of each train, is another."""
    widths = (
        np.exp(rng.normal(0, 0.3, (1, MODULES, *ASICS)))
        * np.exp(rng.normal(0, 0.2, (frames // 8 + 1, 1, 1, 1))).repeat(8, axis=0)[:frames]
    )
    return noise(rng, frames) * per_asic(widths)


def masked(rng, frames):
    """Half of the ASICs are masked, others in half of the frames."""
    out = noise(rng, frames)
    out[np.broadcast_to(per_asic(of_asics(rng, 1, 0.5)), out.shape) > 0] = np.nan
    out[frames // 2 :, 3] = np.nan
    return out


NOISES = {
    "normal, 0.3": noise,
    "normal, 0.1": lambda rng, n: noise(rng, n, 0.1),
    "heavy tails": tails,
    "counts": counts,
    "ASICs wander": common,
    "ASICs jump": jumps,
    "modules jump": module_jumps,
    "ASICs are loud": loud,
    "skewed": skewed,
    "hot pixels": hot,
    "uneven": uneven,
    "masked": masked,
}


def steady(rng, frames, planted, mean=0.3):
    return rng.poisson(per_asic(planted * mean).repeat(frames, axis=0)).astype("f4")


def hits(rng, frames, planted, share=0.5, mean=0.3):
    return steady(rng, frames, planted, mean) * (rng.random((frames, 1, 1, 1)) < share)


def spots(rng, frames, planted):
    """A peak in each planted ASIC, in a fifth of the frames, at another place in each."""
    out = np.zeros((frames, *SHAPE), "f4")
    for _, module, row, column in np.argwhere(planted):
        for frame in np.flatnonzero(rng.random(frames) < 0.2):
            ss, fs = row * SIDE + rng.integers(SIDE - 3), column * SIDE + rng.integers(SIDE - 3)
            out[frame, module, ss : ss + 4, fs : fs + 4] = rng.poisson(8, (4, 4))
    return out


SIGNALS = {
    "always": steady,
    "always, 0.1 photons": lambda *at: steady(*at, mean=0.1),
    "always, bright": lambda *at: steady(*at, mean=30),
    "half of the frames": hits,
    "three quarters": lambda *at: hits(*at, share=0.75),
    "one in ten": lambda *at: hits(*at, share=0.1, mean=1),
    "one in ten, bright": lambda *at: hits(*at, share=0.1, mean=100),
    "peaks": spots,
}


def found(frames, per_train, what="asics", **options):
    """Return the ASICs that the algorithm marks, or another output of them, (module, row, column)."""
    signal = Signal(asic=(SIDE, SIDE), closing=0, **options)
    img = SimpleNamespace(
        shape=SHAPE, roi=None, sources=("",) * MODULES, modules=tuple(range(MODULES)), frames=len(frames)
    )
    signal.initialize(Info(img))
    cut = signal._cut
    trains = np.arange(len(frames)) // per_train
    rows = Partial(
        {
            "excess": np.full((len(frames), MODULES, cut.count), -128, "i1"),
            "dim": np.zeros((MODULES, cut.count), "i8"),
            "good": np.zeros((MODULES, cut.count), "i4"),
        }
    )
    for module in range(MODULES):
        signal.process_module_data(Block(frames[:, module], module), rows)
    data = xr.Dataset(
        {
            "excess": (("frame", "module", "asic"), rows.excess),
            "excess_valid": (("frame", "module", "asic"), np.ones(rows.excess.shape, bool)),
            "dim": (("train", "module", "asic"), rows.dim[None]),
            "good": (("train", "module", "asic"), rows.good[None]),
        },
        {"train_id": ("frame", trains)},
    )
    out = Out(MODULES, cut.count)
    signal.finalize_rows(data, out)
    return out[what].reshape(MODULES, *ASICS)


OPTIONS = {"peaks": {"threshold": 2.0}}
BACKGROUNDS = ("normal, 0.3", "ASICs jump", "hot pixels")
CUTS = ((12, 8), (2, 8), (64, 1))
"""Trains, and frames in each."""


class Info:
    """What the algorithm asks of a run."""

    path = ""

    def __init__(self, img):
        self._img = img

    def __getitem__(self, alias):
        return self._img


class Block:
    """Frames of a module."""

    def __init__(self, frames, module):
        self._frames, self.module = frames, module

    def __getitem__(self, alias):
        return self._frames

    def __len__(self):
        return len(self._frames)

    def masked(self, alias):
        return False


class Out(dict):
    """The outputs."""

    def __init__(self, modules, asics):
        shape = (modules, asics)
        super().__init__({name: np.zeros(shape) for name in ("occupancy", "background", "width", "frames")})
        self.update({name: np.zeros(shape, bool) for name in ("asics", "significant", "unclear")})
        self.update(
            modules=np.zeros(modules, bool),
            mask=np.zeros(SHAPE, bool),
            roi=np.zeros((modules * asics, 6), int),
        )

    __getattr__ = dict.__getitem__


def dark(name, seed, trains=12, per_train=8):
    """Return how many ASICs are marked in a run of noise."""
    rng = np.random.default_rng((seed, 1))
    return int(found(NOISES[name](rng, trains * per_train), per_train).sum())


def lit(name, seed, trains=12, per_train=8, background="normal, 0.3"):
    """Return how many ASICs are planted, found, and marked beside them."""
    rng = np.random.default_rng((seed, 2))
    planted = of_asics(rng, 1, rng.choice([0.02, 0.2, 0.7, 1]))
    frames = NOISES[background](rng, trains * per_train) + SIGNALS[name](rng, trains * per_train, planted)
    there = planted[0] & np.isfinite(frames).any(axis=0).reshape(MODULES, ASICS[0], SIDE, ASICS[1], SIDE).any(
        axis=(2, 4)
    )
    marked = found(frames, per_train, **OPTIONS.get(name, {}))
    return int(there.sum()), int((marked & there).sum()), int((marked & ~there).sum())


def table(runs, say):
    """Yield whether each line of the table is as it must be."""
    for name in NOISES:
        for trains, per_train in CUTS if name in BACKGROUNDS else CUTS[:1]:
            some = sum(dark(name, seed, trains, per_train) > 0 for seed in range(runs))
            say(f"noise   {name:22} {trains:3} x {per_train:2} frames: {some:3} of {runs} runs with marks")
            yield some <= max(1, runs / 100)
    for name in SIGNALS:
        for background in BACKGROUNDS[: 2 if name in OPTIONS else None]:
            n = np.sum([lit(name, seed, background=background) for seed in range(runs)], axis=0)
            say(
                f"signal  {name:22} in {background:16} {n[1] / n[0]:7.2%} of {n[0]} found, {n[2]} beside them"
            )
            yield n[1] >= 0.99 * n[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()

    def say(text):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    return 0 if all(list(table(args.runs, say))) else 1


if __name__ == "__main__":
    sys.exit(main())
