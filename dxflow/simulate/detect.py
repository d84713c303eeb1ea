"""From photons to what a module stores: corrected photons or raw ADU and gain, with noise and bad pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .charge import spread
from .detectors import Kind
from .electronics import (
    LEVEL_NOISE,
    LEVELS,
    Board,
    Electronics,
    board,
    gain_plane,
    jumps,
    measured,
    recorded,
    stages,
)
from .seeds import Stream, generator
from .settings import Settings

HOT = 1.0e4
"""Photons that a hot pixel shows in corrected data; raw hot pixels are at the top of their range."""

JUNGFRAU_STAGES = (0, 1, 3)
"""Values of JUNGFRAU's, and Gotthard-II's, gain dataset for high, medium and low gain."""


class BadPixel(IntFlag):
    """Bits of ``image.mask`` that are set here, as in `extra.calibration.BadPixels`."""

    OFFSET_OUT_OF_THRESHOLD = 1 << 0
    NOISE_OUT_OF_THRESHOLD = 1 << 1


class Cause(IntFlag):
    """What is wrong with a pixel, in the truth of runs with electronics."""

    DEAD = 1
    HOT = 2
    NOISY = 4
    STUCK = 8


@dataclass(frozen=True)
class Sensor:
    """What is particular to one module."""

    number: int
    dead: NDArray[np.bool_]
    """(ss, fs)"""
    hot: NDArray[np.bool_]
    """(ss, fs)"""
    pedestal: NDArray[np.float32]
    """Raw value without light, ADU, (ss, fs)."""
    cell_offset: NDArray[np.float32]
    """Added to the pedestal in each memory cell, ADU, (cell,)."""
    board: Board | None = None
    """What differs between cells and gain stages, if anything."""

    @property
    def cause(self) -> NDArray[np.uint8]:
        """What is wrong with each pixel, (ss, fs)."""
        out = self.dead * Cause.DEAD + self.hot * Cause.HOT
        if self.board is not None:
            out = out + self.board.noisy * Cause.NOISY + self.board.stuck * Cause.STUCK
        return np.asarray(out, np.uint8)

    @property
    def mask(self) -> NDArray[np.uint32]:
        """Mask of the corrected data, (ss, fs); 0 is good."""
        dead, hot = (np.uint32(flag) for flag in BadPixel)
        return self.dead * dead + self.hot * hot


def sensor(settings: Settings, kind: Kind, number: int) -> Sensor:
    """Return the sensor of a module; the same seed gives the same one."""
    chance = generator(settings.seed, Stream.BAD_PIXEL, number).random(settings.shape)
    random = generator(settings.seed, Stream.PEDESTAL, number)
    level = 2.0 ** (kind.adc_bits - 2)
    pedestal = (level * (1 + 0.05 * random.standard_normal(settings.shape))).astype(np.float32)
    memory = np.unique(kind.cell(np.arange(settings.pulses)))
    cells = (0.01 * level * random.standard_normal(len(memory))).astype(np.float32)
    return Sensor(
        number=number,
        dead=chance < settings.bad_pixels / 2,
        hot=chance > 1 - settings.bad_pixels / 2,
        pedestal=pedestal,
        cell_offset=cells,
        board=_board(settings, kind, number, pedestal + cells[:, np.newaxis, np.newaxis]),
    )


def _board(settings: Settings, kind: Kind, number: int, plain: NDArray[np.float32]) -> Board | None:
    own, noise = settings.electronics, settings.noise * kind.adu_per_photon[0]
    return None if own is None else board(own, kind, settings.seed, number, noise, plain)


def corrected(
    settings: Settings,
    sensor: Sensor,
    mean: NDArray[np.float64],
    random: np.random.Generator,
    jump: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return one corrected frame, photons, (ss, fs): Poisson numbers of ``mean`` plus normal noise and a jump."""
    out = random.standard_normal(mean.shape, dtype=np.float32)
    out *= np.float32(settings.noise)
    if mean.any():
        out += spread(random.poisson(mean), settings.charge, random)
    if jump is not None:
        out += jump
    out[sensor.dead] = 0
    out[sensor.hot] = HOT
    return out


