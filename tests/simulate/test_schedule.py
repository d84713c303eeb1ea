"""Trains, frames, pools."""

import numpy as np
import pytest

from dxflow.simulate import Plant, Scan, Settings, Speckle
from dxflow.simulate.schedule import beam, schedule


def plan(**options):
    return schedule(Settings(**{"trains": 6, "pulses": 5, **options}))


def test_each_frame_is_drawn_anew_without_a_pool():
    assert np.array_equal(plan().donor, np.arange(30))


def test_pool_repeats_a_few_frames_of_each_kind():
    run = plan(pool=2, lit=[True, True, False, False, False], pump="trains")
    for field in ("lit", "pump", "energy", "intensity", "hit"):
        values = getattr(run, field)
        assert np.array_equal(values, values[run.donor]), field
    assert len(np.unique(run.donor)) == 8
    assert np.array_equal(run.donor[run.donor], run.donor)


def test_pool_keeps_whole_trains_of_a_correlated_signal():
    run = plan(pool=2, signal=Speckle(), trains=8)
    donors = run.donor.reshape(8, 5)
    assert np.array_equal(np.diff(donors, axis=1), np.ones((8, 4)))
    assert sorted(set(donors[:, 0])) == [0, 5]


def test_pool_of_correlated_trains_separates_lengths():
    run = plan(pool=1, signal=Speckle(), plant=Plant(pulse_counts=[5, 3, 5, 3, 5, 0]))
    assert run.donor.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4]


def test_pool_of_raw_data_separates_memory_cells():
    run = plan(pool=1, data="raw")
    assert np.array_equal(run.pulse[run.donor], run.pulse)


def test_pulse_energies_have_the_asked_mean_and_spread():
    energy = plan(trains=400, pulses=50, pulse_energy=800, energy_spread=0.2, detector=None).energy
    assert energy.mean() == pytest.approx(800, rel=0.01)
    assert energy.std() == pytest.approx(160, rel=0.03)
    assert energy.min() > 0


def test_dark_frames_have_no_energy():
    run = plan(lit="none")
    assert not run.energy.any()
    assert not run.intensity.any()
    assert not run.hit.any()


def test_scan_scales_the_signal_at_each_step():
    run = plan(scan=Scan(0, 2, 3, centre=1, width=0.5), energy_spread=0)
    assert run.motor.tolist() == [0, 0, 1, 1, 2, 2]
    assert run.intensity[::5] == pytest.approx(np.exp([-2, -2, 0, 0, -2, -2]))


def test_a_missing_train_leaves_the_energies_of_the_others_alone():
    whole, part = plan(), plan(plant=Plant(missing_trains=[2]))
    keep = whole.train != 2
    assert np.array_equal(whole.energy[keep], part.energy)


def test_frames_of_a_train_are_where_the_counts_say():
    run = plan(plant=Plant(pulse_counts=[2, 0, 5, 1, 0, 3]))
    assert [run.frames(train) for train in range(3)] == [slice(0, 2), slice(2, 2), slice(2, 7)]
    assert run.train.tolist() == [0, 0, 2, 2, 2, 2, 2, 3, 5, 5, 5]


def test_the_machine_delivers_pulses_that_no_frame_recorded():
    settings = Settings(trains=3, pulses=4, plant=Plant(pulse_counts=[4, 0, 2]), pool=1)
    run = schedule(settings)
    machine = beam(settings, run)
    assert machine.lit.all()
    assert (machine.energy > 0).all()
    assert np.array_equal(machine.energy[run.train, run.pulse], run.energy)
