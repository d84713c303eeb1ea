"""Crystals: orientation, lattice, peaks."""

import h5py
import numpy as np
import pytest

from dxflow.simulate import Bragg, make_run
from dxflow.simulate.bragg import orientation
from dxflow.simulate.geometry import Geometry


def test_orientations_are_proper_rotations_and_differ_by_frame():
    first, second = orientation(0, 10, 0), orientation(0, 10, 1)
    assert first @ first.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(first) == pytest.approx(1)
    assert np.abs(first - second).max() > 0.1


def test_spots_are_where_the_lattice_is_and_not_at_the_origin():
    lattice = 2 * np.pi / 10.0
    vectors = np.array([[[0, 0, 0], [lattice, 0, 0], [0, -2 * lattice, lattice], [0.5 * lattice, 0, 0]]])
    spots = Bragg(cell=10.0, photons=50, size=0.01).spots(vectors, np.eye(3))
    assert spots[0] == pytest.approx([0, 50, 50, 0], abs=1e-6)


def test_all_modules_see_the_same_crystal():
    # Two modules at the same place must show the same spots.
    line = np.linspace(0.01, 0.08, 24)
    x, y = np.meshgrid(line, line)
    positions = np.stack([np.stack([x, y, 0 * x], axis=-1)] * 2)
    geometry = Geometry(positions, 0.2, 9.3)
    rotation = orientation(1, 2, 3)
    signal = Bragg()
    images = [signal.spots(geometry.q_vectors(module), rotation) for module in (0, 1)]
    assert images[0].max() > 1
    assert np.array_equal(images[0], images[1])


@pytest.mark.parametrize("pool", [None, 3])
def test_listed_peaks_are_bright_in_the_files(tmp_path, pool):
    truth = make_run(
        tmp_path,
        module_shape=(24, 24),
        modules=2,
        trains=4,
        pulses=6,
        sequences=1,
        pool=pool,
        bad_pixels=0,
        signal=Bragg(hit_rate=0.5, photons=500),
    )
    assert set(truth.peaks[:, 0].astype(int)) <= set(np.flatnonzero(truth.hits))
    assert len(truth.peaks) > 20
    for module, number in enumerate(truth.module_numbers):
        with h5py.File(tmp_path / f"CORR-R0001-AGIPD{number:02d}-S00000.h5") as file:
            frames = file[f"INSTRUMENT/{truth.sources[module]}/image/data"][:]
        mine = truth.peaks[truth.peaks[:, 1] == module]
        frame, ss, fs = mine[:, [0, 2, 3]].astype(int).T
        expected = (mine[:, 4] + 0.3) * truth.intensity[frame]
        assert np.all(np.abs(frames[frame, ss, fs] - expected) < 6 * np.sqrt(expected + 1))


def test_frames_without_a_hit_have_no_spots(tmp_path):
    truth = make_run(tmp_path, module_shape=(16, 16), modules=1, trains=2, pulses=2, signal=Bragg(hit_rate=0))
    assert not truth.hits.any()
    assert truth.peaks.shape == (0, 5)