def raw(
    settings: Settings,
    kind: Kind,
    sensor: Sensor,
    mean: NDArray[np.float64],
    frame: int,
    random: np.random.Generator,
    train_id: int = 0,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return one raw frame, by its number in the train.

    Value = pedestal + cell offset + photons * ADU per photon of the stage + noise, rounded and clipped;
    the stage is the first whose ceiling is not passed by the photons.

    Returns
    -------
    data : ndarray, ([plane,] ss, fs)
        ADU, as the detector stores it: AGIPD has gain as second plane, LPD in bits 12 and 13.
    stage : ndarray, (ss, fs)
        0 high, 1 medium, 2 low gain.
    """
    if sensor.board is not None and settings.electronics is not None:
        ids = settings.seed, sensor.number, train_id, frame
        jump = jumps(settings.electronics, kind, settings.shape, *ids)
        return _by_electronics(settings.electronics, kind, sensor, mean, kind.cell(frame), random, jump)
    stage, signal = np.zeros(mean.shape, np.uint8), np.float64(0)
    # Without light nothing is drawn, either.
    if mean.any():
        photons = random.poisson(mean)
        for ceiling in kind.ceiling:
            stage += photons > ceiling
        signal = spread(photons, settings.charge, random) * np.array(kind.adu_per_photon)[stage]
    noise = settings.noise * kind.adu_per_photon[0] * random.standard_normal(mean.shape, dtype=np.float32)
    value = _digits(kind, sensor, sensor.pedestal + sensor.cell_offset[kind.cell(frame)] + signal + noise)
    return _stored(kind, value, stage, random), stage


def _by_electronics(
    own: Electronics,
    kind: Kind,
    sensor: Sensor,
    mean: NDArray[np.float64],
    cell: int,
    random: np.random.Generator,
    jump: NDArray[np.float64],
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return one raw frame of pixels that differ, and the stages that are recorded of it."""
    assert sensor.board is not None
    photons = random.poisson(mean) if mean.any() else np.zeros(mean.shape, np.int64)
    stage = stages(own, kind, photons)
    value = _digits(kind, sensor, measured(sensor.board, cell, photons, stage, jump, random))
    told = recorded(sensor.board, stage)
    plane = None
    if kind.gain == "plane":
        plane = gain_plane(sensor.board, cell, told, random)
    return _stored(kind, value, told, random, plane), told


def _digits(kind: Kind, sensor: Sensor, value: NDArray[Any]) -> NDArray[np.uint16]:
    """Return values as the converter gives them."""
    top = 2**kind.adc_bits - 1
    value = np.clip(np.rint(value), 0, top)
    value[sensor.dead] = 0
    value[sensor.hot] = top
    return value.astype(np.uint16)


def _stored(
    kind: Kind,
    value: NDArray[np.uint16],
    stage: NDArray[np.uint8],
    random: np.random.Generator,
    plane: NDArray[np.uint16] | None = None,
) -> NDArray[np.uint16]:
    """Return the values with the gain stage where this detector keeps it."""
    if kind.gain == "plane":
        if plane is None:
            noise = LEVEL_NOISE * random.standard_normal(stage.shape, dtype=np.float32)
            plane = np.rint(np.array(LEVELS)[stage] + noise).astype(np.uint16)
        return np.stack([value, plane])
    if kind.gain == "bits":
        return (value | (stage.astype(np.uint16) << np.uint16(12)))[np.newaxis]
    return value[np.newaxis] if kind.raw_planes else value


def stored_stage(kind: Kind, stage: NDArray[Any]) -> NDArray[np.uint8]:
    """Return gain stages as JUNGFRAU and Gotthard-II store them in a dataset of their own."""
    return np.array(JUNGFRAU_STAGES if not kind.xtdf else (0, 1, 2), dtype=np.uint8)[stage]
