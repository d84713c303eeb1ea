"""What the electronics of raw data do: offsets and noise per cell, gain stages, jumps of ASICs and rows, bad pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .detectors import Kind
from .seeds import Stream, generator

STAGES = ("high", "medium", "low")
STEPS = (0.0, 400.0, 550.0)
"""ADU that the pedestal of each gain stage lies above that of high gain, of a converter of 14 bits."""
LEVELS = (6000.0, 7500.0, 8500.0)
"""ADU in a gain plane for high, medium and low gain."""
LEVEL_NOISE = 30.0
"""ADU."""


@dataclass(frozen=True)
class Electronics:
    """Pixels of raw data that differ from each other, and move together; the truth has what each of them is like.

    The arrays of the truth are per gain stage, module, memory cell and pixel: for runs of small modules.
    """

    stage: str = "auto"
    """"auto": by the photons of each pixel; "high", "medium" or "low": fixed, as in dark runs."""
    offset_spread: float = 10.0
    """Standard deviation of the pedestal over memory cells and stages, pixel by pixel, ADU."""
    noise_spread: float = 0.15
    """Of the noise over pixels, as a share of it."""
    gain_spread: float = 0.03
    """Of the ADU per photon over pixels, as a share of it."""
    level_spread: float = 60.0
    """Of the levels of a gain plane over pixels and cells, ADU."""
    asic_jumps: float = 0.0
    """Standard deviation of what an ASIC has more in a frame than in others, ADU."""
    row_jumps: float = 0.0
    """The same of a row of pixels."""
    noisy: float = 0.0
    """Share of pixels with ten times the noise."""
    stuck: float = 0.0
    """Share of pixels whose recorded gain stage is always the first one (in high gain: the second)."""

    def __post_init__(self) -> None:
        if self.stage not in ("auto", *STAGES):
            raise ValueError(f"no gain stage {self.stage!r}; known: auto, {', '.join(STAGES)}")
        shares = {"noisy": self.noisy, "stuck": self.stuck}
        if wrong := [name for name, value in shares.items() if not 0 <= value <= 1]:
            raise ValueError(f"{wrong[0]} must be a share of the pixels, 0 to 1, not {shares[wrong[0]]}")


@dataclass(frozen=True)
class Board:
    """The electronics of one module, drawn."""

    offset: NDArray[np.float32]
    """ADU, (stage, cell, ss, fs)."""
    noise: NDArray[np.float32]
    """ADU, (ss, fs)."""
    gain: NDArray[np.float32]
    """ADU per photon, (stage, ss, fs)."""
    level: NDArray[np.float32]
    """ADU of a gain plane, (stage, cell, ss, fs)."""
    noisy: NDArray[np.bool_]
    stuck: NDArray[np.bool_]


def board(
    own: Electronics, kind: Kind, seed: int, number: int, noise: float, plain: NDArray[np.float32]
) -> Board:
    """Return the electronics of a module; the same seed gives the same ones, whatever the stage is fixed to.

    Parameters
    ----------
    noise : float
        Mean noise, ADU.
    plain : ndarray, (cell, ss, fs)
        Pedestals in high gain, to which what differs is added.
    """
    random = generator(seed, Stream.ELECTRONICS, number)
    cells, *shape = plain.shape
    stages = len(kind.adu_per_photon)
    steps = np.array(STEPS[:stages]).reshape(-1, 1, 1, 1) * 2.0 ** (kind.adc_bits - 14)
    chance = random.random(shape)
    noises = noise * np.maximum(0.3, 1 + own.noise_spread * random.standard_normal(shape))
    noisy = chance < own.noisy
    gains = np.array(kind.adu_per_photon).reshape(-1, 1, 1)
    gain = gains * np.maximum(0.5, 1 + own.gain_spread * random.standard_normal((stages, *shape)))
    # Cell by cell, so that runs with fewer cells have the same ones.
    cellwise = [random.standard_normal((2, stages, *shape)) for _ in range(cells)]
    offset, level = np.stack(cellwise, axis=2)
    levels = np.array(LEVELS[:stages]).reshape(-1, 1, 1, 1)
    return Board(
        offset=(plain + steps + own.offset_spread * offset).astype(np.float32),
        noise=np.where(noisy, 10 * noises, noises).astype(np.float32),
        gain=gain.astype(np.float32),
        level=(levels + own.level_spread * level).astype(np.float32),
        noisy=noisy,
        stuck=chance > 1 - own.stuck,
    )


def stages(own: Electronics, kind: Kind, photons: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the gain stage of each pixel, (ss, fs)."""
    if own.stage != "auto":
        return np.full(photons.shape, STAGES.index(own.stage), np.uint8)
    return np.sum([photons > ceiling for ceiling in kind.ceiling], axis=0, dtype=np.uint8) * np.ones(
        photons.shape, np.uint8
    )


def jumps(own: Electronics, kind: Kind, shape: tuple[int, int], *ids: int) -> NDArray[np.float64]:
    """Return what the ASICs and rows of a frame have more than usual, ADU, (ss, fs).

    Parameters
    ----------
    *ids : int
        Seed, module number, train id, number of the frame in the train: what they depend on.
    """
    seed, *rest = ids
    random = generator(seed, Stream.JUMPS, *rest)
    blocks = [-(-n // size) for n, size in zip(shape, kind.asic, strict=True)]
    asics = own.asic_jumps * random.standard_normal(blocks)
    whole = np.repeat(np.repeat(asics, kind.asic[0], axis=0), kind.asic[1], axis=1)
    rows = own.row_jumps * random.standard_normal((shape[0], blocks[1]))
    return whole[: shape[0], : shape[1]] + np.repeat(rows, kind.asic[1], axis=1)[:, : shape[1]]


def measured(
    part: Board,
    cell: int,
    photons: NDArray[np.int64],
    stage: NDArray[np.uint8],
    jump: NDArray[np.float64],
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Return what each pixel measures before it is rounded, ADU: offset + photons * gain + jump + noise."""
    at = np.ogrid[: photons.shape[0], : photons.shape[1]]
    noise = part.noise * random.standard_normal(photons.shape, dtype=np.float32)
    return part.offset[stage, cell, *at] + photons * part.gain[stage, *at] + jump + noise


def recorded(part: Board, stage: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the gain stages that are told apart by what is stored: wrong in pixels that are stuck."""
    wrong = np.where(stage == 0, 1, 0).astype(np.uint8)
    return np.where(part.stuck, wrong, stage) if part.level.shape[0] > 1 else stage


def gain_plane(
    part: Board, cell: int, stage: NDArray[np.uint8], random: np.random.Generator
) -> NDArray[np.uint16]:
    """Return a gain plane, ADU, (ss, fs)."""
    at = np.ogrid[: stage.shape[0], : stage.shape[1]]
    noise = LEVEL_NOISE * random.standard_normal(stage.shape, dtype=np.float32)
    return np.rint(part.level[stage, cell, *at] + noise).astype(np.uint16)
