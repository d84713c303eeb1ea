"""Spots: where they are, how bright, and that they are in the files."""

import numpy as np
import pytest
from runs import make_run

from dxflow.simulate import Spots
from dxflow.simulate.detectors import kind
from dxflow.simulate.geometry import Geometry, layout
from dxflow.simulate.signals import Shots


@pytest.fixture(scope="module")
def geometry():
    return Geometry(layout(kind("AGIPD1M"), (64, 32), range(4))[0], 0.2, 9.3)


def shots(hit, number=0):
    return Shots(0, number, 10001, np.arange(len(hit)), np.arange(len(hit)), np.array(hit))


def test_spots_are_at_their_places_with_all_their_photons(geometry):
    signal = Spots(count=8, photons=500, width=1.0)
    peaks = signal.peaks(geometry, shots([False, True]))
    assert len(peaks) == 8
    assert (peaks[:, 0] == 1).all()
    assert ((peaks[:, 4] >= 250) & (peaks[:, 4] <= 750)).all()
    back = np.full((64, 32), 0.3)
    for module in range(4):
        miss, hit = signal.images(geometry, module, back, back, shots([False, True], number=module))
        np.testing.assert_array_equal(miss, back)
        mine, spots = peaks[peaks[:, 1] == module], hit - back
        assert spots.sum() == pytest.approx(mine[:, 4].sum(), rel=0.01)
        for _, _, ss, fs, photons in mine:
            rows, columns = np.indices(spots.shape)
            near = np.hypot(rows - ss, columns - fs) < 5
            weight = spots[near]
            assert (rows[near] * weight).sum() / weight.sum() == pytest.approx(ss, abs=0.05)
            assert (columns[near] * weight).sum() / weight.sum() == pytest.approx(fs, abs=0.05)
            assert weight.sum() == pytest.approx(photons, rel=0.01)


def test_no_spot_is_near_another_and_as_many_as_fit_are_there(geometry):
    peaks = Spots(count=200).peaks(geometry, shots([True]))
    assert 20 < len(peaks) < 200
    for module in range(4):
        mine = peaks[peaks[:, 1] == module, 2:4]
        apart = np.linalg.norm(mine[:, None] - mine[None], axis=-1)
        assert apart[~np.eye(len(mine), dtype=bool)].min() >= 12


def test_spots_of_a_run_are_in_its_hits_and_nowhere_else(tmp_path):
    signal = Spots(count=3, hit_rate=0.5)
    truth = make_run(tmp_path / "r", trains=3, pulses=4, modules=2, module_shape=(32, 32), signal=signal)
    assert set(truth.peaks[:, 0]) == set(np.flatnonzero(truth.hits))
    assert 0 < truth.hits.sum() < len(truth.hits)
