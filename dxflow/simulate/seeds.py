"""Random numbers that depend on what is drawn, never on the order of drawing."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random number is for: each use has a stream of its own."""

    PHOTONS = 1
    SPECKLE = 2
    ORIENTATION = 3
    ENERGY = 4
    HIT = 5
    BAD_PIXEL = 6
    PEDESTAL = 7
    POOL = 8
    CAMERA = 9
    SPOTS = 10
    ELECTRONICS = 30
    JUMPS = 31
    BURSTS = 40
    WAVES = 50
    TIMETOOL = 51


def generator(seed: int, stream: Stream, *ids: int) -> np.random.Generator:
    """Return the generator of one thing: ``ids`` are its module, train, frame, as far as they matter.

    The same arguments give the same numbers, whatever was drawn before; different ones give independent
    streams (`numpy.random.SeedSequence`).
    """
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, int(stream), *ids))))
