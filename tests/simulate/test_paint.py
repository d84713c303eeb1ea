"""Drawing frames of a module."""

import numpy as np
import pytest

from dxflow.simulate import Flat, PowderRings, Settings, Speckle
from dxflow.simulate.detect import sensor
from dxflow.simulate.geometry import Geometry, layout
from dxflow.simulate.paint import Painter, Scene
from dxflow.simulate.schedule import schedule


def painter(**options):
    settings = Settings(**{"module_shape": (8, 8), "trains": 5, "pulses": 3, "modules": 2, **options})
    kind = settings.kind
    positions, _ = layout(kind, settings.shape, settings.numbers)
    geometry = Geometry(positions, settings.distance, settings.photon_energy)
    hit, miss = settings.signal.expected(geometry), settings.signal.missed(geometry)
    pumped = hit if settings.pump_signal is None else settings.pump_signal.expected(geometry)
    scene = Scene(settings, kind, schedule(settings), geometry, hit, miss, pumped)
    return Painter(scene, 1, sensor(settings, kind, 1))


def frames(source, train):
    return np.array([frame.data for frame in source.train(train)])


@pytest.mark.parametrize("signal", [PowderRings(), Speckle()])
@pytest.mark.parametrize("pool", [None, 2])
@pytest.mark.parametrize("data", ["corr", "raw"])
def test_frames_do_not_depend_on_what_was_drawn_before(signal, pool, data):
    options = {"signal": signal, "pool": pool, "data": data}
    in_order, backwards = painter(**options), painter(**options)
    forth = [frames(in_order, train) for train in range(5)]
    back = [frames(backwards, train) for train in reversed(range(5))][::-1]
    assert np.array_equal(forth, back)


def test_no_two_frames_are_equal_without_a_pool():
    source = painter()
    drawn = np.concatenate([frames(source, train) for train in range(5)]).reshape(15, -1)
    assert len(np.unique(drawn, axis=0)) == 15


def test_pumped_frames_of_a_train_come_from_their_signal():
    source = painter(
        signal=Flat(1), pump_signal=Flat(1000), pump=[False, True, False], bad_pixels=0, energy_spread=0
    )
    bright = frames(source, 0).mean(axis=(1, 2)) > 500
    assert bright.tolist() == [False, True, False]
