"""From photons to what a module stores: corrected photons or raw ADU and gain, with noise and bad pixels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detectors import Kind
from .seeds import Stream, generator
from .settings import Settings

HOT = 1.0e4
"""Photons that a hot pixel shows in corrected data; raw hot pixels are at the top of their range."""

GAIN_LEVELS = (6000.0, 7500.0, 8500.0)
"""ADU in AGIPD's gain plane for high, medium and low gain."""

JUNGFRAU_STAGES = (0, 1, 3)
"""Values of JUNGFRAU's gain dataset for high, medium and low gain."""


class BadPixel(IntFlag):
    """Bits of ``image.mask`` that are set here, as in `extra.calibration.BadPixels`."""

    OFFSET_OUT_OF_THRESHOLD = 1 << 0
    NOISE_OUT_OF_THRESHOLD = 1 << 1


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
    return Sensor(
        number=number,
        dead=chance < settings.bad_pixels / 2,
        hot=chance > 1 - settings.bad_pixels / 2,
        pedestal=(level * (1 + 0.05 * random.standard_normal(settings.shape))).astype(np.float32),
        cell_offset=(0.01 * level * random.standard_normal(settings.pulses)).astype(np.float32),
    )


def corrected(
    settings: Settings, sensor: Sensor, mean: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float32]:
    """Return one corrected frame, photons, (ss, fs): Poisson numbers of ``mean`` plus normal noise."""
    out = random.standard_normal(mean.shape, dtype=np.float32)
    out *= np.float32(settings.noise)
    if mean.any():
        out += random.poisson(mean)
    out[sensor.dead] = 0
    out[sensor.hot] = HOT
    return out


def raw(
    settings: Settings,
    kind: Kind,
    sensor: Sensor,
    mean: NDArray[np.float64],
    cell: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return one raw frame.

    Value = pedestal + cell offset + photons * ADU per photon of the stage + noise, rounded and clipped;
    the stage is the first whose ceiling is not passed by the photons.

    Returns
    -------
    data : ndarray, ([plane,] ss, fs)
        ADU, as the detector stores it: AGIPD has gain as second plane, LPD in bits 12 and 13.
    stage : ndarray, (ss, fs)
        0 high, 1 medium, 2 low gain.
    """
    stage, signal = np.zeros(mean.shape, np.uint8), np.float64(0)
    # Without light nothing is drawn, either.
    if mean.any():
        photons = random.poisson(mean)
        for ceiling in kind.ceiling:
            stage += photons > ceiling
        signal = photons * np.array(kind.adu_per_photon)[stage]
    noise = settings.noise * kind.adu_per_photon[0] * random.standard_normal(mean.shape, dtype=np.float32)
    top = 2**kind.adc_bits - 1
    value = np.clip(np.rint(sensor.pedestal + sensor.cell_offset[cell] + signal + noise), 0, top)
    value[sensor.dead] = 0
    value[sensor.hot] = top
    return _stored(kind, value.astype(np.uint16), stage, random), stage


def _stored(
    kind: Kind, value: NDArray[np.uint16], stage: NDArray[np.uint8], random: np.random.Generator
) -> NDArray[np.uint16]:
    """Return the values with the gain stage where this detector keeps it."""
    if kind.gain == "plane":
        level = np.array(GAIN_LEVELS)[stage] + 30 * random.standard_normal(stage.shape, dtype=np.float32)
        return np.stack([value, np.rint(level).astype(np.uint16)])
    if kind.gain == "bits":
        return (value | (stage.astype(np.uint16) << np.uint16(12)))[np.newaxis]
    return value[np.newaxis] if kind.raw_planes else value


def stored_stage(kind: Kind, stage: NDArray[Any]) -> NDArray[np.uint8]:
    """Return gain stages as JUNGFRAU stores them in a dataset of their own."""
    return np.array(JUNGFRAU_STAGES if not kind.xtdf else (0, 1, 2), dtype=np.uint8)[stage]
